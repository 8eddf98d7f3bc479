"""Whoever uses a honey record gets the answer that anybody would get, and the house hears of it."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import LargeBinary, cast, func, select

from doorward.accounts import tables
from doorward.accounts.model import Visitor as Browser
from doorward.accounts.tokens import new_key
from doorward.config import Config
from doorward.edge.app import build_letters
from doorward.edge.server import Opened, serve
from doorward.hall.events import HoneyTouched
from doorward.house import House
from doorward.stores.schema import METADATA
from doorward.vault.honey import HoneyRecord
from doorward.vault.honey_tables import honey as honey_row
from doorward.vault.model import HoneyKind
from flows.visitor import Visitor

PATIENCE_SECONDS = 20
OF_ONE_ANSWER = {"date", "x-request-id"}


@dataclass
class Site:
    """A served house in this process, and what it hears."""

    house: House
    url: str
    heard: "asyncio.Queue[HoneyTouched]"

    async def plant(self, kind: HoneyKind, email: str = "") -> HoneyRecord:
        return await self.house.stores.honey.plant_account(kind, self.house.accounts.decoys, email, "")

    async def plant_key(self) -> tuple[HoneyRecord, str]:
        return await self.house.stores.honey.plant_key(self.house.accounts.decoys, "")

    async def hear(self) -> HoneyTouched:
        return await asyncio.wait_for(self.heard.get(), PATIENCE_SECONDS)

    async def called(self, method: str, path: str, email: str = "", *, pays_for: str = "", **named):
        """What a stranger gets."""

        def call():
            visitor = Visitor(self.url, "", email)
            if pays_for:
                named["json"] = named["json"] | visitor.paid(pays_for)
            return visitor.call(method, path, **named)

        return await asyncio.to_thread(call)


def config_of(directory: Path, url: str, secret: str) -> Config:
    stores = {"data_directory": str(directory), "database": url, "upgrades_at_start": True}
    server = {"port": 0, "log_level": "error"}
    return msgspec.convert({"secret": secret, "stores": stores, "server": server}, Config)


@pytest.fixture
def settled(tmp_path, database_url) -> Config:
    """The configuration of one instance, for one start or for several."""
    return config_of(tmp_path / "data", database_url, secrets.token_urlsafe(48))


@asynccontextmanager
async def served(config: Config) -> AsyncIterator[Site]:
    """The instance, served until the end of the block."""
    told: asyncio.Future[Opened] = asyncio.get_running_loop().create_future()

    async def announce(opened: Opened) -> None:
        told.set_result(opened)

    server = asyncio.create_task(serve(config, announce))
    await asyncio.wait([server, told], return_when=asyncio.FIRST_COMPLETED)
    opened, heard = told.result(), asyncio.Queue()
    opened.house.stores.bus.on_each_node(HoneyTouched, heard.put)
    try:
        yield Site(opened.house, opened.url, heard)
    finally:
        assert not server.done()
        signal.raise_signal(signal.SIGTERM)  # as an operator ends it
        await server


@pytest.fixture
async def site(settled) -> AsyncIterator[Site]:
    async with served(settled) as opened:
        yield opened


def shown(answer) -> tuple[int, dict[str, str], object]:
    """What somebody can see of an answer, without what is another at each answer anyway."""
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in OF_ONE_ANSWER}
    body = answer.json() if "json" in headers.get("content-type", "") else answer.text
    if isinstance(body, dict):
        body = {
            name: value if name not in {"pending", "request_id", "instance"} else "" for name, value in body.items()
        }
    return answer.status_code, headers, body


# --- accounts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["correct horse battery staple 9", ""])
async def test_a_log_in_under_a_honey_address_is_answered_as_under_any_other_and_heard_of(site, password):
    planted = await site.plant(HoneyKind.ACCOUNT, "ada.keller@example.com")
    answers = []
    for email in ("ada.keller@example.com", "nobody.keller@example.com"):
        form = {"email": email} | ({"password": password} if password else {})
        answers.append(await site.called("POST", "/api/v1/login", email, pays_for="login", json=form))
    assert shown(answers[0]) == shown(answers[1])
    assert answers[0].status_code == (401 if password else 202)
    event = await site.hear()
    assert (event.kind, event.honey_id, event.where, event.count) == ("account", planted.honey_id, "login", 1)
    assert site.heard.empty()


async def test_a_sign_up_with_a_honey_address_is_heard_of(site):
    planted = await site.plant(HoneyKind.ACCOUNT)
    assert planted.email.endswith("@example.org")
    answer = await site.called(
        "POST", "/api/v1/signup", planted.email, pays_for="signup", json={"email": planted.email}
    )
    assert answer.status_code == 202
    assert (await site.hear()).where == "signup"


# --- keys -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("GET", "/authorize"), ("GET", "/v1/models"), ("GET", "/api/v1/account")])
async def test_a_honey_key_is_refused_as_any_wrong_key_and_heard_of(site, method, path):
    planted, text = await site.plant_key()
    answers = [await site.called(method, path, credential=key) for key in (text, new_key(), text)]
    assert shown(answers[0]) == shown(answers[1]) == shown(answers[2])
    assert answers[0].status_code == 401
    event = await site.hear()
    assert (event.kind, event.honey_id, event.where, event.count) == ("key", planted.honey_id, "street", 1)
    assert site.house.accounts.book.recalled == 2  # each wrong key was looked up once, and not again


# --- rows -------------------------------------------------------------------------------------------------------


async def test_whoever_opens_everybodys_values_is_heard_of(site):
    planted = await site.plant(HoneyKind.ROW)
    await site.house.stores.database.read(lambda connection: tables.list_accounts(connection, "", 100))
    event = await site.hear()
    assert (event.kind, event.honey_id, event.where) == ("row", planted.honey_id, "unsealed")


async def test_lists_and_counts_leave_honey_out_and_ordinary_use_is_no_incident(site):
    await site.plant(HoneyKind.ROW)
    await site.plant(HoneyKind.ACCOUNT)
    await site.plant_key()
    accounts = site.house.accounts
    assert await accounts.newest() == []
    assert sum((await accounts.count()).values()) == 0
    person = "grace@example.com"
    assert (await site.called("POST", "/api/v1/signup", person, pays_for="signup", json={"email": person})).ok
    assert (await site.called("POST", "/api/v1/login", person, pays_for="login", json={"email": person})).ok
    assert (await site.called("GET", "/authorize", credential=new_key())).status_code == 401
    await site.house.stores.honey.reseal()
    await site.house.rotations.run(with_data_keys=False)
    await site.house.stores.honey.publish()
    _, text = await site.plant_key()
    await site.called("GET", "/authorize", credential=text)
    assert (await site.hear()).kind == "key"  # the first that was heard of at all
    assert site.house.stores.honey.touched == 1


# --- what stays -------------------------------------------------------------------------------------------------


async def test_honey_survives_a_restart_and_is_gone_when_removed(settled):
    async with served(settled) as site:
        account = await site.plant(HoneyKind.ACCOUNT)
        key, text = await site.plant_key()
    async with served(settled) as site:
        honey = site.house.stores.honey
        assert [one.honey_id for one in await honey.records()] == [account.honey_id, key.honey_id]
        await site.called("GET", "/authorize", credential=text)
        assert (await site.hear()).honey_id == key.honey_id
        for one in (account, key):
            await honey.remove(one.honey_id)
        await site.called("GET", "/authorize", credential=text)
        form = {"email": account.email}
        assert (await site.called("POST", "/api/v1/login", account.email, pays_for="login", json=form)).ok
        assert await honey.records() == []
        assert honey.touched == 1
        left = select(func.count()).where(tables.accounts.c.account_id == account.account_id)
        assert await site.house.stores.database.read(lambda c: c.execute(left).scalar_one()) == 0


async def test_another_node_looks_for_the_same_honey_and_every_node_hears(site, settled):
    other = await House.open(settled, build_letters())
    try:
        planted, text = await site.plant_key()
        look = next(job for job in other.stores.honey.jobs() if job.on_each_node)
        await look.work()
        assert await other.accounts.recall(text.encode()) is None
        await other.stores.honey.publish()
        event = await site.hear()
        assert (event.honey_id, event.where) == (planted.honey_id, "street")
        await site.house.stores.honey.remove(planted.honey_id)
        await look.work()
        assert await other.accounts.recall(text.encode()) is None
        assert other.stores.honey.touched == 1
    finally:
        await other.close()


# --- what a thief of the tables sees ----------------------------------------------------------------------------


async def test_the_rows_do_not_tell_what_is_honey_or_whether_there_is_any(site):
    read = site.house.stores.database.read
    before = await read(_honey_lengths)
    planted = [await site.plant(HoneyKind.ACCOUNT), await site.plant(HoneyKind.ROW), (await site.plant_key())[0]]
    assert await read(_honey_lengths) == before
    welcome = site.house.accounts.welcome
    link, _ = await welcome.admin_link("ordinary@example.com")
    ordinary = await welcome.accept(link.rpartition("/")[2], Browser(label="Firefox/140"), "en")
    dump = await read(_dump)
    for one in planted:
        named = (one.honey_id, one.email, one.mailbox if one.kind == "key" else "", one.digest)
        for text in filter(None, named):
            assert not [place for place, values in dump.items() if any(text in value for value in values)], one.kind
    places = [
        {place for place, values in dump.items() if any(account_id in value for value in values)}
        for account_id in (planted[0].account_id, planted[1].account_id, ordinary.account.account_id)
    ]
    assert places[0] == places[1] == places[2]


def _honey_lengths(connection) -> list[tuple[int, ...]]:
    return [tuple(map(len, map(bytes, map(_bytes, row)))) for row in connection.execute(select(honey_row))]


def _bytes(value) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _dump(connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table in METADATA.sorted_tables:
        for row in connection.execute(select(*(cast(one, LargeBinary) if _is_bytes(one) else one for one in table.c))):
            for column, value in zip(table.c, row, strict=True):
                text = value.hex() if isinstance(value, bytes) else str(value)
                found.setdefault(f"{table.name}.{column.name}", []).append(text)
    return found


def _is_bytes(column) -> bool:
    return isinstance(column.type, LargeBinary)
