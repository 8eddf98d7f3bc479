"""The outbox: facts are written in the transaction of the change, and brought to their handlers from there.

1. `publish` inserts the event's row beside the change; if the change is not committed, there is no event either.
2. Once committed, this process is woken at once, others by PostgreSQL's NOTIFY; all of them also look every second.
3. Handlers `on_each_node`: every process reads on from where it stood when it started (`mark`).
4. Handlers `once`: one process at a time holds the lease of a handler and reads on from the handler's own cursor,
   which is kept in a row, so that a restart goes on where it was. A new handler begins with the oldest event kept.
5. The cursor moves after a batch was handled: after a crash the rest of that batch comes again. Handlers are
   idempotent by `event_id`.
6. A handler that fails keeps its event for later tries (in memory for 3, in a row for 4), with growing delays, and
   goes on with the next event meanwhile.
"""

import asyncio
from typing import Final

import structlog
from sqlalchemy import Connection

from doorward.hall.bus import Bus
from doorward.hall.clock import Clock
from doorward.hall.errors import UnavailableError
from doorward.hall.events import EVENT_TYPES, Event
from doorward.hall.jobs import Job
from doorward.stores import outbox_tables as rows
from doorward.stores.after_commit import after_commit
from doorward.stores.delivery import encode
from doorward.stores.each_node import EachNodeDelivery
from doorward.stores.listen import CHANNEL, listen
from doorward.stores.once import OnceDelivery
from doorward.stores.pump import Pump
from doorward.stores.sql import Database

_LOOK_SECONDS: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 0.05  # while an event waits for an older transaction to end
_PRUNE_EVERY_SECONDS: Final = 600.0
_PRUNE_BATCH: Final = 2_000
_DAY_SECONDS: Final = 86_400
_log = structlog.get_logger("doorward.stores")


class Outbox:
    """Publishes facts with the change that made them, and delivers them at least once."""

    def __init__(self, database: Database, bus: Bus, clock: Clock, node_id: str, *, retention_days: int = 7) -> None:
        """`node_id` names this process; no two running processes may share it."""
        self._database = database
        self._clock = clock
        self._node_id = node_id
        self._retention_seconds = retention_days * _DAY_SECONDS
        self._each = EachNodeDelivery(database, bus, clock)
        self._once = OnceDelivery(database, bus, clock, node_id)
        self._each_pump = Pump("doorward-outbox-each", self._pump_each)
        self._once_pump = Pump("doorward-outbox-once", self._pump_once)
        self._listener: asyncio.Task[None] | None = None
        self._has_news_for_others = False

    def publish(self, connection: Connection, *events: Event) -> None:
        """Write the events in the transaction that is running on `connection`.

        Raises:
            ValueError: an event of a kind that is not in `hall.events`, which nobody could read back.
        """
        for event in events:
            if EVENT_TYPES.get(event.name) is not type(event):
                raise ValueError(f"{type(event).__name__} is not listed in hall.events")
        rows.add_events(connection, [(event.event_id, event.name, event.at, encode(event)) for event in events])
        after_commit(connection, self._wake_from_thread)

    async def mark(self) -> None:
        """Let the deliveries to this process begin here: call it before rooms load their snapshots.

        Raises:
            StoreUnavailableError: the database is away.
        """
        if self._database.is_postgresql and await self._database.write(rows.renumber_if_moved):
            _log.warning("outbox_renumbered", reason="the database was loaded into another cluster")
        await self._each.mark()

    async def deliver_each(self) -> int:
        """Bring new events to this process's `on_each_node` handlers; returns how many events there were."""
        return await self._each.deliver()

    async def deliver_once(self) -> int:
        """Bring events to the `once` handlers that this process holds; returns how many were handled or retried."""
        return await self._once.deliver()

    async def start(self, *, delivers_once: bool = True) -> None:
        """Deliver in the background until `stop`; `delivers_once` is for processes with the role `worker` or `all`."""
        if not self._each.is_marked:
            await self.mark()
        self._each_pump.start()
        if delivers_once:
            self._once_pump.start()
        if self._database.is_postgresql and self._listener is None:
            self._listener = asyncio.create_task(listen(self._database.url, self._node_id, self._ring))

    async def stop(self) -> None:
        """Finish the batches in hand (at most five seconds) and let other processes take over at once."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
        await asyncio.gather(self._each_pump.stop(), self._once_pump.stop())
        try:
            await self._once.release()
        except UnavailableError as error:
            _log.warning("outbox_leases_kept", code=error.code)

    def jobs(self) -> list[Job]:
        """The work that keeps the outbox small."""
        return [Job("stores.outbox.prune", _PRUNE_EVERY_SECONDS, self.prune)]

    async def prune(self) -> None:
        """Delete events older than the retention that all handlers have had, and retries that old (with a log line).

        Raises:
            StoreUnavailableError: the database is away.
        """
        before = self._clock.now() - self._retention_seconds
        while gone := await self._database.write(lambda c: rows.prune_retries(c, before, _PRUNE_BATCH)):
            for event_id, handler in gone:
                _log.error("event_given_up", event_id=event_id, handler=handler)
        while await self._database.write(lambda c: rows.prune_events(c, before, _PRUNE_BATCH)):
            pass

    async def _pump_each(self) -> float:
        if self._has_news_for_others and self._database.is_postgresql:
            self._has_news_for_others = False
            await self._database.write(lambda connection: rows.notify(connection, CHANNEL, self._node_id))
        await self.deliver_each()
        return _LOOK_AGAIN_SECONDS if self._each.is_behind else _LOOK_SECONDS

    async def _pump_once(self) -> float:
        await self.deliver_once()
        return _LOOK_AGAIN_SECONDS if self._once.is_behind else _LOOK_SECONDS

    def _wake_from_thread(self) -> None:
        self._has_news_for_others = True
        self._each_pump.ring_from_thread()
        self._once_pump.ring_from_thread()

    def _ring(self) -> None:
        self._each_pump.ring()
        self._once_pump.ring()
