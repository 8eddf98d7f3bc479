"""Bringing one batch of events to handlers: what outbox deliveries to each node and to one node have in common.

Handlers run beside one another, each with its events in order; a slow or failing one holds up nobody else but waits
at most `HANDLER_SECONDS`.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from doorward.hall.bus import Handler
from doorward.hall.events import EVENT_TYPES, Event
from doorward.stores.outbox_tables import EventRow

HANDLER_SECONDS: Final = 20.0
_RETRY_LIMIT_SECONDS: Final = 3600.0
_log = structlog.get_logger("doorward.stores")


@dataclass(frozen=True, slots=True)
class Call:
    """One event for one handler."""

    handler_name: str
    handler: Handler
    event: Event


def encode(event: Event) -> str:
    """The event's values as JSON."""
    return msgspec.json.encode(event.values()).decode()


def decode(name: str, payload: str) -> Event | None:
    """The event of a row; None (and a line in the log) if this version of the program has no such event."""
    kind = EVENT_TYPES.get(name)
    if kind is None:
        _log.warning("event_unknown", event_name=name)
        return None
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.MsgspecError as error:
        _log.error("event_unreadable", event_name=name, error=str(error))
        return None


def decode_all(rows: Iterable[EventRow]) -> list[tuple[EventRow, Event]]:
    """The readable events of the rows, in order."""
    return [(row, event) for row in rows if (event := decode(row.name, row.payload)) is not None]


async def call_all(calls: Iterable[Call]) -> list[Call]:
    """Make the calls; returns those that failed, each of which is in the log."""
    by_handler: dict[str, list[Call]] = {}
    for call in calls:
        by_handler.setdefault(call.handler_name, []).append(call)
    failed = await asyncio.gather(*(_call_in_order(group) for group in by_handler.values()))
    return [call for group in failed for call in group]


def retry_delay_seconds(attempts: int) -> float:
    """How long to wait after so many failed attempts: 1, 2, 4 … seconds, at most an hour."""
    return min(2.0 ** min(attempts - 1, 20), _RETRY_LIMIT_SECONDS)


async def _call_in_order(calls: list[Call]) -> list[Call]:
    failed = []
    for call in calls:
        try:
            async with asyncio.timeout(HANDLER_SECONDS):
                await call.handler(call.event)
        except Exception as error:  # noqa: BLE001 - a handler may fail in any way; the event is kept and retried
            failed.append(call)
            _log.warning(
                "event_handler_failed",
                handler=call.handler_name,
                event_name=call.event.name,
                event_id=call.event.event_id,
                error=type(error).__name__,
                exc_info=error,
            )
    return failed
