"""Honey records: accounts, keys and rows that nobody has an honest reason to use. Their use raises an incident.

1. An *account* is watched by its address: whoever tries to log in or to sign up with it has found it where the operator
   left it. A *key* is an API key that was never good. A *row* is an account that nobody is told of: its sealed values
   are opened only by somebody who opens everybody's. The vault tells when it is asked for such a person's key.
2. Whoever touches one gets the answer that anybody would get: the same code runs, and only then is it noted here.
3. Which records there are lies sealed in one row (`honey_tables`) and open in the memory of every node. Nodes look
   every few seconds whether the row has changed. There is no event about that on purpose: its moment beside the moment
   of an account's making would tell whoever reads the events which account is honey. The row is sealed anew every
   hour, so that its last change tells nothing either.
4. The first touch of a record is published at once; later ones are counted, and published at most once a minute on
   each node, so that nobody can flood the operator. While the database is away they wait in memory; the log has them.
5. An account is opened by each log-in under its address. So that this does not look like somebody who reads rows, being
   opened counts only where there was no log-in or sign-up within a minute before.
"""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Protocol

import structlog
from sqlalchemy import Connection

from doorward.hall.clock import Clock
from doorward.hall.doors import Shredder
from doorward.hall.errors import NotFoundError, SealBrokenError, ShreddedError, UnavailableError, VaultLockedError
from doorward.hall.events import HoneyTouched
from doorward.hall.hidden import Unprinted
from doorward.hall.ids import new_id
from doorward.hall.jobs import Job
from doorward.stores.outbox import Outbox
from doorward.stores.pump import Pump
from doorward.stores.sql import Database
from doorward.vault import honey_tables as rows
from doorward.vault.model import HoneyKind
from doorward.vault.service import Vault

PREFIX: Final = "hny"
UNSEALED: Final = "unsealed"
STREET: Final = "street"
_LOOK_SECONDS: Final = 5.0
_RESEAL_SECONDS: Final = 3_600.0
_SUMMARY_SECONDS: Final = 60.0
_OWN_LOOK_SECONDS: Final = 60.0

_log = structlog.get_logger("doorward.vault")


@dataclass(frozen=True, slots=True, repr=False)
class HoneyRecord(Unprinted):
    """One honey record. What does not belong to its kind is empty."""

    honey_id: str
    kind: str
    made_at: float  # Unix seconds
    note: str  # the operator's: where it was left
    email: str = ""
    account_id: str = ""
    mailbox: str = ""  # blind index, in hexadecimal
    subject: str = ""  # whose key seals what concerns the mailbox
    digest: str = ""  # of the API key, in hexadecimal


class Nursery(Protocol):
    """The accounts, as far as honey is made of them."""

    def address(self, wish: str) -> str:
        """The wished address, checked; or one that looks like anybody's.

        Raises:
            BadAddressError: it is not an address.
        """
        ...

    async def make_account(self, email: str, also: Callable[[Connection, str, bytes, str], None]) -> None:
        """Make an account as others are made. `also` runs in its transaction, with id, blind index and mailbox subject.

        Raises:
            ConflictError: the address has an account.
        """
        ...

    def make_key(self) -> tuple[str, bytes]:
        """The text of an API key that is nobody's, and its digest."""
        ...


@dataclass(frozen=True, slots=True)
class _Watched:
    """What this node looks out for: thing -> honey id."""

    records: dict[str, HoneyRecord]
    accounts: dict[str, str]
    mailboxes: dict[bytes, str]
    digests: dict[bytes, str]

    @classmethod
    def of(cls, records: list[HoneyRecord]) -> "_Watched":
        return cls(
            {one.honey_id: one for one in records},
            {one.account_id: one.honey_id for one in records if one.account_id},
            {bytes.fromhex(one.mailbox): one.honey_id for one in records if one.mailbox},
            {bytes.fromhex(one.digest): one.honey_id for one in records if one.digest},
        )


@dataclass(slots=True)
class _Touches:
    """What happened to one record and was not published yet."""

    count: int = 0
    where: str = ""
    quiet_until: float = 0.0
    used_at: float = float("-inf")


class Honey:
    """Knows the honey records of a house, and publishes what happens to them. One per process."""

    def __init__(self, vault: Vault, database: Database, outbox: Outbox, shredder: Shredder, clock: Clock) -> None:
        """Watch nothing before `load`."""
        self._vault = vault
        self._database = database
        self._outbox = outbox
        self._shredder = shredder
        self._clock = clock
        self._lock = threading.Lock()
        self._watched = _Watched.of([])
        self._envelope = b""
        self._touches: dict[str, _Touches] = {}
        self._unsent: list[tuple[HoneyRecord, str, int]] = []
        self._pump = Pump("doorward-honey", self.publish)
        self.touched = 0

    # --- what others report (nothing here waits or raises) ---

    @property
    def hidden(self) -> frozenset[str]:
        """Ids of the accounts that no list shows: who goes through a list does nothing wrong."""
        return frozenset(self._watched.accounts)

    def mailbox_seen(self, mailbox: bytes, where: str) -> None:
        """Somebody used an address; `mailbox` is its blind index, `where` is `login` or `signup`."""
        honey_id = self._watched.mailboxes.get(mailbox)
        if honey_id is not None:
            self._touch(honey_id, where)

    def credential_seen(self, digest: bytes) -> None:
        """Somebody showed a credential that is not in the book."""
        honey_id = self._watched.digests.get(digest)
        if honey_id is not None:
            self._touch(honey_id, STREET)

    def _unsealed(self, subject: str) -> None:
        honey_id = self._watched.accounts.get(subject)
        if honey_id is not None:
            self._touch(honey_id, UNSEALED)

    def _touch(self, honey_id: str, where: str) -> None:
        now = self._clock.now()
        with self._lock:
            touches = self._touches.setdefault(honey_id, _Touches())
            if where != UNSEALED:
                touches.used_at = now
            elif now - touches.used_at < _OWN_LOOK_SECONDS:  # 5
                return
            touches.where = touches.where or where
            touches.count += 1
            self.touched += 1
        self._pump.ring_from_thread()

    # --- publishing ---

    async def publish(self) -> float:
        """Publish what is due (rule 4); returns after how many seconds the next may be.

        Raises:
            StoreUnavailableError: the database is away; it is kept for the next time.
        """
        if not self._unsent:
            self._unsent = self._due()
        if self._unsent:
            now = self._clock.now()
            events = [
                HoneyTouched(at=now, honey_id=one.honey_id, kind=one.kind, where=where, count=count)
                for one, where, count in self._unsent
            ]
            await self._database.write(lambda connection: self._outbox.publish(connection, *events))
            self._unsent = []
        return self._next_in()

    def _due(self) -> list[tuple[HoneyRecord, str, int]]:
        now, records = self._clock.now(), self._watched.records
        with self._lock:
            self._touches = {name: one for name, one in self._touches.items() if name in records}
            due = [(name, one) for name, one in self._touches.items() if one.count and one.quiet_until <= now]
            found = [(records[name], one.where, one.count) for name, one in due]
            for _, one in due:
                one.count, one.where, one.quiet_until = 0, "", now + _SUMMARY_SECONDS
        for record, where, count in found:
            _log.warning("honey_touched", honey_id=record.honey_id, kind=record.kind, where=where, count=count)
        return found

    def _next_in(self) -> float:
        with self._lock:
            waiting = [one.quiet_until for one in self._touches.values() if one.count]
        return max(0.1, min(waiting) - self._clock.now()) if waiting else _SUMMARY_SECONDS

    # --- records ---

    async def load(self) -> None:
        """Read the records, and make their row where there is none yet.

        Where somebody has changed or deleted the row, the log says so and what was watched before is watched on: the
        service does not stop for that.

        Raises:
            StoreUnavailableError: the database is away. VaultLockedError: there is no key.
        """
        envelope = await self._database.read(rows.envelope)
        if envelope == self._envelope and envelope:
            return
        if not envelope and self._envelope:
            _log.error("honey_unreadable", reason="deleted")
            return
        if not envelope:
            await self._database.write(rows.create)

        def work(connection: Connection) -> tuple[bytes, list[HoneyRecord]]:
            return rows.envelope(connection), _records(rows.read(connection))

        try:
            self._envelope, records = await self._database.read(work)
        except (SealBrokenError, ShreddedError) as error:
            _log.error("honey_unreadable", reason=error.code)
            return
        self._watch(records)

    async def records(self) -> list[HoneyRecord]:
        """All records, the oldest first."""
        return await self._database.read(lambda connection: _records(rows.read(connection)))

    async def plant_account(self, kind: HoneyKind, nursery: Nursery, email: str, note: str) -> HoneyRecord:
        """Make a honey account or a honey row.

        Raises:
            BadAddressError, ConflictError: of the address. HoneyFullError: there is no room for more.
        """
        blank = HoneyRecord(_new_id(), kind, self._clock.now(), note, nursery.address(email))
        made = blank

        def also(connection: Connection, account_id: str, mailbox: bytes, subject: str) -> None:
            nonlocal made
            made = replace(blank, account_id=account_id, mailbox=mailbox.hex(), subject=subject)
            _add(connection, made)

        await nursery.make_account(blank.email, also)
        await self.load()
        return made

    async def plant_key(self, nursery: Nursery, note: str) -> tuple[HoneyRecord, str]:
        """Make a honey key; returns it and its text, which nobody can tell again.

        Raises:
            HoneyFullError: there is no room for more.
        """
        text, digest = nursery.make_key()
        made = HoneyRecord(_new_id(), HoneyKind.KEY, self._clock.now(), note, digest=digest.hex())
        await self._database.write(lambda connection: _add(connection, made))
        await self.load()
        return made, text

    async def remove(self, honey_id: str) -> HoneyRecord:
        """Take a record away, and its account with everything about it: that is shredded like a person.

        Raises:
            NotFoundError: there is no such record.
        """

        def work(connection: Connection) -> HoneyRecord:
            records = rows.read(connection, to_change=True)
            gone = next((one for one in _records(records) if one.honey_id == honey_id), None)
            if gone is None:
                raise NotFoundError("There is no such honey record.")
            rows.write(connection, [one for one in records if one["honey_id"] != honey_id])
            if gone.account_id:
                self._shredder.shred(connection, [gone.account_id, gone.subject], "operator")
            return gone

        gone = await self._database.write(work)
        await self.load()
        return gone

    async def reseal(self) -> None:
        """Seal the records anew (rule 3)."""
        await self._database.write(lambda connection: rows.write(connection, rows.read(connection, to_change=True)))

    def _watch(self, records: list[HoneyRecord]) -> None:
        self._watched = _Watched.of(records)
        self._vault.watch(self.hidden, self._unsealed)

    # --- the house ---

    def start(self) -> None:
        """Begin to publish."""
        self._pump.start()

    async def close(self) -> None:
        """End, and publish what is left."""
        await self._pump.stop()
        try:
            await self.publish()
        except UnavailableError as error:
            _log.warning("honey_not_published", code=error.code)

    def jobs(self) -> list[Job]:
        """The recurring work."""
        return [
            Job("vault.honey.look", _LOOK_SECONDS, self._look, on_each_node=True),
            Job("vault.honey.reseal", _RESEAL_SECONDS, self.reseal),
        ]

    def figures(self) -> dict[str, float]:
        """Numbers for the metrics."""
        return {"vault_honey_touches_total": float(self.touched)}

    async def _look(self) -> None:
        try:
            await self.load()
        except VaultLockedError:  # what was watched before is watched on
            return


def _new_id() -> str:
    return new_id(PREFIX, 0.0)  # no moment can be read from it


def _records(found: list[dict[str, Any]]) -> list[HoneyRecord]:
    return [HoneyRecord(**one) for one in found]


def _add(connection: Connection, made: HoneyRecord) -> None:
    rows.write(connection, [*rows.read(connection, to_change=True), asdict(made)])
