"""The rows of honey records: a name without meaning, and everything else sealed by the key ring."""

from typing import Final

from sqlalchemy import Column, Connection, LargeBinary, Table, Text, delete, insert, select

from doorward.stores.schema import METADATA

honey: Final = Table(
    "vault_honey",
    METADATA,
    Column("honey_id", Text, primary_key=True),  # random: no moment can be read from it
    Column("sealed", LargeBinary, nullable=False),  # kind, what it watches for, and the operator's note
)


def add_honey(connection: Connection, honey_id: str, sealed: bytes) -> None:
    """Keep a honey record."""
    connection.execute(insert(honey).values(honey_id=honey_id, sealed=sealed))


def all_honey(connection: Connection) -> dict[str, bytes]:
    """All honey records, by id."""
    return {row.honey_id: row.sealed for row in connection.execute(select(honey).order_by(honey.c.honey_id))}


def remove_honey(connection: Connection, honey_id: str) -> bool:
    """Take a honey record away; False if there is none."""
    return connection.execute(delete(honey).where(honey.c.honey_id == honey_id)).rowcount == 1
