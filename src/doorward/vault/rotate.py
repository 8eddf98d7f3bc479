"""Rotation: new key-encryption keys for everybody, and on demand new data keys, while the service runs.

Key-encryption keys (NIST SP 800-57 part 1, 5.3.5):

1. A new version becomes active and all older ones are deactivated in one transaction: from then on nobody wraps with
   an old one (a node that has not heard of it yet is told by the row when it tries).
2. Batches of data keys are unwrapped with the old and wrapped with the new version. Which are left is written in the
   rows themselves, so this can be interrupted anywhere and goes on from there.
3. When none is left the old versions are destroyed; a foreign key keeps one that is still needed.

Data keys, if asked for:

4. Person by person, in one transaction: a new version of the key, and every sealed value of theirs, in whatever table,
   sealed anew. Readers whose memory lacks the new version look once more.
5. Writers may have the former version in memory for five minutes. After that time, whatever was sealed with it
   meanwhile is sealed anew too, and the former version is destroyed. One that still opens something (a damaged value)
   is kept, and counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import structlog
from sqlalchemy import Connection

from doorward.hall.clock import Clock
from doorward.hall.errors import SealBrokenError
from doorward.hall.events import RotationFinished, RotationStarted
from doorward.hall.model import Cell
from doorward.stores.after_commit import after_commit
from doorward.stores.durable import State
from doorward.stores.outbox import Outbox
from doorward.stores.sql import Database
from doorward.vault import rotate_tables as rows
from doorward.vault.data_keys import LIFETIME_SECONDS, DataKeys
from doorward.vault.envelope import HIGHEST_VERSION, DataKey, new_key, version_of
from doorward.vault.keks import KeyEncryptionKeys
from doorward.vault.model import WrappedKey
from doorward.vault.rotate_tables import SealedCell

KIND: Final = "vault.rotation"
_GRACE_SECONDS: Final = LIFETIME_SECONDS + 60.0  # a key in memory, and the longest transaction
_LOOK_SECONDS: Final = 1.0
_BATCHES_PER_STEP: Final = 20

_log = structlog.get_logger("doorward.vault")


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at a time. The server goes slowly, for those whom it serves; a command goes fast."""

    keys: int  # wrapped anew in one transaction
    people: int  # sealed anew in one transaction
    share: float  # of the time that is spent working; the rest is a pause, in which others write


FAST: Final = Pace(keys=1_000, people=50, share=0.8)
GENTLE: Final = Pace(keys=200, people=5, share=0.15)


class Keys(Protocol):
    """The vault, as far as a rotation needs it."""

    keks: KeyEncryptionKeys
    data_keys: DataKeys


class Rotation:
    """Does the steps of a rotation; `state` is what must be remembered between them (see `stores.durable`)."""

    def __init__(self, vault: Keys, database: Database, outbox: Outbox, clock: Clock, pace: Pace = GENTLE) -> None:
        """Begin nothing yet."""
        self._vault = vault
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._pace = pace

    @staticmethod
    def first(*, with_data_keys: bool) -> State:
        """The state before the first step."""
        return {"stage": "begin", "with_data_keys": with_data_keys}

    def last(self) -> State:
        """The state of a rotation of which only the former data keys are left."""
        now = self._clock.now()
        return {
            "stage": "wait", "with_data_keys": True, "version": 0, "total": 0, "rewrapped": 0, "began_at": now,
            "people": 0, "cells": 0, "kept": 0, "until": now + _GRACE_SECONDS,
        }  # fmt: skip

    async def step(self, state: State) -> State:
        """One step: at most a few seconds.

        Raises:
            StoreUnavailableError, VaultLockedError: nothing of this batch was changed. SealBrokenError: a key was.
        """
        stages: dict[str, Callable[[State], Awaitable[State]]] = {
            "begin": self._begin,
            "rewrap": self._rewrap,
            "destroy": self._destroy,
            "reseal": self._reseal,
            "wait": self._wait,
            "settle": self._settle,
        }
        return await stages[state["stage"]](state)

    # --- key-encryption keys ---

    async def _begin(self, state: State) -> State:
        now = self._clock.now()

        def work(connection: Connection) -> tuple[int, int]:
            version, _ = rows.newest_kek(connection)
            if not rows.has_older_keks(connection, version):  # else one was begun, and goes on
                version += 1
                self._vault.keks.add(connection, version, now)
                rows.deactivate_before(connection, version)
                self._outbox.publish(connection, RotationStarted(at=now, version=version))
                after_commit(connection, self._vault.keks.forget)
            return version, rows.count_before(connection, version)

        version, total = await self._database.write(work)
        _log.info("rotation_started", version=version, data_keys=total)
        return {**state, "stage": "rewrap", "version": version, "total": total, "rewrapped": 0, "began_at": now}

    async def _rewrap(self, state: State) -> State:
        version, rewrapped = state["version"], state["rewrapped"]
        for _ in range(_BATCHES_PER_STEP):
            number = await self._paced(lambda connection: self._rewrap_batch(connection, version))
            if number == 0:
                return {**state, "stage": "destroy", "rewrapped": rewrapped}
            rewrapped += number
        return {**state, "rewrapped": rewrapped}

    def _rewrap_batch(self, connection: Connection, version: int) -> int:
        former = rows.wrapped_before(connection, version, self._pace.keys)
        keks = {one: self._vault.keks.of(connection, one) for one in {version, *(one.kek_version for one in former)}}
        new = keks[version]
        wrapped = [
            new.wrap(one.subject, one.version, keks[one.kek_version].unwrap(one.subject, one.version, one.wrapped))
            for one in former
        ]
        if wrapped:
            rows.rewrap(connection, former, version, wrapped)
        return len(wrapped)

    async def _destroy(self, state: State) -> State:
        version, now = state["version"], self._clock.now()

        def work(connection: Connection) -> bool:
            rows.destroy_before(connection, version)
            if rows.has_older_keks(connection, version):  # somebody's transaction was slow: once more
                return False
            fact = RotationFinished(at=now, version=version, data_keys=state["rewrapped"])
            self._outbox.publish(connection, fact)
            after_commit(connection, self._vault.keks.forget)
            return True

        if not await self._database.write(work):
            return {**state, "stage": "rewrap"}
        _log.info("rotation_finished", version=version, data_keys=state["rewrapped"])
        if not state["with_data_keys"]:
            return {**state, "done": True}
        return {**state, "stage": "reseal", "after": "", "people": 0, "cells": 0, "kept": 0}

    # --- data keys ---

    async def _reseal(self, state: State) -> State:
        state = dict(state)
        for _ in range(_BATCHES_PER_STEP):
            due = partial(
                rows.subjects_after, after=state["after"], made_until=state["began_at"], limit=self._pace.people
            )
            subjects = await self._database.read(due)
            if not subjects:
                return {**state, "stage": "wait", "until": self._clock.now() + _GRACE_SECONDS}
            state["cells"] += await self._paced(partial(self._reseal_people, subjects=subjects))
            state["people"] += len(subjects)
            state["after"] = subjects[-1]
        return state

    def _reseal_people(self, connection: Connection, subjects: list[str]) -> int:
        now = self._clock.now()
        opened = self._opened(connection, subjects)
        fresh = {one: self._next_version(connection, one, versions) for one, versions in opened.items()}
        rows.add_versions(connection, [wrapped for _, wrapped in fresh.values()], now)
        number, _ = self._seal_anew(connection, opened, {one: key for one, (key, _) in fresh.items()})
        after_commit(connection, lambda: self._vault.data_keys.forget(subjects))
        return number

    def _next_version(
        self, connection: Connection, subject: str, versions: dict[int, DataKey]
    ) -> tuple[DataKey, WrappedKey]:
        number = max(versions) + 1
        if number > HIGHEST_VERSION:
            raise SealBrokenError("A data key has had all the versions that it can have.")
        key, kek = new_key(), self._vault.keks.active(connection)
        return DataKey(key, number), WrappedKey(subject, number, kek.version, kek.wrap(subject, number, key))

    async def _wait(self, state: State) -> State:
        if self._clock.now() < state["until"]:
            await asyncio.sleep(_LOOK_SECONDS)
            return state
        return {**state, "stage": "settle", "after": ""}

    async def _settle(self, state: State) -> State:
        state = dict(state)
        for _ in range(_BATCHES_PER_STEP):
            due = partial(rows.subjects_with_versions, after=state["after"], limit=self._pace.people)
            subjects = await self._database.read(due)
            if not subjects:
                return {**state, "done": True}
            state["kept"] += await self._paced(partial(self._settle_people, subjects=subjects))
            state["after"] = subjects[-1]
        return state

    def _settle_people(self, connection: Connection, subjects: list[str]) -> int:
        opened = self._opened(connection, subjects)
        newest = {one: versions[max(versions)] for one, versions in opened.items()}
        _, broken = self._seal_anew(connection, opened, newest)
        for subject, key in newest.items():
            if subject not in broken:
                rows.drop_versions(connection, subject, key.version)
        after_commit(connection, lambda: self._vault.data_keys.forget(subjects))
        return len(broken)

    def _opened(self, connection: Connection, subjects: Iterable[str]) -> dict[str, dict[int, DataKey]]:
        opened: dict[str, dict[int, DataKey]] = {}
        for one in rows.locked_keys(connection, subjects):
            key = self._vault.keks.of(connection, one.kek_version).unwrap(one.subject, one.version, one.wrapped)
            opened.setdefault(one.subject, {})[one.version] = DataKey(key, one.version)
        return opened

    def _seal_anew(
        self, connection: Connection, opened: dict[str, dict[int, DataKey]], target: dict[str, DataKey]
    ) -> tuple[int, set[str]]:
        """Seal all values of these people with their target key; how many were, and who has one that does not open."""
        changed, broken = [], set()
        for one in rows.cells_of(connection, sorted(opened)):
            try:
                envelope = _anew(one, opened[one.subject], target[one.subject])
            except SealBrokenError:
                broken.add(one.subject)
                continue
            if envelope is not None:
                changed.append((one, envelope))
        if broken:
            _log.error("rotation_met_damage", people=len(broken))
        rows.put_cells(connection, changed)
        return len(changed), broken

    # --- pace ---

    async def _paced(self, work: Callable[[Connection], int]) -> int:
        loop = asyncio.get_running_loop()
        began = loop.time()
        number = await self._database.write(work)
        await asyncio.sleep((loop.time() - began) * (1 / self._pace.share - 1))
        return number


def _anew(cell: SealedCell, versions: dict[int, DataKey], target: DataKey) -> bytes | None:
    """The value under the target key; None if it is already."""
    version = version_of(cell.envelope)
    if version == target.version:
        return None
    key = versions.get(version)
    if key is None:
        raise SealBrokenError
    place = Cell(cell.column.table.name, cell.column.name, str(cell.row))
    return target.seal(place, key.unseal(place, cell.envelope))


def progress_of(state: State) -> dict[str, Any]:
    """The state of a rotation in plain values, for people who wait."""
    return {name: value for name, value in state.items() if name not in {"after", "until", "with_data_keys"}}
