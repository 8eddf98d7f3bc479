"""Sealed columns: personal values that lie in the rows as envelopes.

A table declares them, `Column("email", Sealed(row="account_id", subject="account_id"))`: which column names the row,
and which names the person whose key seals the value. Rows are then written through `sealed` and read through
`open_cell` and `open_cells`; a plain text that was forgotten on the way is refused by the type.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, cast

from sqlalchemy import Column, Connection, Dialect, LargeBinary, Row, Table
from sqlalchemy.types import TypeDecorator

from doorward.hall.doors import PersonKey, Sealer
from doorward.hall.errors import ShreddedError, VaultLockedError
from doorward.hall.model import Cell

SEALER_OPTION: Final = "doorward_sealer"  # the execution option under which a database's engines carry the vault


class RowSealer(Sealer, Protocol):
    """A vault, as a database carries it."""

    def bind(self, connection: Connection) -> None:
        """Make a database this vault's, if it has no key ring yet."""
        ...


class Envelope(bytes):
    """Bytes that may be written to a sealed column."""

    __slots__ = ()


NOTHING: Final = Envelope()
"""What a sealed column holds that has no value (any more)."""


class Sealed(TypeDecorator[bytes]):
    """The type of a personal column."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, *, row: str, subject: str) -> None:
        """`row`: name of the column that identifies the row; `subject`: of the one that names the person."""
        super().__init__()
        self.row = row
        self.subject = subject

    def process_bind_param(self, value: bytes | None, _dialect: Dialect) -> bytes | None:
        """Let envelopes through, and nothing else.

        Raises:
            TypeError: the value is not sealed.
        """
        if value is not None and not isinstance(value, Envelope):
            raise TypeError("a personal value must be sealed before it is written")
        return value


def sealer_of(connection: Connection) -> RowSealer:
    """The vault that belongs to the database of `connection`.

    Raises:
        VaultLockedError: the database was opened without one.
    """
    sealer = connection.get_execution_options().get(SEALER_OPTION)
    if sealer is None:
        raise VaultLockedError
    return cast("RowSealer", sealer)


def sealed(connection: Connection, table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` of one row with the personal ones sealed; row and subject columns must be among them.

    An empty text stays empty: that somebody left a field blank is no secret.
    """
    result = dict(values)
    keys: dict[str, PersonKey] = {}
    for name, kind in sealed_columns(table).items():
        value = result.get(name)
        if value is None:
            continue
        if value == "":
            result[name] = NOTHING
            continue
        subject = result[kind.subject]
        if subject not in keys:
            keys[subject] = sealer_of(connection).key_for(connection, subject)
        result[name] = Envelope(keys[subject].seal(Cell(table.name, name, str(result[kind.row])), value))
    return result


def open_cell(connection: Connection, row: Row[Any], column: Column[Any], *, shredded: str | None = None) -> str:
    """The text of a sealed column in a row that was read with its row and subject columns.

    `shredded`: what to say where the person's key is gone.

    Raises:
        SealBrokenError: the value was changed or moved. ShreddedError: the key is gone, and `shredded` was not given.
    """
    return open_cells(connection, [row], column, shredded=shredded)[0]


def open_cells(
    connection: Connection, rows: Sequence[Row[Any]], column: Column[Any], *, shredded: str | None = None
) -> list[str]:
    """The texts of a sealed column in many rows; their keys are looked up in one question (see `open_cell`)."""
    return [texts[0] for texts in open_rows(connection, rows, [column], shredded=shredded)]


def open_rows(
    connection: Connection, rows: Sequence[Row[Any]], columns: Sequence[Column[Any]], *, shredded: str | None = None
) -> list[list[str]]:
    """The texts of several sealed columns of one table in many rows, in the order of `columns` (see `open_cell`).

    The rows hold these columns and those that name row and subject, under the names that they have in the table.
    """
    if not rows:
        return []
    opened = [_Opened(column) for column in columns]
    owners = {kind.subject for kind in opened}
    subjects = {getattr(row, owner) for owner in owners for row in rows}
    keys = sealer_of(connection).keys_of(connection, subjects)
    return [[one.text(row, keys, shredded) for one in opened] for row in rows]


class _Opened:
    """A sealed column while rows of it are read."""

    def __init__(self, column: Column[Any]) -> None:
        kind = cast("Sealed", column.type)
        self.table, self.name, self.row, self.subject = column.table.name, column.name, kind.row, kind.subject

    def text(self, row: Row[Any], keys: Mapping[str, PersonKey], shredded: str | None) -> str:
        envelope = getattr(row, self.name)
        if not envelope:
            return ""
        key = keys.get(getattr(row, self.subject))
        if key is not None:
            try:
                return key.unseal(Cell(self.table, self.name, str(getattr(row, self.row))), envelope)
            except ShreddedError:  # the version that sealed this is gone
                if shredded is None:
                    raise
        if shredded is None:
            raise ShreddedError
        return shredded


def sealed_columns(table: Table) -> dict[str, Sealed]:
    """The personal columns of a table."""
    found: dict[str, Sealed] | None = table.info.get("sealed")
    if found is None:
        found = {column.name: column.type for column in table.columns if isinstance(column.type, Sealed)}
        table.info["sealed"] = found
    return found
