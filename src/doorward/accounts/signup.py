"""Sign-up.

1. What the form says is looked at first, so that a typing mistake costs nobody a proof.
2. The gate considers the arrival; nothing costly has happened up to here.
3. The password, if there is one, is hashed: for known and unknown addresses alike.
4. Under the brake, a new address waits in line instead of getting one letter too many.
5. The sign-up is kept as pending and its letter posted. A mailbox that has an account gets another letter ("you have
   an account") and a pending that no code fits; the answer is the same, and so is the work.
6. With the right code the gate settles, the account is made in the lane that it says, and a session begins. Whoever
   has confirmed is never turned away: where the door is tight now, they begin on probation.
"""

from dataclasses import replace
from functools import partial

import structlog
from sqlalchemy import Connection

from doorward.accounts import addresses, passwords, tables
from doorward.accounts.confirmations import PREFIX, Confirmations, Permission
from doorward.accounts.entrance import mailbox_index, mailbox_subject, turned_away
from doorward.accounts.hashing import Hasher
from doorward.accounts.mailing import Mailing
from doorward.accounts.model import Account, Asker, Entered, Outcome, Pending, Purpose, Visitor, Waitlisted
from doorward.accounts.parts import AccountsParts
from doorward.accounts.sessions import Sessions, Started
from doorward.hall.errors import ConflictError
from doorward.hall.events import AccountCreated
from doorward.hall.ids import new_id
from doorward.hall.model import Action, Arrival, Lane, Reason, Role

_log = structlog.get_logger("doorward.accounts")


class Signup:
    """Makes accounts."""

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
        self.made = 0

    async def begin(self, arrival: Arrival, email: str, password: str) -> Outcome:
        """Sign up with an address and, if not empty, a password. `arrival` holds ticket and proof.

        Raises:
            BadAddressError, WeakPasswordError: correct the form; nothing was spent.
            HashQueueFullError: come back in a moment.
        """
        address = addresses.parse(email)  # 1
        if password:
            settings = self._parts.settings
            context = (address.text, address.mailbox, settings.service_name)
            password = passwords.check(password, minimum=settings.password_minimum_characters, context=context)
        arrival = replace(arrival, email=address.text, mailbox=address.mailbox, has_password=bool(password))
        verdict = await self._parts.doorkeeper.consider(arrival)  # 2
        away = await turned_away(self._parts, arrival, verdict)
        if away is not None:
            return away
        password_hash = await self._hasher.hash(password) if password else ""  # 3
        if not await self._mailing.has_room():  # 4
            return Waitlisted(await self._parts.waitlist.take_place(arrival), (Reason("mail.brake"),))
        mailbox = mailbox_index(self._parts, address)
        self._parts.tripwire.mailbox_seen(mailbox, "signup")
        known = await self._parts.database.read(lambda c: tables.account_of_mailbox(c, mailbox))
        pending = Pending(  # 5
            pending_id=new_id(PREFIX, arrival.at),
            purpose=Purpose.SIGNUP,
            mailbox=mailbox,
            subject=mailbox_subject(self._parts, address),
            email=address.text if known is None else known.account.email,
            account_id="" if known is None else known.account.account_id,
            password_hash=password_hash,
            attempt_id=verdict.attempt_id,
            language=arrival.language,
            created_at=self._parts.clock.now(),
            by_link=verdict.mail_link,
            live=known is None,
        )
        return await self._confirmations.ask(pending, Permission(Asker.STRANGER))

    async def resend(self, pending_id: str) -> None:
        """Post the code of a sign-up again, within the allowance."""
        await self._confirmations.ask_again(pending_id, Purpose.SIGNUP)

    async def confirm(self, pending_id: str, code: str, visitor: Visitor) -> Entered:
        """Finish a sign-up with the code from the letter.

        Raises:
            WrongCodeError: wrong, used up, too old, or already used.
        """
        return await self._confirmations.by_code(
            pending_id, Purpose.SIGNUP, code, partial(self._finish, visitor=visitor)
        )

    async def confirm_link(self, token: str, visitor: Visitor) -> Entered:
        """Finish a sign-up with the link from the letter.

        Raises:
            LinkUsedError: not a link of ours, too old, or already used.
        """
        return await self._confirmations.by_link(token, Purpose.SIGNUP, partial(self._finish, visitor=visitor))

    async def _finish(self, pending: Pending, visitor: Visitor) -> Entered | None:
        lane = await self._lane(pending)  # 6
        now = self._parts.clock.now()
        fresh = Account(new_id("acc", now), pending.email, lane, Role.MEMBER, now, pending.language)

        def work(connection: Connection) -> Started | None:
            if not self._confirmations.use(connection, pending):
                return None
            account = self._made_or_found(connection, fresh, pending)
            return self._sessions.start(connection, account, visitor, "")

        started = await self._parts.database.write(work)
        if started is None:
            return None
        await self._mailing.count_confirmed(pending.created_at)
        self.made += 1
        _log.info("account_confirmed", account_id=started.entered.account.account_id, lane=started.entered.account.lane)
        return self._sessions.started(started)

    def _made_or_found(self, connection: Connection, fresh: Account, pending: Pending) -> Account:
        """The new account; or the one that another sign-up of this mailbox has made meanwhile."""
        if tables.add_account(connection, fresh, pending.mailbox, pending.password_hash, pending.attempt_id):
            created = AccountCreated(
                at=fresh.created_at, account_id=fresh.account_id, lane=fresh.lane, attempt_id=pending.attempt_id
            )
            self._parts.outbox.publish(connection, created)
            return fresh
        known = tables.account_of_mailbox(connection, pending.mailbox)
        if known is None:
            raise ConflictError("The account of this mailbox has just changed; try again.")
        return known.account

    async def _lane(self, pending: Pending) -> Lane:
        if not pending.attempt_id:
            return Lane.PROBATION
        verdict = await self._parts.doorkeeper.settle(pending.attempt_id)
        return Lane.EXISTING if verdict.action is Action.ADMIT else Lane.PROBATION
