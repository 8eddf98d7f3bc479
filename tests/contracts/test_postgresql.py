"""What a shared database must bear: conflicts, a full disk, connections that break, a server that goes away."""

import asyncio
import contextlib
import tempfile
import threading
import traceback
from pathlib import Path
from secrets import token_hex
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from doorward.stores import postgresql
from doorward.stores.errors import StoreFullError, StoreSetupError, StoreUnavailableError
from doorward.stores.sql import Database

pytestmark = pytest.mark.postgresql


class Wire:
    """A socket in front of the server's own, which can be cut."""

    def __init__(self, server_socket: str) -> None:
        self._server_socket = server_socket
        self._folder = tempfile.TemporaryDirectory(prefix="doorward-wire-")
        self.folder = self._folder.name
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.cuts_at: bytes | None = None

    async def mend(self) -> None:
        self._server = await asyncio.start_unix_server(self._join, Path(self.folder) / ".s.PGSQL.5432")

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self.break_connections()
        (Path(self.folder) / ".s.PGSQL.5432").unlink(missing_ok=True)
        await asyncio.sleep(0)

    def break_connections(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def close(self) -> None:
        await self.cut()
        self._folder.cleanup()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._server_socket)
        self._open |= {writer, far_writer}
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            if self.cuts_at is not None and self.cuts_at in data:
                self.cuts_at = None
                self.break_connections()
                return
            sink.write(data)
            await sink.drain()
        sink.close()


@pytest.fixture
async def wire(postgresql_url):
    query = parse_qs(urlsplit(postgresql_url).query)
    if not query.get("host", [""])[0].startswith("/"):
        pytest.skip("PostgreSQL: the given server is not on a local socket")
    wire = Wire(f"{query['host'][0]}/.s.PGSQL.5432")
    await wire.mend()
    yield wire
    await wire.close()


@pytest.fixture
async def rows(postgresql_url, wire):
    path = urlsplit(postgresql_url).path
    database = Database.open(f"postgresql://postgres@{path}?host={wire.folder}")
    await database.write(lambda c: c.execute(text("CREATE TABLE people (name text PRIMARY KEY, visits int DEFAULT 0)")))
    yield database
    await database.close()


def add(name: str):
    return lambda connection: connection.execute(text("INSERT INTO people VALUES (:name)"), {"name": name}).rowcount


def names(connection) -> list[str]:
    return list(connection.execute(text("SELECT name FROM people ORDER BY name")).scalars())


async def test_works_that_block_one_another_are_run_again(rows):
    await rows.write(add("ada"))
    await rows.write(add("bob"))
    both_hold_one = threading.Barrier(2)
    runs: list[str] = []

    def visit(first: str, second: str):
        def work(connection) -> None:
            statement = text("UPDATE people SET visits = visits + 1 WHERE name = :name")
            connection.execute(statement, {"name": first})
            if runs.count(first) == 0:
                runs.append(first)
                both_hold_one.wait(30)
            else:
                runs.append(first)
            connection.execute(statement, {"name": second})

        return work

    await asyncio.gather(rows.write(visit("ada", "bob")), rows.write(visit("bob", "ada")))
    assert len(runs) == 3  # one of the two was chosen to give way, and was run again
    found = await rows.read(lambda c: c.execute(text("SELECT name, visits FROM people ORDER BY name")).all())
    assert [tuple(row) for row in found] == [("ada", 2), ("bob", 2)]


async def test_a_serialization_failure_is_run_again(rows):
    await rows.write(add("ada"))
    runs: list[int] = []
    both_have_read = threading.Barrier(2)

    def visit(connection) -> None:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        visits = connection.execute(text("SELECT visits FROM people")).scalar_one()
        runs.append(visits)
        if len(runs) <= 2:
            both_have_read.wait(30)
        connection.execute(text("UPDATE people SET visits = :visits"), {"visits": visits + 1})

    await asyncio.gather(rows.write(visit), rows.write(visit))
    assert await rows.read(lambda c: c.execute(text("SELECT visits FROM people")).scalar_one()) == 2
    assert sorted(runs) == [0, 0, 1]


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [("53100", StoreFullError), ("53300", StoreUnavailableError), ("57P01", StoreUnavailableError),
     ("55P03", StoreUnavailableError), ("25006", StoreUnavailableError)],
)  # fmt: skip
async def test_the_servers_trouble_is_told_as_ours(rows, sqlstate, expected):
    def trouble(connection) -> None:
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END $$")

    with pytest.raises(StoreUnavailableError) as caught:
        await rows.write(trouble)
    assert type(caught.value) is expected
    assert caught.value.retry_after_seconds
    await rows.write(add("ada"))


async def test_a_work_that_meets_a_broken_connection_is_run_again(rows, wire):
    await rows.write(add("ada"))
    wire.break_connections()  # as a restarted server does to every connection in the pool
    await rows.write(add("bob"))
    wire.break_connections()
    assert await rows.read(names) == ["ada", "bob"]


async def test_a_connection_that_breaks_while_saving_is_not_taken_for_success(rows, wire):
    """Running the work again could do it twice; saying "done" could be a lie: the caller is told that nobody knows."""
    wire.cuts_at = b"COMMIT"
    with pytest.raises(StoreUnavailableError, match="may or may not"):
        await rows.write(add("ada"))
    await rows.write(add("bob"))
    assert "bob" in await rows.read(names)


async def test_a_server_that_is_away_is_said_at_once_and_found_again(rows, wire):
    await wire.cut()
    for call in (rows.write(add("ada")), rows.read(names), rows.ping()):
        with pytest.raises(StoreUnavailableError, match="does not answer") as caught:
            await call
        assert caught.value.retry_after_seconds
    await wire.mend()
    await rows.ping()
    await rows.write(add("bob"))
    assert await rows.read(names) == ["bob"]


async def test_too_many_works_are_refused_at_once(rows, monkeypatch):
    monkeypatch.setattr(postgresql, "_WAITING_LIMIT", 3)
    hold = threading.Event()
    waiting = [asyncio.create_task(rows.write(lambda connection: hold.wait(30))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailableError, match="Too many"):
        await rows.write(add("one-too-many"))
    hold.set()
    await asyncio.gather(*waiting)
    await rows.write(add("after"))
    assert await rows.read(names) == ["after"]


async def test_closing_does_not_wait_for_ever_for_a_long_queue(rows, monkeypatch):
    monkeypatch.setattr(postgresql, "_CLOSE_SECONDS", 0.0)
    started, hold = threading.Semaphore(0), threading.Event()

    def slow(connection) -> str:
        started.release()
        hold.wait(30)
        return "done"

    running = [asyncio.create_task(rows.write(slow)) for _ in range(6)]
    await asyncio.sleep(0)
    for _ in running:
        await asyncio.to_thread(started.acquire)
    queued = [asyncio.create_task(rows.write(add(f"guest-{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(rows.close())
    await asyncio.sleep(0)
    hold.set()
    await closing
    assert await asyncio.gather(*running) == ["done"] * 6
    results = await asyncio.gather(*queued, return_exceptions=True)
    assert all(isinstance(result, StoreUnavailableError) for result in results)


def test_an_absent_driver_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setattr(postgresql.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StoreSetupError, match=r"pip install 'doorward\[cluster\]'"):
        Database.open("postgresql://localhost/x")


async def test_what_people_wrote_is_in_no_error_text(rows):
    name = token_hex(16)
    await rows.write(add(name))
    with pytest.raises(IntegrityError, match="people_pkey") as caught:
        await rows.write(add(name))
    assert name not in "".join(traceback.format_exception(caught.value))
