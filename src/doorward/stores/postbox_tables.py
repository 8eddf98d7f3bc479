"""The queue of letters, in rows.

A letter is `waiting` until it is `sent` or `failed`; with no mail server it is `sunk` from the start. A process claims
a waiting letter by moving its next attempt into the future: if it dies, another takes the letter up after that.
Sent and failed letters lose their words at once (they hold codes and links), and sunk ones are kept within limits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Index,
    Integer,
    Row,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from doorward.hall.model import Letter
from doorward.stores.schema import METADATA, Serial

WAITING, SENT, SUNK, FAILED = "waiting", "sent", "sunk", "failed"

letters = Table(
    "letters",
    METADATA,
    Column("sequence", Serial, primary_key=True, autoincrement=True),
    Column("letter_id", Text, nullable=False, unique=True),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("state", Text, nullable=False),  # waiting, sent, sunk or failed
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Double, nullable=False),
    Column("last_error", Text, nullable=False),
    Index(None, "state", "next_attempt_at"),
    Index(None, "recipient", "sequence"),
    sqlite_autoincrement=True,
)

_NO_WORDS = {"subject": "", "text": "", "html": ""}


@dataclass(frozen=True, slots=True)
class WaitingLetter:
    """A letter that this process has claimed."""

    letter_id: str
    letter: Letter
    created_at: float
    attempts: int


@dataclass(frozen=True, slots=True)
class SunkLetter:
    """A letter in the local sink."""

    sequence: int
    recipient: str
    subject: str
    text: str
    html: str
    at: float


def add_letter(connection: Connection, letter_id: str, letter: Letter, now: float, state: str) -> None:
    """Insert a letter in the running transaction."""
    connection.execute(
        insert(letters).values(
            letter_id=letter_id,
            recipient=letter.recipient,
            subject=letter.subject,
            text=letter.text,
            html=letter.html,
            created_at=now,
            state=state,
            attempts=0,
            next_attempt_at=now,
            last_error="",
        )
    )


def claim_letters(connection: Connection, now: float, until: float, limit: int) -> list[WaitingLetter]:
    """Take up to `limit` letters that are due; nobody else gets them before `until`."""
    due = (
        select(letters)
        .where(letters.c.state == WAITING, letters.c.next_attempt_at <= now)
        .order_by(letters.c.next_attempt_at, letters.c.sequence)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(due).all()
    taken = [row.sequence for row in rows]
    connection.execute(update(letters).where(letters.c.sequence.in_(taken)).values(next_attempt_at=until))
    return [
        WaitingLetter(
            row.letter_id, Letter(row.recipient, row.subject, row.text, row.html), row.created_at, row.attempts
        )
        for row in rows
    ]


def next_due(connection: Connection) -> float | None:
    """When the next waiting letter is due; None if none waits."""
    due = select(func.min(letters.c.next_attempt_at)).where(letters.c.state == WAITING)
    moment: float | None = connection.execute(due).scalar_one()
    return moment


def close_letter(connection: Connection, letter_id: str, state: str, error: str = "") -> None:
    """The letter was sent, or given up; its words go."""
    _change(connection, letter_id, state=state, last_error=error, **_NO_WORDS)


def put_off(connection: Connection, letter_ids: Iterable[str], until: float) -> None:
    """Give claimed letters back untried (the mail server is away)."""
    connection.execute(update(letters).where(letters.c.letter_id.in_(list(letter_ids))).values(next_attempt_at=until))


def try_again(connection: Connection, letter_id: str, attempts: int, at: float, error: str) -> None:
    """The mail server refused the letter for now."""
    _change(connection, letter_id, attempts=attempts, next_attempt_at=at, last_error=error)


def sunk_letters(connection: Connection, after: int, recipient: str, limit: int) -> list[SunkLetter]:
    """Letters in the sink behind a sequence number, in order, perhaps of one recipient only."""
    query = select(letters).where(letters.c.state == SUNK, letters.c.sequence > after)
    if recipient:
        query = query.where(letters.c.recipient == recipient)
    rows = connection.execute(query.order_by(letters.c.sequence).limit(limit))
    return [SunkLetter(row.sequence, row.recipient, row.subject, row.text, row.html, row.created_at) for row in rows]


def prune_letters(connection: Connection, before: float, keep_sunk: int, limit: int) -> int:
    """Delete up to `limit` settled letters made before, and sunk ones beyond the newest `keep_sunk`."""
    old = select(letters.c.sequence).where(letters.c.state != WAITING, letters.c.created_at < before)
    newest_lost = (
        select(letters.c.sequence)
        .where(letters.c.state == SUNK)
        .order_by(letters.c.sequence.desc())
        .offset(keep_sunk)
        .limit(1)
    )
    last = connection.execute(newest_lost).scalar_one_or_none() or 0
    surplus = select(letters.c.sequence).where(letters.c.state == SUNK, letters.c.sequence <= last)
    doomed = connection.execute(old.union(surplus).limit(limit)).scalars().all()
    connection.execute(delete(letters).where(letters.c.sequence.in_(doomed)))
    return len(doomed)


def counts(connection: Connection) -> dict[str, int]:
    """How many letters are in each state."""
    rows = connection.execute(select(letters.c.state, func.count()).group_by(letters.c.state))
    return {row[0]: row[1] for row in rows}


def _change(connection: Connection, letter_id: str, **values: object) -> None:
    connection.execute(update(letters).where(letters.c.letter_id == letter_id).values(**values))


def _letter(row: Row[Any]) -> Letter:
    return Letter(row.recipient, row.subject, row.text, row.html)
