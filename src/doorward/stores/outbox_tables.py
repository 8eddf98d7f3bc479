"""The outbox of events, in rows.

The order of events. PostgreSQL hands out `position` when a row is inserted, but rows become visible when their
transaction commits, so a reader that remembers the last position would miss a row of a slower transaction. Each row
therefore carries its transaction's number, and a reader takes only rows of transactions older than every one that
still runs (`pg_snapshot_xmin`): no row can appear behind those any more. The order is (transaction, position).
SQLite has one writer, so its rows all carry 0 and the order is `position`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    Table,
    Text,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql import ColumnElement

from doorward.stores.schema import METADATA, Serial, is_postgresql, upsert

outbox_events = Table(
    "outbox_events",
    METADATA,
    Column("position", Serial, primary_key=True, autoincrement=True),
    # PostgreSQL's xid8 of the writing transaction (0 on SQLite, which commits in order of `position`).
    Column("transaction_id", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("payload", Text, nullable=False),
    Index(None, "transaction_id", "position"),
    sqlite_autoincrement=True,
)

outbox_cursors = Table(
    "outbox_cursors",
    METADATA,
    Column("handler", Text, primary_key=True),
    Column("transaction_id", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("leased_by", Text, nullable=False),
    Column("leased_until", Double, nullable=False),
)

outbox_retries = Table(
    "outbox_retries",
    METADATA,
    Column("event_id", Text, primary_key=True),
    Column("handler", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Double, nullable=False),
    Index(None, "handler", "next_attempt_at"),
)

_NO_POSITION = 2**63 - 1  # after every position


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in the order of events: everything up to and including it has been read."""

    transaction_id: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it lies in the outbox."""

    cursor: Cursor
    event_id: str
    name: str
    payload: str


@dataclass(frozen=True, slots=True)
class RetryRow:
    """An event that a handler failed on, to be tried again."""

    event_id: str
    handler: str
    name: str
    payload: str
    attempts: int
    next_attempt_at: float


def add_events(connection: Connection, events: Iterable[tuple[str, str, float, str]]) -> None:
    """Insert (event id, name, at, payload) rows of the running transaction."""
    own = _as_number(func.pg_current_xact_id()) if is_postgresql(connection) else literal(0)
    for event_id, name, at, payload in events:
        connection.execute(
            insert(outbox_events).values(transaction_id=own, event_id=event_id, name=name, at=at, payload=payload)
        )


def present(connection: Connection) -> Cursor:
    """The cursor of somebody who is interested in what comes from now on."""
    if is_postgresql(connection):
        return Cursor(_oldest_running(connection) - 1, _NO_POSITION)
    return Cursor(0, connection.execute(select(func.max(outbox_events.c.position))).scalar_one() or 0)


def events_after(connection: Connection, cursor: Cursor, limit: int) -> tuple[list[EventRow], bool]:
    """Events behind the cursor that are sure to be complete, and whether others wait for a running transaction."""
    table = outbox_events
    place = tuple_(table.c.transaction_id, table.c.position)
    query = select(table).where(place > tuple_(literal(cursor.transaction_id), literal(cursor.position)))
    are_others_waiting = False
    if is_postgresql(connection):
        oldest = _oldest_running(connection)
        later = select(table.c.position).where(table.c.transaction_id >= oldest).limit(1)
        are_others_waiting = connection.execute(later).first() is not None
        query = query.where(table.c.transaction_id < oldest)
    rows = connection.execute(query.order_by(table.c.transaction_id, table.c.position).limit(limit))
    found = [EventRow(Cursor(row.transaction_id, row.position), row.event_id, row.name, row.payload) for row in rows]
    return found, are_others_waiting


def notify(connection: Connection, channel: str, payload: str) -> None:
    """Tell whoever listens on PostgreSQL."""
    connection.execute(select(func.pg_notify(channel, payload)))


def lease_cursors(connection: Connection, handlers: Iterable[str], owner: str, now: float, until: float) -> None:
    """Take, or keep, the delivery to those handlers that no other process holds."""
    table = outbox_cursors
    for handler in handlers:
        blank = {"transaction_id": 0, "position": 0, "leased_by": "", "leased_until": 0.0}
        connection.execute(upsert(connection, table).values(handler=handler, **blank).on_conflict_do_nothing())
        is_free = or_(table.c.leased_by == owner, table.c.leased_until <= now)
        connection.execute(
            update(table).where(table.c.handler == handler, is_free).values(leased_by=owner, leased_until=until)
        )


def held_cursors(connection: Connection, owner: str, now: float) -> dict[str, Cursor]:
    """The handlers that `owner` delivers to, and how far each has got."""
    table = outbox_cursors
    rows = connection.execute(select(table).where(table.c.leased_by == owner, table.c.leased_until > now))
    return {row.handler: Cursor(row.transaction_id, row.position) for row in rows}


def advance(connection: Connection, handler: str, owner: str, cursor: Cursor) -> bool:
    """Remember how far a handler has got; False if another process took over meanwhile."""
    table = outbox_cursors
    moved = connection.execute(
        update(table)
        .where(table.c.handler == handler, table.c.leased_by == owner)
        .values(transaction_id=cursor.transaction_id, position=cursor.position)
    )
    return moved.rowcount == 1


def release_cursors(connection: Connection, owner: str) -> None:
    """Let other processes deliver at once."""
    table = outbox_cursors
    connection.execute(update(table).where(table.c.leased_by == owner).values(leased_by="", leased_until=0.0))


def put_retry(connection: Connection, row: RetryRow) -> None:
    """Keep, or replace, an event that has to be tried again."""
    statement = upsert(connection, outbox_retries).values(
        event_id=row.event_id,
        handler=row.handler,
        name=row.name,
        payload=row.payload,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
    )
    later = {"attempts": row.attempts, "next_attempt_at": row.next_attempt_at}
    connection.execute(statement.on_conflict_do_update(index_elements=["event_id", "handler"], set_=later))


def drop_retry(connection: Connection, row: RetryRow) -> None:
    """Forget a retry that succeeded."""
    table = outbox_retries
    connection.execute(delete(table).where(table.c.event_id == row.event_id, table.c.handler == row.handler))


def due_retries(connection: Connection, handlers: Iterable[str], now: float, limit: int) -> list[RetryRow]:
    """What has to be tried again now, the longest due first."""
    table = outbox_retries
    due = select(table).where(table.c.handler.in_(list(handlers)), table.c.next_attempt_at <= now)
    rows = connection.execute(due.order_by(table.c.next_attempt_at).limit(limit))
    return [RetryRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it


def prune_events(connection: Connection, before: float, limit: int) -> int:
    """Delete up to `limit` events made before that every handler heard of in this time has got past."""
    table, cursors = outbox_events, outbox_cursors
    is_behind = tuple_(cursors.c.transaction_id, cursors.c.position) < tuple_(table.c.transaction_id, table.c.position)
    awaited = select(cursors.c.handler).where(cursors.c.leased_until > before, is_behind).exists()
    old = select(table.c.position).where(table.c.at < before, ~awaited).order_by(table.c.position).limit(limit)
    return connection.execute(delete(table).where(table.c.position.in_(old))).rowcount


def prune_retries(connection: Connection, before: float, limit: int) -> list[tuple[str, str]]:
    """Delete up to `limit` retries of events made before; returns their (event id, handler)."""
    table, events = outbox_retries, outbox_events
    made_at = select(events.c.at).where(events.c.event_id == table.c.event_id).scalar_subquery()
    rows = connection.execute(select(table).where(func.coalesce(made_at, 0.0) < before).limit(limit)).all()
    for row in rows:
        connection.execute(delete(table).where(table.c.event_id == row.event_id, table.c.handler == row.handler))
    return [(row.event_id, row.handler) for row in rows]


def renumber_if_moved(connection: Connection) -> bool:
    """Make the outbox whole after a dump was loaded into another PostgreSQL cluster; True if it had to be.

    Transaction numbers belong to a cluster. Loaded into a younger one, old events would count as still running and
    old cursors as ahead of everything new. All events then get the number 0, and each cursor goes back to just before
    the first event that its handler has not had (what it had beyond that it hears once more).
    """
    if not is_postgresql(connection):
        return False
    next_number = connection.execute(select(_as_number(func.pg_snapshot_xmax(func.pg_current_snapshot())))).scalar_one()
    tables = (outbox_events, outbox_cursors)
    highest = max(connection.execute(select(func.max(t.c.transaction_id))).scalar_one() or 0 for t in tables)
    if highest < next_number:
        return False
    for row in connection.execute(select(outbox_cursors)).all():
        connection.execute(
            update(outbox_cursors)
            .where(outbox_cursors.c.handler == row.handler)
            .values(transaction_id=0, position=_first_missed(connection, Cursor(row.transaction_id, row.position)) - 1)
        )
    connection.execute(update(outbox_events).values(transaction_id=0))
    return True


def _first_missed(connection: Connection, cursor: Cursor) -> int:
    table = outbox_events
    place = tuple_(table.c.transaction_id, table.c.position)
    missed = place > tuple_(literal(cursor.transaction_id), literal(cursor.position))
    first = connection.execute(select(func.min(table.c.position)).where(missed)).scalar_one()
    if first is not None:
        return int(first)
    return (connection.execute(select(func.max(table.c.position))).scalar_one() or 0) + 1


def _oldest_running(connection: Connection) -> int:
    snapshot = func.pg_current_snapshot()
    return int(connection.execute(select(_as_number(func.pg_snapshot_xmin(snapshot)))).scalar_one())


def _as_number(xid8: ColumnElement[int]) -> ColumnElement[int]:
    return cast(cast(xid8, Text), BigInteger)  # PostgreSQL casts xid8 to text only
