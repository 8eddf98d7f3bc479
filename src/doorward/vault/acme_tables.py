"""The rows of ordered certificates: what was issued, who orders now, and what the authority will ask port 80 for.

They are the truth of the whole cluster; the files that a listener reads are each machine's copy. Private keys lie here
as every other secret value does: sealed, under a data key of the house's own.
"""

import json
from typing import Any, Final

from sqlalchemy import Column, Connection, Double, Integer, Row, Table, Text, delete, insert, or_, select, update

from doorward.stores.schema import METADATA, upsert
from doorward.stores.sealed import Sealed, open_cell, sealed
from doorward.vault.acme_model import Attempts, Certificate

SUBJECT: Final = "own_certificates"  # whose data key it is: nobody's but the house's
_NAME: Final = "listener"  # what the one certificate is for

certificates: Final = Table(
    "vault_certificates",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("directory", Text, nullable=False),  # the authority that issued it
    Column("domains", Text, nullable=False),  # a JSON list
    Column("chain", Text, nullable=False),  # PEM, ours first
    Column("private_key", Sealed(row="name", subject="subject"), nullable=False),  # PEM
    Column("not_before", Double, nullable=False),
    Column("not_after", Double, nullable=False),
    Column("renew_at", Double, nullable=False),
    Column("look_at", Double, nullable=False),  # when to ask the authority again what it suggests
)

orders: Final = Table(
    "vault_certificate_orders",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("leased_by", Text, nullable=False),
    Column("leased_until", Double, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("retry_at", Double, nullable=False),
    Column("problem", Text, nullable=False),  # the last one's code; empty: none
)

accounts: Final = Table(
    "vault_acme_accounts",
    METADATA,
    Column("directory", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("private_key", Sealed(row="directory", subject="subject"), nullable=False),  # PEM
    Column("created_at", Double, nullable=False),
)

challenges: Final = Table(
    "vault_acme_challenges",
    METADATA,
    Column("token", Text, primary_key=True),
    Column("answer", Text, nullable=False),  # the key authorization (RFC 8555 section 8.1): meant to be shown
    Column("expires_at", Double, nullable=False),
)


def certificate(connection: Connection) -> Certificate | None:
    """The certificate that was issued last."""
    row = connection.execute(select(certificates).where(certificates.c.name == _NAME)).one_or_none()
    if row is None:
        return None
    return Certificate(
        directory=row.directory,
        domains=tuple(json.loads(row.domains)),
        chain=row.chain,
        key=open_cell(connection, row, certificates.c.private_key),
        not_before=row.not_before,
        not_after=row.not_after,
        renew_at=row.renew_at,
        look_at=row.look_at,
    )


def certificate_times(connection: Connection) -> tuple[str, tuple[str, ...], float, float] | None:
    """Authority, domains, end and renewal of that certificate, without its key: also while the vault is locked."""
    columns = (certificates.c.directory, certificates.c.domains, certificates.c.not_after, certificates.c.renew_at)
    row = connection.execute(select(*columns).where(certificates.c.name == _NAME)).one_or_none()
    return None if row is None else (row.directory, tuple(json.loads(row.domains)), row.not_after, row.renew_at)


def put_certificate(connection: Connection, issued: Certificate) -> None:
    """Keep a certificate in the place of the one before."""
    values = sealed(
        connection,
        certificates,
        {
            "name": _NAME,
            "subject": SUBJECT,
            "directory": issued.directory,
            "domains": json.dumps(issued.domains),
            "chain": issued.chain,
            "private_key": issued.key,
            "not_before": issued.not_before,
            "not_after": issued.not_after,
            "renew_at": issued.renew_at,
            "look_at": issued.look_at,
        },
    )
    connection.execute(delete(certificates).where(certificates.c.name == _NAME))
    connection.execute(insert(certificates).values(values))


def plan_renewal(connection: Connection, renew_at: float, look_at: float) -> None:
    """Change when the certificate is renewed, and when the authority is asked about it again."""
    connection.execute(
        update(certificates).where(certificates.c.name == _NAME).values(renew_at=renew_at, look_at=look_at)
    )


def attempts(connection: Connection) -> Attempts:
    """How the last orders went."""
    row = connection.execute(select(orders).where(orders.c.name == _NAME)).one_or_none()
    return Attempts() if row is None else _attempts(row)


def lease(connection: Connection, owner: str, now: float, until: float) -> bool:
    """Take the right to order; False if another process has it."""
    blank = {"leased_by": "", "leased_until": 0.0, "failures": 0, "retry_at": 0.0, "problem": ""}
    connection.execute(upsert(connection, orders).values(name=_NAME, **blank).on_conflict_do_nothing())
    is_free = or_(orders.c.leased_by == owner, orders.c.leased_until <= now)
    taken = connection.execute(
        update(orders).where(orders.c.name == _NAME, is_free).values(leased_by=owner, leased_until=until)
    )
    return taken.rowcount == 1


def release(connection: Connection, owner: str, outcome: Attempts | None) -> None:
    """Give the right back, with how the order went (None: nothing came of it, for better or worse)."""
    values: dict[str, Any] = {"leased_by": "", "leased_until": 0.0}
    if outcome is not None:
        values |= {"failures": outcome.failures, "retry_at": outcome.retry_at, "problem": outcome.problem}
    connection.execute(update(orders).where(orders.c.name == _NAME, orders.c.leased_by == owner).values(values))


def account_key(connection: Connection, directory: str) -> str:
    """The key of our account with an authority, as PEM; empty if there is none yet."""
    row = connection.execute(select(accounts).where(accounts.c.directory == directory)).one_or_none()
    return "" if row is None else open_cell(connection, row, accounts.c.private_key)


def add_account_key(connection: Connection, directory: str, key: str, now: float) -> str:
    """Keep an account's key unless there is one already; returns the one that counts."""
    found = account_key(connection, directory)
    if found:
        return found
    values = {"directory": directory, "subject": SUBJECT, "private_key": key, "created_at": now}
    connection.execute(
        upsert(connection, accounts).values(sealed(connection, accounts, values)).on_conflict_do_nothing()
    )
    return account_key(connection, directory)


def put_challenges(connection: Connection, answers: dict[str, str], now: float, expires_at: float) -> None:
    """Let port 80 answer these tokens; those whose time is over go."""
    connection.execute(delete(challenges).where(challenges.c.expires_at <= now))
    for token, answer in answers.items():
        values = {"token": token, "answer": answer, "expires_at": expires_at}
        statement = upsert(connection, challenges).values(values)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["token"], set_={"answer": answer, "expires_at": expires_at})
        )


def drop_challenges(connection: Connection, tokens: list[str]) -> None:
    """Answer these no more."""
    connection.execute(delete(challenges).where(challenges.c.token.in_(tokens)))


def open_challenges(connection: Connection, now: float, limit: int) -> dict[str, str]:
    """What port 80 may be asked for now: token and answer."""
    rows = connection.execute(select(challenges).where(challenges.c.expires_at > now).limit(limit))
    return {row.token: row.answer for row in rows}


def _attempts(row: Row[Any]) -> Attempts:
    return Attempts(failures=row.failures, retry_at=row.retry_at, problem=row.problem, leased_until=row.leased_until)
