"""Byte for byte: after a shred, no file holds a person's values or their raw key, and SQLite's not even the wrapped one."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from doorward.hall.clock import SteppedClock
from doorward.vault.ring import Ring
from doorward.vault.tables import data_keys
from rooms.vault.test_shred import House

PEOPLE = 60


async def _secrets_of(house, person):
    """The person's raw and wrapped data keys."""

    def work(connection):
        found = connection.execute(
            select(data_keys).where(data_keys.c.subject.in_([person.account_id, person.subject]))
        )
        return [
            (
                house.vault.keks.of(connection, row.kek_version).unwrap(row.subject, row.version, row.wrapped),
                row.wrapped,
            )
            for row in found
        ]

    pairs = await house.database.read(work)
    assert len(pairs) == 2
    return [raw for raw, _ in pairs], [wrapped for _, wrapped in pairs]


def _found(folder, needles) -> list[str]:
    return [
        f"{path.name}: needle {number}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for number, needle in enumerate(needles)
        if needle in path.read_bytes()
    ]


async def test_no_file_of_a_sqlite_house_holds_a_trace(tmp_path):
    clock, ring, folder, old = SteppedClock(), Ring.fresh(), tmp_path / "data", tmp_path / "old.db"
    folder.mkdir()
    url = f"sqlite:///{folder / 'doorward.db'}"
    house = await House(url, ring, clock, folder / "shreds.jsonl").open()
    people = [await house.sign_up(f"person{number}") for number in range(PEOPLE)]
    raw, wrapped = [], []
    for person in people[::3]:
        keys = await _secrets_of(house, person)
        raw, wrapped = raw + keys[0], wrapped + keys[1]
    with (
        contextlib.closing(sqlite3.connect(folder / "doorward.db")) as source,
        contextlib.closing(sqlite3.connect(old)) as target,
    ):
        source.backup(target)
    assert _found(folder, wrapped[:2])  # the scan would find them: they are there now
    assert _found(folder, raw + [person.value.encode() for person in people]) == []
    for person in people[::3]:
        clock.step(1)
        await house.shred(person)
    assert await house.shredding.clear() == len(people[::3])
    canaries = [person.value.encode() for person in people]
    envelopes = [one for person in people[::3] for one in (person.sealed_email, person.sealed_text)]
    assert _found(folder, canaries + raw + wrapped + envelopes) == []
    # an old copy is put back: it holds the wrapped keys again, until it is opened
    await house.database.close()
    for suffix in ("", "-wal", "-shm"):
        (folder / f"doorward.db{suffix}").unlink(missing_ok=True)
    shutil.copy(old, folder / "doorward.db")
    assert _found(folder, wrapped)
    again = await House(url, ring, clock, folder / "shreds.jsonl").open()
    await again.shredding.clear()
    assert _found(folder, canaries + raw + wrapped + envelopes) == []
    for number, person in enumerate(people):
        assert await again.email_of(person.account_id) == (None if number % 3 == 0 else person.value)
        assert len(await again.opens(person)) == (0 if number % 3 == 0 else 2)
    await again.database.close()


@pytest.mark.postgresql
async def test_no_file_of_postgresql_holds_a_value_or_a_raw_key(postgresql_url, tmp_path):
    """The wrapped key may stay in its log and in the gaps of pages: it is noise without the key-encryption key."""
    clock = SteppedClock()
    house = await House(postgresql_url, Ring.fresh(), clock, tmp_path / "shreds.jsonl").open()
    people = [await house.sign_up(f"person{number}") for number in range(9)]
    raw, _ = await _secrets_of(house, people[0])
    await house.shred(people[0])
    assert await house.shredding.clear() == 1
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        folder = Path(connection.execute("SHOW data_directory").fetchone()[0])
    if not folder.is_dir():  # noqa: ASYNC240 - a test may wait for the disk
        pytest.skip("the server's files are not on this machine")
    assert _found(folder, [people[0].value.encode(), *raw]) == []
    await house.database.close()
