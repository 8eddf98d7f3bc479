"""What an embedded database must bear: a full disk, a lock, a killed process, a fool beside it in the group."""

import asyncio
import os
import signal
import sqlite3
import stat
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text, func, insert, select
from sqlalchemy.exc import IntegrityError

from doorward.stores import sqlite as sqlite_store
from doorward.stores.errors import StoreDamagedError, StoreFullError, StoreSetupError, StoreUnavailableError
from doorward.stores.sql import Database

TABLES = MetaData()
people = Table(
    "people", TABLES, Column("id", Integer, primary_key=True), Column("name", Text), Column("load", LargeBinary)
)


def add(name: str, size: int = 0):
    return lambda connection: connection.execute(insert(people).values(name=name, load=b"x" * size)).lastrowid


def names(connection) -> list[str]:
    return list(connection.execute(select(people.c.name).order_by(people.c.id)).scalars())


def limit_pages(number: int):
    return lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={number}").scalar_one()


def page_count(connection) -> int:
    return connection.exec_driver_sql("PRAGMA page_count").scalar_one()


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "inner" / "doorward.db"


@pytest.fixture
async def rows(file):
    database = Database.open(f"sqlite:///{file}?timeout=0.1")
    await database.write(TABLES.create_all)
    yield database
    await database.close()


async def test_every_commit_is_flushed_to_the_disk(rows):
    def settings(connection) -> tuple[object, ...]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names)

    full = 2
    assert await rows.write(settings) == ("wal", full, 1)


async def test_only_the_owner_may_read_the_files(rows, file):
    await rows.write(add("ada"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    assert "doorward.db-wal" in modes
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StoreSetupError, match="cannot be opened for writing"):
        Database.open(f"sqlite:///{tmp_path}/file/doorward.db")


async def test_a_full_disk_is_said_loudly_and_keeps_what_was_accepted(rows):
    for number in range(5):
        await rows.write(add(f"early-{number}", 4096))
    await rows.write(limit_pages(await rows.read(page_count) + 3))
    with pytest.raises(StoreFullError) as caught:
        await rows.write(add("too-much", 100_000))
    assert caught.value.status == 503
    assert caught.value.retry_after_seconds
    assert await rows.read(names) == [f"early-{number}" for number in range(5)]
    # There is room again: writing goes on by itself.
    await rows.write(limit_pages(1_000_000))
    await rows.write(add("late", 100_000))
    assert (await rows.read(names))[-1] == "late"


async def test_a_work_too_large_for_the_disk_does_not_take_its_neighbours_along(rows):
    await rows.write(limit_pages(await rows.read(page_count) + 8))
    hold = threading.Event()
    first = asyncio.create_task(rows.write(lambda connection: hold.wait(30)))  # so that the others form one group
    await asyncio.sleep(0)
    works = [add("one"), add("two"), add("too-much", 500_000), add("three")]
    group = [asyncio.create_task(rows.write(work)) for work in works]
    await asyncio.sleep(0)
    hold.set()
    await first
    results = await asyncio.gather(*group, return_exceptions=True)
    assert [type(result) for result in results] == [int, int, StoreFullError, int]
    assert await rows.read(names) == ["one", "two", "three"]


async def test_neighbours_in_a_group_are_committed_though_one_fails(rows):
    await rows.write(lambda connection: connection.exec_driver_sql("CREATE UNIQUE INDEX one_name ON people (name)"))
    begun, hold = threading.Event(), threading.Event()
    first = asyncio.create_task(rows.write(lambda connection: begun.set() or hold.wait(30)))
    assert await asyncio.to_thread(begun.wait, 30)  # else some of the hundred might join the first
    group = [asyncio.create_task(rows.write(add(name))) for name in ("ada", "bob", "ada", "eve")]
    await asyncio.sleep(0)
    hold.set()
    await first
    results = await asyncio.gather(*group, return_exceptions=True)
    assert [type(result) for result in results] == [int, int, IntegrityError, int]
    assert await rows.read(names) == ["ada", "bob", "eve"]


async def test_a_work_that_ends_the_transaction_itself_is_found_and_the_others_kept(rows):
    hold = threading.Event()
    first = asyncio.create_task(rows.write(lambda connection: hold.wait(30)))
    await asyncio.sleep(0)
    works = [add("ada"), lambda connection: connection.exec_driver_sql("ROLLBACK"), add("bob")]
    group = [asyncio.create_task(rows.write(work)) for work in works]
    await asyncio.sleep(0)
    hold.set()
    await first
    results = await asyncio.gather(*group, return_exceptions=True)
    assert (type(results[0]), type(results[2])) == (int, int)
    assert await rows.read(names) == ["ada", "bob"]


async def test_a_lock_of_another_process_is_waited_for_and_then_said(rows, file):
    await rows.write(add("ada"))
    with sqlite3.connect(file, isolation_level=None) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked") as caught:
            await rows.write(add("bob"))
        assert caught.value.retry_after_seconds
        assert not isinstance(caught.value, StoreFullError)
        with pytest.raises(StoreUnavailableError):
            await rows.ping()
        assert await rows.read(names) == ["ada"]  # readers don't mind
        intruder.execute("ROLLBACK")
    intruder.close()
    await rows.write(add("bob"))
    await rows.ping()
    assert await rows.read(names) == ["ada", "bob"]


async def test_a_full_queue_refuses_at_once_and_recovers(file, monkeypatch):
    monkeypatch.setattr(sqlite_store, "_WAITING_LIMIT", 3)
    database = Database.open(f"sqlite:///{file}")
    await database.write(TABLES.create_all)
    started, hold = threading.Event(), threading.Event()

    def slow(_connection) -> None:
        started.set()
        hold.wait(30)

    first = asyncio.create_task(database.write(slow))
    await asyncio.sleep(0)
    await asyncio.to_thread(started.wait, 30)
    waiting = [asyncio.create_task(database.write(add(f"guest-{number}"))) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailableError, match="Too many") as caught:
        await database.write(add("one-too-many"))
    assert caught.value.retry_after_seconds == 1
    hold.set()
    await asyncio.gather(first, *waiting)
    await database.write(add("after"))
    assert await database.read(names) == ["guest-0", "guest-1", "guest-2", "after"]
    await database.close()


async def test_a_damaged_file_is_named_as_such(file):
    file.parent.mkdir()
    file.write_bytes(b"this is not a database, and it is longer than a header of one hundred bytes" * 100)
    database = Database.open(f"sqlite:///{file}")
    with pytest.raises(StoreDamagedError) as caught:
        await database.ping()
    assert "restore" in caught.value.advice
    with pytest.raises(StoreDamagedError):
        await database.read(names)
    await database.close()


async def test_memory_keeps_its_rows_through_errors():
    database = Database.open("sqlite://")
    await database.write(TABLES.create_all)
    await database.write(add("ada"))
    with pytest.raises(ZeroDivisionError):
        await database.write(lambda connection: 1 // 0)
    await database.write(limit_pages(await database.read(page_count) + 1))
    with pytest.raises(StoreFullError):
        await database.write(add("much", 100_000))
    assert await database.read(names) == ["ada"]
    await database.close()


WRITER = """
import asyncio, sys
from sqlalchemy import text
from doorward.stores.sql import Database

async def main(url):
    database = Database.open(url)
    await database.write(lambda c: c.execute(text("CREATE TABLE IF NOT EXISTS signups (id TEXT PRIMARY KEY, mail TEXT)")))

    async def sign_up(name):
        number = 0
        while True:
            number += 1
            row = {"id": f"{name}-{number}", "mail": "x" * 200}
            await database.write(lambda c: c.execute(text("INSERT INTO signups VALUES (:id, :mail)"), row))
            print(row["id"], flush=True)  # the acknowledgement

    await asyncio.gather(*(sign_up(name) for name in range(16)))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("acknowledged_before_the_kill", [1, 40, 400])
async def test_what_was_acknowledged_survives_kill_9(file, acknowledged_before_the_kill):
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, f"sqlite:///{file}", stdout=asyncio.subprocess.PIPE
    )
    acknowledged = [await writer.stdout.readline() for _ in range(acknowledged_before_the_kill)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += (await writer.stdout.read()).splitlines(keepends=True)
    assert await writer.wait() == -signal.SIGKILL
    promised = {line.decode().strip() for line in acknowledged if line.endswith(b"\n")}
    assert len(promised) >= acknowledged_before_the_kill

    database = Database.open(f"sqlite:///{file}")
    kept = await database.read(lambda c: set(c.exec_driver_sql("SELECT id FROM signups").scalars()))
    assert await database.read(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar_one()) == "ok"
    await database.close()
    assert promised <= kept


async def test_many_writers_need_few_flushes(rows):
    """Group commit: a hundred works that wait together become a handful of transactions."""
    commits: list[object] = []
    hold = threading.Event()
    first = asyncio.create_task(rows.write(lambda connection: hold.wait(30)))
    await asyncio.sleep(0)

    def transaction_number(connection) -> int:
        commits.append(connection.get_transaction())
        return add("guest")(connection)

    group = [asyncio.create_task(rows.write(transaction_number)) for _ in range(100)]
    await asyncio.sleep(0)
    hold.set()
    await asyncio.gather(first, *group)
    assert len(set(map(id, commits))) == 1
    assert await rows.read(lambda c: c.execute(select(func.count()).select_from(people)).scalar_one()) == 100
