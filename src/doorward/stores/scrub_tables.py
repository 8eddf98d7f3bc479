"""Tables whose pages have yet to be rewritten, because an upgrade took values out of them that must not stay behind.

The upgrade names them in its own transaction. So whoever comes next does it, should this process not get that far.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Column, Connection, Table, Text, delete, inspect, select

from doorward.stores.schema import METADATA

scrubs: Final = Table("stores_scrubs", METADATA, Column("table_name", Text, primary_key=True))


def waiting(connection: Connection) -> list[str]:
    """The tables that wait."""
    if not inspect(connection).has_table(scrubs.name):
        return []
    return list(connection.execute(select(scrubs.c.table_name).order_by(scrubs.c.table_name)).scalars())


def done(connection: Connection, tables: Iterable[str]) -> None:
    """These tables were rewritten."""
    connection.execute(delete(scrubs).where(scrubs.c.table_name.in_(list(tables))))
