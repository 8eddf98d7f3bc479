"""Tables whose pages have yet to be rewritten, because an upgrade took values out of them that must not stay behind.

The upgrade names them in its own transaction, first as plain and then as sealed. So whoever comes next does what is
left, should this process not get that far.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Column, Connection, Table, Text, delete, inspect, select, update

from doorward.stores.schema import METADATA

_PLAIN: Final = "plain"  # its rows are still to be sealed
_SEALED: Final = "sealed"  # its old pages are still to be rewritten

scrubs: Final = Table(
    "stores_scrubs",
    METADATA,
    Column("table_name", Text, primary_key=True),
    Column("state", Text, nullable=False),
)


def unsealed(connection: Connection) -> list[str]:
    """The tables whose rows are still plain."""
    return _in_state(connection, _PLAIN)


def sealed(connection: Connection) -> None:
    """The rows of all tables are sealed."""
    connection.execute(update(scrubs).values(state=_SEALED))


def waiting(connection: Connection) -> list[str]:
    """The tables whose pages are to be rewritten."""
    return _in_state(connection, _SEALED)


def done(connection: Connection, tables: Iterable[str]) -> None:
    """These tables were rewritten."""
    connection.execute(delete(scrubs).where(scrubs.c.table_name.in_(list(tables))))


def _in_state(connection: Connection, state: str) -> list[str]:
    if not inspect(connection).has_table(scrubs.name):
        return []
    statement = select(scrubs.c.table_name).where(scrubs.c.state == state).order_by(scrubs.c.table_name)
    return list(connection.execute(statement).scalars())
