"""The outbox under any order of publishing, delivering, failing, dying and being born again: no fact is lost."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock
from doorward.hall.events import Event, PlaceInvited
from doorward.stores.once import LEASE_SECONDS
from doorward.stores.outbox import Outbox
from doorward.stores.schema import METADATA
from doorward.stores.sql import Database

HANDLERS = ("first", "second")


class AnyHistory(RuleBasedStateMachine):
    """One database, two processes that come and go, two handlers that fail when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = SteppedClock()
        self.database = Database.open("sqlite://")
        self.run(self.database.write(METADATA.create_all))
        self.published: list[str] = []
        self.acted: dict[str, list[str]] = {name: [] for name in HANDLERS}
        self.heard: dict[int, list[str]] = {}
        self.expected: dict[int, list[str]] = {}
        self.is_ill = False
        self.born = 0
        self.nodes: dict[int, Outbox] = {}
        for place in (0, 1):
            self.bear(place)

    def run(self, work):
        return self.runner.run(work)

    def bear(self, place: int) -> None:
        self.born += 1
        bus = Bus()
        heard: list[str] = []

        async def hear(event: Event) -> None:
            heard.append(event.event_id)

        bus.on_each_node(PlaceInvited, hear)
        for name in HANDLERS:
            bus.once(PlaceInvited, name, self.actor(name))
        self.nodes[place] = Outbox(self.database, bus, self.clock, f"node-{self.born}")
        self.run(self.nodes[place].mark())
        self.heard[place], self.expected[place] = heard, []

    def actor(self, name: str):
        async def act(event: Event) -> None:
            if self.is_ill and name == "first":
                raise RuntimeError("ill")
            self.acted[name].append(event.event_id)

        return act

    @rule(number=st.integers(1, 5), place=st.sampled_from([0, 1]), is_kept=st.booleans())
    def publish(self, number: int, place: int, is_kept: bool) -> None:
        names = [f"evt-{len(self.published) + index}" for index in range(number)]

        def work(connection) -> None:
            events = [PlaceInvited(event_id=name, at=self.clock.now(), place_id="p") for name in names]
            self.nodes[place].publish(connection, *events)
            if not is_kept:
                raise LookupError

        try:
            self.run(self.database.write(work))
        except LookupError:
            return
        self.published += names
        for expected in self.expected.values():
            expected.extend(names)

    @rule(place=st.sampled_from([0, 1]))
    def deliver(self, place: int) -> None:
        self.run(self.nodes[place].deliver_each())
        self.run(self.nodes[place].deliver_once())

    @rule(place=st.sampled_from([0, 1]))
    def die(self, place: int) -> None:
        """Without a word: leases stay until they run out."""
        self.bear(place)

    @rule(place=st.sampled_from([0, 1]))
    def restart(self, place: int) -> None:
        self.run(self.nodes[place].stop())
        self.bear(place)

    @rule(seconds=st.sampled_from([0.5, 3.0, LEASE_SECONDS + 1]))
    def pass_time(self, seconds: float) -> None:
        self.clock.step(seconds)

    @rule()
    def fall_ill(self) -> None:
        self.is_ill = True

    @rule()
    def get_well(self) -> None:
        self.is_ill = False

    @rule()
    def prune(self) -> None:
        self.run(self.nodes[0].prune())

    @precondition(lambda self: self.published)
    @rule()
    def in_the_end_everything_was_heard(self) -> None:
        self.is_ill = False
        for _ in range(3):
            self.clock.step(3_600 + LEASE_SECONDS)
            for place in (0, 1):
                self.deliver(place)
        for name in HANDLERS:
            assert sorted(set(self.acted[name])) == sorted(self.published)
        for place in (0, 1):
            assert self.heard[place] == self.expected[place]

    def teardown(self) -> None:
        if self.published:
            self.in_the_end_everything_was_heard()
        self.run(self.database.close())
        self.runner.close()


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=25, stateful_step_count=25)
