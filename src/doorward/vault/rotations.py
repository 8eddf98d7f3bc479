"""Rotations of this instance: one at a time, begun on a schedule, by the console or by a command, and survived."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from doorward.hall.clock import Clock
from doorward.hall.errors import DoorwardError
from doorward.hall.events import RotationFailed
from doorward.hall.jobs import Job
from doorward.stores import durable
from doorward.stores.durable import DurableBusyError, State
from doorward.stores.outbox import Outbox
from doorward.stores.sql import Database
from doorward.vault import rotate_tables as rows
from doorward.vault.rotate import KIND, Rotation, progress_of
from doorward.vault.tables import count_keys

_DAY_SECONDS: Final = 86_400.0
_LOOK_EVERY_SECONDS: Final = 600.0
_log = structlog.get_logger("doorward.vault")

Tell = Callable[[State], None]


class RotationStoppedError(DoorwardError):
    """The rotation was interrupted; it goes on when the service or the command runs again."""

    code = "vault.rotation_stopped"
    status = 503
    advice = "Nothing is lost: what is done is done, and the rest still opens with the former key."


@dataclass(frozen=True, slots=True)
class KeysOverview:
    """The keys in the database, for status pages."""

    kek_version: int
    kek_made_at: float  # Unix seconds
    data_keys: dict[int, int]  # key-encryption key -> how many data keys it wraps
    is_rotating: bool  # older versions are still in use

    @property
    def left(self) -> int:
        """Data keys that are still wrapped by an older version."""
        return sum(number for version, number in self.data_keys.items() if version < self.kek_version)


class Rotations:
    """Runs rotations in this process."""

    def __init__(self, rotation: Rotation, database: Database, outbox: Outbox, clock: Clock, every_days: float) -> None:
        """`every_days`: age at which the key-encryption key is replaced; 0: never by itself."""
        self._rotation = rotation
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._every_days = every_days
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._has_looked = False
        self.state: State = {}

    async def run(self, *, with_data_keys: bool = False, only_settles: bool = False, tell: Tell | None = None) -> State:
        """Rotate to the end, or go on with what was interrupted; `tell` hears the state after every step.

        `only_settles`: begin nothing new, just destroy the former data keys that an interrupted rotation has left.

        Raises:
            DurableBusyError: another process does it. RotationStoppedError: this one was told to stop.
            StoreUnavailableError, VaultLockedError, SealBrokenError: what was done stays done.
        """
        first = self._rotation.last() if only_settles else Rotation.first(with_data_keys=with_data_keys)
        loop = asyncio.get_running_loop()

        def step(state: State) -> State:
            if self._is_stopping:
                raise RotationStoppedError
            self.state = asyncio.run_coroutine_threadsafe(self._rotation.step(state), loop).result()
            if tell is not None:
                tell(self.state)
            return self.state

        try:
            return await self._to_the_end(first, step)
        except (DurableBusyError, RotationStoppedError):
            raise
        except DoorwardError as error:
            await self._publish_failure(error)
            raise

    def begin(self, *, with_data_keys: bool = False, only_settles: bool = False) -> bool:
        """Rotate in the background; False if this process is at it already."""
        if self._task is not None and not self._task.done():
            return False
        work = self._run_or_log(with_data_keys=with_data_keys, only_settles=only_settles)
        self._task = asyncio.create_task(work, name="vault rotation")
        return True

    async def stop(self) -> None:
        """Stop after the batch in hand; the next start goes on from there."""
        self._is_stopping = True
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def overview(self) -> KeysOverview:
        """Which keys there are, and how far a rotation is."""

        def work(connection: Connection) -> KeysOverview:
            version, made_at = rows.newest_kek(connection)
            return KeysOverview(version, made_at, count_keys(connection), rows.has_older_keks(connection, version))

        return await self._database.read(work)

    def figures(self) -> dict[str, float]:
        """Numbers for the metrics."""
        known = progress_of(self.state)
        return {
            "vault_rotation_running": float(self._task is not None and not self._task.done()),
            "vault_rotation_rewrapped": float(known.get("rewrapped", 0)),
            "vault_rotation_resealed_people": float(known.get("people", 0)),
        }

    def jobs(self) -> list[Job]:
        """Looks whether a rotation is due, or was interrupted."""
        return [Job("vault.rotation.due", _LOOK_EVERY_SECONDS, self.look)]

    async def look(self) -> None:
        """Begin a rotation if the key is old enough, or one was interrupted."""
        known = await self.overview()
        is_due = self._every_days > 0 and self._clock.now() - known.kek_made_at >= self._every_days * _DAY_SECONDS
        if is_due or known.is_rotating:
            self.begin()
        elif not self._has_looked and await self._has_former_keys():
            self.begin(only_settles=True)
        self._has_looked = True  # once: a damaged value keeps its former key for good

    async def _has_former_keys(self) -> bool:
        people = await self._database.read(partial(rows.subjects_with_versions, after="", limit=1))
        return bool(people)

    async def _to_the_end(self, first: State, step: durable.Step) -> State:
        if self._database.is_in_memory:
            return await asyncio.to_thread(_to_the_end, first, step)
        state = await asyncio.to_thread(durable.run, self._database.url, KIND, first, step)
        if first["with_data_keys"] and not state["with_data_keys"]:  # that was another, which had been interrupted
            state = await asyncio.to_thread(durable.run, self._database.url, KIND, first, step)
        return state

    async def _run_or_log(self, *, with_data_keys: bool, only_settles: bool) -> None:
        try:
            await self.run(with_data_keys=with_data_keys, only_settles=only_settles)
        except DoorwardError as error:
            _log.warning("rotation_ended_early", code=error.code)

    async def _publish_failure(self, error: DoorwardError) -> None:
        fact = RotationFailed(at=self._clock.now(), version=int(self.state.get("version", 0)), reason=error.code)
        try:
            await self._database.write(lambda connection: self._outbox.publish(connection, fact))
        except DoorwardError as second:
            _log.error("rotation_failure_not_published", code=second.code)


def _to_the_end(state: State, step: Callable[[State], State]) -> State:
    while not state.get("done"):
        state = step(state)
    return state
