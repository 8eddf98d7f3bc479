"""The rows of shredding: whose keys were destroyed when, and the receipts. Nothing personal is in them."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Column, Connection, Double, Index, Table, Text, bindparam, delete, func, insert, select, update

from doorward.stores.schema import METADATA, upsert
from doorward.vault.tables import data_keys

_PART: Final = 500  # values in one statement: SQLite before 3.32 takes 999 parameters

shreds: Final = Table(
    "vault_shreds",  # append-only
    METADATA,
    Column("receipt_id", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("shredded_at", Double, nullable=False),
    Index(None, "subject"),
)

receipts: Final = Table(
    "vault_receipts",
    METADATA,
    Column("receipt_id", Text, primary_key=True),
    Column("shredded_at", Double, nullable=False),
    Column("cleared_at", Double),  # none: old pages may still hold what was deleted
    Column("document", Text, nullable=False),  # the signed receipt, as JSON
    Index(None, "cleared_at"),
)


def destroy_keys(connection: Connection, subjects: Sequence[str], until: float) -> int:
    """Delete all versions of these subjects' data keys made until then; returns how many."""
    gone = delete(data_keys).where(data_keys.c.subject.in_(list(subjects)), data_keys.c.created_at <= until)
    return connection.execute(gone).rowcount


def newest_key(connection: Connection, subjects: Sequence[str]) -> float:
    """When the newest data key of these subjects was made; 0 if there is none."""
    newest = select(func.max(data_keys.c.created_at)).where(data_keys.c.subject.in_(list(subjects)))
    return float(connection.execute(newest).scalar_one() or 0.0)


def add_shreds(connection: Connection, receipt_id: str, subjects: Sequence[str], at: float) -> None:
    """Write down whose keys are gone; what is there already stays."""
    rows = [{"receipt_id": receipt_id, "subject": subject, "shredded_at": at} for subject in subjects]
    connection.execute(upsert(connection, shreds).on_conflict_do_nothing(), rows)


_LAST_SHRED: Final = select(func.max(shreds.c.shredded_at)).where(shreds.c.subject == bindparam("subject"))


def last_shred(connection: Connection, subject: str) -> float | None:
    """When the subject's keys were last destroyed; None if they never were."""
    last = connection.execute(_LAST_SHRED, {"subject": subject}).scalar_one()
    return None if last is None else float(last)


def shreds_since(connection: Connection, since: float) -> list[tuple[str, float, tuple[str, ...]]]:
    """Receipt id, moment and subjects of the shreds from `since` on, the oldest first."""
    query = select(shreds).where(shreds.c.shredded_at >= since).order_by(shreds.c.shredded_at, shreds.c.receipt_id)
    found: dict[str, tuple[float, list[str]]] = {}
    for row in connection.execute(query.order_by(shreds.c.subject)):
        found.setdefault(row.receipt_id, (row.shredded_at, []))[1].append(row.subject)
    return [(receipt_id, at, tuple(subjects)) for receipt_id, (at, subjects) in found.items()]


def known_receipts(connection: Connection, receipt_ids: Iterable[str]) -> set[str]:
    """Those of these receipts whose shreds are in the rows."""
    wanted = list(receipt_ids)
    known: set[str] = set()
    for start in range(0, len(wanted), _PART):
        part = wanted[start : start + _PART]
        known |= set(connection.execute(select(shreds.c.receipt_id).where(shreds.c.receipt_id.in_(part))).scalars())
    return known


def count_shreds(connection: Connection) -> int:
    """How many shreds there were."""
    return int(connection.execute(select(func.count(shreds.c.receipt_id.distinct()))).scalar_one())


def add_receipt(connection: Connection, receipt_id: str, at: float, document: str) -> None:
    """Keep a signed receipt."""
    connection.execute(insert(receipts).values(receipt_id=receipt_id, shredded_at=at, document=document))


def receipt_of(connection: Connection, receipt_id: str) -> str | None:
    """A signed receipt."""
    query = select(receipts.c.document).where(receipts.c.receipt_id == receipt_id)
    return connection.execute(query).scalar_one_or_none()


def newest_receipt(connection: Connection) -> str | None:
    """The signed receipt of the last shred."""
    query = select(receipts.c.document).order_by(receipts.c.shredded_at.desc(), receipts.c.receipt_id.desc())
    return connection.execute(query.limit(1)).scalar_one_or_none()


def uncleared(connection: Connection, limit: int) -> list[str]:
    """Signed receipts of shreds whose old pages may not be clear yet."""
    query = select(receipts.c.document).where(receipts.c.cleared_at.is_(None)).order_by(receipts.c.shredded_at)
    return list(connection.execute(query.limit(limit)).scalars())


def clear_receipt(connection: Connection, receipt_id: str, at: float, document: str) -> None:
    """Old pages are clear: keep the receipt that says so."""
    same = receipts.c.receipt_id == receipt_id, receipts.c.cleared_at.is_(None)
    connection.execute(update(receipts).where(*same).values(cleared_at=at, document=document))
