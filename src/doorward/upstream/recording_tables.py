"""Recorded conversations: what was said is sealed for the person who said it; of each row the rest is plain."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Index,
    Integer,
    Row,
    String,
    Table,
    delete,
    insert,
    select,
    true,
)

from doorward.stores.schema import METADATA
from doorward.stores.sealed import Sealed, open_rows, sealed
from doorward.upstream.recording_model import Recording, RecordingFacts

RECORDINGS: Final = Table(
    "upstream_recordings",
    METADATA,
    Column("recording_id", String(40), primary_key=True),
    Column("account_id", String(40), nullable=False),
    Column("at", Double, nullable=False),  # Unix seconds
    Column("expires_at", Double, nullable=False),
    Column("request_id", String(40), nullable=False),
    Column("path", String(100), nullable=False),
    Column("status", Integer, nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("prompt_bytes", Integer, nullable=False),
    Column("answer_bytes", Integer, nullable=False),
    Column("rules", String(40), nullable=False),  # version of the rules of redaction; empty: not redacted
    Column("prompt", Sealed(row="recording_id", subject="account_id"), nullable=False),
    Column("answer", Sealed(row="recording_id", subject="account_id"), nullable=False),
    Index(None, "account_id", "at"),
    Index(None, "expires_at"),
)
_FACTS: Final = [column for column in RECORDINGS.columns if not isinstance(column.type, Sealed)]


def add(connection: Connection, recordings: Sequence[Recording]) -> None:
    """Seal and keep recordings."""
    rows = [
        sealed(connection, RECORDINGS, {**one.facts.values(), "prompt": one.prompt, "answer": one.answer})
        for one in recordings
    ]
    if rows:
        connection.execute(insert(RECORDINGS), rows)


def facts(connection: Connection, account_id: str, limit: int) -> list[RecordingFacts]:
    """What there is, without its words, the newest first: of an account, or of all (empty id)."""
    whose = RECORDINGS.c.account_id == account_id if account_id else true()
    wanted = select(*_FACTS).where(whose).order_by(RECORDINGS.c.at.desc()).limit(limit)
    return [_facts(row) for row in connection.execute(wanted)]


def one(connection: Connection, recording_id: str) -> Recording | None:
    """A recording with its words; None if there is none of that id.

    Raises:
        ShreddedError: the key of its person was destroyed. SealBrokenError: it was changed.
    """
    row = connection.execute(select(RECORDINGS).where(RECORDINGS.c.recording_id == recording_id)).one_or_none()
    if row is None:
        return None
    ((prompt, answer),) = open_rows(connection, [row], [RECORDINGS.c.prompt, RECORDINGS.c.answer])
    return Recording(_facts(row), prompt, answer)


def remove(connection: Connection, recording_id: str) -> int:
    """Delete a recording; returns how many went."""
    return connection.execute(delete(RECORDINGS).where(RECORDINGS.c.recording_id == recording_id)).rowcount


def remove_of(connection: Connection, account_id: str) -> int:
    """Delete the recordings of an account; returns how many went."""
    return connection.execute(delete(RECORDINGS).where(RECORDINGS.c.account_id == account_id)).rowcount


def forget(connection: Connection, subjects: Sequence[str], until: float) -> dict[str, int]:
    """Delete what was recorded of these accounts until that moment (Unix seconds); returns table -> rows."""
    gone = delete(RECORDINGS).where(RECORDINGS.c.account_id.in_(list(subjects)), RECORDINGS.c.at <= until)
    return {RECORDINGS.name: connection.execute(gone).rowcount}


def remove_all(connection: Connection) -> int:
    """Delete every recording; returns how many went."""
    return connection.execute(delete(RECORDINGS)).rowcount


def expire(connection: Connection, now: float, limit: int) -> int:
    """Delete recordings whose time is over, at most `limit`; returns how many went."""
    old = select(RECORDINGS.c.recording_id).where(RECORDINGS.c.expires_at <= now).limit(limit)
    gone = [row.recording_id for row in connection.execute(old)]
    if gone:
        connection.execute(delete(RECORDINGS).where(RECORDINGS.c.recording_id.in_(gone)))
    return len(gone)


def _facts(row: Row[Any]) -> RecordingFacts:
    return RecordingFacts(**{column.name: getattr(row, column.name) for column in _FACTS})
