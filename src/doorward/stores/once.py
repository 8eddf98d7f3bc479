"""Deliveries that one process of the house gets, also across restarts."""

from typing import Final

from sqlalchemy import Connection

from doorward.hall.bus import Bus
from doorward.hall.clock import Clock
from doorward.hall.events import EVENT_TYPES
from doorward.stores import outbox_tables as rows
from doorward.stores.delivery import Call, call_all, decode, decode_all, encode, retry_delay_seconds
from doorward.stores.outbox_tables import Cursor, EventRow, RetryRow
from doorward.stores.sql import Database

_BATCH: Final = 200
LEASE_SECONDS: Final = 30.0
_ASK_AGAIN_SECONDS: Final = 5.0  # while another process holds a lease


class OnceDelivery:
    """Reads the outbox for the `once` handlers whose lease this process holds."""

    def __init__(self, database: Database, bus: Bus, clock: Clock, owner: str) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._owner = owner
        self._cursors: dict[str, Cursor] = {}
        self._leased_until = 0.0
        self._asked_at = float("-inf")
        self._asked_for: set[str] = set()
        self.is_behind = False

    async def deliver(self) -> int:
        """Bring what is new, and what is due again, to the handlers; returns how many calls were made."""
        names = self._handler_names()
        if not names:
            return 0
        count = 0
        while True:
            await self._hold(names)
            if not self._cursors:
                return count
            calls = await self._retry() + await self._deliver_batch()
            count += calls
            if not calls:
                return count

    async def release(self) -> None:
        """Give the leases back."""
        if self._leased_until:
            await self._database.write(lambda connection: rows.release_cursors(connection, self._owner))
            self._cursors, self._leased_until, self._asked_at = {}, 0.0, float("-inf")

    def _handler_names(self) -> set[str]:
        return {name for event_name in EVENT_TYPES for name in self._bus.once_handlers(event_name)}

    async def _hold(self, names: set[str]) -> None:
        now = self._clock.now()
        is_held = now < self._leased_until - LEASE_SECONDS / 2
        is_too_early = names == self._asked_for and now < self._asked_at + _ASK_AGAIN_SECONDS
        if is_held and (self._cursors.keys() == names or is_too_early):
            return
        self._asked_for, self._asked_at, until = names, now, now + LEASE_SECONDS

        def lease(connection: Connection) -> dict[str, Cursor]:
            rows.lease_cursors(connection, sorted(names), self._owner, now, until)
            return rows.held_cursors(connection, self._owner, now)

        held = await self._database.write(lease)
        self._cursors = {name: cursor for name, cursor in held.items() if name in names}
        self._leased_until = until

    async def _deliver_batch(self) -> int:
        first = min(self._cursors.values())
        found, self.is_behind = await self._database.read(
            lambda connection: rows.events_after(connection, first, _BATCH)
        )
        if not found:
            return 0
        calls = [
            Call(name, handler, event)
            for row, event in decode_all(found)
            for name, handler in self._bus.once_handlers(row.name).items()
            if name in self._cursors and row.cursor > self._cursors[name]
        ]
        failed = await call_all(calls)
        await self._settle(found[-1], failed)
        return len(found)

    async def _settle(self, last: EventRow, failed: list[Call]) -> None:
        retries = [self._retry_row(call, attempts=1) for call in failed]
        behind = [name for name, cursor in self._cursors.items() if cursor < last.cursor]

        def save(connection: Connection) -> list[str]:
            for retry in retries:
                rows.put_retry(connection, retry)
            return [name for name in behind if not rows.advance(connection, name, self._owner, last.cursor)]

        lost = await self._database.write(save)
        for name in behind:
            self._cursors[name] = last.cursor
        for name in lost:  # somebody else took over after our lease ran out
            del self._cursors[name]

    async def _retry(self) -> int:
        names, now = list(self._cursors), self._clock.now()
        due = await self._database.read(lambda connection: rows.due_retries(connection, names, now, _BATCH))
        calls: dict[str, tuple[Call, RetryRow]] = {}
        settled = []
        for row in due:
            event = decode(row.name, row.payload)
            handler = self._bus.once_handlers(row.name).get(row.handler)
            if event is None or handler is None:  # the program has changed: nobody wants it any more
                settled.append(row)
                continue
            calls[f"{row.event_id}/{row.handler}"] = (Call(row.handler, handler, event), row)
        if not due:
            return 0
        failed = {id(call) for call in await call_all(call for call, _ in calls.values())}
        settled += [row for call, row in calls.values() if id(call) not in failed]
        again = [self._retry_row(call, row.attempts + 1) for call, row in calls.values() if id(call) in failed]

        def save(connection: Connection) -> None:
            for row in settled:
                rows.drop_retry(connection, row)
            for row in again:
                rows.put_retry(connection, row)

        await self._database.write(save)
        return len(due)

    def _retry_row(self, call: Call, attempts: int) -> RetryRow:
        due_at = self._clock.now() + retry_delay_seconds(attempts)
        event = call.event
        return RetryRow(event.event_id, call.handler_name, event.name, encode(event), attempts, due_at)
