"""The key ring's file: the ring sealed by its own key, and that key wrapped by each lock.

1. The file is JSON and may be copied freely: without a lock's key it says nothing. While the service runs only
   `doorward vault rekey` changes it, so every node of a cluster can be given the same copy.
2. The ring is sealed together with all that the file says about its locks: whoever changes, adds or takes away a lock
   without the ring's key is found out. The file is read only in exactly the form in which it is written, so any changed
   byte is found even before a key is tried.
3. The ring's own key stays when locks change. A fresh one would protect nothing: an old copy of the file and the key
   that opened it then give the same ring (docs/adr/0014).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from msgspec import Meta

from doorward.vault.envelope import KEY_BYTES, new_key
from doorward.vault.errors import DamagedRingError, NewerRingError, WrongKeyError
from doorward.vault.locks.lock import Lock, LockEntry
from doorward.vault.privatefile import read_guarded, write_private
from doorward.vault.ring import Ring

FORMAT: Final = 1
_NONCE_BYTES: Final = 12
_Root = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class RingFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says."""

    format: int
    ring_id: Annotated[str, Meta(max_length=64, pattern="^rng_[0-9a-z]{26}$")]
    locks: Annotated[tuple[LockEntry, ...], Meta(min_length=1, max_length=16)]
    sealed: Annotated[bytes, Meta(max_length=16_384)]


class _Version(msgspec.Struct, frozen=True):
    """What every version of the file will say."""

    format: Annotated[int, Meta(ge=1)]


class _Roots(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kek_root: _Root
    index_root: _Root
    signing_root: _Root
    backup_root: _Root


@dataclass(frozen=True, slots=True)
class Kept:
    """An open ring with the file that it came from."""

    ring: Ring
    file: RingFile
    key: bytes = field(repr=False)  # the ring's own, which the locks wrap


def make(path: Path, locks: Sequence[Lock], ring: Ring | None = None) -> Kept:
    """Keep a ring (a fresh one) under these locks; the file must not be there yet.

    Raises:
        FileThereError: it is there. KeyRingError: it cannot be written, or a lock cannot be had.
    """
    ring, key = ring or Ring.fresh(), new_key()
    file = sealed_file(ring, key, [lock.wrap(key, lock_context(ring.ring_id, lock.kind)) for lock in locks])
    write_private(path, encoded(file))
    return Kept(ring, file, key)


def read(path: Path) -> RingFile:
    """The file as it is, still locked.

    Raises:
        DamagedRingError: it is not what we wrote. NewerRingError: made by a newer program.
        KeyRingError: it cannot be read.
    """
    return decoded(read_guarded(path), str(path))


def decoded(data: bytes, name: str = "The new file") -> RingFile:
    """What the bytes of a file say, still locked; `name` is for the message.

    Raises:
        DamagedRingError: they are not what we write. NewerRingError: made by a newer program.
    """
    try:
        version = msgspec.json.decode(data, type=_Version)
        if version.format > FORMAT:
            raise NewerRingError(f"{name} was made by a newer Doorward.")
        file = msgspec.json.decode(data, type=RingFile)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DamagedRingError(f"{name} is not a key ring, or is damaged.") from error
    if encoded(file) != data:
        raise DamagedRingError(f"{name} is damaged, or was changed by hand.")
    return file


def open_with(file: RingFile, lock: Lock) -> Kept:
    """Open a ring with one of its locks.

    Raises:
        WrongKeyError: that lock does not open it. DamagedRingError: the file was changed.
        KeyRingError: the lock cannot be had.
    """
    entries = [entry for entry in file.locks if entry.kind == lock.kind]
    problem = WrongKeyError(f"The key ring has no lock of the kind {lock.kind!r}.")
    for entry in entries:  # more than one of a kind: a change of keys was interrupted
        try:
            key = lock.unwrap(entry, lock_context(file.ring_id, entry.kind))
        except WrongKeyError as error:
            problem = error
        else:
            return Kept(_opened(file, key), file, key)
    raise problem


def sealed_file(ring: Ring, key: bytes, locks: Sequence[LockEntry]) -> RingFile:
    """The file of an open ring whose key these locks have wrapped."""
    roots = _Roots(
        kek_root=ring.kek_root, index_root=ring.index_root, signing_root=ring.signing_root, backup_root=ring.backup_root
    )
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCMSIV(key).encrypt(nonce, msgspec.json.encode(roots), _ring_context(ring.ring_id, locks))
    return RingFile(format=FORMAT, ring_id=ring.ring_id, locks=tuple(locks), sealed=nonce + sealed)


def lock_context(ring_id: str, kind: str) -> bytes:
    """What a lock binds the ring's key to."""
    return f"doorward/ring\0{ring_id}\0{kind}".encode()


def encoded(file: RingFile) -> bytes:
    """The file's bytes, the only form in which it is accepted (rule 2)."""
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def _opened(file: RingFile, key: bytes) -> Ring:
    nonce, sealed = file.sealed[:_NONCE_BYTES], file.sealed[_NONCE_BYTES:]
    try:
        data = AESGCMSIV(key).decrypt(nonce, sealed, _ring_context(file.ring_id, file.locks))
        roots = msgspec.json.decode(data, type=_Roots)
    except (InvalidTag, ValueError, msgspec.DecodeError) as error:
        raise DamagedRingError from error
    return Ring(file.ring_id, roots.kek_root, roots.index_root, roots.signing_root, roots.backup_root)


def _ring_context(ring_id: str, locks: Sequence[LockEntry]) -> bytes:
    return f"doorward/ring\0{ring_id}\0roots\0".encode() + msgspec.json.encode((FORMAT, tuple(locks)))
