"""The rows of accounts, of what waits for a code, and of what was mailed; and every question put to them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from doorward.accounts.model import Account, Pending, Purpose
from doorward.hall.hidden import Unprinted
from doorward.hall.model import Lane, Role
from doorward.stores.schema import METADATA, upsert
from doorward.stores.sealed import Envelope, Sealed, open_cell, open_cells, open_rows, sealed

accounts: Final = Table(
    "accounts",
    METADATA,
    Column("account_id", Text, primary_key=True),
    Column("email", Sealed(row="account_id", subject="account_id"), nullable=False),
    Column("mailbox", LargeBinary, nullable=False, unique=True),  # blind index: one mailbox is one person
    Column("lane", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Sealed(row="account_id", subject="account_id"), nullable=False),  # empty: mailed codes
    Column("language", Text, nullable=False),
    Column("attempt_id", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index(None, "lane", "created_at"),
)

pending: Final = Table(
    "pending",
    METADATA,
    Column("pending_id", Text, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("mailbox", LargeBinary, nullable=False),  # blind index, as in `accounts`
    Column("subject", Text, nullable=False),  # whose key: the mailbox's
    Column("email", Sealed(row="pending_id", subject="subject"), nullable=False),
    Column("account_id", Text, nullable=False),
    Column("password_hash", Sealed(row="pending_id", subject="subject"), nullable=False),
    Column("attempt_id", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("device_id", Text, nullable=False),
    Column("by_link", Boolean, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("secret", LargeBinary, nullable=False),  # keyed digest of the code or of the link's token
    Column("tries", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double),
    Index(None, "secret"),
    Index(None, "expires_at"),
)

mail_allowance: Final = Table(
    "mail_allowance",
    METADATA,
    Column("mailbox", LargeBinary, primary_key=True),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("day_at", Double, nullable=False),
    Column("sent_that_day", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True, repr=False)
class Known(Unprinted):
    """An account with what only this room may see."""

    account: Account
    password_hash: str


# --- accounts ---------------------------------------------------------------------------------------------------


# Asked at every sign-up and log-in: built once, because building a statement costs more than asking it.
_OF_MAILBOX: Final = select(accounts).where(accounts.c.mailbox == bindparam("mailbox"))


def account_of_mailbox(connection: Connection, mailbox: bytes) -> Known | None:
    """The account of a mailbox."""
    return _known(connection, connection.execute(_OF_MAILBOX, {"mailbox": mailbox}).one_or_none())


def account_of_id(connection: Connection, account_id: str) -> Account | None:
    """The account by its id."""
    row = connection.execute(select(accounts).where(accounts.c.account_id == account_id)).one_or_none()
    return None if row is None else _account(row, open_cell(connection, row, accounts.c.email))


def known_of_id(connection: Connection, account_id: str) -> Known | None:
    """The account by its id, with what only this room may see."""
    row = connection.execute(select(accounts).where(accounts.c.account_id == account_id)).one_or_none()
    return _known(connection, row)


def add_account(
    connection: Connection, account: Account, mailbox: bytes, password_hash: str = "", attempt_id: str = ""
) -> bool:
    """Make an account; False if the mailbox has one already."""
    values = {
        "account_id": account.account_id,
        "email": account.email,
        "mailbox": mailbox,
        "lane": account.lane,
        "role": account.role,
        "password_hash": password_hash,
        "language": account.language,
        "attempt_id": attempt_id,
        "created_at": account.created_at,
    }
    statement = upsert(connection, accounts).on_conflict_do_nothing(index_elements=["mailbox"])
    made = connection.execute(statement.returning(accounts.c.account_id), sealed(connection, accounts, values))
    return made.first() is not None


def set_password_hash(connection: Connection, account_id: str, password_hash: str, instead_of: str) -> None:
    """Replace a hash, unless somebody has changed it meanwhile."""
    row = connection.execute(select(accounts).where(accounts.c.account_id == account_id)).one_or_none()
    if row is None or open_cell(connection, row, accounts.c.password_hash) != instead_of:
        return
    values = sealed(connection, accounts, {"account_id": account_id, "password_hash": password_hash})
    same_row = accounts.c.account_id == account_id, accounts.c.password_hash == Envelope(row.password_hash)
    connection.execute(update(accounts).where(*same_row).values(password_hash=values["password_hash"]))


def has_admin(connection: Connection) -> bool:
    """Whether any account is an administrator's."""
    return connection.execute(select(exists().where(accounts.c.role == Role.ADMIN))).scalar_one()


def set_role(connection: Connection, account_id: str, role: Role, lane: Lane) -> None:
    """Give an account a role, and the lane that goes with it."""
    connection.execute(update(accounts).where(accounts.c.account_id == account_id).values(role=role, lane=lane))


def set_lane(connection: Connection, account_ids: Sequence[str], lane: Lane) -> list[tuple[str, str]]:
    """Move accounts to a lane; returns (account id, former lane) of those that moved."""
    rows = connection.execute(
        select(accounts.c.account_id, accounts.c.lane).where(
            accounts.c.account_id.in_(account_ids), accounts.c.lane != lane
        )
    ).all()
    moved: list[tuple[str, str]] = []
    for account_id, former in rows:  # one by one: only who still is where we saw them has moved
        statement = update(accounts).where(accounts.c.account_id == account_id, accounts.c.lane == former)
        if connection.execute(statement.values(lane=lane)).rowcount == 1:
            moved.append((account_id, former))
    return moved


def probationers(connection: Connection, created_before: float, limit: int) -> list[str]:
    """Ids of accounts on probation, oldest first."""
    statement = (
        select(accounts.c.account_id)
        .where(accounts.c.lane == Lane.PROBATION, accounts.c.created_at < created_before)
        .order_by(accounts.c.created_at)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def list_accounts(
    connection: Connection,
    after: str,
    limit: int,
    ids: Sequence[str] | None = None,
    *,
    hidden: Collection[str] = (),
) -> list[Account]:
    """Accounts in order of their making, from behind `after` (an id; empty: from the newest), newest first.

    `hidden`: ids of those that are left out; they are not opened either.
    """
    statement = select(accounts).order_by(accounts.c.account_id.desc()).limit(limit)
    if after:
        statement = statement.where(accounts.c.account_id < after)
    if ids is not None:
        statement = statement.where(accounts.c.account_id.in_(ids))
    if hidden:
        statement = statement.where(accounts.c.account_id.not_in(hidden))
    rows = connection.execute(statement).all()
    return [
        _account(row, email) for row, email in zip(rows, open_cells(connection, rows, accounts.c.email), strict=True)
    ]


def count_accounts(connection: Connection, hidden: Collection[str] = ()) -> dict[str, int]:
    """How many accounts each lane has, but for those with a `hidden` id."""
    counted = select(accounts.c.lane, func.count().label("number")).where(accounts.c.account_id.not_in(hidden))
    rows = connection.execute(counted.group_by(accounts.c.lane))
    return {str(row.lane): int(row.number) for row in rows}


def _known(connection: Connection, row: Row[Any] | None) -> Known | None:
    if row is None:
        return None
    email, password_hash = open_rows(connection, [row], [accounts.c.email, accounts.c.password_hash])[0]
    return Known(_account(row, email), password_hash)


def _account(row: Row[Any], email: str) -> Account:
    return Account(row.account_id, email, Lane(row.lane), Role(row.role), row.created_at, row.language)


# --- what waits for a code --------------------------------------------------------------------------------------


def add_pending(connection: Connection, one: Pending, secret: bytes, expires_at: float) -> None:
    """Keep a sign-up or log-in that waits for its code or link."""
    values = {
        "pending_id": one.pending_id,
        "purpose": one.purpose,
        "mailbox": one.mailbox,
        "subject": one.subject,
        "email": one.email,
        "account_id": one.account_id,
        "password_hash": one.password_hash,
        "attempt_id": one.attempt_id,
        "language": one.language,
        "device_id": one.device_id,
        "by_link": one.by_link,
        "live": one.live,
        "secret": secret,
        "tries": 0,
        "created_at": one.created_at,
        "expires_at": expires_at,
    }
    connection.execute(insert(pending), sealed(connection, pending, values))


def count_try(connection: Connection, pending_id: str, now: float, most: int) -> tuple[Pending, bytes] | None:
    """Use up one try; returns what waits and its secret, or None if there is no try left (or nothing waits)."""
    statement = (
        update(pending)
        .where(*_is_open(pending_id, now), pending.c.tries < most)
        .values(tries=pending.c.tries + 1)
        .returning(*pending.c)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else (_pending(connection, row), row.secret)


def use_pending(connection: Connection, pending_id: str, now: float) -> bool:
    """Mark it as used; only one caller ever gets True."""
    statement = update(pending).where(*_is_open(pending_id, now)).values(used_at=now)
    return connection.execute(statement).rowcount == 1


def renew_pending(connection: Connection, pending_id: str, secret: bytes, times: tuple[float, float]) -> Pending | None:
    """Give what waits a new code; `times` are now and the new expiry."""
    statement = (
        update(pending)
        .where(*_is_open(pending_id, times[0]))
        .values(secret=secret, expires_at=times[1])
        .returning(*pending.c)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else _pending(connection, row)


def pending_of_id(connection: Connection, pending_id: str, now: float) -> Pending | None:
    """What waits under this id."""
    row = connection.execute(select(pending).where(*_is_open(pending_id, now))).one_or_none()
    return None if row is None else _pending(connection, row)


def pending_of_secret(connection: Connection, purpose: Purpose, secret: bytes, now: float) -> Pending | None:
    """What waits for this link."""
    row = connection.execute(
        select(pending).where(
            pending.c.secret == secret,
            pending.c.purpose == purpose,
            pending.c.by_link,
            pending.c.live,
            pending.c.used_at.is_(None),
            pending.c.expires_at > now,
        )
    ).one_or_none()
    return None if row is None else _pending(connection, row)


def _is_open(pending_id: str, now: float) -> tuple[Any, ...]:
    return pending.c.pending_id == pending_id, pending.c.used_at.is_(None), pending.c.expires_at > now


def _pending(connection: Connection, row: Row[Any]) -> Pending:
    email, password_hash = open_rows(connection, [row], [pending.c.email, pending.c.password_hash])[0]
    return Pending(
        pending_id=row.pending_id,
        purpose=Purpose(row.purpose),
        mailbox=row.mailbox,
        subject=row.subject,
        email=email,
        account_id=row.account_id,
        password_hash=password_hash,
        attempt_id=row.attempt_id,
        language=row.language,
        created_at=row.created_at,
        device_id=row.device_id,
        by_link=row.by_link,
        live=row.live,
    )


# --- mail allowance ---------------------------------------------------------------------------------------------


def allowance_of(connection: Connection, mailbox: bytes) -> Row[Any] | None:
    """What was sent to a mailbox so far; its row stays locked until the transaction ends, also a first one."""
    blank = {"first_at": 0.0, "last_at": 0.0, "sent": 0, "day_at": 0.0, "sent_that_day": 0}
    connection.execute(upsert(connection, mail_allowance).values(mailbox=mailbox, **blank).on_conflict_do_nothing())
    statement = select(mail_allowance).where(mail_allowance.c.mailbox == mailbox).with_for_update()
    row = connection.execute(statement).one()
    return row if row.sent else None


def keep_allowance(connection: Connection, mailbox: bytes, values: dict[str, float]) -> None:
    """Write down what was sent to a mailbox (see `allowance_of`)."""
    connection.execute(update(mail_allowance).where(mail_allowance.c.mailbox == mailbox).values(**values))


def purge_pending(connection: Connection, expired_before: float) -> int:
    """Delete what nobody confirmed in time; returns how many rows."""
    return connection.execute(delete(pending).where(pending.c.expires_at < expired_before)).rowcount
