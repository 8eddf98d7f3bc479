"""The pages that belong to no room: start page, choices of language and appearance, what a problem means."""

import re
from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from doorward.edge.desk import THEME_COOKIE, THEMES, FrontDesk
from doorward.edge.errors import NoSuchPageError
from doorward.edge.languages import COOKIE as LANGUAGE_COOKIE
from doorward.edge.languages import LANGUAGES
from doorward.edge.problems import kinds, title_of
from doorward.edge.security_txt import security_txt
from doorward.edge.view import HouseView
from doorward.hall.errors import InvalidInputError
from doorward.hall.model import Role

_YEAR_SECONDS: Final = 365 * 24 * 3600
_OWN_PATH: Final = re.compile(r"/(?:[A-Za-z0-9._~-][A-Za-z0-9._~/-]*)?")

Path = Annotated[str, msgspec.Meta(max_length=512)]


class LanguageChoice(msgspec.Struct, forbid_unknown_fields=True):
    """Which language to read, and where to go back to."""

    language: Annotated[str, msgspec.Meta(max_length=16)]
    back: Path = "/"


class AppearanceChoice(msgspec.Struct, forbid_unknown_fields=True):
    """Light, dark or as the device, and where to go back to."""

    theme: Annotated[str, msgspec.Meta(max_length=16)]
    back: Path = "/"


class Pages:
    """Start page and small matters."""

    def __init__(self, house: HouseView, desk: FrontDesk) -> None:
        self._house = house
        self._desk = desk

    def routes(self) -> list[Route]:
        """The addresses of these pages."""
        return [
            Route("/", self._start, methods=["GET"]),
            Route("/console", self._console, methods=["GET"]),
            Route("/language", self._choose_language, methods=["POST"]),
            Route("/appearance", self._choose_appearance, methods=["POST"]),
            Route("/problems", self._problems, methods=["GET"]),
            Route("/problems/{code}", self._problem, methods=["GET"]),
            Route("/robots.txt", self._robots, methods=["GET"]),
            Route("/.well-known/security.txt", self._security, methods=["GET"]),
        ]

    async def _start(self, request: Request) -> Response:
        return self._desk.page(request, "start.html", base_url=self._house.front.public_url.rstrip("/"))

    async def _console(self, request: Request) -> Response:
        self._desk.standing(request, Role.ADMIN)
        return RedirectResponse("/console/door", 303)

    async def _choose_language(self, request: Request) -> Response:
        choice = await self._desk.body(request, LanguageChoice)
        if choice.language not in LANGUAGES:
            raise InvalidInputError("There is no such language here.", field="language")
        return self._remember(LANGUAGE_COOKIE, choice.language, choice.back)

    async def _choose_appearance(self, request: Request) -> Response:
        choice = await self._desk.body(request, AppearanceChoice)
        if choice.theme not in THEMES:
            raise InvalidInputError("There is no such appearance here.", field="theme")
        return self._remember(THEME_COOKIE, choice.theme, choice.back)

    def _remember(self, cookie: str, value: str, back: str) -> Response:
        response = RedirectResponse(own_path(back), 303)
        response.set_cookie(
            cookie,
            value,
            max_age=_YEAR_SECONDS,
            path="/",
            secure=self._house.front.is_https,
            httponly=True,
            samesite="lax",
        )
        return response

    async def _problems(self, request: Request) -> Response:
        rows = [(code, kind.status, title_of(kind)) for code, kind in kinds().items()]
        return self._desk.page(request, "problems.html", rows=rows)

    async def _problem(self, request: Request) -> Response:
        kind = kinds().get(request.path_params["code"])
        if kind is None:
            raise NoSuchPageError
        return self._desk.page(request, "problem_kind.html", kind=kind, heading=title_of(kind))

    async def _robots(self, _request: Request) -> Response:
        return PlainTextResponse("User-agent: *\nAllow: /$\nAllow: /docs/\nAllow: /static/\nDisallow: /\n")

    async def _security(self, _request: Request) -> Response:
        return PlainTextResponse(security_txt(self._house.front, self._house.clock.now()))


def own_path(back: str) -> str:
    """`back` if it is a plain path of this service, else the start page: a redirect never leaves the house."""
    return back if _OWN_PATH.fullmatch(back) and "//" not in back else "/"
