"""The row of honey records: all of them in one sealed document of one length, which every house has.

So the rows tell neither what is honey, nor how many there are, nor whether there are any.
"""

import json
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, Text, select, update

from doorward.hall.errors import SealBrokenError
from doorward.stores.schema import METADATA, upsert
from doorward.stores.sealed import Sealed, open_cell, sealed
from doorward.vault.errors import HoneyFullError

SUBJECT: Final = "own_honey"  # whose data key it is: nobody's but the house's
LENGTH: Final = 32_768  # characters, all of them ASCII
_NAME: Final = "all"

honey: Final = Table(
    "vault_honey",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("records", Sealed(row="name", subject="subject"), nullable=False),  # JSON, filled up with spaces
)


def envelope(connection: Connection) -> bytes:
    """The sealed document as it lies there, to see whether it has changed; empty before the first start."""
    found = connection.execute(select(honey.c.records)).scalar_one_or_none()
    return found or b""


def read(connection: Connection, *, to_change: bool = False) -> list[dict[str, Any]]:
    """The records; `to_change`: nobody else can change them until the running transaction ends.

    Raises:
        SealBrokenError: they were changed by somebody without the key ring. VaultLockedError: there is no key.
    """
    query = select(honey)
    row = connection.execute(query.with_for_update() if to_change else query).one_or_none()
    return [] if row is None else list(json.loads(open_cell(connection, row, honey.c.records)))


def create(connection: Connection) -> None:
    """Make the row, unless it is there."""
    statement = upsert(connection, honey).on_conflict_do_nothing()
    connection.execute(statement, _row(connection, []))


def write(connection: Connection, records: list[dict[str, Any]]) -> None:
    """Put these records in the place of those before.

    Raises:
        HoneyFullError: they are too many for the document's length. SealBrokenError: somebody has deleted the row.
    """
    if connection.execute(update(honey).values(_row(connection, records))).rowcount != 1:
        raise SealBrokenError


def _row(connection: Connection, records: list[dict[str, Any]]) -> dict[str, Any]:
    text = json.dumps(records, separators=(",", ":"))
    if len(text) > LENGTH:
        raise HoneyFullError
    return sealed(connection, honey, {"name": _NAME, "subject": SUBJECT, "records": text.ljust(LENGTH)})
