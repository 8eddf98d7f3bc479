"""Deletes everything that this room's rows hold about a person."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, or_, select

from doorward.accounts.credential_tables import api_keys, devices, sessions
from doorward.accounts.tables import accounts, mail_allowance, pending
from doorward.hall.model import Role


def hold_account(connection: Connection, account_id: str, *, leaves: bool = False) -> Role | None:
    """The role of an account, which nobody else can delete until the running transaction ends; None if it is gone.

    `leaves`: it is to be deleted, so wait for those who hold it.
    """
    query = select(accounts.c.role).where(accounts.c.account_id == account_id).with_for_update(read=not leaves)
    role = connection.execute(query).scalar_one_or_none()
    return None if role is None else Role(role)


def other_admins(connection: Connection, account_id: str) -> bool:
    """Whether anybody but this account is an administrator; no two may leave at one moment."""
    admins = select(accounts.c.account_id).where(accounts.c.role == Role.ADMIN)
    admins = admins.order_by(accounts.c.account_id).with_for_update()
    return any(found != account_id for found in connection.execute(admins).scalars())


def credentials_of(connection: Connection, account_id: str) -> tuple[list[str], list[str]]:
    """Ids of the sessions and of the API keys of an account that were not revoked."""
    found = (
        connection.execute(select(name).where(table.c.account_id == account_id, table.c.revoked_at.is_(None)))
        for table, name in ((sessions, sessions.c.session_id), (api_keys, api_keys.c.key_id))
    )
    session_ids, key_ids = (list(rows.scalars()) for rows in found)
    return session_ids, key_ids


def forget(connection: Connection, subjects: Sequence[str], until: float) -> dict[str, int]:
    """Delete the rows of these accounts and mailboxes that were made until then; returns table -> rows."""
    names = list(subjects)
    mine = accounts.c.account_id.in_(names), accounts.c.created_at <= until
    gone = {mail_allowance.name: _forget_allowance(connection, names, until)}
    waiting = or_(pending.c.subject.in_(names), pending.c.account_id.in_(names))
    gone[pending.name] = _deleted(connection, pending, waiting, pending.c.created_at <= until)
    for table in (sessions, api_keys, devices):
        gone[table.name] = _deleted(connection, table, table.c.account_id.in_(names), table.c.created_at <= until)
    gone[accounts.name] = _deleted(connection, accounts, *mine)
    return gone


def _forget_allowance(connection: Connection, names: list[str], until: float) -> int:
    """What was mailed to a mailbox is kept under its blind index, which accounts and pending sign-ups tell."""
    known = [
        *connection.execute(select(accounts.c.mailbox).where(accounts.c.account_id.in_(names))).scalars(),
        *connection.execute(select(pending.c.mailbox).where(pending.c.subject.in_(names))).scalars(),
    ]
    return _deleted(connection, mail_allowance, mail_allowance.c.mailbox.in_(known), mail_allowance.c.first_at <= until)


def _deleted(connection: Connection, table: Table, *where: Any) -> int:
    return connection.execute(delete(table).where(*where)).rowcount
