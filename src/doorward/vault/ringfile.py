"""The key ring's file: the ring sealed by its own key, and that key wrapped by each lock.

The file is JSON and may be copied freely: without a lock's key it says nothing. It never changes while the service
runs, so every node of a cluster can be given the same copy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from msgspec import Meta

from doorward.vault.envelope import new_key
from doorward.vault.errors import KeyRingError, WrongKeyError
from doorward.vault.locks import Lock
from doorward.vault.privatefile import read_private, write_private
from doorward.vault.ring import Ring

FORMAT: Final = 1
_NONCE_BYTES: Final = 12


class LockEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ring's key as one lock has wrapped it."""

    kind: Annotated[str, Meta(max_length=32)]
    parameters: dict[str, Any]
    wrapped: bytes


class RingFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says."""

    format: int
    ring_id: Annotated[str, Meta(max_length=64)]
    locks: Annotated[tuple[LockEntry, ...], Meta(min_length=1, max_length=16)]
    sealed: bytes


class _Roots(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kek_root: bytes
    index_root: bytes
    signing_root: bytes
    backup_root: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """An open ring with the file that it came from."""

    ring: Ring
    file: RingFile


def make(path: Path, locks: list[Lock]) -> Kept:
    """Make a ring and keep it, under these locks; the file must not be there yet.

    Raises:
        KeyRingError: it is there, or cannot be written.
    """
    ring, key = Ring.fresh(), new_key()
    file = _file_of(ring, key, locks)
    write_private(path, _encoded(file))
    return Kept(ring, file)


def read(path: Path) -> RingFile:
    """The file as it is, still locked.

    Raises:
        KeyRingError: missing, damaged, or made by a newer program.
    """
    try:
        file = msgspec.json.decode(read_private(path), type=RingFile)
    except (msgspec.DecodeError, ValueError) as error:
        raise KeyRingError(f"{path} is not a key ring, or is damaged.") from error
    if file.format != FORMAT:
        raise KeyRingError(f"{path} was made by a newer Doorward.")
    return file


def open_with(file: RingFile, lock: Lock) -> Kept:
    """Open a ring with one of its locks.

    Raises:
        WrongKeyError: that lock does not open it. KeyRingError: the lock cannot be had.
    """
    for entry in file.locks:
        if entry.kind == lock.kind:
            return Kept(_opened(file, lock.unwrap(entry.wrapped, _context(file.ring_id, entry.kind))), file)
    raise WrongKeyError(f"The key ring has no lock of the kind {lock.kind!r}.")


def relock(path: Path, ring: Ring, locks: list[Lock]) -> Kept:
    """Keep an open ring under other locks (and a fresh key of its own); the locks before do not open it any more.

    Raises:
        KeyRingError: the file cannot be written; then the former one is still there, whole.
    """
    file = _file_of(ring, new_key(), locks)
    write_private(path, _encoded(file), replaces=True)
    return Kept(ring, file)


def _file_of(ring: Ring, key: bytes, locks: list[Lock]) -> RingFile:
    roots = _Roots(
        kek_root=ring.kek_root, index_root=ring.index_root, signing_root=ring.signing_root, backup_root=ring.backup_root
    )
    nonce = new_key()[:_NONCE_BYTES]
    sealed = AESGCMSIV(key).encrypt(nonce, msgspec.json.encode(roots), _context(ring.ring_id, "ring"))
    entries = tuple(
        LockEntry(
            kind=lock.kind,
            parameters=lock.parameters,
            wrapped=lock.wrap(key, _context(ring.ring_id, lock.kind)),
        )
        for lock in locks
    )
    return RingFile(format=FORMAT, ring_id=ring.ring_id, locks=entries, sealed=nonce + sealed)


def _opened(file: RingFile, key: bytes) -> Ring:
    nonce, sealed = file.sealed[:_NONCE_BYTES], file.sealed[_NONCE_BYTES:]
    try:
        data = AESGCMSIV(key).decrypt(nonce, sealed, _context(file.ring_id, "ring"))
        roots = msgspec.json.decode(data, type=_Roots)
    except (InvalidTag, ValueError, msgspec.DecodeError) as error:
        raise KeyRingError("The key ring's file is damaged.") from error
    return Ring(file.ring_id, roots.kek_root, roots.index_root, roots.signing_root, roots.backup_root)


def _context(ring_id: str, purpose: str) -> bytes:
    return f"doorward/ring\0{ring_id}\0{purpose}".encode()


def _encoded(file: RingFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"
