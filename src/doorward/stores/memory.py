"""Counters in this process: for one node, and bounded whatever keys an attacker makes up."""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Final, Generic, TypeVar
from weakref import WeakSet

import structlog

from doorward.hall.clock import Clock
from doorward.stores import gcra

V = TypeVar("V")

_RATE_KEYS: Final = 250_000
_SPENT_KEYS: Final = 1_000_000
_SUM_KEYS: Final = 250_000
_MESSAGES_WAITING: Final = 1_000
_log = structlog.get_logger("doorward.stores")


class Shelf(Generic[V]):
    """Values that end by themselves; at most `capacity` of them.

    When it is full, the expired go first, then those that would have ended soonest: an entry that somebody pushes
    out early would not have lived much longer. Every insertion also drops up to two expired entries, so that memory
    is given back without a sweep that would stop the process.
    """

    def __init__(self, name: str, capacity: int) -> None:
        """`name` is for the log."""
        self._name = name
        self._capacity = capacity
        self._cells: dict[str, tuple[V, float]] = {}
        self._ends: list[tuple[float, str]] = []  # one entry per cell; may be earlier than the cell's true end
        self._pushed_out = 0

    def __len__(self) -> int:
        return len(self._cells)

    def get(self, key: str, now: float) -> tuple[V, float] | None:
        """The value and the Unix time of its end, if it has not ended."""
        cell = self._cells.get(key)
        return cell if cell is not None and cell[1] > now else None

    def put(self, key: str, value: V, ends_at: float, now: float) -> None:
        """Keep `value` until `ends_at`."""
        if key not in self._cells:
            self._drop_expired(now)
            if len(self._cells) >= self._capacity:
                self._push_out()
            heapq.heappush(self._ends, (ends_at, key))
        self._cells[key] = (value, ends_at)

    def _drop_expired(self, now: float) -> None:
        for _ in range(2):
            if not self._ends or self._ends[0][0] > now:
                return
            self._pop_or_defer(now)

    def _push_out(self) -> None:
        while not self._pop_or_defer(self._ends[0][0]):
            pass
        self._pushed_out += 1
        if self._pushed_out & (self._pushed_out - 1) == 0:  # at 1, 2, 4, 8 …: an attack must not fill the log
            _log.warning("counters_full", shelf=self._name, capacity=self._capacity, pushed_out=self._pushed_out)

    def _pop_or_defer(self, now: float) -> bool:
        """Drop the cell at the top if it has ended by `now`, else put it where it belongs; True if dropped."""
        listed, key = heapq.heappop(self._ends)
        true_end = self._cells[key][1]
        if true_end <= max(now, listed):
            del self._cells[key]
            return True
        heapq.heappush(self._ends, (true_end, key))
        return False


class MemoryCounters:
    """`Counters` for one process. Rates, spent keys and sums stand on shelves of their own: none pushes out another."""

    def __init__(
        self,
        clock: Clock,
        *,
        rate_keys: int = _RATE_KEYS,
        spent_keys: int = _SPENT_KEYS,
        sum_keys: int = _SUM_KEYS,
    ) -> None:
        """The capacities are numbers of keys, about 300 bytes each."""
        self._clock = clock
        self._full_at: Shelf[float] = Shelf("rates", rate_keys)
        self._spent: Shelf[None] = Shelf("spent", spent_keys)
        self._sums: Shelf[int] = Shelf("sums", sum_keys)
        # Weak: a reader that is dropped takes its queue with it.
        self._readers: dict[str, WeakSet[asyncio.Queue[bytes]]] = defaultdict(WeakSet)

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._full_at) + len(self._spent) + len(self._sums)

    async def take(self, key: str, rate_per_second: float, burst: int, cost: int = 1) -> float:
        """See `Counters.take`."""
        gcra.check_budget(rate_per_second, burst, cost)
        now = self._clock.now()
        cell = self._full_at.get(key, now)
        wait, full_at = gcra.take(cell[0] if cell else now, now, rate_per_second, burst, cost)
        if wait == 0.0:
            self._full_at.put(key, full_at, full_at, now)
        return wait

    async def spend(self, key: str, ttl_seconds: int) -> bool:
        """See `Counters.spend`."""
        now = self._clock.now()
        if self._spent.get(key, now) is not None:
            return False
        self._spent.put(key, None, now + ttl_seconds, now)
        return True

    async def add(self, key: str, amount: int, ttl_seconds: int) -> int:
        """See `Counters.add`."""
        now = self._clock.now()
        value, ends_at = self._sums.get(key, now) or (0, now + ttl_seconds)
        self._sums.put(key, value + amount, ends_at, now)
        return value + amount

    async def get(self, key: str) -> int:
        """See `Counters.get`."""
        cell = self._sums.get(key, self._clock.now())
        return cell[0] if cell else 0

    async def publish(self, channel: str, message: bytes) -> None:
        """See `Counters.publish`."""
        for queue in self._readers.get(channel, ()):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)

    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """See `Counters.subscribe`. Subscribed from the moment of the call."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(_MESSAGES_WAITING)
        self._readers[channel].add(queue)
        return _messages(queue)

    async def ping(self) -> None:
        """Memory is always there."""

    async def close(self) -> None:
        """Nothing to let go of."""


async def _messages(queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while True:
        yield await queue.get()
