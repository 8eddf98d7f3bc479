"""Keys are replaced while rows are read and written; whatever interrupts that, nobody becomes unreadable."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from sqlalchemy import Column, Connection, Double, Table, Text, insert, select

from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock
from doorward.hall.errors import SealBrokenError, ShreddedError
from doorward.hall.events import RotationFinished, RotationStarted
from doorward.stores import durable
from doorward.stores.outbox import Outbox
from doorward.stores.schema import METADATA
from doorward.stores.sealed import Sealed, open_cell, open_cells, sealed
from doorward.stores.sql import Database
from doorward.vault.keks import KeyEncryptionKeys
from doorward.vault.rotate import Pace, Rotation
from doorward.vault.rotations import Rotations, RotationStoppedError
from doorward.vault.tables import all_keks, count_keys, keys_of
from rows import open_rows, shredding_of, vault_of

QUICK = Pace(keys=7, people=3, share=0.99)


@pytest.fixture(scope="module")
def notes():
    table = Table(
        "test_rotation_notes",
        METADATA,
        Column("note_id", Text, primary_key=True),
        Column("who", Text, nullable=False),
        Column("words", Sealed(row="note_id", subject="who"), nullable=False),
        Column("at", Double),
    )
    yield table
    METADATA.remove(table)


@pytest.fixture
async def house(database_url, notes, clock):
    database = await open_rows(database_url, clock)
    outbox = Outbox(database, Bus(), clock, "node_1")
    yield database, outbox
    await database.close()


def write(table: Table, *numbers: int, words: str = "words"):
    def work(connection: Connection) -> None:
        for number in numbers:
            row = {"note_id": f"n{number}", "who": f"acc_{number}", "words": f"{words} of {number}", "at": 1.0}
            connection.execute(insert(table).values(**sealed(connection, table, row)))

    return work


def read(table: Table):
    def work(connection: Connection) -> dict[str, str]:
        rows = connection.execute(select(table).order_by(table.c.note_id)).all()
        return dict(zip((row.note_id for row in rows), open_cells(connection, rows, table.c.words), strict=True))

    return work


def rotation_of(database: Database, outbox: Outbox, clock: SteppedClock) -> Rotation:
    return Rotation(vault_of(database), database, outbox, clock, QUICK)


async def finish(rotation: Rotation, clock: SteppedClock, *, with_data_keys: bool = False, state=None):
    state = state or Rotation.first(with_data_keys=with_data_keys)
    while not state.get("done"):
        if state["stage"] == "wait":
            clock.step(400)
        state = await rotation.step(state)
    return state


async def test_everybody_is_wrapped_by_the_new_key_and_the_old_one_is_gone(house, notes, clock):
    database, outbox = house
    await database.write(write(notes, *range(30)))
    before = await database.read(read(notes))
    state = await finish(rotation_of(database, outbox, clock), clock)
    assert state["version"] == 2
    assert [kek.version for kek in await database.read(all_keks)] == [2]
    counts = await database.read(count_keys)
    assert counts == {2: state["rewrapped"]}
    vault_of(database).data_keys.forget()
    assert await database.read(read(notes)) == before


async def test_the_house_is_told_of_the_beginning_and_the_end(database_url, notes, clock):
    database = await open_rows(database_url, clock)
    bus, heard, both = Bus(), [], asyncio.Event()
    bus.on_each_node(RotationStarted, _collector(heard, both))
    bus.on_each_node(RotationFinished, _collector(heard, both))
    outbox = Outbox(database, bus, clock, "node_1")
    await outbox.mark()
    await outbox.start(delivers_once=False)
    await finish(rotation_of(database, outbox, clock), clock)
    async with asyncio.timeout(20):
        await both.wait()
    await outbox.stop()
    await database.close()
    assert [(event.name, event.version) for event in heard] == [
        ("vault.rotation.started", 2), ("vault.rotation.finished", 2),
    ]  # fmt: skip


def _collector(heard, both):
    async def hear(event):
        heard.append(event)
        if len(heard) == 2:
            both.set()

    return hear


async def test_what_is_written_and_made_meanwhile_is_kept(house, notes, clock):
    database, outbox = house
    await database.write(write(notes, *range(20)))
    rotation, state, number = rotation_of(database, outbox, clock), Rotation.first(with_data_keys=True), 100
    while not state.get("done"):
        if state["stage"] == "wait":
            clock.step(400)
        state = await rotation.step(state)
        number += 1
        await database.write(write(notes, number))
        found = await database.read(read(notes))
        assert found[f"n{number}"] == f"words of {number}"
        assert found["n3"] == "words of 3"


async def test_a_node_that_has_not_heard_of_it_makes_new_people_under_the_new_key(house, notes, clock):
    database, outbox = house
    await database.write(write(notes, 1))
    vault = vault_of(database)
    stale = KeyEncryptionKeys(lambda: vault.ring)
    await database.read(stale.active)
    await finish(rotation_of(database, outbox, clock), clock)
    vault.keks = vault.data_keys._keks = stale
    await database.write(write(notes, 2))
    assert await database.read(count_keys) == {2: 2}
    assert (await database.read(read(notes)))["n2"] == "words of 2"


async def test_a_reader_with_the_former_data_key_in_memory_looks_again(house, notes, clock):
    database, outbox = house
    await database.write(write(notes, 1))
    vault = vault_of(database)
    held = dict(vault.data_keys._held)
    rotation, state = rotation_of(database, outbox, clock), Rotation.first(with_data_keys=True)
    while state["stage"] != "wait":
        state = await rotation.step(state)
    vault.data_keys._held = held  # as another node still has it
    assert await database.read(read(notes)) == {"n1": "words of 1"}


async def test_a_writer_with_the_former_data_key_in_memory_loses_nothing(house, notes, clock):
    database, outbox = house
    await database.write(write(notes, 1))
    vault = vault_of(database)
    held = dict(vault.data_keys._held)
    rotation, state = rotation_of(database, outbox, clock), Rotation.first(with_data_keys=True)
    while state["stage"] != "wait":
        state = await rotation.step(state)
    vault.data_keys._held = held

    def late(connection: Connection) -> None:
        row = {"note_id": "late", "who": "acc_1", "words": "sealed with the former key", "at": 1.0}
        connection.execute(insert(notes).values(**sealed(connection, notes, row)))

    await database.write(late)
    await finish(rotation, clock, state=state)
    vault.data_keys.forget()
    assert await database.read(read(notes)) == {"late": "sealed with the former key", "n1": "words of 1"}
    assert [key.version for key in await database.read(lambda c: keys_of(c, ["acc_1"]))] == [2]


async def test_new_data_keys_open_what_the_former_ones_do_not_any_more(house, notes, clock):
    database, outbox = house
    await database.write(write(notes, *range(10)))
    former = {row.note_id: row.words for row in await database.read(lambda c: c.execute(select(notes)).all())}
    state = await finish(rotation_of(database, outbox, clock), clock, with_data_keys=True)
    assert state["people"] >= 10
    assert state["kept"] == 0
    after = {row.note_id: row.words for row in await database.read(lambda c: c.execute(select(notes)).all())}
    assert not set(former.values()) & set(after.values())
    assert len(await database.read(read(notes))) == 10

    def put_back(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE test_rotation_notes SET note_id = 'n0' WHERE note_id = 'n0'")
        mark = "%s" if connection.dialect.name == "postgresql" else "?"
        connection.exec_driver_sql(
            f"UPDATE test_rotation_notes SET words = {mark} WHERE note_id = 'n0'", (former["n0"],)
        )

    await database.write(put_back)
    with pytest.raises(SealBrokenError):
        await database.read(read(notes))


async def test_a_damaged_value_keeps_its_former_key_and_is_counted(house, notes, clock):
    database, outbox = house
    await database.write(write(notes, 1, 2))
    await database.write(lambda c: c.exec_driver_sql(
        "UPDATE test_rotation_notes SET words = (SELECT words FROM test_rotation_notes WHERE note_id = 'n2')"
        " WHERE note_id = 'n1'"
    ))  # fmt: skip
    state = await finish(rotation_of(database, outbox, clock), clock, with_data_keys=True)
    assert state["kept"] == 1
    assert [key.version for key in await database.read(lambda c: keys_of(c, ["acc_2"]))] == [2]
    assert len(await database.read(lambda c: keys_of(c, ["acc_1"]))) == 2


async def test_who_is_shredded_meanwhile_stays_shredded(house, notes, clock):
    database, outbox = house
    await database.write(write(notes, 1, 2))
    shredding = shredding_of(database, outbox, clock)
    rotation, state, is_done = rotation_of(database, outbox, clock), Rotation.first(with_data_keys=True), False
    while not state.get("done"):
        if state["stage"] == "wait":
            clock.step(400)
        if state["stage"] == "reseal" and not is_done:
            await database.write(lambda connection: shredding.shred(connection, ["acc_1"], "person"))
            is_done = True
        state = await rotation.step(state)
    assert is_done

    def opened(connection: Connection, name: str) -> str:
        row = connection.execute(select(notes).where(notes.c.note_id == name)).one()
        return open_cell(connection, row, notes.c.words)

    assert await database.read(lambda c: opened(c, "n2")) == "words of 2"
    with pytest.raises(ShreddedError):
        await database.read(lambda c: opened(c, "n1"))


async def test_two_rotations_follow_each_other(house, notes, clock):
    database, outbox = house
    await database.write(write(notes, 1))
    for expected in (2, 3, 4):
        assert (await finish(rotation_of(database, outbox, clock), clock))["version"] == expected
    assert await database.read(read(notes)) == {"n1": "words of 1"}


async def test_one_that_was_left_goes_on_instead_of_beginning_anew(house, notes, clock):
    database, outbox = house
    await database.write(write(notes, *range(20)))
    rotation = rotation_of(database, outbox, clock)
    await rotation.step(Rotation.first(with_data_keys=False))  # and its process dies, with its state
    state = await finish(rotation_of(database, outbox, clock), clock)
    assert (state["version"], state["rewrapped"]) == (2, 20)


async def test_it_is_due_when_the_key_is_old_and_goes_on_when_it_was_left(house, clock):
    database, outbox = house
    begun: list[str] = []
    rotations = Rotations(rotation_of(database, outbox, clock), database, outbox, clock, every_days=90)
    rotations.begin = lambda **_: begun.append("now") or True  # type: ignore[method-assign]
    made_at = (await rotations.overview()).kek_made_at
    clock.step(max(0.0, made_at - clock.now()))
    await rotations.look()
    assert begun == []
    clock.step(91 * 86_400)
    await rotations.look()
    assert begun == ["now"]


async def test_former_data_keys_that_a_killed_rotation_left_are_destroyed_after_a_restart(house, notes, clock):
    database, outbox = house
    await database.write(write(notes, 1, 2))
    rotation, state = rotation_of(database, outbox, clock), Rotation.first(with_data_keys=True)
    while state["stage"] != "wait":
        state = await rotation.step(state)
    begun: list[dict[str, bool]] = []
    rotations = Rotations(rotation_of(database, outbox, clock), database, outbox, clock, every_days=0)
    rotations.begin = lambda **how: begun.append(how) or True  # type: ignore[method-assign]
    await rotations.look()
    await rotations.look()
    assert begun == [{"only_settles": True}]
    await finish(rotation, clock, state=rotation.last())
    assert [key.version for key in await database.read(lambda c: keys_of(c, ["acc_1", "acc_2"]))] == [2, 2]
    assert len(await database.read(read(notes))) == 2


async def test_a_stopped_one_says_so_and_changes_nothing_more(database_url, clock):
    database = await open_rows(database_url, clock)
    outbox = Outbox(database, Bus(), clock, "node_1")
    rotations = Rotations(rotation_of(database, outbox, clock), database, outbox, clock, every_days=0)
    await rotations.stop()
    with pytest.raises(RotationStoppedError):
        await rotations.run()
    assert [kek.version for kek in await database.read(all_keks)] == [1]
    await database.close()


def durable_errors():
    from doorward.vault.rotations import RotationStoppedError

    return RotationStoppedError


# --- the real thing: processes that are killed ---

SETTINGS = {"DOORWARD_SECRET": "2f1e8c9b7a6d5e4f3c2b1a0918273645aBcDeFgH"}


def command(tmp_path, url, *words, **more):
    environment = {
        **os.environ, **SETTINGS, "DOORWARD_STORES_DATA_DIRECTORY": str(tmp_path), "DOORWARD_STORES_DATABASE": url,
        "DOORWARD_STORES_UPGRADES_AT_START": "true",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


FILL = textwrap.dedent("""
    import asyncio, os, sys
    from doorward import config
    from doorward.edge.app import build_letters
    from doorward.house import House

    async def main():
        house = await House.open(config.load(None, os.environ), build_letters(), for_commands=True)
        vault, database = house.stores.vault, house.stores.database
        if sys.argv[1] == "fill":
            for start in range(0, 20_000, 500):
                await database.write(lambda c: [vault.key_for(c, f"acc_{n}") for n in range(start, start + 500)])
        else:
            keys = await database.read(lambda c: vault.keys_of(c, [f"acc_{n}" for n in range(20_000)]))
            from doorward.vault.tables import all_keks, count_keys
            print(len(keys), [k.version for k in await database.read(all_keks)], await database.read(count_keys))
        await house.close()

    asyncio.run(main())
""")


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_well_when_it_is_run_again(database_url, tmp_path):
    script = tmp_path / "fill.py"
    script.write_text(FILL)
    filled = command(tmp_path, database_url, str(script), "fill")
    out, error = filled.communicate()
    assert filled.returncode == 0, error
    for seconds in (2.5, 3.0, 3.5, 4.0):  # when it is killed differs from run to run: that is meant
        rotating = command(tmp_path, database_url, "-m", "doorward", "vault", "rotate", "--json")
        try:
            out, error = rotating.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.kill(rotating.pid, signal.SIGKILL)
            rotating.communicate()
    last = command(tmp_path, database_url, "-m", "doorward", "vault", "rotate", "--json")
    out, error = last.communicate()
    assert last.returncode == 0, out + error
    looked = command(tmp_path, database_url, str(script), "look")
    out, error = looked.communicate()
    assert looked.returncode == 0, error
    number, _, rest = out.partition(" ")
    assert number == "20000"
    versions = rest.partition("]")[0].strip("[ ").split(", ")
    assert len(versions) == 1


async def test_two_processes_do_not_do_it_at_once(database_url, clock):
    database = await open_rows(database_url)
    entered = asyncio.Event()
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()

    def step(state):
        loop.call_soon_threadsafe(entered.set)
        asyncio.run_coroutine_threadsafe(leave.wait(), loop).result()
        return {**state, "done": True}

    running = asyncio.create_task(asyncio.to_thread(durable.run, database.url, "test", {}, step))
    await entered.wait()
    with pytest.raises(durable.DurableBusyError):
        await asyncio.to_thread(durable.run, database.url, "test", {}, step)
    leave.set()
    assert (await running)["done"]
    await database.close()


async def test_a_work_that_fails_says_why_and_can_be_begun_again(database_url):
    database = await open_rows(database_url)

    def fails(state):
        raise ShreddedError

    with pytest.raises(ShreddedError):
        await asyncio.to_thread(durable.run, database.url, "test", {}, fails)
    done = await asyncio.to_thread(durable.run, database.url, "test", {"n": 1}, lambda s: {**s, "done": True})
    assert done == {"n": 1, "done": True}
    await database.close()
