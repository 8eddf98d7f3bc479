"""Log-in.

1. A device that the account knows (a signed token from an earlier log-in) has its own budget, pays no proof and needs
   no code beside the password. Nothing that strangers do reaches it.
2. Everybody else stands at the gate first; no hash is computed for who has not paid.
3. A stranger's device that knows the password still needs the code from the mail. So stolen passwords alone let nobody
   in, which is what ends credential stuffing; and a wrong password locks nobody out.
4. Strangers together have a budget of guesses per mailbox. When it is used up the answer is that of a wrong password,
   after the same work: nobody can tell that the budget is full, or whether there is such an account.
5. Without a password (or without a proof, for a browser that runs no JavaScript) a code or a link is mailed. An address
   without an account gets a letter that says so, within the same allowance.
"""

from dataclasses import dataclass, replace
from functools import partial

import structlog
from sqlalchemy import Connection

from doorward.accounts import addresses, credential_tables, passwords, tables
from doorward.accounts.confirmations import PREFIX, Confirmations, Permission
from doorward.accounts.devices import known_device
from doorward.accounts.entrance import mailbox_index, mailbox_subject, turned_away
from doorward.accounts.errors import TooManyTriesError, WrongLoginError
from doorward.accounts.hashing import Hasher
from doorward.accounts.mailing import Mailing
from doorward.accounts.model import Asker, Entered, Outcome, Pending, Purpose, Visitor
from doorward.accounts.parts import AccountsParts
from doorward.accounts.sessions import Sessions, Started
from doorward.accounts.tables import Known
from doorward.hall.hidden import Unprinted
from doorward.hall.ids import new_id
from doorward.hall.model import Arrival

_DAY = 86_400.0
_HOUR = 3600.0
_UNKNOWN_LETTERS_PER_MINUTE = 20

_log = structlog.get_logger("doorward.accounts")


@dataclass(frozen=True, slots=True, repr=False)
class _Attempt(Unprinted):
    """One log-in, as far as it is known before anything is checked."""

    arrival: Arrival
    address: addresses.Address
    mailbox: bytes
    password: str
    visitor: Visitor


class Login:
    """Lets people in who have an account."""

    def __init__(
        self,
        parts: AccountsParts,
        sessions: Sessions,
        confirmations: Confirmations,
        mailing: Mailing,
        hasher: Hasher,
    ) -> None:
        """Stand on what the service has built."""
        self._parts = parts
        self._sessions = sessions
        self._confirmations = confirmations
        self._mailing = mailing
        self._hasher = hasher
        self.wrong = 0

    async def begin(self, arrival: Arrival, email: str, password: str, visitor: Visitor) -> Outcome:
        """Log in with an address and, if not empty, a password. `arrival` holds ticket and proof.

        Raises:
            BadAddressError: no address. WrongLoginError: address or password are wrong, or the budget is used up.
            TooManyTriesError: a known device tried too often. HashQueueFullError: come back in a moment.
        """
        address = addresses.parse(email, local=True)
        mailbox = mailbox_index(self._parts, address)
        self._parts.tripwire.mailbox_seen(mailbox, "login")
        arrival = replace(arrival, email=address.text, mailbox=address.mailbox, has_password=bool(password))
        attempt = _Attempt(arrival, address, mailbox, passwords.normalise(password), visitor)
        made_after = self._parts.clock.now() - self._parts.settings.device_lifetime_days * _DAY
        device_id = known_device(self._parts.secrets, visitor.device, address.mailbox, made_after)
        if device_id:
            known = await self._account_with(mailbox, device_id)
            if known is not None:
                return await self._from_known_device(attempt, known, device_id)  # 1
        return await self._from_stranger(attempt)

    async def resend(self, pending_id: str) -> None:
        """Post the code of a log-in again, within the allowance."""
        await self._confirmations.ask_again(pending_id, Purpose.LOGIN)

    async def confirm(self, pending_id: str, code: str, visitor: Visitor) -> Entered:
        """Finish a log-in with the code from the letter.

        Raises:
            WrongCodeError: wrong, used up, too old, or already used.
        """
        return await self._confirmations.by_code(
            pending_id, Purpose.LOGIN, code, partial(self._finish, visitor=visitor)
        )

    async def confirm_link(self, token: str, visitor: Visitor) -> Entered:
        """Finish a log-in with the link from the letter.

        Raises:
            LinkUsedError: not a link of ours, too old, or already used.
        """
        return await self._confirmations.by_link(token, Purpose.LOGIN, partial(self._finish, visitor=visitor))

    async def _from_known_device(self, attempt: _Attempt, known: Known, device_id: str) -> Outcome:
        tries = self._parts.settings.device_tries_per_hour
        wait = await self._parts.counters.take(f"accounts.device:{device_id}", tries / _HOUR, tries)
        if wait:
            raise TooManyTriesError(retry_after_seconds=int(wait) + 1)
        if attempt.password:
            if not await self._hasher.verify(attempt.password, known.password_hash, known=True):
                self._count_wrong(known_device=True)
                raise WrongLoginError
            await self._renew_hash(attempt.password, known)
            return await self._enter(known, attempt, device_id)
        has_room = await self._mailing.may_send_proved(Asker.DEVICE, device_id)
        pending = self._pending(attempt, known, device_id=device_id)
        return await self._confirmations.ask(pending, Permission(Asker.DEVICE, has_room))

    async def _from_stranger(self, attempt: _Attempt) -> Outcome:
        verdict = await self._parts.doorkeeper.consider(attempt.arrival)  # 2
        away = await turned_away(self._parts, attempt.arrival, verdict)
        if away is not None:
            return away
        if attempt.password and not verdict.mail_link:
            known = await self._known_by_password(attempt)
            has_room = await self._mailing.may_send_proved(Asker.PASSWORD, known.account.account_id)
            return await self._confirmations.ask(  # 3
                self._pending(attempt, known), Permission(Asker.PASSWORD, has_room)
            )
        account = await self._account_of(attempt.mailbox)  # 5
        rate = _UNKNOWN_LETTERS_PER_MINUTE
        has_room = await self._parts.counters.take("accounts.letters.unknown", rate / 60, rate) == 0.0
        permission = Permission(Asker.STRANGER, has_room or account is not None)
        pending = self._pending(attempt, account, by_link=verdict.mail_link)
        return await self._confirmations.ask(pending, permission)

    async def _known_by_password(self, attempt: _Attempt) -> Known:
        guesses = self._parts.settings.guesses_per_hour
        key = f"accounts.guesses:{attempt.mailbox.hex()}"
        is_over = await self._parts.counters.take(key, guesses / _HOUR, guesses) > 0  # 4
        known = await self._account_of(attempt.mailbox)
        is_right = await self._hasher.verify(attempt.password, known.password_hash if known else "")
        if known is None or not is_right or is_over:
            self._count_wrong(known_device=False)
            raise WrongLoginError
        await self._renew_hash(attempt.password, known)
        return known

    async def _renew_hash(self, password: str, known: Known) -> None:
        if not self._hasher.is_outdated(known.password_hash):
            return
        fresh, account_id, old = await self._hasher.hash(password), known.account.account_id, known.password_hash
        await self._parts.database.write(lambda c: tables.set_password_hash(c, account_id, fresh, old))

    async def _enter(self, known: Known, attempt: _Attempt, device_id: str) -> Entered:
        started = await self._parts.database.write(
            lambda c: self._sessions.start(c, known.account, attempt.visitor, device_id)
        )
        return self._sessions.started(started)

    async def _finish(self, pending: Pending, visitor: Visitor) -> Entered | None:
        self._parts.tripwire.mailbox_seen(pending.mailbox, "login")

        def work(connection: Connection) -> Started | None:
            known = tables.account_of_mailbox(connection, pending.mailbox)
            if known is None or not self._confirmations.use(connection, pending):
                return None
            return self._sessions.start(connection, known.account, visitor, pending.device_id)

        started = await self._parts.database.write(work)
        return None if started is None else self._sessions.started(started)

    def _pending(
        self, attempt: _Attempt, known: Known | None, *, device_id: str = "", by_link: bool = False
    ) -> Pending:
        now = self._parts.clock.now()
        return Pending(
            pending_id=new_id(PREFIX, now),
            purpose=Purpose.LOGIN,
            mailbox=attempt.mailbox,
            subject=mailbox_subject(self._parts, attempt.address),
            email=attempt.address.text if known is None else known.account.email,
            account_id="" if known is None else known.account.account_id,
            password_hash="",
            attempt_id="",
            language=attempt.arrival.language,
            created_at=now,
            device_id=device_id,
            by_link=by_link,
            live=known is not None,
        )

    async def _account_of(self, mailbox: bytes) -> Known | None:
        return await self._parts.database.read(lambda connection: tables.account_of_mailbox(connection, mailbox))

    async def _account_with(self, mailbox: bytes, device_id: str) -> Known | None:
        """The account of a mailbox, if it still knows the device."""

        def work(connection: Connection) -> Known | None:
            known = tables.account_of_mailbox(connection, mailbox)
            if known is None or not credential_tables.has_device(connection, device_id, known.account.account_id):
                return None
            return known

        return await self._parts.database.read(work)

    def _count_wrong(self, *, known_device: bool) -> None:
        self.wrong += 1
        _log.info("login_wrong", known_device=known_device)
