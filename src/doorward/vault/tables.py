"""The vault's rows: whose ring this database belongs to, the sealed key-encryption keys, the wrapped data keys.

A data key names its key-encryption key by a foreign key, so that none can be taken away while anything needs it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    bindparam,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)

from doorward.stores.schema import METADATA, upsert
from doorward.vault.model import KekState, SealedKek, WrappedKey

_PART: Final = 500  # values in one statement: SQLite before 3.32 takes 999 parameters

rings: Final = Table(
    "vault_rings",
    METADATA,
    Column("ring_id", Text, primary_key=True),  # one row: the ring that this database belongs to
    Column("created_at", Double, nullable=False),
)

keks: Final = Table(
    "vault_keks",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),  # active or deactivated
    Column("created_at", Double, nullable=False),
)

data_keys: Final = Table(
    "vault_data_keys",
    METADATA,
    Column("subject", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("kek_version", Integer, ForeignKey("vault_keks.version"), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Index(None, "kek_version", "subject"),
)


def ring_of(connection: Connection) -> str | None:
    """The id of the ring that this database belongs to; None if it has never had one."""
    if not inspect(connection).has_table(rings.name):
        return None
    return connection.execute(select(rings.c.ring_id)).scalar_one_or_none()


def add_ring(connection: Connection, ring_id: str, now: float) -> bool:
    """Bind a database to a ring; False if it belongs to one by now."""
    if connection.dialect.name == "postgresql":  # on SQLite there is one writer at a time anyway
        connection.execute(text(f"LOCK TABLE {rings.name} IN SHARE ROW EXCLUSIVE MODE"))
    if ring_of(connection) is not None:
        return False
    connection.execute(insert(rings).values(ring_id=ring_id, created_at=now))
    return True


def add_kek(connection: Connection, kek: SealedKek) -> bool:
    """Keep a key-encryption key; False if there is one of that version already."""
    statement = upsert(connection, keks).values(
        version=kek.version, sealed=kek.sealed, state=kek.state, created_at=kek.created_at
    )
    made = statement.on_conflict_do_nothing(index_elements=["version"]).returning(keks.c.version)
    return connection.execute(made).first() is not None


def all_keks(connection: Connection) -> list[SealedKek]:
    """The key-encryption keys, the oldest first."""
    return [
        SealedKek(row.version, row.sealed, KekState(row.state), row.created_at)
        for row in connection.execute(select(keks).order_by(keks.c.version))
    ]


def set_kek_state(connection: Connection, version: int, state: KekState) -> None:
    """Say what a key-encryption key is still used for."""
    connection.execute(update(keks).where(keks.c.version == version).values(state=state))


# Asked for every new person: built once, because building a statement costs more than asking it.
_KEYS_OF: Final = select(data_keys).where(data_keys.c.subject.in_(bindparam("subjects", expanding=True)))
_ADD_KEY: Final = text(
    "INSERT INTO vault_data_keys (subject, version, kek_version, wrapped, created_at)"
    " SELECT :subject, :version, :kek_version, :wrapped, :created_at"
    " WHERE EXISTS (SELECT 1 FROM vault_keks WHERE version = :kek_version AND state = 'active')"
    " AND (:is_known OR NOT EXISTS (SELECT 1 FROM vault_shreds WHERE subject = :subject))"
    " ON CONFLICT (subject, version) DO NOTHING RETURNING subject"  # some drivers count no rows of an INSERT
)


def keys_of(connection: Connection, subjects: Iterable[str]) -> list[WrappedKey]:
    """All versions of the data keys of these subjects."""
    wanted = list(subjects)
    parts = (wanted[start : start + _PART] for start in range(0, len(wanted), _PART))
    return [_wrapped(row) for part in parts for row in connection.execute(_KEYS_OF, {"subjects": part})]


def add_key(connection: Connection, key: WrappedKey, now: float, *, is_known: bool = False) -> bool:
    """Keep a data key; False if somebody else was first with this version, or if what wraps it is not active.

    Also False if the subject was shredded before, unless the caller knows that (`is_known`).
    """
    values = {
        "subject": key.subject, "version": key.version, "kek_version": key.kek_version, "wrapped": key.wrapped,
        "created_at": now, "is_known": is_known,
    }  # fmt: skip
    return connection.execute(_ADD_KEY, values).first() is not None


def count_keys(connection: Connection) -> dict[int, int]:
    """How many data keys each key-encryption key wraps."""
    rows: Sequence[Row[Any]] = connection.execute(
        select(data_keys.c.kek_version, func.count().label("number")).group_by(data_keys.c.kek_version)
    ).all()
    return {int(row.kek_version): int(row.number) for row in rows}


def count_former_keys(connection: Connection) -> int:
    """How many data keys have a newer version beside them."""
    newest = select(func.count(data_keys.c.subject.distinct())).scalar_subquery()
    return int(connection.execute(select(func.count() - newest).select_from(data_keys)).scalar_one())


def _wrapped(row: Row[Any]) -> WrappedKey:
    return WrappedKey(row.subject, row.version, row.kek_version, row.wrapped)
