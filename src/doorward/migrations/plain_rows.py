"""Seals the rows that a database of the first version had, where they are, when all other steps are done.

1. Each row's personal values are sealed under a key of its person, in parts, by the vault of the connection; mailboxes
   and recipients get their blind indices.
2. What cannot be sealed because nobody knows any more whose it is goes: signals of attempts that no sign-up names, and
   the counts of letters to mailboxes that nobody waits for. A used place on the wait-list keeps its state only.
3. The tables stay named in `stores_scrubs` until their old pages are rewritten.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from doorward.accounts.addresses import mailbox_of
from doorward.accounts.errors import BadAddressError
from doorward.hall.model import Cell
from doorward.stores import scrub_tables
from doorward.stores.after_commit import collect
from doorward.stores.sealed import RowSealer, sealer_of

_PART: Final = 500
_SEALED: Final = {
    "accounts": ("email", "password_hash"),
    "pending": ("email", "password_hash"),
    "sessions": ("device",),
    "devices": ("label",),
    "api_keys": ("name",),
    "letters": ("recipient", "subject", "text", "html"),
    "gate_places": ("email", "signals"),
    "gate_attempts": ("signals",),
    "gate_baselines": ("payload",),
}

Sealing = Callable[[Any], tuple[str, str, dict[str, Any]]]
"""What becomes of a row: which row it is to its envelopes, whose key seals it, and its new plain values."""


def seal_plain_rows(connection: sa.Connection) -> None:
    """Seal what waits for it, in the transaction that upgrades the tables.

    Raises:
        VaultLockedError: there are rows to seal, and the connection has no vault.
    """
    if not scrub_tables.unsealed(connection):
        return
    sealer = sealer_of(connection)
    sealer.bind(connection)
    _Rows(connection, sealer).seal()
    scrub_tables.sealed(connection)


class _Rows:
    """The rows of a database while they are sealed."""

    def __init__(self, connection: sa.Connection, sealer: RowSealer) -> None:
        self._connection = connection
        self._sealer = sealer
        self._indices: dict[bytes, bytes] = {}  # old digests of mailboxes, and what they are now
        self._attempts: dict[str, str] = {}  # attempts that a sign-up or an account names, and whose they are

    def seal(self) -> None:
        """Seal all tables."""
        self._table("accounts", "account_id", self._account)
        self._table("pending", "pending_id", self._pending)
        self._table("sessions", "session_id", lambda row: (row.session_id, row.account_id, {}))
        self._table("devices", "device_id", lambda row: (row.device_id, row.account_id, {}))
        self._table("api_keys", "key_id", lambda row: (row.key_id, row.account_id, {}))
        self._table("letters", "sequence", self._letter)
        self._table("gate_places", "sequence", self._place)
        self._table("gate_baselines", "name", lambda row: (row.name, "own_gate", {"subject": "own_gate"}))
        self._keep_named_attempts()
        self._table("gate_attempts", "attempt_id", self._attempt)
        self._allowances()

    # --- what each row becomes ---

    def _account(self, row: Any) -> tuple[str, str, dict[str, Any]]:
        mailbox = _mailbox(row.email)
        index = self._sealer.index("accounts.mailbox", mailbox)
        self._indices[bytes(row.mailbox)] = index
        self._attempts[row.attempt_id] = self._sealer.subject_of(mailbox)
        return row.account_id, row.account_id, {"mailbox": index}

    def _pending(self, row: Any) -> tuple[str, str, dict[str, Any]]:
        mailbox = _mailbox(row.email)
        index, subject = self._sealer.index("accounts.mailbox", mailbox), self._sealer.subject_of(mailbox)
        self._indices[bytes(row.mailbox)] = index
        self._attempts[row.attempt_id] = subject
        return row.pending_id, subject, {"mailbox": index, "subject": subject}

    def _letter(self, row: Any) -> tuple[str, str, dict[str, Any]]:
        recipient = bytes(row.recipient)
        person = self._sealer.subject_of(_mailbox(recipient))
        index = self._sealer.index("letters.recipient", recipient)
        return row.letter_id, person, {"person": person, "recipient_index": index}

    def _place(self, row: Any) -> tuple[str, str, dict[str, Any]]:
        if not row.email:  # it was used, and its address deleted
            return row.place_id, row.place_id, {"subject": row.place_id, "signals": b""}
        mailbox = _mailbox(row.email)
        subject = self._sealer.subject_of(mailbox)
        return row.place_id, subject, {"subject": subject, "mailbox": self._sealer.index("gate.place.mailbox", mailbox)}

    def _attempt(self, row: Any) -> tuple[str, str, dict[str, Any]]:
        subject = self._attempts[row.attempt_id]
        return row.attempt_id, subject, {"subject": subject}

    # --- how they are written ---

    def _table(self, name: str, key: str, sealing: Sealing) -> None:
        table = _reflected(self._connection, name)
        for rows in _parts(self._connection, table, table.c[key]):
            made = [sealing(row) for row in rows]
            keys = self._keys({subject for _, subject, _ in made}, name, rows)
            for row, (row_id, subject, plain) in zip(rows, made, strict=True):
                change = dict(plain)
                for column in _SEALED[name]:
                    value = bytes(getattr(row, column))
                    if value and column not in plain:
                        change[column] = keys[subject].seal(Cell(name, column, row_id), value.decode())
                if change:
                    statement = sa.update(table).where(table.c[key] == getattr(row, key))
                    self._connection.execute(statement, change)
            collect(self._connection)  # a million keys need not be remembered until the commit

    def _keys(self, subjects: set[str], name: str, rows: Sequence[Any]) -> Mapping[str, Any]:
        if not any(getattr(row, column) for row in rows for column in _SEALED[name]):
            return {}
        found = dict(self._sealer.keys_of(self._connection, subjects))
        for subject in subjects - found.keys():
            found[subject] = self._sealer.key_for(self._connection, subject)
        return found

    def _keep_named_attempts(self) -> None:
        table = _reflected(self._connection, "gate_attempts")
        for rows in _parts(self._connection, table, table.c.attempt_id):
            lost = [row.attempt_id for row in rows if row.attempt_id not in self._attempts]
            self._connection.execute(sa.delete(table).where(table.c.attempt_id.in_(lost)))

    def _allowances(self) -> None:
        table = _reflected(self._connection, "mail_allowance")
        for rows in list(_parts(self._connection, table, table.c.mailbox)):  # all at first: the keys change
            for row in rows:
                now = self._indices.get(bytes(row.mailbox))
                same = table.c.mailbox == row.mailbox
                self._connection.execute(
                    sa.delete(table).where(same) if now is None else sa.update(table).where(same).values(mailbox=now)
                )


def _mailbox(email: bytes) -> str:
    text = bytes(email).decode()
    try:
        return mailbox_of(text)
    except BadAddressError:  # mailed by hand, or by rules of long ago: then the text itself is the mailbox
        return text.lower()


def _reflected(connection: sa.Connection, name: str) -> sa.Table:
    return sa.Table(name, sa.MetaData(), autoload_with=connection)


def _parts(connection: sa.Connection, table: sa.Table, key: sa.Column[Any]) -> Iterator[Sequence[Any]]:
    statement = sa.select(table).order_by(key).limit(_PART)
    rows = connection.execute(statement).all()
    while rows:
        yield rows
        rows = connection.execute(statement.where(key > getattr(rows[-1], key.name))).all()
