"""What every database promises to the rooms, checked on SQLite and PostgreSQL alike."""

import asyncio
import threading

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, func, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from doorward.stores.after_commit import after_commit
from doorward.stores.errors import StoreSetupError, StoreUnavailableError
from doorward.stores.schema import is_postgresql, upsert
from doorward.stores.sql import Database

TABLES = MetaData()
people = Table("people", TABLES, Column("name", Text, primary_key=True), Column("visits", Integer, nullable=False))


@pytest.fixture
async def rows(database):
    await database.write(TABLES.create_all)
    return database


def add(name: str, visits: int = 0):
    def work(connection) -> str:
        connection.execute(insert(people).values(name=name, visits=visits))
        return name

    return work


def names(connection) -> list[str]:
    return list(connection.execute(select(people.c.name).order_by(people.c.name)).scalars())


async def test_what_was_written_can_be_read(rows):
    assert await rows.write(add("ada")) == "ada"
    assert await rows.read(names) == ["ada"]


async def test_a_work_that_raises_changes_nothing_and_its_exception_arrives(rows):
    def work(connection) -> None:
        add("ada")(connection)
        raise LookupError("changed my mind")

    with pytest.raises(LookupError, match="changed my mind"):
        await rows.write(work)
    assert await rows.read(names) == []


async def test_a_broken_rule_arrives_as_what_it_is(rows):
    await rows.write(add("ada"))
    with pytest.raises(IntegrityError):
        await rows.write(add("ada"))
    await rows.write(add("bob"))
    assert await rows.read(names) == ["ada", "bob"]


async def test_works_of_one_moment_do_not_hurt_one_another(rows):
    def bad(connection) -> None:
        add("mallory")(connection)
        raise ZeroDivisionError

    works = [add(f"guest-{number:03}") if number % 3 else bad for number in range(90)]
    results = await asyncio.gather(*(rows.write(work) for work in works), return_exceptions=True)
    assert [isinstance(result, ZeroDivisionError) for result in results] == [work is bad for work in works]
    assert await rows.read(names) == [f"guest-{number:03}" for number in range(90) if number % 3]


async def test_a_savepoint_inside_a_work_is_allowed(rows):
    def work(connection) -> list[str]:
        add("ada")(connection)
        with pytest.raises(IntegrityError), connection.begin_nested():
            add("ada")(connection)
        add("bob")(connection)
        return names(connection)

    assert await rows.write(work) == ["ada", "bob"]


async def test_a_read_may_not_write(rows):
    with pytest.raises(DBAPIError):
        await rows.read(add("ada"))
    assert await rows.read(names) == []


async def test_a_read_sees_one_state_and_waits_for_no_writer(rows):
    await rows.write(add("ada"))
    reading, written = threading.Event(), threading.Event()

    def read_twice(connection) -> tuple[list[str], list[str]]:
        if is_postgresql(connection):
            connection.execution_options(isolation_level="REPEATABLE READ")
        before = names(connection)
        reading.set()
        assert written.wait(30)
        return before, names(connection)

    async def write_meanwhile() -> None:
        await asyncio.to_thread(reading.wait, 30)
        await rows.write(add("bob"))
        written.set()

    (before, after), _ = await asyncio.gather(rows.read(read_twice), write_meanwhile())
    assert before == after == ["ada"]
    assert await rows.read(names) == ["ada", "bob"]


async def test_additions_from_many_sides_all_count(rows):
    await rows.write(add("ada"))
    once_more = update(people).where(people.c.name == "ada").values(visits=people.c.visits + 1)
    await asyncio.gather(*(rows.write(lambda connection: connection.execute(once_more)) for _ in range(100)))
    assert await rows.read(lambda connection: connection.execute(select(people.c.visits)).scalar_one()) == 100


async def test_upsert_speaks_both_dialects(rows):
    def visit(connection) -> None:
        statement = upsert(connection, people).values(name="ada", visits=1)
        later = {"visits": people.c.visits + statement.excluded.visits}
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=later))

    await rows.write(visit)
    await rows.write(visit)
    assert await rows.read(lambda connection: connection.execute(select(people.c.visits)).scalar_one()) == 2


async def test_after_commit_runs_once_and_only_for_what_was_kept(rows):
    calls: list[str] = []

    def rung() -> None:
        calls.append("kept")

    def unwanted() -> None:
        calls.append("lost")

    def kept(connection) -> None:
        add("ada")(connection)
        after_commit(connection, rung)
        after_commit(connection, rung)

    def lost(connection) -> None:
        after_commit(connection, unwanted)
        raise LookupError

    await asyncio.gather(rows.write(kept), rows.write(lost), return_exceptions=True)
    await rows.write(add("bob"))
    assert calls == ["kept"]


async def test_after_commit_sees_what_was_committed(rows, database_url):
    other = Database.open(database_url)
    seen: list[list[str]] = []
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    async def look() -> None:
        seen.append(await other.read(names))
        done.set()

    def work(connection) -> None:
        add("ada")(connection)
        after_commit(connection, lambda: asyncio.run_coroutine_threadsafe(look(), loop))

    await rows.write(work)
    await asyncio.wait_for(done.wait(), 30)
    await other.close()
    assert seen == [["ada"]]


async def test_two_programs_share_a_database(rows, database_url):
    other = Database.open(database_url)
    await asyncio.gather(*(side.write(add(f"{side is rows}-{n:02}")) for n in range(20) for side in (rows, other)))
    assert (
        await other.read(lambda connection: connection.execute(select(func.count()).select_from(people)).scalar()) == 40
    )
    await other.close()


async def test_closing_finishes_what_waits_and_refuses_what_comes(database_url):
    database = Database.open(database_url)
    await database.write(TABLES.create_all)
    waiting = [asyncio.create_task(database.write(add(f"guest-{number:03}"))) for number in range(50)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*waiting) == [f"guest-{number:03}" for number in range(50)]
    for call in (database.write(add("late")), database.read(names), database.ping()):
        with pytest.raises(StoreUnavailableError):
            await call
    again = Database.open(database_url)
    assert len(await again.read(names)) == 50
    await again.close()


async def test_a_caller_that_gives_up_harms_nobody(rows):
    hold = threading.Event()
    slow = asyncio.create_task(rows.write(lambda connection: hold.wait(30)))
    given_up = asyncio.create_task(rows.write(add("ada")))
    patient = asyncio.create_task(rows.write(add("bob")))
    await asyncio.sleep(0)
    given_up.cancel()
    hold.set()
    await asyncio.gather(slow, patient)
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert "bob" in await rows.read(names)


async def test_ping_answers(rows):
    await rows.ping()


@pytest.mark.parametrize(
    "url", ["", "doorward.db", "mysql://localhost/x", "http://localhost", "sqlite:///x.db?timeout=soon"]
)
def test_a_wrong_url_is_refused_without_being_repeated(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreSetupError) as caught:
        Database.open(url)
    assert "localhost" not in caught.value.message
