"""What can be wrong with a request before a room sees it."""

from doorward.hall.errors import DoorwardError, InvalidInputError, NotAllowedError, NotFoundError


class TooLargeError(InvalidInputError):
    """The body is larger than this service takes."""

    code = "input.too_large"
    status = 413
    advice = "Send less at once."


class UnsupportedMediaError(InvalidInputError):
    """The body is of a kind that this address does not take."""

    code = "input.unsupported_media"
    status = 415
    advice = "Send `application/json`, or the form as the page has it."


class CrossSiteError(NotAllowedError):
    """This request was made by another website."""

    code = "request.cross_site"
    status = 403
    advice = "Open the page here and try again from there."


class MethodNotAllowedError(DoorwardError):
    """This address does not answer that method."""

    code = "request.method_not_allowed"
    status = 405
    advice = "Use one of the methods that the `Allow` header names."


class NoSuchPageError(NotFoundError):
    """There is no page at this address."""

    code = "request.not_found"
    status = 404
    advice = "Check the address for a typing mistake, or begin at the start page."


class BrokenRequestError(InvalidInputError):
    """The request could not be understood."""

    code = "request.broken"
    status = 400
    advice = "Check how your client builds the request."


class InternalError(DoorwardError):
    """Something went wrong on our side."""

    code = "service.internal"
    status = 500
    advice = "Try again; if it goes on, give the request id to the operator."
