"""The queue of letters, in rows.

A letter is `waiting` until it is `sent` or `failed`; with no mail server it is `sunk` from the start. A process claims
a waiting letter by moving its next attempt into the future: if it dies, another takes the letter up after that.
Sent and failed letters lose their words at once (they hold codes and links), and sunk ones are kept within limits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import (
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from doorward.hall.errors import SealBrokenError, ShreddedError
from doorward.hall.hidden import Unprinted
from doorward.hall.model import Letter
from doorward.stores.schema import METADATA, Serial
from doorward.stores.sealed import NOTHING, Sealed, open_rows, sealed, sealer_of

_log = structlog.get_logger("doorward.stores")

WAITING, SENT, SUNK, FAILED = "waiting", "sent", "sunk", "failed"

letters = Table(
    "letters",
    METADATA,
    Column("sequence", Serial, primary_key=True, autoincrement=True),
    Column("letter_id", Text, nullable=False, unique=True),
    Column("person", Text, nullable=False),  # whose key seals the letter
    Column("recipient", Sealed(row="letter_id", subject="person"), nullable=False),
    Column("recipient_index", LargeBinary, nullable=False),  # blind index, for the sink's filter
    Column("subject", Sealed(row="letter_id", subject="person"), nullable=False),
    Column("text", Sealed(row="letter_id", subject="person"), nullable=False),
    Column("html", Sealed(row="letter_id", subject="person"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("state", Text, nullable=False),  # waiting, sent, sunk or failed
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Double, nullable=False),
    Column("last_error", Text, nullable=False),  # a code, never the server's words
    Index(None, "state", "next_attempt_at"),
    Index(None, "recipient_index", "sequence"),
    sqlite_autoincrement=True,
)

RECIPIENT_INDEX: Final = "letters.recipient"  # names the key of the blind index
_SEALED: Final = (letters.c.recipient, letters.c.subject, letters.c.text, letters.c.html)
_NO_WORDS: Final = {"subject": NOTHING, "text": NOTHING, "html": NOTHING}


@dataclass(frozen=True, slots=True)
class WaitingLetter:
    """A letter that this process has claimed."""

    letter_id: str
    letter: Letter
    created_at: float
    attempts: int


@dataclass(frozen=True, slots=True, repr=False)
class SunkLetter(Unprinted):
    """A letter in the local sink."""

    sequence: int
    recipient: str
    subject: str
    text: str
    html: str
    at: float


@dataclass(frozen=True, slots=True)
class NewLetter:
    """A letter that is put in the box; `person` names whose key seals it."""

    letter_id: str
    letter: Letter
    person: str
    created_at: float


def add_letter(connection: Connection, new: NewLetter, state: str) -> None:
    """Insert a letter in the running transaction."""
    values = {
        "letter_id": new.letter_id,
        "person": new.person,
        "recipient": new.letter.recipient,
        "recipient_index": sealer_of(connection).index(RECIPIENT_INDEX, new.letter.recipient),
        "subject": new.letter.subject,
        "text": new.letter.text,
        "html": new.letter.html,
        "created_at": new.created_at,
        "state": state,
        "attempts": 0,
        "next_attempt_at": new.created_at,
        "last_error": "",
    }
    connection.execute(insert(letters), sealed(connection, letters, values))


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
    found = _read(connection, rows)
    for row, letter in zip(rows, found, strict=True):
        if letter is None:
            close_letter(connection, row.letter_id, FAILED, "unreadable")
    return [
        WaitingLetter(row.letter_id, letter, row.created_at, row.attempts)
        for row, letter in zip(rows, found, strict=True)
        if letter is not None
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
        query = query.where(letters.c.recipient_index == sealer_of(connection).index(RECIPIENT_INDEX, recipient))
    rows = connection.execute(query.order_by(letters.c.sequence).limit(limit)).all()
    return [
        SunkLetter(row.sequence, letter.recipient, letter.subject, letter.text, letter.html, row.created_at)
        for row, letter in zip(rows, _read(connection, rows), strict=True)
        if letter is not None
    ]


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


def forget(connection: Connection, subjects: Sequence[str], until: float) -> dict[str, int]:
    """Delete the letters to these people that were made until then; returns table -> rows."""
    gone = delete(letters).where(letters.c.person.in_(list(subjects)), letters.c.created_at <= until)
    return {letters.name: connection.execute(gone).rowcount}


def counts(connection: Connection) -> dict[str, int]:
    """How many letters are in each state."""
    rows = connection.execute(select(letters.c.state, func.count()).group_by(letters.c.state))
    return {row[0]: row[1] for row in rows}


def _change(connection: Connection, letter_id: str, **values: object) -> None:
    connection.execute(update(letters).where(letters.c.letter_id == letter_id).values(**values))


def _read(connection: Connection, rows: Sequence[Row[Any]]) -> list[Letter | None]:
    """The letters of these rows; None for what cannot be read: its person's key is gone, or the row was changed.

    One such row must not keep the other letters from leaving, so they are then opened one by one.
    """
    try:
        return [Letter(*texts) for texts in open_rows(connection, rows, _SEALED)]
    except (ShreddedError, SealBrokenError):
        return [_read_one(connection, row) for row in rows]


def _read_one(connection: Connection, row: Row[Any]) -> Letter | None:
    try:
        return Letter(*open_rows(connection, [row], _SEALED)[0])
    except ShreddedError:
        return None
    except SealBrokenError as error:
        _log.error("letter_broken", letter_id=row.letter_id, code=error.code)
        return None
