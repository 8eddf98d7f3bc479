"""The rows of sessions, API keys and known devices; and every question put to them.

A credential is found by its digest, and stands for an account: both together are a `Standing`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Index,
    LargeBinary,
    Row,
    Select,
    Table,
    Text,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from doorward.accounts.model import Key, Scope, Session
from doorward.accounts.tables import accounts
from doorward.hall.model import Lane, Role, Standing
from doorward.stores.schema import METADATA
from doorward.stores.sealed import Sealed, open_cells, sealed

_PART: Final = 500  # values in one statement: SQLite before 3.32 takes 999 parameters

sessions: Final = Table(
    "sessions",
    METADATA,
    Column("session_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("device_id", Text, nullable=False),
    Column("device", Sealed(row="session_id", subject="account_id"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_used_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double),
    Index(None, "account_id", "last_used_at"),
)

api_keys: Final = Table(
    "api_keys",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("name", Sealed(row="key_id", subject="account_id"), nullable=False),
    Column("hint", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # separated by spaces, in order
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("last_used_at", Double),
    Column("revoked_at", Double),
    Index(None, "account_id"),
)

devices: Final = Table(
    "devices",
    METADATA,
    Column("device_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("label", Sealed(row="device_id", subject="account_id"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_used_at", Double, nullable=False),
    Column("revoked_at", Double),
    Index(None, "account_id"),
)


# --- devices ----------------------------------------------------------------------------------------------------


def add_device(connection: Connection, device_id: str, account_id: str, label: str, now: float) -> None:
    """Keep a device that logged in."""
    values = {"device_id": device_id, "account_id": account_id, "label": label, "created_at": now, "last_used_at": now}
    connection.execute(insert(devices), sealed(connection, devices, values))


def use_device(connection: Connection, device_id: str, account_id: str, now: float) -> bool:
    """Note that a device logged in again; False if it is not (or no longer) one of the account's."""
    statement = (
        update(devices)
        .where(devices.c.device_id == device_id, devices.c.account_id == account_id, devices.c.revoked_at.is_(None))
        .values(last_used_at=now)
    )
    return connection.execute(statement).rowcount == 1


def has_device(connection: Connection, device_id: str, account_id: str) -> bool:
    """Whether a device is one of the account's."""
    statement = select(devices.c.device_id).where(
        devices.c.device_id == device_id, devices.c.account_id == account_id, devices.c.revoked_at.is_(None)
    )
    return connection.execute(statement).one_or_none() is not None


def forget_devices(connection: Connection, account_id: str, device_ids: Sequence[str], now: float) -> None:
    """Make devices strangers again."""
    connection.execute(
        update(devices)
        .where(devices.c.account_id == account_id, devices.c.device_id.in_(device_ids), devices.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


# --- sessions ---------------------------------------------------------------------------------------------------


def add_session(connection: Connection, session: Session, digest: bytes, device_id: str) -> None:
    """Keep a session."""
    values = {
        "session_id": session.session_id,
        "account_id": session.account_id,
        "digest": digest,
        "device_id": device_id,
        "device": session.device,
        "created_at": session.created_at,
        "last_used_at": session.last_used_at,
        "expires_at": session.expires_at,
    }
    connection.execute(insert(sessions), sealed(connection, sessions, values))


def live_sessions(connection: Connection, account_id: str, now: float, idle_since: float) -> list[Session]:
    """The sessions of an account that can still be used, the last used first."""
    rows = connection.execute(_live(select(sessions), account_id, now, idle_since)).all()
    return [
        Session(row.session_id, row.account_id, row.created_at, row.last_used_at, row.expires_at, device)
        for row, device in zip(rows, open_cells(connection, rows, sessions.c.device), strict=True)
    ]


def live_session_ids(connection: Connection, account_id: str, now: float, idle_since: float) -> list[str]:
    """Ids of the sessions of an account that can still be used, the last used first."""
    statement = _live(select(sessions.c.session_id), account_id, now, idle_since)
    return list(connection.execute(statement).scalars())


def _live(statement: Select[Any], account_id: str, now: float, idle_since: float) -> Select[Any]:
    return statement.where(
        sessions.c.account_id == account_id,
        sessions.c.revoked_at.is_(None),
        sessions.c.expires_at > now,
        sessions.c.last_used_at > idle_since,
    ).order_by(sessions.c.last_used_at.desc(), sessions.c.session_id.desc())


def revoke_sessions(
    connection: Connection, account_id: str, session_ids: Sequence[str], now: float
) -> list[tuple[str, str]]:
    """End sessions of an account; returns (session id, device id) of those that had not ended."""
    statement = (
        update(sessions)
        .where(
            sessions.c.account_id == account_id,
            sessions.c.session_id.in_(session_ids),
            sessions.c.revoked_at.is_(None),
        )
        .values(revoked_at=now)
        .returning(sessions.c.session_id, sessions.c.device_id)
    )
    return [(row.session_id, row.device_id) for row in connection.execute(statement)]


def note_use(connection: Connection, digests: Iterable[bytes], now: float) -> None:
    """Note that these sessions and keys were used."""
    for part in _parts(list(digests)):
        for table in (sessions, api_keys):
            connection.execute(update(table).where(table.c.digest.in_(part)).values(last_used_at=now))


# --- API keys ---------------------------------------------------------------------------------------------------


def add_key(connection: Connection, account_id: str, key: Key, digest: bytes) -> None:
    """Keep an API key."""
    values = {
        "key_id": key.key_id,
        "account_id": account_id,
        "digest": digest,
        "name": key.name,
        "hint": key.hint,
        "scopes": " ".join(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }
    connection.execute(insert(api_keys), sealed(connection, api_keys, values))


def live_keys(connection: Connection, account_id: str, now: float) -> list[Key]:
    """The keys of an account that can still be used, newest first."""
    statement = select(api_keys).where(api_keys.c.account_id == account_id, *_key_is_live(now))
    rows = connection.execute(statement.order_by(api_keys.c.key_id.desc())).all()
    return [
        Key(row.key_id, name, row.hint, tuple(row.scopes.split()), row.created_at, row.expires_at, row.last_used_at)
        for row, name in zip(rows, open_cells(connection, rows, api_keys.c.name), strict=True)
    ]


def count_live_keys(connection: Connection, account_id: str, now: float) -> int:
    """How many keys of an account can still be used."""
    statement = select(func.count()).where(api_keys.c.account_id == account_id, *_key_is_live(now))
    return int(connection.execute(statement).scalar_one())


def revoke_key(connection: Connection, key_id: str, account_id: str, now: float) -> str | None:
    """End a key (of that account, or of any if `account_id` is empty); returns whose it was, None if of nobody."""
    statement = update(api_keys).where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
    if account_id:
        statement = statement.where(api_keys.c.account_id == account_id)
    owner = connection.execute(statement.values(revoked_at=now).returning(api_keys.c.account_id)).scalar_one_or_none()
    return None if owner is None else str(owner)


def admin_key_digest(connection: Connection, key_id: str, now: float) -> bytes | None:
    """The digest of an administrator's live key."""
    statement = (
        select(api_keys.c.digest, api_keys.c.scopes)
        .join(accounts, accounts.c.account_id == api_keys.c.account_id)
        .where(api_keys.c.key_id == key_id, accounts.c.role == Role.ADMIN, *_key_is_live(now))
    )
    row = connection.execute(statement).one_or_none()
    return row.digest if row is not None and Scope.ADMIN in row.scopes.split() else None


def _key_is_live(now: float) -> tuple[Any, ...]:
    return api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now)


# --- standings --------------------------------------------------------------------------------------------------

Entry = tuple[bytes, Standing]
"""A credential's digest and whom it stands for."""


_PLAIN_OF_SESSION: Final[list[Any]] = [column for column in sessions.c if not isinstance(column.type, Sealed)]
_PLAIN_OF_KEY: Final[list[Any]] = [column for column in api_keys.c if not isinstance(column.type, Sealed)]


@dataclass(frozen=True, slots=True)
class Moment:
    """Which credentials are live: the time now, and how long a session may lie unused. Seconds."""

    now: float
    idle_seconds: float


def standings(connection: Connection, moment: Moment, limit: int) -> list[Entry]:
    """The live credentials, the last used first, at most `limit` of each kind."""
    found = _sessions(connection, moment, order=sessions.c.last_used_at.desc(), limit=limit)
    return found + _keys(connection, moment, order=api_keys.c.last_used_at.desc().nulls_last(), limit=limit)


def standings_of_digests(connection: Connection, moment: Moment, digests: Iterable[bytes]) -> list[Entry]:
    """The live ones among these credentials."""
    return [
        entry
        for part in _parts(list(digests))
        for entry in (
            *_sessions(connection, moment, sessions.c.digest.in_(part)),
            *_keys(connection, moment, api_keys.c.digest.in_(part)),
        )
    ]


def standing_of_session(connection: Connection, moment: Moment, session_id: str) -> Entry | None:
    """A session's standing, if it is live."""
    return next(iter(_sessions(connection, moment, sessions.c.session_id == session_id)), None)


def standing_of_key(connection: Connection, moment: Moment, key_id: str) -> Entry | None:
    """An API key's standing, if it is live."""
    return next(iter(_keys(connection, moment, api_keys.c.key_id == key_id)), None)


def standings_of_accounts(connection: Connection, moment: Moment, account_ids: Sequence[str]) -> list[Entry]:
    """The live credentials of these accounts."""
    return [
        entry
        for part in _parts(account_ids)
        for entry in (
            *_sessions(connection, moment, sessions.c.account_id.in_(part)),
            *_keys(connection, moment, api_keys.c.account_id.in_(part)),
        )
    ]


def purge_credentials(connection: Connection, ended_before: float) -> int:
    """Delete sessions, keys and devices that ended before then; returns how many rows."""
    gone = 0
    for table in (sessions, api_keys):
        ended = or_(table.c.revoked_at < ended_before, table.c.expires_at < ended_before)
        gone += connection.execute(delete(table).where(ended)).rowcount
    return gone + connection.execute(delete(devices).where(devices.c.revoked_at < ended_before)).rowcount


def _sessions(
    connection: Connection, moment: Moment, *where: Any, order: Any = None, limit: int | None = None
) -> list[Entry]:
    statement: Select[Any] = (
        select(*_PLAIN_OF_SESSION, accounts.c.lane, accounts.c.role)
        .join(accounts, accounts.c.account_id == sessions.c.account_id)
        .where(
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > moment.now,
            sessions.c.last_used_at > moment.now - moment.idle_seconds,
            *where,
        )
        .order_by(order)
        .limit(limit)
    )
    return [(row.digest, _standing_of_session(row, moment)) for row in connection.execute(statement)]


def _standing_of_session(row: Row[Any], moment: Moment) -> Standing:
    return Standing(
        account_id=row.account_id,
        credential_id=row.session_id,
        lane=Lane(row.lane),
        role=Role(row.role),
        scopes=_scopes(Scope.ALL),
        expires_at=min(row.expires_at, row.last_used_at + moment.idle_seconds),
    )


def _keys(
    connection: Connection, moment: Moment, *where: Any, order: Any = None, limit: int | None = None
) -> list[Entry]:
    statement: Select[Any] = (
        select(*_PLAIN_OF_KEY, accounts.c.lane, accounts.c.role)
        .join(accounts, accounts.c.account_id == api_keys.c.account_id)
        .where(*_key_is_live(moment.now), *where)
        .order_by(order)
        .limit(limit)
    )
    return [(row.digest, _standing_of_key(row)) for row in connection.execute(statement)]


def _standing_of_key(row: Row[Any]) -> Standing:
    scopes = _scopes(row.scopes)
    is_admin = row.role == Role.ADMIN and Scope.ADMIN in scopes  # a key never has more than its scopes say
    return Standing(
        account_id=row.account_id,
        credential_id=row.key_id,
        lane=Lane(row.lane),
        role=Role.ADMIN if is_admin else Role.MEMBER,
        scopes=scopes,
        expires_at=inf if row.expires_at is None else row.expires_at,
    )


@lru_cache(maxsize=256)
def _scopes(text: str) -> frozenset[str]:
    """The set of scopes: one object for all credentials that have the same."""
    return frozenset(text.split())


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _PART):
        yield values[start : start + _PART]
