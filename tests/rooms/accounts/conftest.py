"""Accounts on real stores, behind a small door of our own, and a browser that keeps cookies."""

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import pytest

from doorward.accounts import credential_tables, tables  # noqa: F401  # describes the tables
from doorward.accounts.model import Entered, Mailed, Visitor
from doorward.accounts.parts import AccountsParts
from doorward.accounts.service import Accounts
from doorward.accounts.settings import AccountsSettings
from doorward.accounts.web import routes
from doorward.edge.app import build_app, build_letters
from doorward.edge.view import Front, HouseView
from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock
from doorward.hall.errors import NotFoundError
from doorward.hall.model import Action, Arrival, Attempt, Lane, Offer, Place, Reason, Usage, Verdict
from doorward.hall.secrets import Secrets
from doorward.stores.counters import open_counters
from doorward.stores.outbox import Outbox
from doorward.stores.postbox import Postbox
from doorward.stores.settings import MailSettings
from doorward.stores.sql import Database
from rows import honey_of, open_rows, shredding_of, vault_of

PASSWORD = "violet anchor tuesday marmalade"


class Door:
    """A doorkeeper and wait-list that does as it is told, and remembers who came."""

    def __init__(self) -> None:
        self.action = Action.ADMIT
        self.settled = Action.ADMIT
        self.arrivals: list[Arrival] = []
        self.settlements: list[str] = []
        self.places: dict[str, Place] = {}
        self.invitations: dict[str, str] = {}
        self._minted = 0

    def offer(self, arrival: Arrival) -> Offer:
        self._minted += 1
        return Offer(f"ticket-{self._minted}", {"algorithm": "PBKDF2/SHA-256", "cost": 100}, arrival.at + 3600)

    def is_genuine(self, ticket: bytes) -> bool:
        return ticket.startswith(b"ticket-")

    async def consider(self, arrival: Arrival) -> Verdict:
        self.arrivals.append(arrival)
        attempt_id = f"att_{len(self.arrivals)}"
        return Verdict(self.action, (Reason("test.said"),), "1", 0, attempt_id, mail_link=not arrival.proof)

    async def settle(self, attempt_id: str) -> Verdict:
        self.settlements.append(attempt_id)
        return Verdict(self.settled, (Reason("test.said"),), "1", 0, attempt_id)

    async def take_place(self, arrival: Arrival) -> Place:
        return self.places.setdefault(arrival.email, Place(f"plc_{len(self.places)}.x", len(self.places) + 1))

    async def redeem(self, token: str) -> str:
        email = self.invitations.pop(token, "")
        if not email:
            raise NotFoundError
        return email


class StillMeter:
    """Nobody has used anything, but for what is set."""

    def __init__(self) -> None:
        self.usage = Usage(0, None, 7, 1, 2)

    async def usage_of(self, account_id: str, lane: Lane) -> Usage:
        return self.usage


@dataclass
class Room:
    """The accounts and everything around them."""

    accounts: Accounts
    clock: SteppedClock
    door: Door
    database: Database
    parts: AccountsParts
    another: Callable[[], Accounts]

    def arrival(self, attempt: Attempt = Attempt.SIGNUP, proof: str = "proof") -> Arrival:
        return Arrival("req_1", self.clock.now(), attempt, "203.0.113.9", ticket="ticket-0", proof=proof)

    async def letters(self, recipient: str = "") -> list[Any]:
        return await self.parts.postbox.sink(recipient=recipient, limit=1000)

    async def code(self, recipient: str) -> str:
        """The code of the newest letter."""
        return re.search(r"^(\d{8})$", (await self.letters(recipient))[-1].text, re.MULTILINE)[1]

    async def link(self, recipient: str) -> str:
        """The token of the newest letter's link."""
        return re.search(r"/link\?token=(\S+)", (await self.letters(recipient))[-1].text)[1]

    async def sign_up(self, email: str = "ada@example.com", password: str = "") -> Entered:
        mailed = await self.accounts.signup.begin(self.arrival(), email, password)
        assert isinstance(mailed, Mailed)
        return await self.accounts.signup.confirm(mailed.pending_id, await self.code(email), Visitor(label="Firefox/1"))

    async def rows(self, table: Any) -> int:
        return await self.database.read(lambda c: len(c.execute(table.select()).all()))


def _built(database: Database, clock: SteppedClock, door: Door, **settings: Any) -> AccountsParts:
    bus = Bus()
    outbox = Outbox(database, bus, clock, "node-1")
    return AccountsParts(
        settings=AccountsSettings(hash_threads=1, **settings),
        secrets=Secrets("a master secret for tests, long enough"),
        sealer=vault_of(database),
        shredder=shredding_of(database, outbox, clock),
        tripwire=honey_of(database, outbox, clock),
        clock=clock,
        database=database,
        counters=open_counters("memory://", clock),
        outbox=outbox,
        postbox=Postbox(database, clock, MailSettings()),
        stationery=build_letters(),
        bus=bus,
        doorkeeper=door,
        waitlist=door,
        meter=StillMeter(),
        redeem_invitation=door.redeem,
        public_url="http://127.0.0.1:8080",
    )


@pytest.fixture
def built_parts(clock: SteppedClock) -> Callable[[Database], AccountsParts]:
    """Makes the parts of accounts on rows of the test's own."""
    return lambda database: _built(database, clock, Door())


@pytest.fixture
def settings() -> dict[str, Any]:
    """What a test sets; override in a module or class."""
    return {}


async def _room(database: Database, clock: SteppedClock, settings: dict[str, Any]) -> AsyncIterator[Room]:
    door = Door()
    parts = _built(database, clock, door, **settings)
    made: list[Accounts] = []

    def build(of: AccountsParts) -> Accounts:
        made.append(Accounts(of))
        return made[-1]

    def another() -> Accounts:
        """The accounts of a second node on the same rows, with a memory of its own."""
        bus = Bus()
        return build(replace(parts, bus=bus, outbox=Outbox(database, bus, clock, f"node-{len(made) + 1}")))

    room = Room(build(parts), clock, door, database, parts, another)
    await room.accounts.load()
    yield room
    for accounts in made:
        accounts.close()


@pytest.fixture
async def room(sqlite_url: str, clock: SteppedClock, settings: dict[str, Any]) -> AsyncIterator[Room]:
    """The accounts on SQLite."""
    database = await open_rows(sqlite_url)
    async for built in _room(database, clock, settings):
        yield built
    await database.close()


@pytest.fixture
async def either(database: Database, clock: SteppedClock, settings: dict[str, Any]) -> AsyncIterator[Room]:
    """The accounts on each kind of database."""
    async for built in _room(database, clock, settings):
        yield built


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """Calls the application as the street would, and keeps cookies as a browser does."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.cookies: dict[str, str] = {}
        self.headers: dict[str, str] = {"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/140.0", "accept": "text/html"}

    async def get(self, path: str) -> Answer:
        return await self._call("GET", path, b"", "")

    async def delete(self, path: str, **values: Any) -> Answer:
        return await self._call("DELETE", path, json.dumps(values).encode() if values else b"", "application/json")

    async def form(self, path: str, **fields: str) -> Answer:
        return await self._call("POST", path, urlencode(fields).encode(), "application/x-www-form-urlencoded")

    async def json(self, path: str, **values: Any) -> Answer:
        return await self._call("POST", path, json.dumps(values).encode(), "application/json")

    async def _call(self, method: str, path: str, body: bytes, kind: str) -> Answer:
        plain, _, query = path.partition("?")
        headers = self.headers | {"host": "127.0.0.1:8080", "sec-fetch-site": "same-origin"}
        headers |= {"content-type": kind, "content-length": str(len(body))} if body or method == "POST" else {}
        headers |= {"cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())} if self.cookies else {}
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
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("203.0.113.9", 4711),
            "server": ("127.0.0.1", 8080),
            "state": {},
        }
        answer = Answer()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = [(name.decode(), value.decode()) for name, value in message["headers"]]
            else:
                answer.body += message.get("body", b"")

        await self._app(scope, receive, send)
        for name, value in answer.headers:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                kept = rest.partition(";")[0].strip('"')
                self.cookies.pop(key, None)
                if kept and "max-age=0" not in value.lower():
                    self.cookies[key] = kept
        return answer


@pytest.fixture
def browse(room: Room) -> Callable[[], Browser]:
    """Opens a browser with no cookies, as often as one is wanted."""
    house = HouseView(
        book=room.accounts.book,
        rooms=(lambda desk: routes(room.accounts, desk),),
        front=Front(public_url=room.parts.public_url),
        clock=room.clock,
    )
    app = build_app(house)
    return lambda: Browser(app)
