"""The front desk: how a room's `web.py` talks to browsers and API clients. Answers `hall.doors.Desk`."""

import ipaddress
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from doorward.edge import bodies
from doorward.edge.languages import COOKIE as LANGUAGE_COOKIE
from doorward.edge.languages import LANGUAGES, negotiate, tag_of
from doorward.edge.problems import Problems, title_of, wait_seconds
from doorward.edge.templates import Templates
from doorward.edge.view import HouseView
from doorward.hall.errors import DoorwardError, NotAllowedError, NotLoggedInError
from doorward.hall.model import Arrival, Attempt, Role, Standing

T = TypeVar("T")

THEME_COOKIE: Final = "doorward_theme"
THEMES: Final = ("auto", "light", "dark")
SESSION_PREFIX: Final = b"dws_"
_LONGEST_AGENT: Final = 512
_LONGEST_HINT: Final = 256


@dataclass(frozen=True, slots=True)
class View:
    """What every template knows about the visitor."""

    language: str
    language_tag: str
    theme: str
    path: str
    request_id: str
    standing: Standing | None
    is_admin: bool
    languages: tuple[tuple[str, str, str], ...]


class FrontDesk:
    """Pages, bodies, arrivals and standings for one house."""

    def __init__(self, house: HouseView, templates: Templates, problems: Problems) -> None:
        self._house = house
        self._templates = templates
        problems.draw_page = self.problem_page

    def page(self, request: Request, template: str, status: int = 200, **values: object) -> Response:
        """Render `templates/<template>` in the visitor's language. Personal pages are never kept by a cache."""
        view = self.view(request)
        text = self._templates.render(template, view.language, view=view, **values)
        headers = {"Content-Language": view.language_tag, "Vary": "Cookie, Accept-Language"}
        return HTMLResponse(text, status, headers=headers)

    async def body(self, request: Request, shape: type[T]) -> T:
        """The request's form or JSON body as a msgspec struct.

        Raises:
            InvalidInputError: too large, not strict JSON or form, of another kind, or not of this shape.
        """
        content = await request.body()
        return bodies.read(content, request.headers.get("content-type", ""), shape, self._house.front.body_limit_bytes)

    def arrival(self, request: Request, attempt: Attempt) -> Arrival:
        """What the street saw of this request, each text cut to its limit."""
        headers = request.headers
        return Arrival(
            request_id=request.state.request_id,
            at=self._house.clock.now(),
            attempt=attempt,
            address=canonical_address(request.client.host if request.client else ""),
            user_agent=headers.get("user-agent", "")[:_LONGEST_AGENT],
            languages=headers.get("accept-language", "")[:_LONGEST_HINT],
            language=self.language(request),
            client_hints=headers.get("sec-ch-ua", "")[:_LONGEST_HINT],
            referrer=site_of(headers.get("referer", "")),
        )

    def standing(self, request: Request, role: Role = Role.MEMBER) -> Standing:
        """Who is asking.

        Raises:
            NotLoggedInError: nobody. NotAllowedError: somebody without the role, or a key without the scope.
            UnavailableError: the credential is in no snapshot and the rows are away.
        """
        standing: Standing | None = request.state.standing
        if standing is None:
            if request.state.standing_error is not None:
                raise request.state.standing_error
            raise NotLoggedInError
        if role is Role.ADMIN and not self._is_admin(request, standing):
            raise NotAllowedError("Only an administrator may do this: a session, or a key with the scope `admin`.")
        return standing

    def language(self, request: Request) -> str:
        """The language of this visitor's pages."""
        return negotiate(request.headers.get("accept-language", ""), request.cookies.get(LANGUAGE_COOKIE, ""))

    def view(self, request: Request) -> View:
        """What templates know about this visitor, also where the request failed before the standing was looked up."""
        state = request.scope.get("state", {})
        language, theme = self.language(request), request.cookies.get(THEME_COOKIE, "auto")
        standing: Standing | None = state.get("standing")
        return View(
            language=language,
            language_tag=tag_of(language),
            theme=theme if theme in THEMES else "auto",
            path=request.url.path,
            request_id=state.get("request_id", ""),
            standing=standing,
            is_admin=standing is not None and self._is_admin(request, standing),
            languages=tuple((code, tag, name) for code, (tag, name) in LANGUAGES.items()),
        )

    def problem_page(self, request: Request, error: DoorwardError) -> Response:
        """An error for a person."""
        wait = wait_seconds(error)
        values = {"problem": error, "heading": title_of(type(error)), "wait_seconds": wait}
        return self.page(request, "problem.html", error.status, **values)

    def _is_admin(self, request: Request, standing: Standing) -> bool:
        is_session = request.state.credential.startswith(SESSION_PREFIX)
        return standing.role is Role.ADMIN and (is_session or "admin" in standing.scopes)


def canonical_address(text: str) -> str:
    """An IP address in its one canonical form; IPv4 inside IPv6 as IPv4. Empty for what is none (a Unix socket)."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).compressed


def site_of(referrer: str) -> str:
    """Only the site of a referrer: its path may hold what is nobody's business."""
    try:
        parts = urlsplit(referrer[:2048])
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"[:_LONGEST_HINT] if parts.scheme in ("http", "https") else ""
