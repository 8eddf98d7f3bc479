"""One clock for all connections: who has waited too long, who has to make room, and what time it is.

A timer per request costs more than answering one. So there is one tick a second, and connections only write down by
when they must have moved on.
"""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from typing import Final, Protocol

from doorward.edge.street_parts import StreetLimits
from doorward.hall.clock import Clock

_TICK_SECONDS: Final = 1.0
_EVICTED_SHARE: Final = 50  # one in so many makes room at once, so that a full street is not searched for each arrival


class Watched(Protocol):
    """A connection, as the watch sees it."""

    deadline: float
    address: str

    def expire(self) -> None:
        """The deadline has passed."""
        ...

    def evict(self) -> None:
        """Make room for others: close without a word."""
        ...

    def idle_until(self) -> float | None:
        """When it is given up if nothing comes; None while something is answered on it."""
        ...


class Watch:
    """All connections of one server.

    `now` counts seconds from its start; `date_line` is the `Date` header, and what stands with it.
    """

    def __init__(
        self, limits: StreetLimits, clock: Clock, on_tick: Callable[[float], None] | None = None, also: bytes = b""
    ) -> None:
        """`also` are header lines of the street's own answers that stand with `Date`."""
        self._also = also
        self.now = 0.0
        self.date_line = b""
        self.is_overloaded = False
        self.evicted = 0
        self.turned_away = 0
        self._limits = limits
        self._clock = clock
        self._on_tick = on_tick
        self._connections: set[Watched] = set()
        self._per_address: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = 0.0
        self.advance(0.0)

    def __len__(self) -> int:
        return len(self._connections)

    def admit(self, connection: Watched, *, is_proxy: bool) -> bool:
        """Count a new connection in; False if its address has too many, or all are busy and there is no room."""
        at_address = self._per_address.get(connection.address, 0)
        if not is_proxy and at_address >= self._limits.max_connections_per_address:
            self.turned_away += 1
            return False
        if len(self._connections) >= self._limits.max_connections and not self._make_room():
            self.turned_away += 1
            return False
        self._connections.add(connection)
        self._per_address[connection.address] = at_address + 1
        return True

    def leave(self, connection: Watched) -> None:
        """A connection is gone."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        left = self._per_address[connection.address] - 1
        if left:
            self._per_address[connection.address] = left
        else:
            del self._per_address[connection.address]

    def _make_room(self) -> bool:
        idle = [(until, id(each), each) for each in self._connections if (until := each.idle_until()) is not None]
        idle.sort()
        leaving = idle[: len(self._connections) // _EVICTED_SHARE + 1]
        for _, _, each in leaving:
            each.evict()
            self.leave(each)
        self.evicted += len(leaving)
        return bool(leaving)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tick on this loop from now on; called for each connection, does something once."""
        if self._loop is not loop:
            self._loop = loop
            self._due = loop.time() + _TICK_SECONDS
            loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        assert self._loop is not None  # noqa: S101  # told to the type checker
        time = self._loop.time()
        late = time - self._due
        self.is_overloaded = late > self._limits.overloaded_lag_seconds
        self._due = time + _TICK_SECONDS
        self._loop.call_at(self._due, self._tick)
        self.advance(_TICK_SECONDS + late)

    def advance(self, seconds: float) -> None:
        """Let time pass: connections whose deadline is over are told so."""
        self.now += seconds
        self.date_line = b"date: " + formatdate(self._clock.now(), usegmt=True).encode() + b"\r\n" + self._also
        now = self.now
        for connection in [each for each in self._connections if each.deadline < now]:
            connection.expire()
        if self._on_tick is not None:
            self._on_tick(seconds)
