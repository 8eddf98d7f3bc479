"""The vault: answers `Sealer` for every table of the house."""

import hmac
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final, Self

from sqlalchemy import Connection

from doorward.hall.clock import Clock, SystemClock
from doorward.hall.errors import VaultLockedError
from doorward.hall.ids import text_of_number
from doorward.hall.jobs import Job
from doorward.vault import tables
from doorward.vault.data_keys import DataKeys, PersonKeys
from doorward.vault.errors import WrongRingError
from doorward.vault.keeper import Keeper
from doorward.vault.keks import KeyEncryptionKeys
from doorward.vault.ring import Ring

MAILBOX_PREFIX: Final = "mbx"
_SWEEP_EVERY_SECONDS: Final = 15.0
_SUBJECT_BYTES: Final = 16


class Vault:
    """Stands on an open ring. Made before the database is opened, which carries it to the tables."""

    def __init__(self, ring: Ring, clock: Clock) -> None:
        """Begin with nothing in memory but the ring."""
        self._ring: Ring | None = ring
        self.ring_id = ring.ring_id
        self.keeper: Keeper | None = None  # where the ring is kept somewhere
        self.keks = KeyEncryptionKeys(lambda: self.ring)
        self.data_keys = DataKeys(self.keks, clock)
        self._clock = clock
        self._watched: frozenset[str] = frozenset()
        self._when_asked: Callable[[str], None] | None = None
        self._index_key = lru_cache(maxsize=64)(self._new_index_key)

    @classmethod
    def in_memory(cls, clock: Clock | None = None) -> Self:
        """A vault whose ring is kept nowhere: for databases in memory, and tests."""
        return cls(Ring.fresh(), clock or SystemClock())

    def bind(self, connection: Connection) -> None:
        """Make a database this ring's (its name, and the first key-encryption key), if it has no ring yet.

        Raises:
            WrongRingError: another process bound it to another ring meanwhile.
        """
        now = self._clock.now()
        if tables.ring_of(connection) is None and tables.add_ring(connection, self.ring_id, now):
            self.keks.add(connection, 1, now)
        if tables.ring_of(connection) != self.ring_id:
            raise WrongRingError

    # --- open and locked ---

    @property
    def ring(self) -> Ring:
        """The open ring.

        Raises:
            VaultLockedError: it is locked.
        """
        if self._ring is None:
            raise VaultLockedError
        return self._ring

    @property
    def is_locked(self) -> bool:
        """Whether no key is in memory; everything but what was read before raises VaultLockedError then."""
        return self._ring is None

    async def ping(self) -> str | None:
        """For the readiness page: None, or what is in doubt about the key.

        Raises:
            VaultLockedError: the vault is locked.
        """
        self._must_be_open()
        return self.keeper.doubt() if self.keeper else None

    def lock(self) -> None:
        """Drop the ring and every key made with it."""
        self._ring = None
        self.keks.forget()
        self.data_keys.forget()
        self._index_key.cache_clear()

    def reopen(self, ring: Ring) -> None:
        """Take the ring again, after `lock`."""
        self._ring = ring

    # --- Sealer ---

    def key_for(self, connection: Connection, subject: str) -> PersonKeys:
        """See `Sealer.key_for`."""
        self._must_be_open()
        return self.data_keys.for_sealing(connection, subject)

    def keys_of(
        self, connection: Connection, subjects: Iterable[str], *, renewed: bool = False
    ) -> Mapping[str, PersonKeys]:
        """See `Sealer.keys_of`."""
        self._must_be_open()
        if self._watched:
            subjects = subjects if isinstance(subjects, set) else set(subjects)
            if not self._watched.isdisjoint(subjects):
                self._report(subjects)
        return self.data_keys.of(connection, subjects, renewed=renewed)

    def index(self, column: str, value: bytes | str, size: int = 16) -> bytes:
        """See `Sealer.index`: HMAC-SHA-256 (RFC 2104), cut to `size` bytes."""
        data = value.encode() if isinstance(value, str) else value
        return hmac.digest(self._index_key(column), data, "sha256")[:size]

    def subject_of(self, mailbox: str) -> str:
        """See `Sealer.subject_of`."""
        number = int.from_bytes(self.index("vault.subject", mailbox, _SUBJECT_BYTES), "big")
        return f"{MAILBOX_PREFIX}_{text_of_number(number)}"

    def watch(self, subjects: frozenset[str], when_asked: Callable[[str], None]) -> None:
        """Call `when_asked` when somebody asks for the keys of one of these subjects to read with; instead of before.

        The vault's own work does not ask: a rotation goes to the data keys themselves.
        """
        self._watched, self._when_asked = subjects, when_asked

    # --- the house ---

    def jobs(self) -> list[Job]:
        """The recurring work of this room."""
        jobs = [Job("vault.data_keys.sweep", _SWEEP_EVERY_SECONDS, self._sweep, on_each_node=True)]
        if self.keeper is not None:
            jobs.append(Job("vault.key.check", self.keeper.every_seconds, self.keeper.check, on_each_node=True))
        return jobs

    def figures(self) -> dict[str, float]:
        """Numbers for the metrics."""
        return {
            "vault_locked": float(self.is_locked),
            **(self.keeper.figures() if self.keeper else {}),
            "vault_data_keys_in_memory": float(len(self.data_keys)),
            "vault_data_keys_unwrapped_total": float(self.data_keys.unwrapped),
        }

    def _new_index_key(self, column: str) -> bytes:
        return self.ring.index_key(column)

    def _report(self, subjects: Iterable[str]) -> None:
        for subject in self._watched.intersection(subjects):
            if self._when_asked is not None:
                self._when_asked(subject)

    def _must_be_open(self) -> None:
        if self._ring is None:
            raise VaultLockedError

    async def _sweep(self) -> None:
        self.data_keys.sweep()
