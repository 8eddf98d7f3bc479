"""The live door, the lever, the wait-list's page and their JSON twins, behind a small application of our own."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus, urlencode

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from doorward.edge.desk import View
from doorward.edge.static_files import StaticFiles
from doorward.edge.templates import Templates
from doorward.gate.web import DoorConsole, routes
from doorward.hall.errors import DoorwardError, InvalidInputError, NotAllowedError, NotLoggedInError
from doorward.hall.model import Lane, Role, Standing

STANDINGS = {
    "admin": Standing("acc_admin", "ses_1", Lane.EXISTING, Role.ADMIN, frozenset(), 1e12),
    "member": Standing("acc_member", "ses_2", Lane.EXISTING, Role.MEMBER, frozenset(), 1e12),
}


class Desk:
    """A front desk that knows two people by a header, and renders the real templates."""

    def __init__(self) -> None:
        self._templates = Templates(StaticFiles().url)
        self.language = "en"

    def page(self, request: Request, template: str, status: int = 200, **values: object) -> Response:
        view = View(self.language, self.language, "auto", request.url.path, "req_1", STANDINGS["admin"], True, ())
        return HTMLResponse(self._templates.render(template, self.language, view=view, **values), status)

    async def body(self, request: Request, shape: type[Any]) -> Any:
        content = await request.body()
        is_json = request.headers["content-type"] == "application/json"
        given = json.loads(content) if is_json else dict(item.split("=", 1) for item in content.decode().split("&"))
        if not is_json:
            given = {name: unquote_plus(value) for name, value in given.items()}
        try:
            return msgspec.convert(given, shape, strict=is_json)
        except msgspec.ValidationError as error:
            raise InvalidInputError(str(error)) from error

    def standing(self, request: Request, role: Role = Role.MEMBER) -> Standing:
        standing = STANDINGS.get(request.headers.get("who", ""))
        if standing is None:
            raise NotLoggedInError
        if role is Role.ADMIN and standing.role is not Role.ADMIN:
            raise NotAllowedError
        return standing


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Browser:
    """Asks an ASGI application."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "", who: str = "admin") -> Answer:
        path, _, query = path.partition("?")
        headers = [(b"host", b"door.example"), (b"content-type", kind.encode()), (b"who", who.encode())]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "scheme": "https", "headers": headers, "client": ("198.51.100.7", 5), "server": ("door.example", 443), "state": {}}  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:]).decode())

    async def get(self, path: str, who: str = "admin") -> Answer:
        return await self.ask("GET", path, who=who)

    async def post(self, path: str, values: dict[str, object], who: str = "admin") -> Answer:
        return await self.ask("POST", path, urlencode(values).encode(), "application/x-www-form-urlencoded", who)

    async def send(self, path: str, values: dict[str, object], who: str = "admin") -> Answer:
        return await self.ask("POST", path, json.dumps(values).encode(), "application/json", who)


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, DoorwardError)
    return JSONResponse({"code": error.code}, error.status)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def browser(door, desk) -> Browser:
    app = Starlette(routes=routes(door.gate, desk), exception_handlers={DoorwardError: _told})
    return Browser(app)


LEVER = {"cohort": "mail=example.org", "level": "probation", "reason": "odd <sign-ups>", "expires_in_seconds": 600}


@pytest.mark.parametrize("language", ["en", "zh_Hans"])
async def test_the_live_door_shows_what_happens(door, desk, browser, language):
    desk.language = language
    await door.come()
    quiet = await browser.get("/console/door")
    assert quiet.status == 200
    door.gate.vitals = lambda: {"existing_p50_ms": 1.25, "existing_p99_ms": 4.0}
    assert (await browser.post("/console/posture", LEVER)).status == 303
    page = await browser.get("/console/door")
    assert "mail=example.org" in page.text
    assert "odd &lt;sign-ups&gt;" in page.text
    assert "proof.paid" in page.text
    assert '<span data-live="existing_p99">4.0</span>' in page.text
    assert "<svg" in page.text
    assert "<script>" not in page.text
    assert "style=" not in page.text


@pytest.mark.parametrize(
    "path",
    [
        "/console/door",
        "/console/door/events",
        "/console/door/table",
        "/api/v1/admin/posture",
        "/api/v1/admin/posture/history",
    ],
)
async def test_the_door_is_shown_to_administrators_only(browser, path):
    assert (await browser.get(path, who="")).status == 401
    assert (await browser.get(path, who="member")).status == 403


@pytest.mark.parametrize(
    "path", ["/console/posture", "/console/posture/undo", "/api/v1/admin/posture", "/api/v1/admin/posture/undo"]
)
async def test_the_lever_is_for_administrators_only(door, browser, path):
    assert (await browser.send(path, LEVER, who="")).status == 401
    assert (await browser.send(path, LEVER, who="member")).status == 403
    assert door.gate.posture().version == 0


async def test_the_lever_moves_and_comes_back(door, browser):
    await browser.post("/console/posture", LEVER)
    row = door.gate.posture().rows["mail=example.org"]
    assert (row.change.set_by, row.change.expires_at) == ("acc_admin", door.clock.now() + 600)
    assert (await browser.post("/console/posture/undo", {"version": row.version})).status == 303
    assert door.gate.posture().level("mail=example.org", door.clock.now()) == "open"
    assert (await browser.post("/console/posture/undo", {"version": row.version})).status == 409


async def test_what_is_wrong_with_the_lever_is_said_on_the_page(door, browser):
    page = await browser.post("/console/posture", LEVER | {"cohort": "colour=red", "reason": "my reason"})
    assert page.status == 400
    assert "is not feature=value" in page.text
    assert "my reason" in page.text
    assert door.gate.posture().version == 0


@pytest.mark.parametrize(
    "change",
    [
        {"level": "shut"},
        {"reason": ""},
        {"reason": "x" * 501},
        {"expires_in_seconds": 0},
        {"expires_in_seconds": 10**9},
        {"expires_in_seconds": None},
        {"cohort": ""},
        {"cohort": "mail"},
        {"colour": "red"},
    ],
)
async def test_the_api_takes_no_change_that_is_not_whole(door, browser, change):
    assert (await browser.send("/api/v1/admin/posture", LEVER | change)).status == 400
    assert door.gate.posture().version == 0


async def test_a_change_without_an_expiry_is_not_taken(door, browser):
    values = {name: value for name, value in LEVER.items() if name != "expires_in_seconds"}
    assert (await browser.send("/api/v1/admin/posture", values)).status == 400


async def test_the_api_shows_sets_undoes_and_remembers(door, browser):
    made = await browser.send("/api/v1/admin/posture", LEVER)
    assert made.status == 201
    shown = (await browser.get("/api/v1/admin/posture")).json()
    assert shown == {"version": 1, "posture": [made.json()]}
    assert (await browser.send("/api/v1/admin/posture/undo", {"version": 1})).json()["undoes"] == 1
    history = (await browser.get("/api/v1/admin/posture/history")).json()["history"]
    assert [(row["version"], row["from"], row["to"]) for row in history] == [
        (2, "probation", "open"),
        (1, "open", "probation"),
    ]
    assert (await browser.get("/api/v1/admin/posture/history?before=2")).json()["history"] == history[1:]
    table = await browser.get("/console/door/table?before=nonsense")
    assert table.text.count("mail=example.org") == 2


async def test_a_place_has_a_page_and_a_json_twin(door, browser):
    await door.gate.take_place(door.arrival("a@example.org"))
    place = await door.gate.take_place(door.arrival("b@example.org"))
    page = await browser.get(f"/waitlist/{place.token}", who="")
    assert page.status == 200
    assert "1 person is before you." in page.text
    assert "b@example.org" not in page.text
    twin = await browser.get(f"/api/v1/waitlist/{place.token}", who="")
    assert twin.json() == {"state": "waiting", "position": 2}
    assert (await browser.get("/waitlist/plc_nobody", who="")).status == 404
    await door.job("gate.waitlist.invite")
    assert "mailed you an invitation" in (await browser.get(f"/waitlist/{place.token}")).text


async def test_the_live_stream_speaks_json(door, desk):
    await door.come()
    console = DoorConsole(door.gate, desk)
    stream = console._stream()
    message = await anext(stream)
    await stream.aclose()
    assert message.startswith("data: ")
    assert message.endswith("\n\n")
    figures = json.loads(message[6:])
    assert figures["admitted"] == "0.1"
    assert figures["reasons"] == {"proof.paid": 1}
