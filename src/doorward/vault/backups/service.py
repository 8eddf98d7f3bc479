"""Backups that make and try themselves.

1. Every worker looks each minute whether a backup or a drill is due: the rows say when the last ones were, of whichever
   node. Who gets the lease does it and prolongs the lease while it lasts; the others see later that it is done.
2. The work runs in a thread of its own at the lowest priority, so that whoever is served comes first.
3. After a backup the old ones go that nobody needs (`retention`). After a failure it is tried again within the hour.
4. A drill takes the newest backup of this node's directory. Backups for age recipients cannot be opened here: theirs is
   `doorward verify --drill --identity`, on the machine that has the identity.
5. A node that is told to stop gives its work up between two pieces; nothing of it is left, and the next start looks
   again.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection

from doorward.hall.clock import Clock
from doorward.hall.errors import DoorwardError, UnavailableError
from doorward.hall.events import BackupFailed, BackupFinished, DrillFailed, DrillPassed, Event
from doorward.hall.ids import new_id
from doorward.hall.jobs import Job
from doorward.stores.outbox import Outbox
from doorward.stores.sql import Database
from doorward.vault.backups import tables as rows
from doorward.vault.backups.errors import BackupError
from doorward.vault.backups.making import Made, make, source_for
from doorward.vault.backups.recipients import RING, RingRecipient
from doorward.vault.backups.restoring import Drilled, drill
from doorward.vault.backups.retention import doomed, name_at, own_backups
from doorward.vault.backups.settings import BackupSettings
from doorward.vault.backups.tables import BACKUP, DONE, DRILL, Run
from doorward.vault.model import BackupsPanel
from doorward.vault.service import Vault

T = TypeVar("T")

_PATIENT: Final = 19
_LOOK_SECONDS: Final = 60.0
_LEASE_SECONDS: Final = 300.0
_PROLONG_SECONDS: Final = 60.0
_HOUR_SECONDS: Final = 3_600.0
_DAY_SECONDS: Final = 86_400.0
_REMEMBERED_SECONDS: Final = 400 * _DAY_SECONDS
_DETAIL_CHARACTERS: Final = 300
_log = structlog.get_logger("doorward.vault")


class BackupStoppedError(UnavailableError):
    """The backup was given up because the service stops; the next start makes one if it is due."""

    code = "vault.backup_stopped"
    advice = "Nothing is to be done."


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupParts:
    """What backups stand on. `node` names this process among those that may make them."""

    settings: BackupSettings
    database_url: str = field(repr=False)  # may hold a password
    directory: Path
    vault: Vault
    database: Database
    outbox: Outbox
    clock: Clock
    node: str


class Backups:
    """The backups of this instance."""

    def __init__(self, parts: BackupParts) -> None:
        """Begin; nothing is made before `look`, `back_up` or `drill`."""
        self._parts = parts
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="backup", initializer=_be_patient)
        self._is_stopping = False
        self._is_running = False
        self._ended: Counter[str] = Counter()
        self._last: dict[str, Run] = {}

    # --- the house ---

    def jobs(self) -> list[Job]:
        """The recurring work; none for a database in memory."""
        settings = self._parts.settings
        if self._parts.database.is_in_memory or not (settings.every_hours or settings.drill_every_days):
            return []
        return [Job("vault.backup.due", _LOOK_SECONDS, self.look)]

    def figures(self) -> dict[str, float]:
        """Numbers for the metrics; moments are Unix seconds."""
        figures = {f"vault_{name}": float(count) for name, count in self._ended.items()}
        figures["vault_backup_running"] = float(self._is_running)
        if BACKUP in self._last:
            figures["vault_backup_last_bytes"] = float(self._last[BACKUP].size_bytes)
        for kind, run in self._last.items():
            figures[f"vault_{kind}_last_seconds"] = run.ended_at
        return figures

    async def overview(self) -> BackupsPanel:
        """What the console shows.

        Raises:
            StoreUnavailableError: the database is away.
        """

        def work(connection: Connection) -> tuple[Run | None, Run | None]:
            return rows.last_run(connection, BACKUP, DONE), rows.last_run(connection, DRILL)

        made, tried = await self._parts.database.read(work)
        return BackupsPanel(
            made_at=made.began_at if made else None,
            size_bytes=made.size_bytes if made else 0,
            drilled_at=tried.ended_at if tried else None,
            drill_failed=tried is not None and not tried.is_done,
        )

    async def stop(self) -> None:
        """Give up what is at work, and return when it has ended."""
        self._is_stopping = True
        await asyncio.to_thread(self._pool.shutdown)

    # --- the schedule ---

    async def look(self) -> None:
        """Make a backup if one is due, and try one if that is due; failures are told and logged, and raise nothing.

        Raises:
            StoreUnavailableError: the database is away.
        """
        settings = self._parts.settings
        if await self._is_due(BACKUP, settings.every_hours * _HOUR_SECONDS, _HOUR_SECONDS):
            await self.back_up()
        if await self._is_due(DRILL, settings.drill_every_days * _DAY_SECONDS, _DAY_SECONDS):
            await self.drill()

    async def back_up(self) -> Run | None:
        """Make a backup now, and delete those that need not be kept; None if another process is at it.

        Raises:
            StoreUnavailableError: the database is away. BackupStoppedError: the service stops.
        """
        async with self._leased() as is_ours:
            if not is_ours:
                return None
            began = self._parts.clock.now()
            try:
                made = await self._in_thread(lambda: self._make(began))
            except BackupStoppedError:
                raise
            except DoorwardError as error:
                _log.error("backup_failed", code=error.code, reason=error.message)
                fact = BackupFailed(at=self._parts.clock.now(), reason=error.code, detail=_short(error))
                return await self._ended_with(self._run(BACKUP, began, error.code), fact)
            name = Path(made.path).name
            run = replace(self._run(BACKUP, began, DONE, name), size_bytes=made.size_bytes, rows_bytes=made.rows_bytes)
            done = BackupFinished(
                at=run.ended_at, file=name, size_bytes=made.size_bytes, rows_bytes=made.rows_bytes,
                seconds=made.seconds,
            )  # fmt: skip
            await self._ended_with(run, done)
            await self._delete_old_ones()
            return run

    async def drill(self) -> Run | None:
        """Bring the newest backup back into a scratch database, and compare; None if there is none to try.

        Raises:
            StoreUnavailableError: the database is away. BackupStoppedError: the service stops.
        """
        async with self._leased() as is_ours:
            path = await asyncio.to_thread(self._newest) if is_ours else None
            if path is None:
                return None
            began = self._parts.clock.now()
            try:
                done = await self._in_thread(lambda: self._drilled(path))
            except BackupStoppedError:
                raise
            except DoorwardError as error:
                _log.error("drill_failed", code=error.code, reason=error.message, file=path.name)
                fact = DrillFailed(at=self._parts.clock.now(), file=path.name, reason=error.code, detail=_short(error))
                return await self._ended_with(self._run(DRILL, began, error.code, path.name), fact)
            run = self._run(DRILL, began, DONE, path.name)
            passed = DrillPassed(
                at=run.ended_at, file=path.name, tables=done.tables, rows=done.rows, seconds=done.seconds
            )
            return await self._ended_with(run, passed)

    async def _is_due(self, kind: str, every_seconds: float, pause_seconds: float) -> bool:
        if not every_seconds:
            return False

        def work(connection: Connection) -> tuple[Run | None, Run | None]:
            return rows.last_run(connection, kind, DONE), rows.last_run(connection, kind)

        good, last = await self._parts.database.read(work)
        now = self._parts.clock.now()
        if good is not None:
            self._last[kind] = good
            if now < good.began_at + every_seconds:
                return False
        return last is None or last.is_done or now >= last.began_at + min(pause_seconds, every_seconds)

    # --- in the thread ---

    def _make(self, now: float) -> Made:
        parts = self._parts
        source = source_for(parts.database_url, parts.vault.ring, parts.settings)
        return make(source, parts.directory / name_at(now), now, overwrites=True, tell=self._go_on)

    def _drilled(self, path: Path) -> Drilled:
        key = RingRecipient(self._parts.vault.ring)
        return drill(path, key, self._parts.database_url, tell=self._go_on)

    def _newest(self) -> Path | None:
        found = own_backups(self._parts.directory, self._parts.vault.ring.ring_id)
        return next((one.path for one in reversed(found) if one.opened_by == RING), None)

    def _go_on(self, _done: int, _total: int) -> None:
        if self._is_stopping:
            raise BackupStoppedError

    def _delete(self, proved: str) -> int:
        gone = doomed(own_backups(self._parts.directory, self._parts.vault.ring.ring_id), self._parts.settings, proved)
        for one in gone:
            one.path.unlink(missing_ok=True)
        return len(gone)

    # --- around it ---

    async def _in_thread(self, work: Callable[[], T]) -> T:
        self._is_running = True
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except OSError as error:
            raise BackupError(f"The directory of backups cannot be used: {error.strerror}.") from error
        finally:
            self._is_running = False

    @asynccontextmanager
    async def _leased(self) -> AsyncIterator[bool]:
        """Hold the lease; gives whether we have it."""
        database, node = self._parts.database, self._parts.node
        is_ours = await self._prolong()
        prolonging = asyncio.create_task(self._prolong_again()) if is_ours else None
        try:
            yield is_ours
        finally:
            if prolonging is not None:
                prolonging.cancel()
                with contextlib.suppress(UnavailableError):  # it ends by itself
                    await database.write(lambda connection: rows.release(connection, node))

    async def _prolong(self) -> bool:
        now, node = self._parts.clock.now(), self._parts.node
        until = now + _LEASE_SECONDS
        return await self._parts.database.write(lambda connection: rows.lease(connection, node, now, until))

    async def _prolong_again(self) -> None:
        while True:
            await asyncio.sleep(_PROLONG_SECONDS)
            with contextlib.suppress(UnavailableError):  # four more tries before the lease ends
                await self._prolong()

    async def _ended_with(self, run: Run, fact: Event) -> Run:
        before = run.began_at - _REMEMBERED_SECONDS

        def work(connection: Connection) -> None:
            rows.add_run(connection, run, before)
            self._parts.outbox.publish(connection, fact)

        await self._parts.database.write(work)
        self._ended[f'{run.kind}s_total{{result="{"done" if run.is_done else "failed"}"}}'] += 1
        if run.is_done:
            self._last[run.kind] = run
        return run

    async def _delete_old_ones(self) -> None:
        tried = await self._parts.database.read(lambda connection: rows.last_run(connection, DRILL, DONE))
        try:
            count = await self._in_thread(lambda: self._delete(tried.file if tried else ""))
        except DoorwardError as error:
            _log.error("old_backups_not_deleted", code=error.code, reason=error.message)
            return
        if count:
            _log.info("old_backups_deleted", backups=count)

    def _run(self, kind: str, began: float, outcome: str, file: str = "") -> Run:
        parts = self._parts
        return Run(
            run_id=new_id("bkp", began), kind=kind, node=parts.node, began_at=began, ended_at=parts.clock.now(),
            outcome=outcome, file=file,
        )  # fmt: skip


def _be_patient() -> None:
    """Give this thread the lowest priority, where threads have one of their own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _PATIENT)


def _short(error: DoorwardError) -> str:
    return error.message[:_DETAIL_CHARACTERS]
