"""What a rotation asks of the rows: wrapped keys in batches, and every sealed cell of a person in whatever table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from doorward.stores.schema import METADATA, is_postgresql
from doorward.stores.sealed import Envelope, Sealed, sealed_columns
from doorward.vault.model import KekState, WrappedKey
from doorward.vault.tables import data_keys, keks

_PART: Final = 500


@dataclass(frozen=True, slots=True)
class SealedCell:
    """One sealed value with what names its place and its person."""

    column: Column[Any]
    row: str
    subject: str
    envelope: bytes


def newest_kek(connection: Connection) -> tuple[int, float]:
    """The newest key-encryption key: version, and when it was made (Unix seconds)."""
    row = connection.execute(select(keks.c.version, keks.c.created_at).order_by(keks.c.version.desc()).limit(1)).one()
    return int(row.version), float(row.created_at)


def deactivate_before(connection: Connection, version: int) -> None:
    """Let older key-encryption keys wrap nothing new."""
    connection.execute(update(keks).where(keks.c.version < version).values(state=KekState.DEACTIVATED))


def has_older_keks(connection: Connection, version: int) -> bool:
    """Whether a rotation to this version is not at its end."""
    return connection.execute(select(keks.c.version).where(keks.c.version < version).limit(1)).first() is not None


def destroy_before(connection: Connection, version: int) -> int:
    """Destroy older key-encryption keys that wrap nothing any more; returns how many."""
    used = select(data_keys.c.subject).where(data_keys.c.kek_version == keks.c.version).exists()
    return connection.execute(delete(keks).where(keks.c.version < version, ~used)).rowcount


def wrapped_before(connection: Connection, version: int, limit: int) -> list[WrappedKey]:
    """Data keys that an older key-encryption key wraps."""
    statement = (
        select(data_keys.c.subject, data_keys.c.version, data_keys.c.kek_version, data_keys.c.wrapped)
        .where(data_keys.c.kek_version < version)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [WrappedKey(*row) for row in connection.execute(statement)]


def count_before(connection: Connection, version: int) -> int:
    """How many data keys older key-encryption keys wrap."""
    statement = select(func.count()).select_from(data_keys).where(data_keys.c.kek_version < version)
    return int(connection.execute(statement).scalar_one())


def count_all(connection: Connection) -> int:
    """How many data keys there are."""
    return int(connection.execute(select(func.count()).select_from(data_keys)).scalar_one())


def rewrap(connection: Connection, former: Sequence[WrappedKey], version: int, wrapped: Sequence[bytes]) -> None:
    """Put newly wrapped keys in the place of `former` ones, unless somebody has destroyed or changed those."""
    values = [
        (new, version, old.subject, old.version, old.kek_version) for new, old in zip(wrapped, former, strict=True)
    ]
    if is_postgresql(connection):  # one statement for all: a round trip each would take ten times as long
        connection.exec_driver_sql(
            "UPDATE vault_data_keys AS k SET wrapped = n.wrapped, kek_version = n.kek"
            " FROM unnest(%s::bytea[], %s::int[], %s::text[], %s::int[], %s::int[])"
            " AS n(wrapped, kek, subject, version, former)"
            " WHERE k.subject = n.subject AND k.version = n.version AND k.kek_version = n.former",
            tuple(list(column) for column in zip(*values, strict=True)),
        )
        return
    connection.exec_driver_sql(
        "UPDATE vault_data_keys SET wrapped = ?, kek_version = ? WHERE subject = ? AND version = ? AND kek_version = ?",
        values,
    )


# --- data keys ---


def subjects_after(connection: Connection, after: str, made_until: float, limit: int) -> list[str]:
    """People behind `after` whose newest data key was made until then, in order."""
    statement = (
        select(data_keys.c.subject)
        .where(data_keys.c.subject > after)
        .group_by(data_keys.c.subject)
        .having(func.max(data_keys.c.created_at) <= made_until)
        .order_by(data_keys.c.subject)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def subjects_with_versions(connection: Connection, after: str, limit: int) -> list[str]:
    """People behind `after` who have more than one version of their data key, in order."""
    statement = (
        select(data_keys.c.subject)
        .where(data_keys.c.subject > after)
        .group_by(data_keys.c.subject)
        .having(func.count() > 1)
        .order_by(data_keys.c.subject)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def locked_keys(connection: Connection, subjects: Iterable[str]) -> list[WrappedKey]:
    """All versions of these people's data keys; nobody else changes them until the transaction ends."""
    statement = (
        select(data_keys.c.subject, data_keys.c.version, data_keys.c.kek_version, data_keys.c.wrapped)
        .where(data_keys.c.subject.in_(list(subjects)))
        .order_by(data_keys.c.subject, data_keys.c.version)
        .with_for_update()
    )
    return [WrappedKey(*row) for row in connection.execute(statement)]


def add_versions(connection: Connection, keys: Sequence[WrappedKey], now: float) -> None:
    """Keep new versions of data keys."""
    connection.execute(
        insert(data_keys),
        [
            {
                "subject": key.subject, "version": key.version, "kek_version": key.kek_version,
                "wrapped": key.wrapped, "created_at": now,
            }
            for key in keys
        ],
    )  # fmt: skip


def drop_versions(connection: Connection, subject: str, before: int) -> None:
    """Destroy a person's older data keys."""
    connection.execute(delete(data_keys).where(data_keys.c.subject == subject, data_keys.c.version < before))


def cells_of(connection: Connection, subjects: Sequence[str]) -> list[SealedCell]:
    """Every sealed value of these people, in all tables."""
    columns = [table.c[name] for table in METADATA.sorted_tables for name in sealed_columns(table)]
    return [cell for column in columns for cell in _cells(connection, column, subjects)]


def put_cells(connection: Connection, cells: Sequence[tuple[SealedCell, bytes]]) -> None:
    """Put new envelopes in the place of the ones that were read, where these are still there."""
    by_column: dict[Column[Any], list[dict[str, Any]]] = {}
    for cell, envelope in cells:
        replaced = {"b_row": cell.row, "b_old": Envelope(cell.envelope), "b_new": Envelope(envelope)}
        by_column.setdefault(cell.column, []).append(replaced)
    for column, values in by_column.items():
        table, kind = column.table, _kind(column)
        statement = (
            update(table)
            .where(table.c[kind.row] == bindparam("b_row"), column == bindparam("b_old", type_=column.type))
            .values({column.name: bindparam("b_new", type_=column.type)})
        )
        connection.execute(statement, values)


def _cells(connection: Connection, column: Column[Any], subjects: Sequence[str]) -> list[SealedCell]:
    table, kind = column.table, _kind(column)
    statement = select(table.c[kind.row], table.c[kind.subject], column).with_for_update()
    parts = (subjects[start : start + _PART] for start in range(0, len(subjects), _PART))
    return [
        SealedCell(column, row[0], row[1], bytes(row[2]))
        for part in parts
        for row in connection.execute(statement.where(table.c[kind.subject].in_(part)))
        if row[2]
    ]


def _kind(column: Column[Any]) -> Sealed:
    kind = column.type
    if not isinstance(kind, Sealed):
        raise TypeError(f"{column} is not sealed")
    return kind
