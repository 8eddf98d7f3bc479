"""Deleting an account, for good: rows go, keys go, and nobody can bring them back.

1. The person types their own address, and shows once more that it is they: by the password, or by a fresh code from
   their mailbox where the account has none. A session alone, which somebody may have found open, is not enough.
2. An administrator deletes another's account by typing its id. The last administrator cannot leave: nobody would be
   left who may do anything.
3. All of it happens in one transaction: sessions and keys end, every room's rows about the person go, and the vault
   destroys the keys of both of the person's subjects (the account, and its mailbox).
4. A log-in that runs at that moment either came first, and its session is deleted too, or finds no account.
"""

from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from doorward.accounts import addresses, forget_tables, tables
from doorward.accounts.book import Book
from doorward.accounts.confirmations import PREFIX, Confirmations, Permission
from doorward.accounts.entrance import mailbox_index, mailbox_subject
from doorward.accounts.errors import (
    LastAdminError,
    NotYourAddressError,
    TooManyTriesError,
    WrongCodeError,
    WrongPasswordError,
)
from doorward.accounts.hashing import Hasher
from doorward.accounts.mailing import Mailing
from doorward.accounts.model import Account, Asker, Pending, Purpose
from doorward.accounts.parts import AccountsParts
from doorward.accounts.passwords import normalise
from doorward.accounts.tables import Known
from doorward.hall.errors import NotFoundError
from doorward.hall.events import KeyRevoked, SessionRevoked
from doorward.hall.hidden import Unprinted
from doorward.hall.ids import new_id
from doorward.hall.model import Role, ShredReceipt
from doorward.hall.secrets import same

_TRIES_PER_HOUR = 10
_HOUR = 3600.0

_log = structlog.get_logger("doorward.accounts")


@dataclass(frozen=True, slots=True, repr=False)
class Proof(Unprinted):
    """What a person shows who wants their account gone: the address, and the password or a mailed code."""

    email: str
    password: str = ""
    pending: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class _Gone:
    """What a deletion did, with the credentials that every node's book must lose."""

    receipt: ShredReceipt
    credential_ids: list[str]


class Deletion:
    """Deletes accounts."""

    def __init__(
        self, parts: AccountsParts, book: Book, confirmations: Confirmations, mailing: Mailing, hasher: Hasher
    ) -> None:
        """Stand on what the service has built."""
        self._parts = parts
        self._book = book
        self._confirmations = confirmations
        self._mailing = mailing
        self._hasher = hasher
        self.deleted = 0

    async def has_password(self, account_id: str) -> bool:
        """Whether the person proves themselves by a password; else a code is mailed.

        Raises:
            NotFoundError: there is no such account.
        """
        return bool((await self._known(account_id)).password_hash)

    async def ask_code(self, account_id: str, language: str) -> str:
        """Mail the code that confirms the deletion, within the allowance; returns the name of what waits for it.

        Raises:
            NotFoundError: there is no such account.
        """
        account = (await self._known(account_id)).account
        address, now = addresses.parse(account.email, local=True), self._parts.clock.now()
        pending = Pending(
            pending_id=new_id(PREFIX, now),
            purpose=Purpose.DELETION,
            mailbox=mailbox_index(self._parts, address),
            subject=mailbox_subject(self._parts, address),
            email=account.email,
            account_id=account_id,
            password_hash="",
            attempt_id="",
            language=language,
            created_at=now,
        )
        has_room = await self._mailing.may_send_proved(Asker.DEVICE, account_id)
        return (await self._confirmations.ask(pending, Permission(Asker.DEVICE, has_room))).pending_id

    async def by_person(self, account_id: str, proof: Proof) -> ShredReceipt:
        """Delete the account of somebody who proves to be its owner.

        Raises:
            NotYourAddressError, WrongPasswordError, WrongCodeError: not proved. TooManyTriesError: tried too often.
            LastAdminError: nobody else is an administrator. NotFoundError: there is no such account.
        """
        known = await self._known(account_id)
        if not _is_same_mailbox(proof.email, known.account.email):
            raise NotYourAddressError(field="email")
        if not known.password_hash:
            pending = await self._confirmations.check_code(proof.pending, Purpose.DELETION, proof.code)
            if pending is None or pending.account_id != account_id:
                raise WrongCodeError(field="code")
            return await self._delete(known.account, "person", pending)
        wait = await self._parts.counters.take(
            f"accounts.deletion:{account_id}", _TRIES_PER_HOUR / _HOUR, _TRIES_PER_HOUR
        )
        if wait:
            raise TooManyTriesError(retry_after_seconds=int(wait) + 1)
        if not await self._hasher.verify(normalise(proof.password), known.password_hash, known=True):
            raise WrongPasswordError(field="password")
        return await self._delete(known.account, "person")

    async def by_admin(self, admin_id: str, account_id: str) -> ShredReceipt:
        """Delete an account on behalf of an administrator, who has confirmed it.

        Raises:
            LastAdminError: nobody else is an administrator. NotFoundError: there is no such account.
        """
        return await self._delete((await self._known(account_id)).account, f"admin:{admin_id}")

    async def by_operator(self, name: str) -> ShredReceipt:
        """Delete the account with this id or address; of an address without one, what waits for it.

        Raises:
            BadAddressError: neither an id nor an address. NotFoundError: there is no account with this id.
            LastAdminError: nobody else is an administrator.
        """
        if "@" not in name:
            return await self._delete((await self._known(name)).account, "operator")
        address = addresses.parse(name, local=True)
        mailbox = mailbox_index(self._parts, address)
        known = await self._parts.database.read(lambda c: tables.account_of_mailbox(c, mailbox))
        if known is not None:
            return await self._delete(known.account, "operator")
        subject = mailbox_subject(self._parts, address)
        shredder = self._parts.shredder
        return await shredder.settled(
            await self._parts.database.write(lambda c: shredder.shred(c, [subject], "operator"))
        )

    async def _delete(self, account: Account, reason: str, pending: Pending | None = None) -> ShredReceipt:
        def work(connection: Connection) -> _Gone | None:
            if pending is not None and not self._confirmations.use(connection, pending):
                return None
            return self._delete_now(connection, account, reason)

        gone = await self._parts.database.write(work)
        if gone is None:
            raise WrongCodeError(field="code")
        for credential_id in gone.credential_ids:
            self._book.drop(credential_id)
        self.deleted += 1
        _log.warning("account_deleted", account_id=account.account_id, reason=reason)
        return await self._parts.shredder.settled(gone.receipt)

    def _delete_now(self, connection: Connection, account: Account, reason: str) -> _Gone:
        account_id, now = account.account_id, self._parts.clock.now()
        others = forget_tables.other_admins(connection, account_id)
        role = forget_tables.hold_account(connection, account_id, leaves=True)
        if role is None:
            raise NotFoundError("There is no such account.")
        if role is Role.ADMIN and not others:
            raise LastAdminError
        session_ids, key_ids = forget_tables.credentials_of(connection, account_id)
        address = addresses.parse(account.email, local=True)
        subjects = [account_id, mailbox_subject(self._parts, address)]
        receipt = self._parts.shredder.shred(connection, subjects, reason)
        ended = [SessionRevoked(at=now, account_id=account_id, session_id=one) for one in session_ids]
        revoked = [KeyRevoked(at=now, account_id=account_id, key_id=one) for one in key_ids]
        self._parts.outbox.publish(connection, *ended, *revoked)
        return _Gone(receipt, [*session_ids, *key_ids])

    async def _known(self, account_id: str) -> Known:
        found = await self._parts.database.read(lambda c: tables.known_of_id(c, account_id))
        if found is None:
            raise NotFoundError("There is no such account.")
        return found


def _is_same_mailbox(typed: str, email: str) -> bool:
    return same(addresses.parse(typed, local=True).mailbox, addresses.mailbox_of(email))
