"""Data keys: one per person, unwrapped when needed, kept in memory for at most five minutes, and counted.

A key enters the cache only when the transaction that read or made it is settled: a key whose row was rolled back must
never seal anything. Nor does it enter if its subject was shredded while it was being read.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from doorward.hall.clock import Clock
from doorward.hall.errors import SealBrokenError, ShreddedError
from doorward.hall.model import Cell
from doorward.stores.after_commit import once_settled, scratch
from doorward.vault import tables
from doorward.vault.envelope import DataKey, new_key
from doorward.vault.keks import KeyEncryptionKeys
from doorward.vault.model import WrappedKey
from doorward.vault.shred_tables import last_shred

LIFETIME_SECONDS: Final = 300.0
_LIMIT: Final = 50_000
_FIRST_VERSION: Final = 1
ACCOUNT_PREFIX: Final = "acc_"
_AFTER_SHRED_SECONDS: Final = 0.001


@dataclass(frozen=True, slots=True)
class PersonKeys:
    """All versions of one person's data key. Answers `hall.doors.PersonKey`."""

    versions: Mapping[int, DataKey]
    newest: int
    until: float  # Unix seconds: to be dropped then

    def seal(self, cell: Cell, text: str) -> bytes:
        """See `PersonKey.seal`."""
        return self.versions[self.newest].seal(cell, text)

    def unseal(self, cell: Cell, envelope: bytes) -> str:
        """See `PersonKey.unseal`. A person's keys are destroyed together: a version that is not there is a change."""
        key = self.versions.get(envelope[2] | envelope[1] << 8) if len(envelope) > 2 else None
        if key is None:
            raise SealBrokenError
        return key.unseal(cell, envelope)


class DataKeys:
    """The cache in front of the table. Used from several threads."""

    def __init__(self, keks: KeyEncryptionKeys, clock: Clock) -> None:
        """Begin empty."""
        self._keks = keks
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, PersonKeys] = {}
        self._gone: dict[str, float] = {}  # subject -> when it was told to be forgotten: what was read before is stale
        self.unwrapped = 0

    def __len__(self) -> int:
        return len(self._held)

    def for_sealing(self, connection: Connection, subject: str) -> PersonKeys:
        """The keys of a subject, made in the running transaction if there are none.

        Raises:
            SealBrokenError: its wrapped key was changed, or is another ring's.
            ShreddedError: it is an account that was deleted.
        """
        found = self.of(connection, [subject]).get(subject)
        return found or self._make(connection, subject)

    def of(self, connection: Connection, subjects: Iterable[str], *, renewed: bool = False) -> dict[str, PersonKeys]:
        """The keys of those subjects that have any; `renewed`: read again also what is in memory.

        Raises:
            SealBrokenError: a wrapped key was changed, or is another ring's.
        """
        now, at_hand = self._clock.now(), scratch(connection)
        result: dict[str, PersonKeys] = {}
        missing: list[str] = []
        for subject in subjects:
            held = self._held.get(subject) or at_hand.get(subject)
            if held is not None and held.until > now and not renewed:
                result[subject] = held
            else:
                missing.append(subject)
        if missing:
            result |= self._read(connection, missing, now)
        return result

    def forget(self, subjects: Iterable[str] | None = None) -> None:
        """Drop keys from memory: of these subjects, or all."""
        with self._lock:
            if subjects is None:
                self._held.clear()
            else:
                now = self._clock.now()
                for subject in subjects:
                    self._held.pop(subject, None)
                    self._gone[subject] = now

    def sweep(self) -> None:
        """Drop what has been in memory for five minutes."""
        now = self._clock.now()
        with self._lock:
            self._held = {subject: keys for subject, keys in self._held.items() if keys.until > now}
            self._gone = {subject: at for subject, at in self._gone.items() if at + LIFETIME_SECONDS > now}

    def _read(self, connection: Connection, subjects: list[str], now: float) -> dict[str, PersonKeys]:
        versions: dict[str, dict[int, DataKey]] = {}
        for row in tables.keys_of(connection, subjects):
            key = self._keks.of(connection, row.kek_version).unwrap(row.subject, row.version, row.wrapped)
            versions.setdefault(row.subject, {})[row.version] = DataKey(key, row.version)
            self.unwrapped += 1
        found = {one: PersonKeys(keys, max(keys), now + LIFETIME_SECONDS) for one, keys in versions.items()}
        for subject, keys in found.items():
            self._keep(connection, subject, keys)
        return found

    def _make(self, connection: Connection, subject: str) -> PersonKeys:
        key, now = new_key(), self._clock.now()
        if not self._add(connection, subject, key, now):
            now = self._moment_of(connection, subject)  # they were shredded before …
            found = self._read(connection, [subject], now)  # … or another process was first …
            if subject in found:
                return found[subject]
            self._keks.reload(connection)  # … or has begun a rotation
            if not self._add(connection, subject, key, now, is_known=True):
                raise SealBrokenError
        keys = PersonKeys({_FIRST_VERSION: DataKey(key, _FIRST_VERSION)}, _FIRST_VERSION, now + LIFETIME_SECONDS)
        self._keep(connection, subject, keys)
        return keys

    def _add(self, connection: Connection, subject: str, key: bytes, now: float, *, is_known: bool = False) -> bool:
        kek = self._keks.active(connection)
        wrapped = kek.wrap(subject, _FIRST_VERSION, key)
        one = WrappedKey(subject, _FIRST_VERSION, kek.version, wrapped)
        return tables.add_key(connection, one, now, is_known=is_known)

    def _moment_of(self, connection: Connection, subject: str) -> float:
        """When a new key of this subject is made: after the last shred, also if another node's clock was ahead."""
        now, last = self._clock.now(), last_shred(connection, subject)
        if last is not None and subject.startswith(ACCOUNT_PREFIX):
            raise ShreddedError  # an account's id is used once: whoever comes back gets another
        return now if last is None else max(now, last + _AFTER_SHRED_SECONDS)

    def _keep(self, connection: Connection, subject: str, keys: PersonKeys) -> None:
        scratch(connection)[subject] = keys
        once_settled(connection, partial(self._enter, subject, keys))

    def _enter(self, subject: str, keys: PersonKeys) -> None:
        with self._lock:
            gone_at = self._gone.get(subject)
            if gone_at is not None and keys.until - LIFETIME_SECONDS <= gone_at:
                return
            while len(self._held) >= _LIMIT:
                del self._held[next(iter(self._held))]
            self._held[subject] = keys
