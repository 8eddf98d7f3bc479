"""The book of standings: everybody who belongs, in memory.

1. A look-up is one SHA-256, one dictionary access and one comparison with a coarse clock that the house moves on once
   a second. It asks nobody, so it also answers while the database is away.
2. The book is filled at start and kept current by the facts that sessions and keys publish, on every node.
3. It is bounded: beyond the limit the oldest entry makes room, and comes back when it is used (`recall`).
4. A well-formed credential that is not in the book may be looked up in the database, within a budget, and a wrong one
   only once in a while: guessing costs the guesser, not the database.
5. Which credentials were used is noted here and written down every few minutes.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final

from doorward.accounts import credential_tables as tables
from doorward.accounts.credential_tables import Entry, Moment
from doorward.accounts.errors import RecallBudgetError
from doorward.accounts.tokens import kind_of
from doorward.hall.clock import Clock
from doorward.hall.model import Standing
from doorward.stores.gcra import take
from doorward.stores.sql import Database

_REMEMBERED_WRONG: Final = 20_000
_REMEMBERED_REVOKED: Final = 100_000
_WRONG_SECONDS: Final = 30.0


class Book:
    """Answers `StandingBook`. One per process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        idle_seconds: float,
        limit: int,
        recalls: int,
        missed: Callable[[bytes], None] | None = None,
    ) -> None:
        """Begin empty. `limit`: entries; `recalls`: look-ups per second in the database.

        `missed` is told the digest of each well-formed credential that is not in the book.
        """
        self._database = database
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._limit = limit
        self._recalls = recalls
        self._missed = missed
        self._standings: dict[bytes, Standing] = {}
        self._digests: dict[str, bytes] = {}  # credential id -> digest, to find what a fact names
        self._used: set[bytes] = set()
        self._wrong: OrderedDict[bytes, float] = OrderedDict()  # digest -> until when it is not looked up again
        self._revoked: OrderedDict[str, None] = OrderedDict()  # credential ids that a slow read must not bring back
        self._budget_full_at = 0.0
        self._now = clock.now()
        self.recalled = 0

    def __len__(self) -> int:
        return len(self._standings)

    def standing_of(self, credential: bytes) -> Standing | None:
        """The standing of a session token or API key in the book; None if it is not there, or has ended."""
        digest = sha256(credential).digest()
        standing = self._standings.get(digest)
        if standing is None or standing.expires_at <= self._now:
            return None
        self._used.add(digest)
        return standing

    async def recall(self, credential: bytes) -> Standing | None:
        """Look in the database for a well-formed credential that the book lacks (or believes to have ended).

        Raises:
            RecallBudgetError: too many such look-ups at this moment.
            StoreUnavailableError: the database is away, so nobody can say whether the credential is good.
        """
        if kind_of(credential) is None:
            return None
        digest = sha256(credential).digest()
        if self._missed is not None:
            self._missed(digest)
        now = self._clock.now()
        if self._wrong.get(digest, 0.0) > now:
            return None
        wait, self._budget_full_at = take(self._budget_full_at, now, self._recalls, self._recalls, 1)
        if wait:
            raise RecallBudgetError(retry_after_seconds=int(wait) + 1)
        self.recalled += 1
        moment = self._moment()
        found = await self._database.read(lambda connection: tables.standings_of_digests(connection, moment, [digest]))
        if not found:
            self._remember_wrong(digest, now)
            return None
        self.put(*found[0])
        self._used.add(digest)
        return found[0][1]

    async def load(self) -> int:
        """Fill the book from the database, the last used first; returns how many entries it has."""
        moment, limit = self._moment(), self._limit
        entries = await self._database.read(lambda connection: tables.standings(connection, moment, limit))
        for digest, standing in reversed(entries[:limit]):  # the last used is put last, and leaves last
            self.put(digest, standing)
        return len(self)

    def put(self, digest: bytes, standing: Standing) -> None:
        """Enter or renew a standing; not one that was revoked while it was being read."""
        if standing.credential_id in self._revoked:
            return
        if digest not in self._standings and len(self._standings) >= self._limit:
            self._drop_digest(next(iter(self._standings)))
        self._standings[digest] = standing
        self._digests[standing.credential_id] = digest
        self._wrong.pop(digest, None)

    def put_all(self, entries: Iterable[Entry]) -> None:
        """Enter or renew standings."""
        for digest, standing in entries:
            self.put(digest, standing)

    def drop(self, credential_id: str) -> None:
        """Strike out a revoked session or key, for good."""
        self._revoked[credential_id] = None
        if len(self._revoked) > _REMEMBERED_REVOKED:
            self._revoked.popitem(last=False)
        digest = self._digests.get(credential_id)
        if digest is not None:
            self._drop_digest(digest)

    def tick(self) -> None:
        """Move the coarse clock on: call it once a second."""
        self._now = self._clock.now()

    async def write_use(self) -> None:
        """Write down which credentials were used since the last time, and renew how long they may lie unused."""
        used, self._used = self._used, set()
        if not used:
            return
        moment = self._moment()
        try:
            await self._database.write(lambda connection: tables.note_use(connection, used, moment.now))
        except Exception:
            self._used |= used
            raise
        self.put_all(
            await self._database.read(lambda connection: tables.standings_of_digests(connection, moment, used))
        )

    async def renew(self, account_ids: list[str]) -> None:
        """Read the credentials of accounts anew: their lane or role has changed."""
        moment = self._moment()
        entries = await self._database.read(
            lambda connection: tables.standings_of_accounts(connection, moment, account_ids)
        )
        self.put_all(entries)

    async def hear(self, credential_id: str, *, is_key: bool) -> None:
        """Enter a session or key that another node (or this one) has made."""
        if credential_id in self._digests:
            return
        moment, find = self._moment(), tables.standing_of_key if is_key else tables.standing_of_session
        entry = await self._database.read(lambda connection: find(connection, moment, credential_id))
        if entry is not None:
            self.put(*entry)

    def prune(self) -> None:
        """Strike out what has ended."""
        ended = [digest for digest, standing in self._standings.items() if standing.expires_at <= self._now]
        for digest in ended:
            self._drop_digest(digest)

    def _drop_digest(self, digest: bytes) -> None:
        standing = self._standings.pop(digest)
        self._digests.pop(standing.credential_id, None)
        self._used.discard(digest)

    def _remember_wrong(self, digest: bytes, now: float) -> None:
        self._wrong[digest] = now + _WRONG_SECONDS
        if len(self._wrong) > _REMEMBERED_WRONG:
            self._wrong.popitem(last=False)

    def _moment(self) -> Moment:
        return Moment(self._clock.now(), self._idle_seconds)
