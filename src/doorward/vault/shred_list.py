"""The shred list: a file beside the key ring that says whose keys were destroyed, so that no old backup undoes it.

    head   {"format":1,"ring":"rng_…","entries":"0000000002","mac":"…"} and blanks up to 255 bytes, newline
    entry  {"receipt":"shr_…","at":1795512000.5,"subjects":["acc_…"],"mac":"…"} newline

1. Entries are only ever appended. Each carries HMAC-SHA-256 (RFC 2104), by a key of the ring, over itself and the code
   of the entry before it: none can be changed, left out or put elsewhere.
2. The head tells how many entries there are, and is written over after each append. A list that was cut at its end has
   fewer than its head says: that is an error, never a shorter list.
3. An append is flushed before its head is. A process that dies in between leaves more than the head says: the whole
   entries count, and half of one is overwritten by the next append.
4. Several processes of one machine may share the file: a lock (`flock`) keeps them apart.
"""

import fcntl
import hmac
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from doorward.hall.secrets import same
from doorward.vault.errors import ShredListError
from doorward.vault.privatefile import flush_directory
from doorward.vault.ring import Ring

FILE_NAME: Final = "shreds.jsonl"
_FORMAT: Final = 1
_HEAD_BYTES: Final = 256
_LARGEST_ENTRY: Final = 16 * 1024
_LARGEST_FILE: Final = 1 << 30
_Id = Annotated[str, Meta(min_length=1, max_length=64)]
_Mac = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class Shred:
    """One entry: whose keys were destroyed, and when (Unix seconds)."""

    receipt_id: str
    shredded_at: float
    subjects: tuple[str, ...]


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    ring: _Id
    entries: Annotated[str, Meta(pattern="^[0-9]{10}$")]
    mac: _Mac


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    receipt: _Id
    at: float
    subjects: Annotated[tuple[_Id, ...], Meta(min_length=1, max_length=64)]
    mac: _Mac


_HEAD_DECODER: Final = msgspec.json.Decoder(_Head)
_ENTRY_DECODER: Final = msgspec.json.Decoder(_Entry)


@dataclass(frozen=True, slots=True)
class _Read:
    """What a list holds, and where the next entry goes."""

    shreds: list[Shred]
    last_mac: str
    end: int


class ShredList:
    """One file. Every call opens it anew: others may have appended to it."""

    def __init__(self, path: Path, ring: Callable[[], Ring]) -> None:
        """`path`: the file, made by the first append; `ring`: the ring while it is open, else raises."""
        self.path = path
        self._ring = ring
        self._last: tuple[tuple[int, int, int], _Read] | None = None  # the file as it was, and what it held

    @property
    def is_there(self) -> bool:
        """Whether there is a file."""
        return self.path.exists()

    def read(self) -> list[Shred]:
        """All entries in order; none if there is no file.

        Raises:
            ShredListError: damaged, cut, another ring's, or it cannot be read.
        """
        if not self.is_there:
            return []
        with self._opened(os.O_RDONLY, fcntl.LOCK_SH) as handle:
            return self._read(handle).shreds

    def append(self, shreds: Iterable[Shred]) -> int:
        """Append those that are not there yet, flushed to the disk; returns how many.

        Raises:
            ShredListError: damaged, cut, another ring's, or it cannot be written.
        """
        with self._opened(os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX) as handle:
            self._begin(handle)
            read = self._read(handle)
            known = {one.receipt_id for one in read.shreds}
            fresh = [one for one in shreds if one.receipt_id not in known]
            if not fresh:
                return 0
            lines, mac = [], read.last_mac
            for one in fresh:
                mac = self._mac(mac, one)
                entry = _Entry(receipt=one.receipt_id, at=one.shredded_at, subjects=one.subjects, mac=mac)
                lines.append(msgspec.json.encode(entry) + b"\n")
            os.ftruncate(handle, read.end)
            _write_at(handle, b"".join(lines), read.end)
            os.fsync(handle)
            _write_at(handle, self._head(len(read.shreds) + len(fresh), mac), 0)
            os.fsync(handle)
            end = read.end + sum(map(len, lines))
            self._last = _state_of(handle), _Read([*read.shreds, *fresh], mac, end)
            return len(fresh)

    @contextmanager
    def _opened(self, flags: int, lock: int) -> Iterator[int]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ShredListError(f"{self.path} cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(handle, lock)
            yield handle
        except OSError as error:
            raise ShredListError(f"{self.path} cannot be written: {error.strerror}.") from error
        finally:
            os.close(handle)

    def _begin(self, handle: int) -> None:
        if os.fstat(handle).st_size == 0:  # a head comes before the first entry: a list has one at every moment
            _write_at(handle, self._head(0, ""), 0)
            os.fsync(handle)
            flush_directory(self.path.parent)

    def _read(self, handle: int) -> _Read:
        state = _state_of(handle)
        if self._last is None or self._last[0] != state:
            self._last = state, self._read_whole(handle, state[1])
        return self._last[1]

    def _read_whole(self, handle: int, size: int) -> _Read:
        if size == 0:  # made, and nothing written yet
            return _Read([], "", _HEAD_BYTES)
        if size > _LARGEST_FILE:
            raise self._damaged("is too large to be a shred list")
        with os.fdopen(os.dup(handle), "rb") as file:
            file.seek(0)
            head = self._checked_head(file.read(_HEAD_BYTES))
            shreds: list[Shred] = []
            mac, end, promised_mac = "", _HEAD_BYTES, ""
            while (line := file.readline(_LARGEST_ENTRY)).endswith(b"\n"):
                one, mac = self._checked_entry(line, mac, len(shreds))
                shreds.append(one)
                end += len(line)
                promised_mac = mac if len(shreds) == int(head.entries) else promised_mac
            if len(line) >= _LARGEST_ENTRY:
                raise self._damaged("has an entry that is too long")
        if len(shreds) < int(head.entries):
            raise self._damaged(f"has been cut: {len(shreds)} of {int(head.entries)} entries are left")
        if not same(head.mac, self._head_mac(int(head.entries), promised_mac)):
            raise self._damaged("has a head that does not fit it, or is another key ring's")
        return _Read(shreds, mac, end)

    def _checked_head(self, line: bytes) -> _Head:
        try:
            head = _HEAD_DECODER.decode(line)
        except (msgspec.DecodeError, ValueError) as error:
            raise self._damaged("has a damaged head") from error
        if len(line) != _HEAD_BYTES or not line.endswith(b"\n") or head.format != _FORMAT:
            raise self._damaged("has a damaged head, or was made by a newer Doorward")
        if head.ring != self._ring().ring_id:
            raise self._damaged("belongs to another key ring")
        return head

    def _checked_entry(self, line: bytes, former_mac: str, number: int) -> tuple[Shred, str]:
        try:
            entry = _ENTRY_DECODER.decode(line)
        except (msgspec.DecodeError, ValueError) as error:
            raise self._damaged(f"is damaged at entry {number + 1}") from error
        one = Shred(entry.receipt, entry.at, entry.subjects)
        if not same(entry.mac, self._mac(former_mac, one)):
            raise self._damaged(f"was changed at entry {number + 1}")
        return one, entry.mac

    def _head(self, entries: int, last_mac: str) -> bytes:
        ring_id, mac = self._ring().ring_id, self._head_mac(entries, last_mac)
        head = _Head(format=_FORMAT, ring=ring_id, entries=f"{entries:010}", mac=mac)
        return msgspec.json.encode(head).ljust(_HEAD_BYTES - 1) + b"\n"

    def _head_mac(self, entries: int, last_mac: str) -> str:
        return self._code(f"head\0{entries}\0{last_mac}".encode())

    def _mac(self, former_mac: str, one: Shred) -> str:
        data = msgspec.json.encode((former_mac, one.receipt_id, one.shredded_at, one.subjects))
        return self._code(b"entry\0" + data)

    def _code(self, data: bytes) -> str:
        ring = self._ring()
        key = hmac.digest(ring.index_root, b"doorward/shred-list\0" + ring.ring_id.encode(), "sha256")
        return hmac.digest(key, data, "sha256").hex()

    def _damaged(self, what: str) -> ShredListError:
        return ShredListError(f"{self.path} {what}.")


def _state_of(handle: int) -> tuple[int, int, int]:
    found = os.fstat(handle)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _write_at(handle: int, data: bytes, position: int) -> None:
    while data:
        written = os.pwrite(handle, data, position)
        data, position = data[written:], position + written
