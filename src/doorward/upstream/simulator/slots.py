"""A fixed number of answers at once, a line for the rest, and time in coarse steps."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from doorward.upstream.simulator.model import Counts


class FullError(Exception):
    """All slots are taken and the line is as long as it may be."""


class Slots:
    """Hands out slots in the order of asking."""

    def __init__(self, slots: int, queue: int, counts: Counts) -> None:
        self._free = slots
        self._queue = queue
        self._line: deque[asyncio.Future[None]] = deque()
        self._counts = counts

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it.

        Raises:
            FullError: the line is full.
        """
        await self._take()
        self._counts.working += 1
        self._counts.most_working = max(self._counts.most_working, self._counts.working)
        try:
            yield
        finally:
            self._counts.working -= 1
            self._give()

    async def _take(self) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._line) >= self._queue:
            self._counts.turned_away += 1
            raise FullError
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        self._counts.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give()  # the slot came in the same moment: pass it on
            else:
                self._line.remove(turn)
            raise
        finally:
            self._counts.waiting -= 1

    def _give(self) -> None:
        """Hand the slot to the first in line, or back."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Ticker:
    """Wakes everybody who waits for the same step with one timer: twenty streams cost as many timers as one."""

    def __init__(self, step_seconds: float) -> None:
        self._step = step_seconds
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def until(self, when: float) -> None:
        """Wait until the loop's clock shows `when` (seconds), rounded up to the next step."""
        loop = asyncio.get_running_loop()
        if when <= loop.time():
            return
        step = math.ceil(when / self._step)
        future = self._waiting.get(step)
        if future is None:
            future = self._waiting[step] = loop.create_future()
            loop.call_at(step * self._step, self._wake, step)
        await asyncio.shield(future)  # one who goes must not wake the others

    def _wake(self, step: int) -> None:
        self._waiting.pop(step).set_result(None)
