"""Deliveries that every process gets for itself, from the moment at which it started."""

from collections import deque
from dataclasses import dataclass
from typing import Final

import structlog

from doorward.hall.bus import Bus
from doorward.hall.clock import Clock
from doorward.stores.delivery import Call, call_all, decode_all, retry_delay_seconds
from doorward.stores.outbox_tables import Cursor, events_after, present
from doorward.stores.sql import Database

_BATCH: Final = 200
_RETRIES_KEPT: Final = 10_000
_log = structlog.get_logger("doorward.stores")


@dataclass(frozen=True, slots=True)
class _Retry:
    call: Call
    attempts: int
    due_at: float


class EachNodeDelivery:
    """This process's own reading of the outbox; its place is kept in memory, like the snapshots that it feeds."""

    def __init__(self, database: Database, bus: Bus, clock: Clock) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._cursor: Cursor | None = None
        self._retries: deque[_Retry] = deque()
        self.is_behind = False

    @property
    def is_marked(self) -> bool:
        """Whether it is settled where this process begins."""
        return self._cursor is not None

    async def mark(self) -> None:
        """Begin here."""
        self._cursor = await self._database.read(present)

    async def deliver(self) -> int:
        """Bring what is new, and what is due again, to the handlers; returns the number of new events."""
        await self._retry()
        count = 0
        while True:
            found = await self._deliver_batch()
            count += found
            if found < _BATCH:
                return count

    async def _deliver_batch(self) -> int:
        if self._cursor is None:
            await self.mark()
        cursor = self._cursor or Cursor()
        rows, self.is_behind = await self._database.read(lambda connection: events_after(connection, cursor, _BATCH))
        calls = [
            Call(f"{row.name}#{number}", handler, event)
            for row, event in decode_all(rows)
            for number, handler in enumerate(self._bus.each_handlers(row.name))
        ]
        self._keep([_Retry(call, 1, self._due(1)) for call in await call_all(calls)])
        if rows:
            self._cursor = rows[-1].cursor
        return len(rows)

    async def _retry(self) -> None:
        now = self._clock.now()
        due = [retry for retry in self._retries if retry.due_at <= now]
        if not due:
            return
        self._retries = deque(retry for retry in self._retries if retry.due_at > now)
        failed = {id(call) for call in await call_all(retry.call for retry in due)}
        again = [retry for retry in due if id(retry.call) in failed]
        self._keep([_Retry(retry.call, retry.attempts + 1, self._due(retry.attempts + 1)) for retry in again])

    def _keep(self, retries: list[_Retry]) -> None:
        self._retries.extend(retries)
        while len(self._retries) > _RETRIES_KEPT:
            lost = self._retries.popleft()
            _log.error("event_given_up", event_id=lost.call.event.event_id, handler=lost.call.handler_name)

    def _due(self, attempts: int) -> float:
        return self._clock.now() + retry_delay_seconds(attempts)
