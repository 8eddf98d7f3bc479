"""Changes what opens a key ring, without a moment in which nothing does.

1. The ring is opened first, with its present lock or with its recovery sheet.
2. A step writes the whole file anew (a draft, flushed, then renamed). Before that, the draft is read back and opened
   with the new lock: what does not open is never put in place.
3. A new key file changes two files. So three steps: the ring's file gets both locks; the key's file gets the new key;
   the ring's file loses the old lock. Killed between any two of them, one of the locks still fits the key's file.
4. The directory is held meanwhile, so that two changes cannot mix.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from doorward.vault import ringfile
from doorward.vault.envelope import new_key
from doorward.vault.errors import DamagedRingError, KeyRingError
from doorward.vault.locks import choice, environment, key_file, passphrase, recovery
from doorward.vault.locks.lock import Lock, LockEntry
from doorward.vault.privatefile import held, write_private
from doorward.vault.ringfile import Kept
from doorward.vault.site import Site

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What was changed."""

    ring_id: str
    locks: tuple[str, ...]
    sheet: str  # the new recovery sheet, if one was asked for; shown once


@dataclass(frozen=True, slots=True)
class Wish:
    """What to change. `kind`: the lock that opens the ring from now on, made afresh; empty: it stays as it is."""

    kind: str = ""
    secret: str = field(default="", repr=False)  # the new passphrase or key; empty: asked for, or as configured
    new_recovery: bool = False


def _no_step(_name: str) -> None:
    """Nobody watches."""


def rekey(site: Site, wish: Wish, opens_with: Callable[[ringfile.RingFile], Lock], now: float,
          watch: Step = _no_step) -> Rekeyed:  # fmt: skip
    """Change the locks of a ring. `opens_with` gives a lock that opens it now; `watch` hears of each step's end.

    Raises:
        WrongKeyError, KeyRingError, WeakPassphraseError, VaultLockedError: nothing was changed.
    """
    path = site.ring_path
    with held(path.parent):
        file = ringfile.read(path)
        kept = ringfile.open_with(file, opens_with(file))
        sheet = ""
        if wish.kind:
            kept = _with_new_lock(site, kept, wish, watch)
        if wish.new_recovery:
            sheet_key = new_key()
            lock = recovery.of_key(sheet_key, now)
            kept = _put(site, kept, [*_but(kept, recovery.KIND), _wrapped(kept, lock)], lock)
            sheet = recovery.sheet(sheet_key, kept.ring.ring_id, now)
            watch("recovery")
    return Rekeyed(kept.ring.ring_id, tuple(entry.kind for entry in kept.file.locks), sheet)


def _with_new_lock(site: Site, kept: Kept, wish: Wish, watch: Step) -> Kept:
    """3. The ring with a fresh lock of this kind, and no other but the recovery sheet's."""
    fresh = new_key() if wish.kind == key_file.KIND else b""
    lock: Lock = key_file.of_key(fresh) if fresh else _chosen(site, wish)
    entry = _wrapped(kept, lock)
    kept = _put(site, kept, [entry, *kept.file.locks], lock)
    watch("both")
    if fresh:
        write_private(site.key_path, key_file.text_of(fresh), replaces=True)
        watch("key")
    sheets = [one for one in kept.file.locks if one.kind == recovery.KIND]
    kept = _put(site, kept, [entry, *sheets], lock)
    watch("alone")
    return kept


def _chosen(site: Site, wish: Wish) -> Lock:
    """The configured lock of another kind; a new secret takes the place of the one that opens the ring until now."""
    changes: dict[str, str] = {"unlock": wish.kind}
    if wish.kind == passphrase.KIND:
        changes["passphrase"] = wish.secret  # empty: the terminal is asked, not the configuration
    elif wish.kind == environment.KIND and wish.secret:
        changes["key"] = wish.secret
    settings = msgspec.structs.replace(site.settings, **changes)
    return choice.configured(replace(site, settings=settings), makes=True)


def _put(site: Site, kept: Kept, locks: Sequence[LockEntry], lock: Lock) -> Kept:
    """2. Write the ring's file with these locks, one of which is `lock`'s."""
    data = ringfile.encoded(ringfile.sealed_file(kept.ring, kept.key, locks))
    written = ringfile.decoded(data)
    if ringfile.open_with(written, lock).ring != kept.ring:
        raise DamagedRingError("The new file of the key ring does not open.")
    write_private(site.ring_path, data, replaces=True)
    if ringfile.read(site.ring_path) != written:
        raise KeyRingError("The new file of the key ring is not what was written.")
    return Kept(kept.ring, written, kept.key)


def _wrapped(kept: Kept, lock: Lock) -> LockEntry:
    return lock.wrap(kept.key, ringfile.lock_context(kept.ring.ring_id, lock.kind))


def _but(kept: Kept, kind: str) -> list[LockEntry]:
    return [entry for entry in kept.file.locks if entry.kind != kind]
