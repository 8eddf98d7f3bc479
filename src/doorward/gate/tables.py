"""The gate's rows: versions of the posture, signals of paid attempts, places on the wait-list, the baseline."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from doorward.gate.model import Change, Level, Payment, Posture, Receipt, Row, Signals
from doorward.hall.hidden import Unprinted
from doorward.stores.schema import METADATA, Serial, upsert
from doorward.stores.sealed import NOTHING, Sealed, open_cell, open_rows, sealed, sealer_of

BASELINE_SUBJECT: Final = "own_gate"
MAILBOX_INDEX: Final = "gate.place.mailbox"  # names the key of the blind index

posture_changes = Table(
    "gate_posture_changes",
    METADATA,
    Column("version", Serial, primary_key=True, autoincrement=True),
    Column("cohort", Text, nullable=False),
    Column("from_level", Text, nullable=False),
    Column("to_level", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON object of texts
    Column("at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("set_by", Text, nullable=False),
    Column("undoes", BigInteger),
    Index(None, "cohort", "version"),
    Index(None, "at"),
    sqlite_autoincrement=True,
)

attempts = Table(
    "gate_attempts",
    METADATA,
    Column("attempt_id", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("subject", Text, nullable=False),  # whose key: the mailbox's
    Column("signals", Sealed(row="attempt_id", subject="subject"), nullable=False),  # JSON of model.Signals
    Column("receipt", Text, nullable=False),
    Column("price", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("posture_version", BigInteger, nullable=False),
    Index(None, "at"),
)

places = Table(
    "gate_places",
    METADATA,
    Column("sequence", Serial, primary_key=True, autoincrement=True),
    Column("place_id", Text, nullable=False, unique=True),
    Column("subject", Text, nullable=False),  # whose key: the mailbox's
    Column("email", Sealed(row="place_id", subject="subject"), nullable=False),
    Column("language", Text, nullable=False),
    Column("mailbox", LargeBinary, nullable=False, unique=True),  # blind index: one mailbox has one place
    Column("signals", Sealed(row="place_id", subject="subject"), nullable=False),
    Column("state", Text, nullable=False),  # waiting, invited or joined
    Column("created_at", Double, nullable=False),
    Column("invited_at", Double, nullable=False),
    Index(None, "state", "sequence"),
    sqlite_autoincrement=True,
)

baselines = Table(
    "gate_baselines",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("subject", Text, nullable=False),  # whose key: the gate's own
    Column("payload", Sealed(row="name", subject="subject"), nullable=False),  # holds mail domains and networks
    Column("saved_at", Double, nullable=False),
)


class AttemptName(NamedTuple):
    """An attempt and whose it is."""

    attempt_id: str
    mailbox: str


@dataclass(frozen=True, slots=True, repr=False)
class NextPlace(Unprinted):
    """A place on the wait-list whose turn is near."""

    place_id: str
    subject: str
    email: str
    language: str
    signals: Signals


def add_change(connection: Connection, change: Change, from_level: Level) -> int:
    """Append a change; returns its version."""
    row = insert(posture_changes).values(
        cohort=change.cohort,
        from_level=from_level.value,
        to_level=change.level.value,
        reason=change.reason,
        evidence=json.dumps(dict(change.evidence)),
        at=change.at,
        expires_at=change.expires_at,
        set_by=change.set_by,
        undoes=change.undoes,
    )
    version = connection.execute(row.returning(posture_changes.c.version)).scalar_one()
    return int(version)


def move_expiry(connection: Connection, version: int, expires_at: float) -> None:
    """Renew one change."""
    later = posture_changes.c.expires_at < expires_at
    connection.execute(
        update(posture_changes).where(posture_changes.c.version == version, later).values(expires_at=expires_at)
    )


def read_posture(connection: Connection) -> Posture:
    """The last row of each cohort, without those that only say that a cohort was reopened."""
    newest = select(func.max(posture_changes.c.version)).group_by(posture_changes.c.cohort)
    found = connection.execute(
        select(posture_changes).where(
            posture_changes.c.version.in_(newest), posture_changes.c.expires_at > posture_changes.c.at
        )
    )
    rows = {row.cohort: _row(row) for row in found}
    version = connection.execute(select(func.max(posture_changes.c.version))).scalar() or 0
    return Posture(int(version), rows)


def read_change(connection: Connection, version: int) -> Row | None:
    """One version."""
    found = connection.execute(select(posture_changes).where(posture_changes.c.version == version)).one_or_none()
    return None if found is None else _row(found)


def change_before(connection: Connection, version: int, cohort: str) -> Row | None:
    """The version of a cohort that was in force before `version`."""
    found = connection.execute(
        select(posture_changes)
        .where(posture_changes.c.cohort == cohort, posture_changes.c.version < version)
        .order_by(posture_changes.c.version.desc())
        .limit(1)
    ).one_or_none()
    return None if found is None else _row(found)


def read_history(connection: Connection, *, since: float = 0.0, before: int | None = None, limit: int) -> list[Row]:
    """Changes made at or after `since` and below version `before`, newest first."""
    query = select(posture_changes).where(posture_changes.c.at >= since)
    if before is not None:
        query = query.where(posture_changes.c.version < before)
    return [_row(row) for row in connection.execute(query.order_by(posture_changes.c.version.desc()).limit(limit))]


def _row(found: Any) -> Row:
    change = Change(
        at=found.at,
        cohort=found.cohort,
        level=Level(found.to_level),
        reason=found.reason,
        evidence=tuple(json.loads(found.evidence).items()),
        expires_at=found.expires_at,
        set_by=found.set_by,
        undoes=found.undoes,
    )
    return Row(found.version, change, Level(found.from_level), found.at)


def add_attempt(connection: Connection, name: AttemptName, signals: Signals, payment: Payment, **verdict: Any) -> None:
    """Record what an attempt looked like; `verdict` holds action, reason and posture_version."""
    values = {
        "attempt_id": name.attempt_id,
        "at": signals.at,
        "subject": sealer_of(connection).subject_of(name.mailbox),
        "signals": msgspec.json.encode(signals).decode(),
        "receipt": payment.receipt.value,
        "price": payment.price,
        **verdict,
    }
    connection.execute(insert(attempts), sealed(connection, attempts, values))


def read_attempt(connection: Connection, attempt_id: str) -> tuple[Signals, Payment, str] | None:
    """The signals and payment of an attempt, and the action it met."""
    found = connection.execute(select(attempts).where(attempts.c.attempt_id == attempt_id)).one_or_none()
    recorded = "" if found is None else open_cell(connection, found, attempts.c.signals, shredded="")
    if found is None or not recorded:  # nothing was recorded, or the person was deleted since
        return None
    signals = msgspec.json.decode(recorded, type=Signals)
    return signals, Payment(Receipt(found.receipt), found.price), found.action


def sweep(connection: Connection, attempts_before: float, places_before: float) -> None:
    """Delete what is kept for a limited time."""
    connection.execute(delete(attempts).where(attempts.c.at < attempts_before))
    connection.execute(delete(places).where(places.c.created_at < places_before))


def forget(connection: Connection, subjects: Sequence[str], until: float) -> dict[str, int]:
    """Delete attempts and places of these mailboxes that were made until then; returns table -> rows."""
    names = list(subjects)
    gone = {
        attempts: delete(attempts).where(attempts.c.subject.in_(names), attempts.c.at <= until),
        places: delete(places).where(places.c.subject.in_(names), places.c.created_at <= until),
    }
    return {table.name: connection.execute(statement).rowcount for table, statement in gone.items()}


def take_place(connection: Connection, mailbox: str, values: dict[str, Any]) -> tuple[str, bool]:
    """The id of the mailbox's place, and whether it is new."""
    sealer = sealer_of(connection)
    index = sealer.index(MAILBOX_INDEX, mailbox)
    row = sealed(connection, places, {**values, "mailbox": index, "subject": sealer.subject_of(mailbox)})
    statement = upsert(connection, places).on_conflict_do_nothing(index_elements=["mailbox"])
    is_new = connection.execute(statement.returning(places.c.place_id), row).first() is not None
    found = connection.execute(select(places.c.place_id).where(places.c.mailbox == index))
    return str(found.scalar_one()), is_new


def read_place(connection: Connection, place_id: str) -> tuple[str, int] | None:
    """State and position (0 once invited) of a place."""
    found = connection.execute(
        select(places.c.state, places.c.sequence).where(places.c.place_id == place_id)
    ).one_or_none()
    if found is None:
        return None
    if found.state != "waiting":
        return str(found.state), 0
    ahead = select(func.count()).where(places.c.state == "waiting", places.c.sequence <= found.sequence)
    return "waiting", int(connection.execute(ahead).scalar_one())


def next_places(connection: Connection, limit: int) -> list[NextPlace]:
    """The places whose turn is next."""
    waiting = select(places).where(places.c.state == "waiting")
    rows = connection.execute(waiting.order_by(places.c.sequence).limit(limit)).all()
    texts = open_rows(connection, rows, [places.c.email, places.c.signals], shredded="")
    return [
        NextPlace(row.place_id, row.subject, email, row.language, msgspec.json.decode(signals, type=Signals))
        for row, (email, signals) in zip(rows, texts, strict=True)
        if email and signals
    ]


def mark_invited(connection: Connection, place_id: str, at: float) -> bool:
    """Invite a place that waits; False if somebody else has."""
    waits = (places.c.place_id == place_id) & (places.c.state == "waiting")
    return connection.execute(update(places).where(waits).values(state="invited", invited_at=at)).rowcount == 1


def read_invited(connection: Connection, place_id: str) -> tuple[str, float] | None:
    """Address and moment of an invitation that has not been used."""
    invited = (places.c.place_id == place_id) & (places.c.state == "invited")
    found = connection.execute(select(places).where(invited)).one_or_none()
    email = "" if found is None else open_cell(connection, found, places.c.email, shredded="")
    return None if found is None or not email else (email, found.invited_at)


def mark_joined(connection: Connection, place_id: str) -> bool:
    """Use an invitation, once, and forget the address; False if it was used."""
    invited = (places.c.place_id == place_id) & (places.c.state == "invited")
    return connection.execute(update(places).where(invited).values(state="joined", email=NOTHING)).rowcount == 1


def count_waiting(connection: Connection) -> int:
    """How many wait."""
    return int(connection.execute(select(func.count()).where(places.c.state == "waiting")).scalar_one())


def save_baseline(connection: Connection, name: str, payload: bytes, at: float) -> None:
    """Keep a baseline."""
    row = {"name": name, "subject": BASELINE_SUBJECT, "payload": payload.decode(), "saved_at": at}
    statement = upsert(connection, baselines)
    new = {column: statement.excluded[column] for column in ("subject", "payload", "saved_at")}
    statement = statement.on_conflict_do_update(index_elements=["name"], set_=new)
    connection.execute(statement, sealed(connection, baselines, row))


def read_baseline(connection: Connection, name: str) -> bytes | None:
    """A kept baseline."""
    found = connection.execute(select(baselines).where(baselines.c.name == name)).one_or_none()
    return None if found is None else open_cell(connection, found, baselines.c.payload).encode()
