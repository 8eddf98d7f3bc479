"""The one description of all tables: every room's `tables.py` defines its tables on `METADATA`.

Use portable types only. A growing number as primary key is `Serial`: PostgreSQL's BIGINT identity, and on SQLite the
INTEGER PRIMARY KEY that is the row's own number.
"""

from typing import Final

from sqlalchemy import BigInteger, Connection, Integer, MetaData, Table
from sqlalchemy.dialects import postgresql, sqlite

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Serial: Final = BigInteger().with_variant(Integer(), "sqlite")


def is_postgresql(connection: Connection) -> bool:
    """Whether the rows are in PostgreSQL (else in SQLite)."""
    return connection.dialect.name == "postgresql"


def upsert(connection: Connection, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`, which both databases spell alike."""
    if is_postgresql(connection):
        return postgresql.insert(table)
    return sqlite.insert(table)
