"""A house of small fakes behind the real application, and a client that speaks ASGI to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from starlette.applications import Starlette

from doorward.edge.app import build_app
from doorward.edge.view import Front, HouseView
from doorward.hall.clock import SteppedClock
from doorward.hall.errors import UnavailableError
from doorward.hall.model import Lane, Role, Standing

MEMBER = Standing("acc_1", "ses_1", Lane.EXISTING, Role.MEMBER, frozenset({"chat"}), 2e9)
ADMIN = replace(MEMBER, account_id="acc_2", role=Role.ADMIN)


class FakeBook:
    """Who belongs, from a dict; `elsewhere` is what only the rows know."""

    def __init__(self) -> None:
        self.here: dict[bytes, Standing] = {
            b"dws_member": MEMBER,
            b"dws_admin": ADMIN,
            b"dw_live_plain": ADMIN,
            b"dw_live_admin": replace(ADMIN, scopes=frozenset({"admin"})),
        }
        self.elsewhere: dict[bytes, Standing] = {}
        self.is_away = False

    def standing_of(self, credential: bytes) -> Standing | None:
        return self.here.get(credential)

    async def recall(self, credential: bytes) -> Standing | None:
        if self.is_away:
            raise UnavailableError
        return self.elsewhere.get(credential)


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Calls an ASGI application as the street would."""

    def __init__(self, app: Starlette) -> None:
        self.app = app

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        return await self.call("POST", path, **options)

    async def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        client: tuple[str, int] | None = ("203.0.113.9", 4711),
        chunks: list[bytes] | None = None,
    ) -> Answer:
        sent = {"host": "127.0.0.1:8080", **(headers or {})}
        if body:
            sent.setdefault("content-length", str(len(body)))
        plain, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": plain,
            "raw_path": plain.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": client,
            "server": ("127.0.0.1", 8080),
            "state": {},
        }
        answer, waiting = Answer(), list(chunks if chunks is not None else [body])

        async def receive() -> dict[str, Any]:
            if not waiting:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                pairs = [(name.decode().lower(), value.decode("latin-1")) for name, value in message["headers"]]
                answer.headers = dict(pairs)
                answer.cookies = [value for name, value in pairs if name == "set-cookie"]
            else:
                answer.body += message.get("body", b"")

        await self.app(scope, receive, send)
        return answer


@pytest.fixture
def book() -> FakeBook:
    return FakeBook()


@pytest.fixture
def house(book: FakeBook) -> HouseView:
    return HouseView(book=book, front=Front(version="1.2.3"), clock=SteppedClock())


@pytest.fixture
def client(house: HouseView) -> Client:
    return Client(build_app(house))
