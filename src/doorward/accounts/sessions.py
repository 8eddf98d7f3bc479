"""Sessions: begun at log-in, listed, ended.

A session is an opaque token in a cookie (or a bearer header); what is stored is its digest. It ends at a fixed time
after log-in, or when it lies unused, or when its owner revokes it; a log-in that brought an older session with it
replaces that one, so that a token never outlives the log-in that made it.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from doorward.accounts import credential_tables as tables
from doorward.accounts.addresses import mailbox_of
from doorward.accounts.book import Book
from doorward.accounts.devices import device_token, label_of, new_device_id
from doorward.accounts.forget_tables import hold_account
from doorward.accounts.model import Account, Entered, Scope, Session, Visitor
from doorward.accounts.parts import AccountsParts
from doorward.accounts.tokens import digest_of, new_session_token
from doorward.hall.errors import ConflictError, NotFoundError
from doorward.hall.events import SessionRevoked, SessionStarted
from doorward.hall.ids import new_id
from doorward.hall.model import Standing

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Started:
    """A session that was begun inside a transaction, for the book to take over once that is committed."""

    entered: Entered
    digest: bytes
    standing: Standing
    ended: tuple[str, ...]  # ids of sessions that gave way to it


class Sessions:
    """Begins and ends sessions."""

    def __init__(self, parts: AccountsParts, book: Book) -> None:
        """Keep `book` up to date with what happens here."""
        self._parts = parts
        self._book = book
        self._idle_seconds = parts.settings.session_idle_days * _DAY

    def start(self, connection: Connection, account: Account, visitor: Visitor, device_id: str) -> Started:
        """Begin a session inside the caller's transaction; hand the result to `started` after it.

        `device_id`: the known device that logs in; empty, or no longer known: the device is known from now on.

        Raises:
            ConflictError: the account was deleted meanwhile.
        """
        if hold_account(connection, account.account_id) is None:
            raise ConflictError("The account of this mailbox has just changed; try again.")
        now = self._parts.clock.now()
        label = label_of(visitor.label)
        is_known = bool(device_id) and tables.use_device(connection, device_id, account.account_id, now)
        if not is_known:
            device_id = new_device_id(now)
            tables.add_device(connection, device_id, account.account_id, label, now)
        ended = self._make_room(connection, account.account_id, visitor, now)
        token = new_session_token()
        expires_at = now + self._parts.settings.session_lifetime_days * _DAY
        session = Session(new_id("ses", now), account.account_id, now, now, expires_at, label)
        digest = digest_of(token.encode())
        tables.add_session(connection, session, digest, device_id)
        started = SessionStarted(
            at=now, account_id=account.account_id, session_id=session.session_id, known_device=is_known
        )
        self._parts.outbox.publish(connection, started)
        return Started(
            entered=Entered(
                account=account,
                session_id=session.session_id,
                token=token,
                expires_at=expires_at,
                device=device_token(self._parts.secrets, device_id, mailbox_of(account.email)),
            ),
            digest=digest,
            standing=Standing(
                account_id=account.account_id,
                credential_id=session.session_id,
                lane=account.lane,
                role=account.role,
                scopes=frozenset({Scope.ALL.value}),
                expires_at=min(expires_at, now + self._idle_seconds),
            ),
            ended=ended,
        )

    def started(self, started: Started) -> Entered:
        """Take a session over into the book, now that it is in the database."""
        for session_id in started.ended:
            self._book.drop(session_id)
        self._book.put(started.digest, started.standing)
        return started.entered

    async def of_account(self, account_id: str) -> list[Session]:
        """The live sessions of an account, the last used first."""
        now = self._parts.clock.now()
        idle_since = now - self._idle_seconds
        return await self._parts.database.read(lambda c: tables.live_sessions(c, account_id, now, idle_since))

    async def revoke(self, account_id: str, session_id: str, *, forget_device: bool = True) -> None:
        """End one session of an account. Its device is a stranger again, unless its owner only logs out.

        Raises:
            NotFoundError: the account has no such session, or it has ended.
        """
        ended = await self._revoke(account_id, [session_id], forget_device=forget_device)
        if not ended:
            raise NotFoundError("You have no such session.")

    async def revoke_others(self, account_id: str, kept_session_id: str) -> int:
        """End all sessions of an account but one, and make their devices strangers; returns how many."""
        ids = [one.session_id for one in await self.of_account(account_id) if one.session_id != kept_session_id]
        return len(await self._revoke(account_id, ids, forget_device=True))

    async def _revoke(self, account_id: str, session_ids: list[str], *, forget_device: bool) -> list[str]:
        now = self._parts.clock.now()

        def work(connection: Connection) -> list[str]:
            ended = tables.revoke_sessions(connection, account_id, session_ids, now)
            if forget_device:
                tables.forget_devices(connection, account_id, [device_id for _, device_id in ended], now)
            self._publish_revoked(connection, account_id, [session_id for session_id, _ in ended], now)
            return [session_id for session_id, _ in ended]

        ended = await self._parts.database.write(work)
        for session_id in ended:
            self._book.drop(session_id)
        return ended

    def _make_room(self, connection: Connection, account_id: str, visitor: Visitor, now: float) -> tuple[str, ...]:
        """End the session that came with the visitor, and the longest unused ones beyond the limit."""
        live = tables.live_session_ids(connection, account_id, now, now - self._idle_seconds)
        surplus = live[self._parts.settings.sessions_per_account - 1 :]
        leaving = set(surplus) | ({visitor.replaces} if visitor.replaces else set())
        if not leaving:
            return ()
        ended = [one for one, _ in tables.revoke_sessions(connection, account_id, sorted(leaving), now)]
        self._publish_revoked(connection, account_id, ended, now)
        return tuple(ended)

    def _publish_revoked(self, connection: Connection, account_id: str, session_ids: list[str], now: float) -> None:
        events = [SessionRevoked(at=now, account_id=account_id, session_id=one) for one in session_ids]
        self._parts.outbox.publish(connection, *events)
