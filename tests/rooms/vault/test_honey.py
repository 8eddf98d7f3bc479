"""How much is published of what happens to honey, and what happens when something is away."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, update
from structlog.testing import capture_logs

from doorward.accounts.tokens import digest_of, new_key
from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock
from doorward.hall.errors import ConflictError, NotFoundError, SealBrokenError
from doorward.hall.events import HoneyTouched
from doorward.stores.errors import StoreUnavailableError
from doorward.stores.outbox import Outbox
from doorward.stores.sealed import Envelope
from doorward.stores.sql import Database
from doorward.vault.errors import HoneyFullError
from doorward.vault.honey import Honey
from doorward.vault.honey_tables import honey as honey_row
from doorward.vault.model import HoneyKind
from doorward.vault.rotate import FAST, Rotation
from rows import honey_of, open_rows, vault_of

MAILBOX = b"\x01" * 16


class Nursery:
    """Makes accounts of which only the ids matter here."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_taken = False

    def address(self, wish: str) -> str:
        return wish or "anna@example.org"

    async def make_account(self, email, also) -> None:
        def work(connection) -> None:
            if self.is_taken:
                raise ConflictError
            vault_of(self._database).key_for(connection, "acc_1")
            also(connection, "acc_1", MAILBOX, "mbx_1")

        await self._database.write(work)

    def make_key(self) -> tuple[str, bytes]:
        text = new_key()
        return text, digest_of(text.encode())


@dataclass
class Hive:
    honey: Honey
    nursery: Nursery
    database: Database
    outbox: Outbox
    bus: Bus
    clock: SteppedClock
    heard: list[HoneyTouched]

    async def published(self) -> list[HoneyTouched]:
        """What is published now."""
        await self.honey.publish()
        await self.outbox.deliver_each()
        found, self.heard[:] = list(self.heard), []
        return found


async def hive_at(url: str, clock: SteppedClock) -> Hive:
    database, bus, heard = await open_rows(url, clock), Bus(), []

    async def hear(event: HoneyTouched) -> None:
        heard.append(event)

    bus.on_each_node(HoneyTouched, hear)
    outbox = Outbox(database, bus, clock, "node_1")
    await outbox.mark()
    honey = honey_of(database, outbox, clock)
    await honey.load()
    return Hive(honey, Nursery(database), database, outbox, bus, clock, heard)


@pytest.fixture
async def hive(database_url, clock):
    built = await hive_at(database_url, clock)
    yield built
    await built.database.close()


async def test_the_first_use_is_told_at_once_and_a_flood_once_a_minute(hive):
    planted, text = await hive.honey.plant_key(hive.nursery, "wiki")
    digest = digest_of(text.encode())
    hive.honey.credential_seen(digest)
    assert [(one.honey_id, one.count) for one in await hive.published()] == [(planted.honey_id, 1)]
    for _ in range(10_000):
        hive.honey.credential_seen(digest)
    assert await hive.published() == []
    assert 0 < await hive.honey.publish() <= 60
    hive.clock.step(60)
    assert [one.count for one in await hive.published()] == [10_000]
    hive.clock.step(3_600)
    assert await hive.published() == []
    hive.honey.credential_seen(digest)
    assert [one.count for one in await hive.published()] == [1]


async def test_a_flood_on_one_record_does_not_hide_another(hive):
    texts = [(await hive.honey.plant_key(hive.nursery, ""))[1] for _ in range(2)]
    for _ in range(50):
        hive.honey.credential_seen(digest_of(texts[0].encode()))
    await hive.published()
    hive.honey.credential_seen(digest_of(texts[1].encode()))
    assert [one.count for one in await hive.published()] == [1]


@given(st.lists(st.floats(0, 40), min_size=1, max_size=60))
async def test_every_use_is_counted_and_no_two_events_are_within_a_minute(pauses):
    hive = await hive_at("sqlite://", SteppedClock())
    _, text = await hive.honey.plant_key(hive.nursery, "")
    told = []
    for pause in pauses:
        hive.clock.step(pause)
        hive.honey.credential_seen(digest_of(text.encode()))
        told += await hive.published()
    hive.clock.step(60)
    told += await hive.published()
    assert sum(one.count for one in told) == len(pauses)
    assert all(later.at - former.at >= 60 for former, later in pairwise(told))
    await hive.database.close()


async def test_what_cannot_be_published_waits_for_the_database(hive, monkeypatch):
    _, text = await hive.honey.plant_key(hive.nursery, "")

    async def away(_work) -> None:
        raise StoreUnavailableError

    with monkeypatch.context() as patched:
        patched.setattr(hive.database, "write", away)
        for _ in range(3):
            hive.honey.credential_seen(digest_of(text.encode()))
            with pytest.raises(StoreUnavailableError):
                await hive.honey.publish()
        await hive.honey.close()  # a process that ends meanwhile says so in its log, and ends
    assert [one.count for one in await hive.published()] == [1]
    hive.clock.step(60)
    assert [one.count for one in await hive.published()] == [2]


async def test_an_account_that_a_log_in_opens_is_not_taken_for_one_that_was_read(hive):
    await hive.honey.plant_account(HoneyKind.ACCOUNT, hive.nursery, "", "")
    vault = vault_of(hive.database)

    async def read() -> None:
        await hive.database.read(lambda connection: vault.keys_of(connection, {"acc_1", "acc_2"}))

    hive.honey.mailbox_seen(MAILBOX, "login")
    await read()
    assert [(one.where, one.count) for one in await hive.published()] == [("login", 1)]
    hive.clock.step(61)
    await read()
    assert [(one.kind, one.where, one.count) for one in await hive.published()] == [("account", "unsealed", 1)]


async def test_a_locked_vault_goes_on_watching(hive):
    _, text = await hive.honey.plant_key(hive.nursery, "")
    vault = vault_of(hive.database)
    ring = vault.ring
    await hive.honey.reseal()
    vault.lock()
    look = next(job for job in hive.honey.jobs() if job.on_each_node)
    await look.work()
    hive.honey.credential_seen(digest_of(text.encode()))
    assert len(await hive.published()) == 1
    vault.reopen(ring)
    await look.work()
    assert len(await hive.honey.records()) == 1


async def test_a_rotation_to_new_data_keys_touches_no_honey_and_leaves_it_readable(hive):
    planted = await hive.honey.plant_account(HoneyKind.ROW, hive.nursery, "", "")
    rotation = Rotation(vault_of(hive.database), hive.database, hive.outbox, hive.clock, FAST)
    state = Rotation.first(with_data_keys=True)
    while not state.get("done"):
        if state["stage"] == "wait":
            hive.clock.step(400)
        state = await rotation.step(state)
    assert hive.honey.touched == 0
    assert state["cells"] >= 1
    assert await hive.honey.records() == [planted]


async def test_nothing_is_planted_where_there_is_no_room(hive):
    notes = "n" * 80
    with suppress(HoneyFullError):
        for _ in range(1_000):
            await hive.honey.plant_key(hive.nursery, notes)
    found = await hive.honey.records()
    assert 60 <= len(found) < 1_000
    with pytest.raises(HoneyFullError):
        await hive.honey.plant_account(HoneyKind.ROW, hive.nursery, "", notes)
    assert await hive.honey.records() == found
    assert await hive.database.read(lambda c: vault_of(hive.database).data_keys.of(c, ["acc_1"], renewed=True)) == {}
    await hive.honey.remove(found[0].honey_id)
    await hive.honey.plant_key(hive.nursery, notes)


async def test_an_address_that_is_taken_leaves_nothing_behind(hive):
    hive.nursery.is_taken = True
    with pytest.raises(ConflictError):
        await hive.honey.plant_account(HoneyKind.ACCOUNT, hive.nursery, "", "")
    assert await hive.honey.records() == []


@pytest.mark.parametrize("harm", [delete(honey_row), update(honey_row).values(records=Envelope(b"\1" * 99))])
async def test_whoever_harms_the_row_does_not_stop_the_watch_or_the_start(hive, harm):
    _, text = await hive.honey.plant_key(hive.nursery, "")
    await hive.database.write(lambda connection: connection.execute(harm))
    with capture_logs() as lines:
        await hive.honey.load()
    assert [line["event"] for line in lines] == ["honey_unreadable"]
    hive.honey.credential_seen(digest_of(text.encode()))
    assert len(await hive.published()) == 1
    with pytest.raises(SealBrokenError):
        await hive.honey.plant_key(hive.nursery, "")
    await honey_of(hive.database, hive.outbox, hive.clock).load()


async def test_what_is_not_there_is_not_removed(hive):
    with pytest.raises(NotFoundError):
        await hive.honey.remove("hny_nothing")


async def test_two_nodes_that_plant_at_once_lose_nothing(hive):
    other = honey_of(hive.database, hive.outbox, hive.clock)
    await other.load()
    await asyncio.gather(*(one.plant_key(hive.nursery, "") for one in (hive.honey, other) * 10))
    assert len(await other.records()) == 20


async def test_records_do_not_print_what_they_hold(hive):
    planted = await hive.honey.plant_account(HoneyKind.ACCOUNT, hive.nursery, "", "a note")
    assert "anna" not in repr(planted)
    assert "a note" not in repr(planted)
