"""Counters in memory against plain models: whatever is asked in whatever order, and however many keys there are."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from fractions import Fraction
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from doorward.hall.clock import SteppedClock
from doorward.stores.memory import MemoryCounters, Shelf

T = TypeVar("T")
KEYS = st.sampled_from(["a", "b", "c"])
TOLERANCE_SECONDS = 1e-5


def now(awaitable: Awaitable[T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        awaitable.__await__().send(None)  # type: ignore[attr-defined]
    except StopIteration as done:
        return done.value
    raise AssertionError("counters in memory never wait")


class TokenBucket:
    """The textbook's bucket: tokens drip in, a request takes some. GCRA must be the same thing."""

    def __init__(self, rate: Fraction, burst: int, at: Fraction) -> None:
        self.rate, self.burst, self.tokens, self.at = rate, burst, Fraction(burst), at

    def wait(self, cost: int, at: Fraction) -> Fraction:
        self.tokens = min(Fraction(self.burst), self.tokens + (at - self.at) * self.rate)
        self.at = at
        return max(Fraction(0), (cost - self.tokens) / self.rate)

    def take(self, cost: int) -> None:
        self.tokens -= cost


class CountersAgainstModels(RuleBasedStateMachine):
    """Budgets, spent things and sums, with time passing in between."""

    @initialize(rate=st.sampled_from([0.1, 1.0, 7.0, 1000.0]), burst=st.integers(1, 20))
    def begin(self, rate: float, burst: int) -> None:
        self.clock = SteppedClock()
        self.counters = MemoryCounters(self.clock)
        self.rate, self.burst = rate, burst
        self.buckets: dict[str, TokenBucket] = {}
        self.spent: dict[str, float] = {}
        self.sums: dict[str, tuple[int, float]] = {}

    @rule(seconds=st.floats(0, 50) | st.sampled_from([0.1, 1.0, 3600.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.step(seconds)

    @rule(key=KEYS, share=st.floats(0, 1))
    def take(self, key: str, share: float) -> None:
        cost = max(1, round(share * self.burst))
        at = Fraction(self.clock.now())
        bucket = self.buckets.setdefault(key, TokenBucket(Fraction(self.rate), self.burst, at))
        expected = float(bucket.wait(cost, at))
        wait = now(self.counters.take(key, self.rate, self.burst, cost))
        assert wait == pytest.approx(expected, abs=TOLERANCE_SECONDS)
        if wait == 0.0:
            bucket.take(cost)

    @rule(key=KEYS, ttl=st.integers(1, 100))
    def spend(self, key: str, ttl: int) -> None:
        at = self.clock.now()
        is_first = self.spent.get(key, at) <= at
        assert now(self.counters.spend(key, ttl)) is is_first
        if is_first:
            self.spent[key] = at + ttl

    @rule(key=KEYS, amount=st.integers(-10, 10), ttl=st.integers(1, 100))
    def add(self, key: str, amount: int, ttl: int) -> None:
        at = self.clock.now()
        value, ends_at = self.sums.get(key, (0, at))
        if ends_at <= at:
            value, ends_at = 0, at + ttl
        self.sums[key] = (value + amount, ends_at)
        assert now(self.counters.add(key, amount, ttl)) == value + amount

    @invariant()
    def sums_agree(self) -> None:
        at = self.clock.now() if hasattr(self, "clock") else 0.0
        for key, (value, ends_at) in getattr(self, "sums", {}).items():
            assert now(self.counters.get(key)) == (value if ends_at > at else 0)


TestCountersAgainstModels = CountersAgainstModels.TestCase


@given(st.lists(st.tuples(st.text(max_size=4), st.integers(1, 1000), st.integers(0, 30)), max_size=300))
def test_a_shelf_never_holds_more_than_it_may(entries):
    shelf: Shelf[int] = Shelf("test", 20)
    at = 0.0
    for key, lifetime, pause in entries:
        at += pause
        shelf.put(key, lifetime, at + lifetime, at)
        assert len(shelf) <= 20
        assert shelf.get(key, at) == (lifetime, at + lifetime)


def test_the_expired_leave_before_the_living():
    shelf: Shelf[int] = Shelf("test", 3)
    shelf.put("short", 1, ends_at=10.0, now=0.0)
    shelf.put("long", 2, ends_at=100.0, now=0.0)
    shelf.put("longer", 3, ends_at=200.0, now=0.0)
    shelf.put("new", 4, ends_at=150.0, now=20.0)
    assert [shelf.get(key, 20.0) is not None for key in ("short", "long", "longer", "new")] == [False, True, True, True]
    shelf.put("one more", 5, ends_at=160.0, now=20.0)
    assert [shelf.get(key, 20.0) is not None for key in ("long", "longer", "new")] == [False, True, True]


def test_a_prolonged_entry_is_judged_by_its_true_end():
    shelf: Shelf[int] = Shelf("test", 2)
    shelf.put("busy", 1, ends_at=10.0, now=0.0)
    shelf.put("quiet", 2, ends_at=20.0, now=0.0)
    shelf.put("busy", 1, ends_at=30.0, now=5.0)
    shelf.put("new", 3, ends_at=25.0, now=5.0)
    assert [shelf.get(key, 5.0) is not None for key in ("busy", "quiet", "new")] == [True, False, True]


def test_a_flood_of_made_up_keys_stays_within_bounds_and_leaves_other_shelves_alone():
    clock = SteppedClock()
    counters = MemoryCounters(clock, rate_keys=1000, spent_keys=1000, sum_keys=1000)
    assert now(counters.spend("honest proof", 600))
    assert now(counters.add("honest sum", 7, 600)) == 7
    for number in range(20_000):
        now(counters.take(f"attacker-{number}", 0.001, 1))
        clock.step(0.001)
    assert len(counters) <= 1002
    assert not now(counters.spend("honest proof", 600))
    assert now(counters.get("honest sum")) == 7


def test_what_has_ended_gives_its_memory_back_without_a_full_shelf():
    clock = SteppedClock()
    counters = MemoryCounters(clock)
    for number in range(5_000):
        now(counters.spend(f"proof-{number}", 10))
        clock.step(1)
    assert len(counters) <= 12


async def test_a_reader_that_sleeps_loses_the_oldest_messages_only():
    counters = MemoryCounters(SteppedClock())
    messages: AsyncIterator[bytes] = counters.subscribe("posture")
    for number in range(1_500):
        await counters.publish("posture", str(number).encode())
    async with asyncio.timeout(30):
        heard = [await anext(messages) for _ in range(1_000)]
    assert heard == [str(number).encode() for number in range(500, 1_500)]
