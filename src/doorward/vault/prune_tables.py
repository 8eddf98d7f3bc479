"""Which data keys seal nothing any more."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, select

from doorward.stores.schema import METADATA
from doorward.stores.sealed import sealed_columns
from doorward.vault.tables import data_keys

_AFTER_MAILBOX: Final = "mbx_~"  # behind every `mbx_…` in order


def unused_mailboxes(connection: Connection, made_before: float, limit: int) -> list[str]:
    """Mailboxes without an account whose key was made before then, and of whom no table has a sealed row."""
    statement = (
        select(data_keys.c.subject)
        .where(
            data_keys.c.subject.between("mbx_", _AFTER_MAILBOX),
            data_keys.c.created_at < made_before,
            *(~_has_row(table, name) for table, name in _owners()),
        )
        .distinct()
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def drop(connection: Connection, subjects: list[str], made_before: float) -> int:
    """Delete the keys of those of them that still seal nothing; returns how many."""
    unused = and_(*(~_has_row(table, name) for table, name in _owners()))
    gone = delete(data_keys).where(data_keys.c.subject.in_(subjects), data_keys.c.created_at < made_before, unused)
    return connection.execute(gone).rowcount


def _owners() -> list[tuple[Table, str]]:
    found = {(table, kind.subject): None for table in METADATA.sorted_tables for kind in sealed_columns(table).values()}
    return list(found)


def _has_row(table: Table, name: str) -> ColumnElement[bool]:
    owner: ColumnElement[Any] = table.c[name]
    return exists().where(owner == data_keys.c.subject)
