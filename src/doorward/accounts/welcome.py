"""One-time links that let somebody in: the operator's link for an administrator, and invitations of the wait-list.

A link is shown before it is used (mail scanners open links): looking at it changes nothing, only the button does.
"""

import structlog
from sqlalchemy import Connection

from doorward.accounts import addresses, tables
from doorward.accounts.book import Book
from doorward.accounts.confirmations import PREFIX, Confirmations
from doorward.accounts.entrance import mailbox_index, mailbox_subject
from doorward.accounts.errors import LinkUsedError
from doorward.accounts.model import Account, Entered, Pending, Purpose, Visitor
from doorward.accounts.parts import AccountsParts
from doorward.accounts.sessions import Sessions, Started
from doorward.accounts.tokens import is_link_token
from doorward.hall.errors import ConflictError
from doorward.hall.events import AccountCreated, LaneChanged
from doorward.hall.ids import new_id
from doorward.hall.model import Lane, Role

_LONGEST_TOKEN = 512
_log = structlog.get_logger("doorward.accounts")


class Welcome:
    """Makes and honours one-time links."""

    def __init__(self, parts: AccountsParts, book: Book, sessions: Sessions, confirmations: Confirmations) -> None:
        """Stand on what the service has built."""
        self._parts = parts
        self._book = book
        self._sessions = sessions
        self._confirmations = confirmations

    async def admin_link(self, email: str) -> tuple[str, float]:
        """A link that makes its user an administrator, once; returns it and when it ends (Unix seconds).

        Raises:
            BadAddressError: `email` is no address.
        """
        address, now = addresses.parse(email, local=True), self._parts.clock.now()
        pending = Pending(
            pending_id=new_id(PREFIX, now),
            purpose=Purpose.ADMIN,
            mailbox=mailbox_index(self._parts, address),
            subject=mailbox_subject(self._parts, address),
            email=address.text,
            account_id="",
            password_hash="",
            attempt_id="",
            language="en",
            created_at=now,
            by_link=True,
        )
        lifetime = self._parts.settings.admin_link_lifetime_seconds
        token = await self._confirmations.make_link(pending, lifetime)
        return self._parts.url(f"/welcome/{token}"), now + lifetime

    async def accept(self, token: str, visitor: Visitor, language: str) -> Entered:
        """Use a one-time link.

        Raises:
            LinkUsedError: not a link of ours, too old, or already used. Other errors come from the wait-list.
        """
        if not is_link_token(token):
            return await self._accept_invitation(token, visitor, language)
        pending = await self._confirmations.check_link(token, Purpose.ADMIN)
        entered = None if pending is None else await self._enter_admin(pending, visitor)
        if entered is None:
            raise LinkUsedError
        return entered

    async def _enter_admin(self, pending: Pending, visitor: Visitor) -> Entered | None:
        def work(connection: Connection) -> Started | None:
            if not self._confirmations.use(connection, pending):
                return None
            account = self._account(connection, pending.mailbox, self._fresh(pending.email, Role.ADMIN, "en"))
            if account.role is not Role.ADMIN:
                account = self._promoted(connection, account)
            return self._sessions.start(connection, account, visitor, "")

        started = await self._parts.database.write(work)
        if started is None:
            return None
        account_id = started.entered.account.account_id
        _log.warning("admin_entered", account_id=account_id)
        await self._book.renew([account_id])
        return self._sessions.started(started)

    async def _accept_invitation(self, token: str, visitor: Visitor, language: str) -> Entered:
        if not token or len(token) > _LONGEST_TOKEN:
            raise LinkUsedError
        email = await self._parts.redeem_invitation(token)
        address = addresses.parse(email)
        mailbox = mailbox_index(self._parts, address)

        def work(connection: Connection) -> Started:
            account = self._account(connection, mailbox, self._fresh(address.text, Role.MEMBER, language))
            return self._sessions.start(connection, account, visitor, "")

        started = await self._parts.database.write(work)
        _log.info("invitation_accepted", account_id=started.entered.account.account_id)
        return self._sessions.started(started)

    def _fresh(self, email: str, role: Role, language: str) -> Account:
        """Whoever comes from the wait-list begins on probation; an administrator belongs."""
        now = self._parts.clock.now()
        lane = Lane.EXISTING if role is Role.ADMIN else Lane.PROBATION
        return Account(new_id("acc", now), email, lane, role, now, language)

    def _account(self, connection: Connection, mailbox: bytes, fresh: Account) -> Account:
        if tables.add_account(connection, fresh, mailbox):
            created = AccountCreated(at=fresh.created_at, account_id=fresh.account_id, lane=fresh.lane, attempt_id="")
            self._parts.outbox.publish(connection, created)
            return fresh
        known = tables.account_of_mailbox(connection, mailbox)
        if known is None:
            raise ConflictError("The account of this mailbox has just changed; try again.")
        return known.account

    def _promoted(self, connection: Connection, account: Account) -> Account:
        tables.set_role(connection, account.account_id, Role.ADMIN, Lane.EXISTING)
        now = self._parts.clock.now()
        changed = LaneChanged(
            at=now,
            account_id=account.account_id,
            from_lane=account.lane,
            to_lane=Lane.EXISTING,
            reason="accounts.admin_link",
        )
        self._parts.outbox.publish(connection, changed)
        return Account(
            account.account_id, account.email, Lane.EXISTING, Role.ADMIN, account.created_at, account.language
        )
