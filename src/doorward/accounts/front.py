"""What the pages and the API of this room share: who is at the other end, and the cookies that they keep."""

from starlette.requests import Request
from starlette.responses import Response

from doorward.accounts.errors import SessionNeededError
from doorward.accounts.model import Entered, Scope, Visitor
from doorward.accounts.parts import AccountsParts
from doorward.hall.doors import Desk
from doorward.hall.errors import InvalidInputError, NotLoggedInError, UnavailableError
from doorward.hall.model import Role, Standing

DEVICE_COOKIE = "doorward_device"
DEVICE_HEADER = "doorward-device"
_DAY = 86_400
_LONGEST_AGENT = 512
_LONGEST_DEVICE = 128


class Front:
    """Reads requests and writes cookies for the accounts."""

    def __init__(self, parts: AccountsParts, desk: Desk) -> None:
        """Cookies are `Secure` where the service is reached over TLS."""
        self._parts = parts
        self._desk = desk
        self.session_cookie = "__Host-doorward" if parts.is_https else "doorward"

    def visitor(self, request: Request) -> Visitor:
        """The browser or client that makes the request."""
        device = request.headers.get(DEVICE_HEADER, "") or request.cookies.get(DEVICE_COOKIE, "")
        return Visitor(
            device=device[:_LONGEST_DEVICE],
            label=request.headers.get("user-agent", "")[:_LONGEST_AGENT],
            replaces=self._current_session(request),
        )

    def member(self, request: Request) -> Standing:
        """Who is asking, with any credential.

        Raises:
            NotLoggedInError: nobody.
        """
        return self._desk.standing(request)

    def person(self, request: Request) -> Standing:
        """Who is asking, with the right to change the account: a session, or a key with the scope `admin`.

        Raises:
            NotLoggedInError: nobody. SessionNeededError: another key, which must not be able to make its like.
        """
        standing = self._desk.standing(request)
        if not _is_session(standing) and Scope.ADMIN not in standing.scopes:
            raise SessionNeededError
        return standing

    def admin(self, request: Request) -> Standing:
        """Which administrator is asking.

        Raises:
            NotLoggedInError: nobody. NotAllowedError: no administrator, or a key without the scope `admin`.
        """
        return self._desk.standing(request, Role.ADMIN)

    def remember(self, response: Response, entered: Entered) -> Response:
        """Set the cookies of a log-in."""
        seconds = self._parts.settings.session_lifetime_days * _DAY
        self._set(response, self.session_cookie, entered.token, seconds)
        self._set(response, DEVICE_COOKIE, entered.device, self._parts.settings.device_lifetime_days * _DAY)
        return response

    def forget(self, response: Response) -> Response:
        """Take the session's cookie away; the device stays known."""
        response.delete_cookie(
            self.session_cookie, path="/", secure=self._parts.is_https, httponly=True, samesite="lax"
        )
        return response

    def forget_all(self, response: Response) -> Response:
        """Take every cookie away: the account is gone."""
        response.delete_cookie(DEVICE_COOKIE, path="/", secure=self._parts.is_https, httponly=True, samesite="lax")
        return self.forget(response)

    def _set(self, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name, value, max_age=seconds, path="/", secure=self._parts.is_https, httponly=True, samesite="lax"
        )

    def _current_session(self, request: Request) -> str:
        try:
            standing = self._desk.standing(request)
        except (NotLoggedInError, UnavailableError):
            return ""
        return standing.credential_id if _is_session(standing) else ""


def whole_number(request: Request, name: str, default: int, most: int) -> int:
    """A number from the query.

    Raises:
        InvalidInputError: it is none, negative, or larger than `most`.
    """
    text = request.query_params.get(name, "")
    if not text:
        return default
    if len(text) > 18 or not text.isascii() or not text.isdigit() or int(text) > most:
        raise InvalidInputError(f"`{name}` is a whole number of at most {most}.", field=name)
    return int(text)


def _is_session(standing: Standing) -> bool:
    return standing.credential_id.startswith("ses_")
