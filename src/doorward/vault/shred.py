"""Shredding: destroys a person's data keys, and with them everything that is sealed under them, wherever a copy lies.

1. `shred` runs in the transaction of whoever deletes a person: all versions of their data keys go, every room's rows
   about them go (its forget function, which the house hands in), and a signed receipt and an event are written.
2. The list beside the key ring outlives the database. It is written before the person is told that all is done, by
   every node when it hears the event, and again at each start from the rows, so that no crash leaves a gap for long.
3. A database that was put back from an old backup lacks shreds that the list has: they are done again (`replay`), at
   the latest when the house opens, before anybody can read a row. What was made after a shred stays: somebody who came
   back is a new person with a new key.
4. Deleted rows are overwritten (SQLite) or dead (PostgreSQL); copies in the log go within seconds by `clear`, and only
   then does the receipt say `cleared_at`. See docs/adr for what each database keeps, and for how long.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from doorward.hall.bus import Bus
from doorward.hall.clock import Clock
from doorward.hall.errors import VaultLockedError
from doorward.hall.events import PersonShredded
from doorward.hall.ids import new_id
from doorward.hall.jobs import Job
from doorward.hall.model import ShredReceipt
from doorward.stores.after_commit import after_commit
from doorward.stores.outbox import Outbox
from doorward.stores.sql import Database
from doorward.vault import shred_tables as rows
from doorward.vault.errors import ShredListError
from doorward.vault.receipts import document_of, public_key_of, receipt_from, signed
from doorward.vault.service import Vault
from doorward.vault.shred_list import Shred, ShredList
from doorward.vault.tables import data_keys

Forget = Callable[[Connection, Sequence[str], float], dict[str, int]]
"""Deletes a room's rows about these subjects that were made until then; returns table -> number of rows."""

PREFIX: Final = "shr"
_CLEAR_EVERY_SECONDS: Final = 5.0
_LIST_EVERY_SECONDS: Final = 30.0
_OVERLAP_SECONDS: Final = 3_600.0  # how far clocks of nodes, and a slow transaction, may be apart
_AT_ONCE: Final = 200
_log = structlog.get_logger("doorward.vault")


class Shredding:
    """Answers `hall.doors.Shredder`. `forgets` is filled by the house before anything is shredded."""

    def __init__(self, vault: Vault, database: Database, outbox: Outbox, clock: Clock, kept: ShredList | None) -> None:
        """`kept`: the list that outlives the database; None for a database in memory."""
        self._vault = vault
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._kept = kept
        self._listed_until = 0.0
        self._has_old_pages = False
        self.forgets: Sequence[Forget] = ()

    @property
    def public_key(self) -> str:
        """The key that verifies receipts, in hexadecimal."""
        return public_key_of(self._vault.ring)

    def hear(self, bus: Bus) -> None:
        """Drop keys at once that another node (or this one) has destroyed, and write this node's list."""
        bus.on_each_node(PersonShredded, self._hear)

    async def load(self) -> None:
        """Bring rows and list together: do again what the rows lack, and write down what the list lacks.

        Raises:
            ShredListError: the list is damaged, cut, or cannot be written; nothing was changed.
        """
        if self._kept is not None:
            kept = await asyncio.to_thread(self._kept.read)
            done = await self._database.write(lambda connection: replay(connection, kept, self.forgets))
            if done:
                _log.warning("shreds_replayed", shreds=done)
                self._vault.data_keys.forget()
                self._has_old_pages = True
        await self._write_list()

    # --- Shredder ---

    def shred(self, connection: Connection, subjects: Sequence[str], reason: str) -> ShredReceipt:
        """See `Shredder.shred`."""
        names = tuple(dict.fromkeys(subjects))
        now = self._clock.now()
        at = max(now, rows.newest_key(connection, names))  # a node whose clock is ahead may have made the key
        destroyed = _forgotten(connection, names, float("inf"), self.forgets)
        destroyed[data_keys.name] = rows.destroy_keys(connection, names, at)
        receipt = signed(
            self._vault.ring,
            ShredReceipt(
                receipt_id=new_id(PREFIX, now), ring_id=self._vault.ring.ring_id, subjects=names, shredded_at=at,
                reason=reason, destroyed=destroyed,
            ),
        )  # fmt: skip
        rows.add_shreds(connection, receipt.receipt_id, names, at)
        rows.add_receipt(connection, receipt.receipt_id, at, document_of(receipt))
        fact = PersonShredded(at=now, receipt_id=receipt.receipt_id, subjects=list(names), reason=reason)
        self._outbox.publish(connection, fact)
        after_commit(connection, partial(self._vault.data_keys.forget, names))
        return receipt

    async def settled(self, receipt: ShredReceipt) -> ShredReceipt:
        """See `Shredder.settled`."""
        await self._write_list_or_log()
        document = await self._database.read(lambda connection: rows.receipt_of(connection, receipt.receipt_id))
        return receipt if document is None else receipt_from(document)

    # --- the house ---

    async def clear(self) -> int:
        """Have old pages overwritten, and complete the receipts that waited for it; returns how many."""
        documents = await self._database.read(lambda connection: rows.uncleared(connection, _AT_ONCE))
        if not documents and not self._has_old_pages:
            return 0
        waiting = [receipt_from(document) for document in documents]
        await self._write_list()  # a receipt must not say that all is done before the list says it too
        if not await self._database.clear_old_pages(_tables_of(waiting)):
            return 0
        self._has_old_pages = False
        now, ring = self._clock.now(), self._vault.ring
        done = [signed(ring, replace(one, cleared_at=max(now, one.shredded_at))) for one in waiting]

        def work(connection: Connection) -> None:
            for one in done:
                rows.clear_receipt(connection, one.receipt_id, one.cleared_at or now, document_of(one))

        await self._database.write(work)
        return len(done)

    async def overview(self) -> tuple[int, ShredReceipt | None]:
        """How many people were shredded, and the last receipt."""

        def work(connection: Connection) -> tuple[int, str | None]:
            return rows.count_shreds(connection), rows.newest_receipt(connection)

        number, document = await self._database.read(work)
        return number, None if document is None else receipt_from(document)

    def jobs(self) -> list[Job]:
        """The recurring work of shredding."""
        return [
            Job("vault.shred.clear", _CLEAR_EVERY_SECONDS, self._clear),
            Job("vault.shred.list", _LIST_EVERY_SECONDS, self._write_list_or_log, on_each_node=True),
        ]

    async def _clear(self) -> None:
        await self.clear()

    async def _hear(self, event: PersonShredded) -> None:
        self._vault.data_keys.forget(event.subjects)
        await self._write_list_or_log()

    async def _write_list_or_log(self) -> None:
        try:
            await self._write_list()
        except (
            ShredListError,
            VaultLockedError,
        ) as error:  # the rows have it: the job tries again, and the receipt stays open
            _log.error("shred_list_not_written", code=error.code, error=error.message)

    async def _write_list(self) -> None:
        if self._kept is None:
            return
        since = self._listed_until - _OVERLAP_SECONDS
        found = await self._database.read(lambda connection: rows.shreds_since(connection, since))
        shreds = [Shred(receipt_id, at, subjects) for receipt_id, at, subjects in found]
        if shreds:
            await asyncio.to_thread(self._kept.append, shreds)
            self._listed_until = max(self._listed_until, shreds[-1].shredded_at)


def replay(connection: Connection, shreds: Iterable[Shred], forgets: Sequence[Forget] = ()) -> int:
    """Do those shreds again that the rows lack, in the running transaction; returns how many there were.

    Keys and rows that were made after a shred stay.
    """
    wanted = list(shreds)
    known = rows.known_receipts(connection, [one.receipt_id for one in wanted])
    missing = [one for one in wanted if one.receipt_id not in known]
    for one in missing:
        _forgotten(connection, one.subjects, one.shredded_at, forgets)
        rows.destroy_keys(connection, one.subjects, one.shredded_at)
        rows.add_shreds(connection, one.receipt_id, one.subjects, one.shredded_at)
    return len(missing)


def _forgotten(
    connection: Connection, subjects: Sequence[str], until: float, forgets: Sequence[Forget]
) -> dict[str, int]:
    gone: dict[str, int] = {}
    for forget in forgets:
        for table, count in forget(connection, subjects, until).items():
            gone[table] = gone.get(table, 0) + count
    return gone


def _tables_of(receipts: Iterable[ShredReceipt]) -> list[str]:
    touched = {table for one in receipts for table, count in one.destroyed.items() if count}
    return sorted(touched | {data_keys.name})
