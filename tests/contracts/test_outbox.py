"""What the outbox promises: with the change or not at all, to everybody who listens, at least once, in spite of all."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass

import pytest
from sqlalchemy import insert, select, update

from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock, SystemClock
from doorward.hall.events import Event, KeyCreated, KeyRevoked, PlaceInvited
from doorward.stores import delivery
from doorward.stores import outbox as outbox_module
from doorward.stores.once import LEASE_SECONDS
from doorward.stores.outbox import Outbox
from doorward.stores.outbox_tables import outbox_cursors, outbox_events, outbox_retries
from doorward.stores.sql import Database


class Node:
    """One process of a house: its bus, its outbox, and what its handlers heard."""

    def __init__(self, database: Database, clock, name: str = "node-1") -> None:
        self.database = database
        self.bus = Bus()
        self.outbox = Outbox(database, self.bus, clock, name)
        self.heard: dict[str, list[str]] = defaultdict(list)
        self.failures: dict[str, int] = defaultdict(int)
        self.news = asyncio.Event()

    def hears(self, label: str, kind: type[Event] = PlaceInvited, *, once: bool = False) -> "Node":
        async def handler(event: Event) -> None:
            if self.failures[label]:
                self.failures[label] -= 1
                raise RuntimeError("the handler is ill today")
            self.heard[label].append(event.event_id)
            self.news.set()

        if once:
            self.bus.once(kind, label, handler)
        else:
            self.bus.on_each_node(kind, handler)
        return self

    async def says(self, *names: str) -> None:
        events = [invited(name) for name in names]
        await self.database.write(lambda connection: self.outbox.publish(connection, *events))

    async def delivers(self) -> None:
        await self.outbox.deliver_each()
        await self.outbox.deliver_once()

    async def has_heard(self, label: str, number: int) -> None:
        async with asyncio.timeout(30):
            while len(self.heard[label]) < number:
                self.news.clear()
                await self.news.wait()


def invited(name: str, at: float = 1_700_000_000.0) -> PlaceInvited:
    return PlaceInvited(event_id=name, at=at, place_id="p")


async def rows_of(database: Database, table) -> list[object]:
    return await database.read(lambda connection: connection.execute(select(table)).all())


@pytest.fixture
async def node(database, clock):
    node = Node(database, clock).hears("each").hears("once", once=True)
    await node.outbox.mark()
    return node


async def test_a_fact_reaches_both_kinds_of_handlers_once(node):
    await node.says("a", "b")
    await node.delivers()
    await node.delivers()
    assert node.heard == {"each": ["a", "b"], "once": ["a", "b"]}


async def test_a_fact_keeps_its_values(node):
    event = KeyCreated(at=12.5, account_id="acc", key_id="key", scopes=["chat", "ключ"])
    got: list[Event] = []

    async def keep(heard: KeyCreated) -> None:
        got.append(heard)

    node.bus.on_each_node(KeyCreated, keep)
    await node.database.write(lambda connection: node.outbox.publish(connection, event))
    await node.delivers()
    assert got == [event]


async def test_a_change_that_is_taken_back_leaves_no_fact(node):
    def work(connection) -> None:
        node.outbox.publish(connection, invited("never"))
        raise LookupError

    with pytest.raises(LookupError):
        await node.database.write(work)
    await node.says("after")
    await node.delivers()
    assert node.heard["each"] == node.heard["once"] == ["after"]


async def test_a_fact_nobody_could_read_back_is_refused(node):
    @dataclass(frozen=True, kw_only=True)
    class Unlisted(Event):
        name = "tests.thing.happened"

    with pytest.raises(ValueError, match="not listed"):
        await node.database.write(lambda connection: node.outbox.publish(connection, Unlisted(at=1.0)))


async def test_only_handlers_of_its_kind_hear_a_fact(node):
    node.hears("revoked", KeyRevoked).hears("revoked-once", KeyRevoked, once=True)
    await node.says("a")
    await node.delivers()
    assert node.heard == {"each": ["a"], "once": ["a"]}


async def test_a_process_hears_what_comes_after_its_start(node, database, clock):
    await node.says("before")
    late = Node(database, clock, "node-2").hears("each")
    await late.outbox.mark()
    await node.says("after")
    await late.delivers()
    assert late.heard["each"] == ["after"]


async def test_every_process_hears_and_one_of_them_acts(node, database, clock):
    other = Node(database, clock, "node-2").hears("each").hears("once", once=True)
    await other.outbox.mark()
    await node.says("a", "b")
    await asyncio.gather(node.delivers(), other.delivers())
    await asyncio.gather(node.delivers(), other.delivers())
    assert node.heard["each"] == other.heard["each"] == ["a", "b"]
    assert sorted(node.heard["once"] + other.heard["once"]) == ["a", "b"]


async def test_a_restart_goes_on_where_it_was(node, database, clock):
    await node.says("a", "b")
    await node.delivers()
    await node.says("c")
    await node.outbox.stop()
    reborn = Node(database, clock, "node-2").hears("once", once=True)
    await reborn.delivers()
    assert node.heard["once"] + reborn.heard["once"] == ["a", "b", "c"]


async def test_a_dead_process_is_followed_by_another_when_its_lease_ends(node, database, clock):
    await node.says("a")
    await node.delivers()
    heir = Node(database, clock, "node-2").hears("once", once=True)
    await node.says("b")
    await heir.delivers()
    assert heir.heard["once"] == []  # the first may be alive
    clock.step(LEASE_SECONDS + 1)
    await heir.delivers()
    assert heir.heard["once"] == ["b"]
    await node.delivers()  # back from a long sleep: it has lost its lease and knows it
    assert node.heard["once"] == ["a"]


async def test_a_process_that_works_keeps_its_lease(node, database, clock):
    heir = Node(database, clock, "node-2").hears("once", once=True)
    for number in range(10):
        clock.step(LEASE_SECONDS / 3)
        await node.says(str(number))
        await node.delivers()
        await heir.delivers()
    assert heir.heard["once"] == []
    assert len(node.heard["once"]) == 10


async def test_an_ill_handler_is_tried_again_and_holds_up_nobody(node, clock):
    node.hears("ill").hears("ill-once", once=True)
    node.failures.update({"ill": 2, "ill-once": 2})
    await node.says("a", "b", "c")
    await node.delivers()
    assert node.heard["each"] == node.heard["once"] == ["a", "b", "c"]
    assert node.heard["ill"] == node.heard["ill-once"] == ["c"]
    await node.delivers()
    assert node.heard["ill"] == node.heard["ill-once"] == ["c"]  # not yet due
    clock.step(1.0)
    await node.delivers()
    assert node.heard["ill"] == node.heard["ill-once"] == ["c", "a", "b"]
    assert await rows_of(node.database, outbox_retries) == []


async def test_the_wait_for_an_ill_handler_grows(node, clock):
    node.hears("ill-once", once=True)
    node.failures["ill-once"] = 5
    await node.says("a")
    waited = []
    for _ in range(5):
        await node.delivers()
        (retry,) = await rows_of(node.database, outbox_retries)
        waited.append(retry.next_attempt_at - clock.now())
        clock.step(waited[-1])
    await node.delivers()
    assert waited == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert node.heard["ill-once"] == ["a"]


async def test_what_an_ill_handler_missed_survives_a_restart(node, database, clock):
    node.failures["once"] = 1
    await node.says("a")
    await node.delivers()
    await node.outbox.stop()
    clock.step(1.0)
    reborn = Node(database, clock, "node-2").hears("once", once=True)
    await reborn.delivers()
    assert reborn.heard["once"] == ["a"]


async def test_a_handler_that_hangs_is_cut_off(node, monkeypatch, clock):
    monkeypatch.setattr(delivery, "HANDLER_SECONDS", 0.05)
    calls = []

    async def hang(event: Event) -> None:
        calls.append(event.event_id)
        await asyncio.Event().wait()

    node.bus.once(PlaceInvited, "hangs", hang)
    await node.says("a")
    await node.delivers()
    clock.step(1.0)
    await node.delivers()
    assert calls == ["a", "a"]
    assert node.heard["once"] == ["a"]


async def test_a_new_handler_begins_with_the_oldest_fact_kept(node):
    await node.says("a")
    await node.delivers()
    node.hears("newcomer", once=True)
    await node.says("b")
    await node.delivers()
    assert node.heard["newcomer"] == ["a", "b"]
    assert node.heard["once"] == ["a", "b"]


async def test_a_fact_of_another_version_is_passed_over(node):
    def foreign(connection) -> None:
        rows = [("x.y.z", "{}"), ("gate.place.invited", '{"place_id": 7}'), ("gate.place.invited", "not json")]
        for number, (name, payload) in enumerate(rows):
            values = {"event_id": f"foreign-{number}", "name": name, "payload": payload}
            connection.execute(insert(outbox_events).values(transaction_id=0, at=1.0, **values))

    await node.database.write(foreign)
    await node.says("ours")
    await node.delivers()
    assert node.heard["once"] == ["ours"]


async def test_many_facts_come_in_order_and_all_of_them(node):
    names = [f"{number:04}" for number in range(1_000)]
    for start in range(0, 1_000, 100):
        await node.says(*names[start : start + 100])
    await node.delivers()
    assert node.heard["each"] == node.heard["once"] == names


async def test_facts_published_from_all_sides_while_somebody_reads_are_all_heard(database, clock):
    node = Node(database, clock).hears("each").hears("once", once=True)
    await node.outbox.mark()
    publishing = asyncio.gather(*(node.says(f"{number:03}") for number in range(200)))
    while not publishing.done():
        await node.delivers()
        await asyncio.sleep(0)
    await publishing
    await node.delivers()
    expected = [f"{number:03}" for number in range(200)]
    assert sorted(node.heard["each"]) == sorted(node.heard["once"]) == expected


@pytest.mark.postgresql
async def test_a_slow_transaction_is_not_overtaken(postgresql_url, clock):
    """Its row has the lower number but becomes visible later: a reader must not have gone past it by then."""
    from doorward.stores.postgresql import make_engine
    from doorward.stores.schema import METADATA

    database = Database.open(postgresql_url)
    await database.write(METADATA.create_all)
    node = Node(database, clock).hears("each").hears("once", once=True)
    await node.outbox.mark()
    engine = make_engine(database.url)
    with engine.connect() as slow:
        node.outbox.publish(slow, invited("slow"))
        await node.says("fast")
        await node.delivers()
        assert node.heard == {}
        late = Node(database, clock, "node-2").hears("each")
        await late.outbox.mark()
        slow.commit()
    engine.dispose()
    await node.delivers()
    await late.delivers()
    assert node.heard == {"each": ["slow", "fast"], "once": ["slow", "fast"]}
    assert late.heard == {"each": ["slow", "fast"]}  # both became final after it had started
    await database.close()


@pytest.mark.postgresql
async def test_a_dump_loaded_into_a_younger_cluster_loses_nothing(postgresql_url, clock):
    from doorward.stores.schema import METADATA

    database = Database.open(postgresql_url)
    await database.write(METADATA.create_all)
    before = Node(database, clock).hears("once", once=True)
    await before.outbox.mark()
    await before.says("a", "b")
    await before.delivers()
    await before.says("c")
    await before.outbox.stop()

    def age(connection) -> None:  # as if the old cluster had been far ahead
        for table in (outbox_events, outbox_cursors):
            connection.execute(update(table).values(transaction_id=table.c.transaction_id + 10**12))

    await database.write(age)
    after = Node(database, clock, "node-2").hears("once", once=True).hears("each")
    await after.outbox.mark()
    await after.says("d")
    await after.delivers()
    assert after.heard["once"] == ["c", "d"]
    assert after.heard["each"] == ["d"]
    await database.close()


async def test_a_commit_wakes_this_process_at_once(database, monkeypatch):
    monkeypatch.setattr(outbox_module, "_LOOK_SECONDS", 3600.0)
    node = Node(database, SystemClock()).hears("each").hears("once", once=True)
    await node.outbox.start()
    for number in range(3):
        await node.says(str(number))
        await node.has_heard("each", number + 1)
        await node.has_heard("once", number + 1)
    await node.outbox.stop()


@pytest.mark.postgresql
async def test_a_commit_wakes_other_processes_at_once(postgresql_url, monkeypatch):
    from doorward.stores.schema import METADATA

    monkeypatch.setattr(outbox_module, "_LOOK_SECONDS", 3600.0)
    database, elsewhere = Database.open(postgresql_url), Database.open(postgresql_url)
    await database.write(METADATA.create_all)
    speaker, listener = Node(database, SystemClock(), "node-1"), Node(elsewhere, SystemClock(), "node-2").hears("each")
    await speaker.outbox.start()
    await listener.outbox.start()
    for number in range(3):
        await speaker.says(str(number))
        await listener.has_heard("each", number + 1)
    for outbox in (speaker.outbox, listener.outbox):
        await outbox.stop()
    await database.close()
    await elsewhere.close()


async def test_other_processes_are_noticed_by_looking(database, database_url, monkeypatch):
    monkeypatch.setattr(outbox_module, "_LOOK_SECONDS", 0.01)
    elsewhere = Database.open(database_url)
    speaker, listener = Node(elsewhere, SystemClock(), "node-1"), Node(database, SystemClock(), "node-2").hears("each")
    await listener.outbox.start()
    await speaker.says("a")
    await listener.has_heard("each", 1)
    await listener.outbox.stop()
    await elsewhere.close()


async def test_a_process_that_is_no_worker_leaves_the_acting_to_others(database, clock):
    edge = Node(database, clock).hears("each").hears("once", once=True)
    await edge.outbox.start(delivers_once=False)
    await edge.says("a")
    await edge.has_heard("each", 1)
    await edge.outbox.stop()
    assert edge.heard["once"] == []
    worker = Node(database, clock, "node-2").hears("once", once=True)
    await worker.delivers()
    assert worker.heard["once"] == ["a"]


async def test_old_facts_go_when_everybody_has_had_them(database):
    clock = SteppedClock()
    day = 86_400
    node = Node(database, clock).hears("once", once=True)
    await node.database.write(lambda c: node.outbox.publish(c, invited("old", clock.now())))
    await node.delivers()
    clock.step(3 * day)
    await node.outbox.prune()
    assert len(await rows_of(database, outbox_events)) == 1  # within the retention
    clock.step(5 * day)
    await node.database.write(lambda c: node.outbox.publish(c, invited("new", clock.now())))
    await node.delivers()
    await node.outbox.prune()
    assert [row.event_id for row in await rows_of(database, outbox_events)] == ["new"]
    await node.delivers()
    assert node.heard["once"] == ["old", "new"]


async def test_an_old_fact_that_a_living_handler_has_not_had_is_kept(database):
    clock = SteppedClock()
    node = Node(database, clock).hears("once", once=True)
    await node.delivers()
    await node.database.write(lambda c: node.outbox.publish(c, invited("old", clock.now() - 8 * 86_400)))
    await node.outbox.prune()
    await node.delivers()
    assert node.heard["once"] == ["old"]


async def test_a_handler_that_never_recovers_is_given_up_in_the_end(database):
    clock = SteppedClock()
    node = Node(database, clock).hears("once", once=True)
    node.failures["once"] = 10**6
    await node.database.write(lambda c: node.outbox.publish(c, invited("a", clock.now())))
    await node.delivers()
    assert len(await rows_of(database, outbox_retries)) == 1
    clock.step(8 * 86_400)
    await node.outbox.prune()
    assert await rows_of(database, outbox_retries) == []
    assert await rows_of(database, outbox_events) == []
