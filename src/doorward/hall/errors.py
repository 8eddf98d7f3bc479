"""One kind of error for everything a caller can do something about.

A subclass states `code` (stable, documented), `status` (HTTP) and `advice` (what to do now); its docstring is the
default message. `edge/problems.py` is the only place that turns one into an answer. A refusal at the gate is not
an error but a value: see `model.Verdict`.
"""

import inspect
from typing import ClassVar


class DoorwardError(Exception):
    """Something went wrong that the caller can act on."""

    code: ClassVar[str] = "doorward.error"
    status: ClassVar[int] = 500
    advice: ClassVar[str] = "Try again; if it goes on, give the request id to the operator."

    def __init__(self, message: str = "", *, retry_after_seconds: int | None = None, field: str = "") -> None:
        """`message` for people (never with a secret in it); `field` names the input at fault, if one is."""
        self.message = message or inspect.cleandoc(type(self).__doc__ or "").partition("\n")[0]
        self.retry_after_seconds = retry_after_seconds
        self.field = field
        super().__init__(self.message)


class InvalidInputError(DoorwardError):
    """The request says something that cannot be right."""

    code = "input.invalid"
    status = 400
    advice = "Correct the named field and send the request again."


class NotLoggedInError(DoorwardError):
    """You need to log in for this."""

    code = "auth.required"
    status = 401
    advice = "Log in, or send an API key as `Authorization: Bearer dw_live_…`."


class NotAllowedError(DoorwardError):
    """Your account may not do this."""

    code = "auth.forbidden"
    status = 403
    advice = "Ask an administrator of this service for the role or scope that the message names."


class NotFoundError(DoorwardError):
    """There is nothing here by that name."""

    code = "resource.not_found"
    status = 404
    advice = "Check the address or identifier."


class ConflictError(DoorwardError):
    """That has been done already, or something else is in its place."""

    code = "resource.conflict"
    status = 409
    advice = "Load the current state and decide again."


class TooManyError(DoorwardError):
    """Too many requests for now."""

    code = "rate.limited"
    status = 429
    advice = "Wait for the time that `Retry-After` gives."


class UnavailableError(DoorwardError):
    """This part of the service is away for the moment."""

    code = "service.unavailable"
    status = 503
    advice = "Wait for the time that `Retry-After` gives and try again; nothing was changed."


class SealBrokenError(DoorwardError):
    """A sealed value was changed, cut, or moved from another place."""

    code = "vault.seal_broken"
    status = 500
    advice = "Operators: somebody or something changed the database; see docs/howto/key-ring.md, and restore a backup."


class ShreddedError(NotFoundError):
    """The key of this person was destroyed, and with it everything that was kept about them."""

    code = "vault.shredded"
    advice = "Nobody can bring it back. Somebody who returns is a new person to the service."


class VaultLockedError(UnavailableError):
    """The key ring is locked, so personal values can be neither read nor written."""

    code = "vault.locked"
    advice = "Operators: run `doorward vault status`, then `doorward vault unlock`."
