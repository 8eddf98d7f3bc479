"""The application behind the street: pages and the JSON API."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward.edge.desk import FrontDesk
from doorward.edge.health import Health
from doorward.edge.metrics import Metrics
from doorward.edge.middleware import BodyLimit, Boundary, SameSite, WhoIsAsking
from doorward.edge.openapi import ApiDescription
from doorward.edge.pages import Pages
from doorward.edge.problems import Problems
from doorward.edge.static_files import StaticFiles
from doorward.edge.stationery import Letters
from doorward.edge.templates import Templates
from doorward.edge.view import HouseView


def build_letters() -> Letters:
    """The stationery that rooms are built with; it needs no house."""
    return Letters(Templates(StaticFiles().url))


def build_app(house: HouseView) -> Starlette:
    """The whole application for one house. Serves nothing by itself: `edge/server.py` puts it behind the street."""
    files, problems = StaticFiles(), Problems(house.front)
    desk = FrontDesk(house, Templates(files.url), problems)
    own = (Pages(house, desk), Health(house), Metrics(house, desk), ApiDescription(house.front, desk), files)
    routes: list[Route] = [route for part in own for route in part.routes()]
    routes += [route for room in house.rooms for route in room(desk)]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Boundary, problems=problems, front=house.front),
            Middleware(SameSite, front=house.front),
            Middleware(BodyLimit, limit_bytes=house.front.body_limit_bytes),
            Middleware(WhoIsAsking, house=house),
        ],
        exception_handlers={404: _hand_on, 405: _hand_on},
    )
    # A path with a slash too many is another path: no redirect that repeats a token from it.
    app.router.redirect_slashes = False
    return app


def _hand_on(_request: Request, error: Exception) -> Response:
    """Starlette's own refusals go to the boundary like every error."""
    raise error
