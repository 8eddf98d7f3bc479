"""Sealed columns: personal values that lie in the rows as envelopes.

A table declares them, `Column("email", Sealed(row="account_id", subject="account_id"))`: which column names the row,
and which names the person whose key seals the value. Rows are then written through `sealed` and read through
`open_cell` and `open_cells`; a plain text that was forgotten on the way is refused by the type.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, cast

from sqlalchemy import Column, Connection, Dialect, LargeBinary, Row, Table
from sqlalchemy.types import TypeDecorator

from doorward.hall.doors import PersonKey, Sealer
from doorward.hall.errors import SealBrokenError, ShreddedError, VaultLockedError
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

    The rows are of one result. They hold these columns and those that name row and subject, under the names that they
    have in the table.
    """
    if not rows:
        return []
    place = {name: number for number, name in enumerate(rows[0]._fields)}
    kinds = [cast("Sealed", column.type) for column in columns]
    owners = {place[kind.subject] for kind in kinds}
    subjects = {row[owner] for owner in owners for row in rows}
    places = [
        (column, _Places(place[column.name], place[kind.row], place[kind.subject]))
        for column, kind in zip(columns, kinds, strict=True)
    ]
    sealer = sealer_of(connection)

    def texts(keys: Mapping[str, PersonKey]) -> list[list[str]]:
        opened = [_opened(rows, where, column, keys, shredded) for column, where in places]
        return [list(texts) for texts in zip(*opened, strict=True)]

    try:
        return texts(sealer.keys_of(connection, subjects))
    except SealBrokenError:  # or somebody was given a new key since theirs was read into memory
        return texts(sealer.keys_of(connection, subjects, renewed=True))


class _Places(NamedTuple):
    """Where in a row the envelope is, and what names the row and the person. By number: that is faster than by name."""

    envelope: int
    row: int
    subject: int


def _opened(
    rows: Sequence[Row[Any]],
    places: _Places,
    column: Column[Any],
    keys: Mapping[str, PersonKey],
    shredded: str | None,
) -> list[str]:
    (envelope_at, row_at, subject_at), table, name = places, column.table.name, column.name
    texts = []
    for row in rows:
        envelope = row[envelope_at]
        if not envelope:
            texts.append("")
        elif (key := keys.get(row[subject_at])) is not None:
            texts.append(key.unseal(Cell(table, name, str(row[row_at])), envelope))
        elif shredded is None:
            raise ShreddedError
        else:
            texts.append(shredded)
    return texts


def sealed_columns(table: Table) -> dict[str, Sealed]:
    """The personal columns of a table."""
    found: dict[str, Sealed] | None = table.info.get("sealed")
    if found is None:
        found = {column.name: column.type for column in table.columns if isinstance(column.type, Sealed)}
        table.info["sealed"] = found
    return found
