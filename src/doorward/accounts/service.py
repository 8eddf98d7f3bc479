"""The accounts: everything that the rest of the house asks of this room."""

import hmac

import structlog
from sqlalchemy import Connection

from doorward.accounts import credential_tables, passwords, tables
from doorward.accounts.book import Book
from doorward.accounts.confirmations import Confirmations
from doorward.accounts.decoys import Decoys
from doorward.accounts.deletion import Deletion
from doorward.accounts.hashing import Hasher
from doorward.accounts.keys import Keys
from doorward.accounts.login import Login
from doorward.accounts.mailing import Mailing
from doorward.accounts.model import Account
from doorward.accounts.parts import AccountsParts
from doorward.accounts.sessions import Sessions
from doorward.accounts.signup import Signup
from doorward.accounts.welcome import Welcome
from doorward.hall.errors import NotFoundError, TooManyError
from doorward.hall.events import KeyCreated, KeyRevoked, LaneChanged, SessionRevoked, SessionStarted
from doorward.hall.jobs import Job
from doorward.hall.model import Conduct, Lane, Standing

_DAY = 86_400.0
_KEPT_AFTER_END_SECONDS = 30 * _DAY
_PENDING_KEPT_SECONDS = _DAY
_PROOFS_PER_MINUTE = 300
_PROOFS_PER_KEY_PER_MINUTE = 10
_HOUR = 3600.0

_log = structlog.get_logger("doorward.accounts")


class Accounts:
    """Answers `StandingBook` (through `book`) and `Admissions`; its verbs stand behind the pages and the API."""

    def __init__(self, parts: AccountsParts) -> None:
        """Build the verbs and listen to what other nodes do. Call `load` before serving."""
        settings = parts.settings
        self.parts = parts
        self.book = Book(
            parts.database,
            parts.clock,
            idle_seconds=settings.session_idle_days * _DAY,
            limit=settings.snapshot_limit,
            recalls=settings.recalls_per_second,
            missed=parts.tripwire.credential_seen,
        )
        self.hasher = Hasher(
            memory_kib=settings.hash_memory_kib,
            passes=settings.hash_passes,
            threads=settings.hash_threads,
            queue=settings.hash_queue,
        )
        self.mailing = Mailing(parts)
        self.sessions = Sessions(parts, self.book)
        self.keys = Keys(parts, self.book)
        confirmations = Confirmations(parts, self.mailing)
        self.signup = Signup(parts, self.sessions, confirmations, self.mailing, self.hasher)
        self.login = Login(parts, self.sessions, confirmations, self.mailing, self.hasher)
        self.welcome = Welcome(parts, self.book, self.sessions, confirmations)
        self.deletion = Deletion(parts, self.book, confirmations, self.mailing, self.hasher)
        self.decoys = Decoys(parts, self.sessions, self.hasher)
        self._listen()

    async def load(self) -> None:
        """Fill the book, and read the word lists once, so that no request has to wait for them."""
        passwords.common_words()
        self.book.tick()
        entries = await self.book.load()
        _log.info("book_loaded", entries=entries)

    def close(self) -> None:
        """Let the hash threads end."""
        self.hasher.close()

    def jobs(self) -> list[Job]:
        """The recurring work of this room."""
        return [
            Job("accounts.clock", 1.0, self._tick, on_each_node=True),
            Job("accounts.use", 300.0, self.book.write_use, on_each_node=True),
            Job("accounts.brake", 10.0, self.mailing.look, on_each_node=True),
            Job("accounts.prune", 300.0, self._prune, on_each_node=True),
            Job("accounts.purge", _HOUR, self.purge),
        ]

    def figures(self) -> dict[str, float]:
        """Numbers for the metrics."""
        return {
            "accounts_book_entries": float(len(self.book)),
            "accounts_book_recalls_total": float(self.book.recalled),
            "accounts_confirmed_total": float(self.signup.made),
            "accounts_deleted_total": float(self.deletion.deleted),
            "accounts_logins_wrong_total": float(self.login.wrong),
            "accounts_hash_waiting": float(self.hasher.waiting),
            "accounts_hash_turned_away_total": float(self.hasher.turned_away),
            "accounts_mail_brake_on": float(self.mailing.brake.on),
        }

    # --- StandingBook ---

    def standing_of(self, credential: bytes) -> Standing | None:
        """See `Book.standing_of`."""
        return self.book.standing_of(credential)

    async def recall(self, credential: bytes) -> Standing | None:
        """See `Book.recall`."""
        return await self.book.recall(credential)

    # --- Admissions ---

    async def probationers(self, created_before: float, limit: int) -> list[str]:
        """Ids of accounts on probation made before `created_before` (Unix seconds), oldest first."""
        return await self.parts.database.read(lambda c: tables.probationers(c, created_before, limit))

    async def conduct_of(self, account_ids: list[str]) -> list[Conduct]:
        """How these accounts have behaved."""
        known = await self.parts.database.read(lambda c: tables.list_accounts(c, "", len(account_ids), account_ids))
        found = []
        for account in known:
            usage = await self.parts.meter.usage_of(account.account_id, account.lane)
            found.append(
                Conduct(
                    account_id=account.account_id,
                    created_at=account.created_at,
                    requests_ok=usage.requests_ok,
                    requests_refused=usage.requests_refused,
                    active_days=usage.active_days,
                )
            )
        return found

    async def move_lane(self, account_ids: list[str], lane: Lane, reason: str) -> int:
        """Move accounts to a lane; returns how many moved."""
        now = self.parts.clock.now()

        def work(connection: Connection) -> list[str]:
            moved = tables.set_lane(connection, account_ids, lane)
            events = [
                LaneChanged(at=now, account_id=account_id, from_lane=former, to_lane=lane, reason=reason)
                for account_id, former in moved
            ]
            self.parts.outbox.publish(connection, *events)
            return [account_id for account_id, _ in moved]

        moved = await self.parts.database.write(work)
        await self.book.renew(moved)
        return len(moved)

    # --- administration ---

    async def account(self, account_id: str) -> Account:
        """An account by its id.

        Raises:
            NotFoundError: there is none.
        """
        found = await self.parts.database.read(lambda c: tables.account_of_id(c, account_id))
        if found is None:
            raise NotFoundError("There is no such account.")
        return found

    async def account_of_mailbox(self, mailbox: bytes) -> Account | None:
        """The account of a mailbox (its blind index, see `entrance.mailbox_index`)."""
        known = await self.parts.database.read(lambda c: tables.account_of_mailbox(c, mailbox))
        return None if known is None else known.account

    async def newest(self, after: str = "", limit: int = 50) -> list[Account]:
        """Accounts, newest first, from behind the id `after`; without honey."""
        hidden = self.parts.tripwire.hidden
        return await self.parts.database.read(lambda c: tables.list_accounts(c, after, limit, hidden=hidden))

    async def count(self) -> dict[str, int]:
        """How many accounts each lane has; without honey."""
        hidden = self.parts.tripwire.hidden
        return await self.parts.database.read(lambda c: tables.count_accounts(c, hidden))

    async def has_admin(self) -> bool:
        """Whether there is an administrator yet."""
        return await self.parts.database.read(tables.has_admin)

    async def operator_proof(self, key_id: str, nonce: str) -> str:
        """HMAC-SHA-256 over `nonce` with the digest of an administrator's key, in hexadecimal.

        Somebody who holds the key can so make sure that this service is the one that issued it, without sending it.

        Raises:
            NotFoundError: no such key, or not an administrator's. TooManyError: asked too often.
        """
        wait = await self._wait_for_proof(key_id)
        if wait:
            raise TooManyError(retry_after_seconds=int(wait) + 1)
        now = self.parts.clock.now()
        digest = await self.parts.database.read(lambda c: credential_tables.admin_key_digest(c, key_id, now))
        if digest is None:
            raise NotFoundError("There is no such key.")
        return hmac.digest(digest, nonce.encode(), "sha256").hex()

    async def _wait_for_proof(self, key_id: str) -> float:
        """Seconds to wait: one budget for everybody, and one for the key, so that nobody can use up another's."""
        take = self.parts.counters.take
        for key, rate in (("", _PROOFS_PER_MINUTE), (f":{key_id}", _PROOFS_PER_KEY_PER_MINUTE)):
            wait = await take(f"accounts.operator_proof{key}", rate / 60, rate)
            if wait:
                return wait
        return 0.0

    async def purge(self) -> None:
        """Delete what has ended long ago."""
        now = self.parts.clock.now()

        def work(connection: Connection) -> int:
            gone = tables.purge_pending(connection, now - _PENDING_KEPT_SECONDS)
            return gone + credential_tables.purge_credentials(connection, now - _KEPT_AFTER_END_SECONDS)

        gone = await self.parts.database.write(work)
        if gone:
            _log.info("accounts_purged", rows=gone)

    async def _tick(self) -> None:
        self.book.tick()

    async def _prune(self) -> None:
        self.book.prune()

    def _listen(self) -> None:
        bus = self.parts.bus
        bus.on_each_node(SessionStarted, self._hear_session)
        bus.on_each_node(SessionRevoked, self._hear_session_end)
        bus.on_each_node(KeyCreated, self._hear_key)
        bus.on_each_node(KeyRevoked, self._hear_key_end)
        bus.on_each_node(LaneChanged, self._hear_lane)

    async def _hear_session(self, event: SessionStarted) -> None:
        await self.book.hear(event.session_id, is_key=False)

    async def _hear_session_end(self, event: SessionRevoked) -> None:
        self.book.drop(event.session_id)

    async def _hear_key(self, event: KeyCreated) -> None:
        await self.book.hear(event.key_id, is_key=True)

    async def _hear_key_end(self, event: KeyRevoked) -> None:
        self.book.drop(event.key_id)

    async def _hear_lane(self, event: LaneChanged) -> None:
        await self.book.renew([event.account_id])
