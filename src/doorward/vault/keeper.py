"""Keeps the vault open only as long as the key may be used.

1. A key in a service (a hardware module, a cloud) is asked for again at intervals: the ring's file is unlocked once
   more.
2. The service does not answer: nobody knows, so those who belong are served on, and newcomers too, for
   `outage_hours` after the last good answer. Then the vault locks itself.
3. The service says no: somebody revoked the key. The vault locks itself after `revoked_minutes`, time enough to undo a
   mistake. An answer that fails to come in between does not stop that clock; only a good answer does.
4. A locked vault has no key in memory. A good answer opens it again, and so does `doorward vault unlock`.
"""

import asyncio
from enum import StrEnum
from typing import Any, Final, Protocol

import structlog

from doorward.hall.clock import Clock
from doorward.hall.errors import DoorwardError, VaultLockedError
from doorward.vault import ringfile
from doorward.vault.errors import KeyRingError, WrongKeyError, WrongRingError
from doorward.vault.locks.lock import Lock
from doorward.vault.ring import Ring
from doorward.vault.site import Site

_PATIENCE_SECONDS: Final = 20.0

_log = structlog.get_logger("doorward.vault")


class KeyState(StrEnum):
    """What is known about the key."""

    HELD = "held"  # it was given once, and nobody can take it back but by ending the process
    SOUND = "sound"
    AWAY = "away"
    REFUSED = "refused"


class Lockable(Protocol):
    """The vault, as far as its keeper needs it."""

    @property
    def is_locked(self) -> bool:
        """Whether no key is in memory."""
        ...

    def lock(self) -> None:
        """Drop every key from memory."""
        ...

    def reopen(self, ring: Ring) -> None:
        """Take the ring again."""
        ...


class Keeper:
    """Asks for the key again and again, and locks the vault when it may not be used any more."""

    def __init__(self, vault: Lockable, site: Site, clock: Clock, lock: Lock) -> None:
        """Begin with a vault that `lock` has just opened."""
        self._vault = vault
        self._site = site
        self._clock = clock
        self._lock = lock if lock.is_service else None  # what we need not ask again, we do not keep
        self._file = ringfile.read(site.ring_path)
        self._asking: asyncio.Task[ringfile.Kept] | None = None
        self._refused_at: float | None = None
        self.kind = lock.kind
        self.every_seconds = site.settings.check_every_seconds
        self.state = KeyState.HELD if self._lock is None else KeyState.SOUND
        self.sound_at = clock.now()  # Unix seconds of the last good answer

    async def check(self) -> None:
        """Ask once (rule 1), and lock the vault if its time is over (rules 2 and 3)."""
        if self._lock is None:
            return
        try:
            kept = await self._answer(self._lock)
        except WrongKeyError as error:
            self._troubled(KeyState.REFUSED, error)
        except (KeyRingError, VaultLockedError) as error:
            self._troubled(KeyState.AWAY, error)
        else:
            self._sound(kept, KeyState.SOUND)

    def open_with(self, lock: Lock) -> None:
        """Open a locked vault with another lock, a passphrase or a recovery sheet; all time limits begin anew.

        Raises:
            WrongKeyError, KeyRingError: it does not open the ring; the vault stays as it is.
        """
        file = ringfile.read(self._site.ring_path)
        if file.ring_id != self._file.ring_id:
            raise WrongRingError
        self._sound(ringfile.open_with(file, lock), self.state if self._lock is None else KeyState.SOUND)

    def lock_now(self) -> None:
        """Lock the vault because somebody said so."""
        _log.warning("vault_locked", reason="command")
        self._vault.lock()

    def doubt(self) -> str | None:
        """What is in doubt about the key, in a few words; None if nothing is."""
        return f"key {self.state.value}" if self.state in {KeyState.AWAY, KeyState.REFUSED} else None

    def figures(self) -> dict[str, float]:
        """Numbers for the metrics."""
        age = 0.0 if self._lock is None else max(0.0, self._clock.now() - self.sound_at)
        return {"vault_key_unconfirmed_seconds": age, "vault_key_refused": float(self.state is KeyState.REFUSED)}

    def overview(self) -> dict[str, Any]:
        """The state in plain values, for `vault status` and the console."""
        return {
            "state": "locked" if self._vault.is_locked else "open",
            "ring": self._file.ring_id,
            "lock": self.kind,
            "key": self.state.value,
            "checked_at": self.sound_at,
            "locks_at": self.locks_at(),
        }

    def locks_at(self) -> float | None:
        """When the vault will lock itself if nothing changes (Unix seconds); None if it will not."""
        if self._lock is None or self.state is KeyState.SOUND:
            return None
        ends = [self.sound_at + self._site.settings.outage_hours * 3_600]
        if self._refused_at is not None:
            ends.append(self._refused_at + self._site.settings.revoked_minutes * 60)
        return min(ends)

    async def _answer(self, lock: Lock) -> ringfile.Kept:
        """One answer of the service, or KeyRingError if it takes too long; never two questions at once."""
        if self._asking is None:
            self._asking = asyncio.create_task(asyncio.to_thread(self._ask, lock))
        done, _ = await asyncio.wait([self._asking], timeout=_PATIENCE_SECONDS)
        if not done:
            raise KeyRingError("The key service takes too long to answer.")
        asked, self._asking = self._asking, None
        return asked.result()

    def _ask(self, lock: Lock) -> ringfile.Kept:
        try:
            return ringfile.open_with(self._file, lock)
        except WrongKeyError:
            file = ringfile.read(self._site.ring_path)  # perhaps it was given another key meanwhile
            if file == self._file or file.ring_id != self._file.ring_id:
                raise
            return ringfile.open_with(file, lock)

    def _sound(self, kept: ringfile.Kept, state: KeyState) -> None:
        if self._vault.is_locked:
            self._vault.reopen(kept.ring)
            _log.info("vault_unlocked")
        elif state is not self.state:
            _log.info("vault_key_back", unconfirmed_seconds=round(self._clock.now() - self.sound_at))
        self._file, self.state, self._refused_at = kept.file, state, None
        self.sound_at = self._clock.now()

    def _troubled(self, state: KeyState, error: DoorwardError) -> None:
        now = self._clock.now()
        if state is KeyState.REFUSED and self._refused_at is None:
            self._refused_at = now
        if state is not self.state:
            _log.warning("vault_key_in_doubt", state=state.value, code=error.code, reason=error.message)
        self.state = state
        ends = self.locks_at()
        if ends is not None and now >= ends and not self._vault.is_locked:
            _log.error("vault_locked", reason=state.value)
            self._vault.lock()
