"""Backups are read: verified, tried, and brought back.

1. A restore reads the backup to its end before anything is changed, and makes a backup of the present rows first. If
   the present rows cannot be read any more, their file is set aside as it is.
2. Who was shredded after the backup was made is shredded in it again (`replays`) before anybody can read a row.
3. A drill brings a backup back into a scratch database and compares: every table's fingerprint with the manifest, and
   on SQLite every byte.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard
from sqlalchemy import Connection

from doorward.stores import copies, pg_tools
from doorward.stores.errors import NothingToCopyError, SchemaTooNewError, StoreSetupError
from doorward.stores.sql import parse_url
from doorward.stores.sqlite import file_of
from doorward.stores.upgrade import newest_revision
from doorward.vault.backups.container import BODY, Fingerprint, Head, Manifest, Reader
from doorward.vault.backups.errors import (
    BackupDamagedError,
    BackupError,
    BackupForeignError,
    BackupTooNewError,
    DrillFailedError,
)
from doorward.vault.backups.making import Source, Tell, explained, make, silent
from doorward.vault.backups.recipients import Identity

Replay = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Verified:
    """A backup that was read to its end."""

    head: Head
    manifest: Manifest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Drilled:
    """A backup that was brought back into a scratch database."""

    path: str
    tables: int
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Care:
    """What a restore takes care of: people who are shredded again, and a file for the rows as they are now."""

    replays: Replay
    undo: Path


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did; `undo` is the file that brings the state before back (empty: there was none)."""

    revision: str
    made_at: float
    undo: str


def verify(path: Path, identity: Identity, *, tell: Tell | None = None) -> Verified:
    """Read a backup to its end.

    Raises:
        BackupError, BackupDamagedError, BackupForeignError, BackupTooNewError: see there.
    """
    with _opened(path) as file:
        reader = Reader(file, identity)
        body = _Body(reader)
        for _ in body.pieces(tell or silent):
            pass
        return Verified(reader.head, body.manifest(), path.stat().st_size)


def head_of(path: Path) -> Head:
    """What anybody may read of a backup."""
    with _opened(path) as file:
        return Reader(file, None).head


def drill(path: Path, identity: Identity, database_url: str, *, tell: Tell | None = None) -> Drilled:
    """Bring a backup back into a scratch database, and compare.

    Raises:
        DrillFailedError: a table is not what it was. What `verify` raises. StoreSetupError: no scratch database.
    """
    began, url, told = time.monotonic(), parse_url(database_url), tell or silent
    with _opened(path) as file:
        reader = Reader(file, identity)
        _same_kind(reader.head, database_url)
        body = _Body(reader)
        if url.get_backend_name() == "sqlite":
            with explained(path.parent), copies.private_file(path.with_name(f"{path.name}.drill")) as scratch:
                wanted = _fill(scratch, body.pieces(told))
                copies.check_whole(scratch)
                if _hash_of(scratch) != wanted:
                    raise DrillFailedError("The disk gives back other bytes than were written.")
                found = copies.prints_of_file(scratch)
        else:
            with pg_tools.scratch(url) as scratch_url:
                copies.load_postgresql(scratch_url, body.pieces(told))
                found = pg_tools.prints_of(scratch_url)
        tables = body.manifest().tables
    different = sorted(
        name for name in found.keys() | tables.keys() if name not in tables or found.get(name) != _pair(tables[name])
    )
    if different:
        raise DrillFailedError(f"These tables came back different: {', '.join(different)}.")
    rows = sum(one.rows for one in tables.values())
    return Drilled(str(path), len(tables), rows, time.monotonic() - began)


def restore(
    source: Source, path: Path, identity: Identity, care: Care, now: float, *, tell: Tell | None = None
) -> Restored:
    """Put the rows of a backup in the place of the present ones; the service must be stopped.

    Raises:
        What `verify` raises: nothing was changed. StoreUnavailableError: the database is in use.
        StoreSetupError: a tool is missing, or refuses.
    """
    url = parse_url(source.database_url)
    head = verify(path, identity, tell=tell).head
    _check(head, source)
    has_all_tables = head.revision == newest_revision()  # else the next start upgrades, and replays before it serves
    replays = care.replays if has_all_tables else None
    with _opened(path) as file:
        pieces = _Body(Reader(file, identity)).pieces(silent)
        if url.get_backend_name() == "sqlite":
            undo = _restore_sqlite(source, pieces, replays, care.undo, now)
        else:
            pg_tools.refuse_if_used(url)
            undo = _undo(source, care.undo, now)
            copies.load_postgresql(url, pieces)
            if replays is not None:
                copies.in_transaction(url, None, replays)
    return Restored(head.revision, head.made_at, undo)


def _check(head: Head, source: Source) -> None:
    _same_kind(head, source.database_url)
    if head.ring != source.ring_id:
        raise BackupForeignError
    try:
        copies.known(head.revision)
    except SchemaTooNewError as error:
        raise BackupTooNewError from error


def _restore_sqlite(source: Source, pieces: Iterator[bytes], replays: Replay | None, undo: Path, now: float) -> str:
    url = parse_url(source.database_url)
    path = file_of(url)
    had_one = path is not None and path.exists() and path.stat().st_size > 0
    with explained(Path(str(path))), copies.loading_sqlite(url) as new:
        _fill(new, pieces)
        copies.check_whole(new)
        if replays is not None:
            copies.in_transaction(url, new, replays)
        kept = _undo(source, undo, now) if had_one else ""
        copies.take_place(new, url)
    return kept


def _undo(source: Source, target: Path, now: float) -> str:
    url = parse_url(source.database_url)
    try:
        return make(source, target, now, overwrites=True).path
    except NothingToCopyError:
        return ""
    except StoreSetupError:  # a file too damaged to be read: that is why somebody restores
        if url.get_backend_name() != "sqlite":
            raise
        return copies.set_aside(url)


class _Body:
    """The rows in a backup, as they are given out, and the manifest once they all are."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._manifest: Manifest | None = None

    def pieces(self, tell: Tell) -> Iterator[bytes]:
        total = 0
        unsqueezer = zstandard.ZstdDecompressor().decompressobj()
        for kind, data in self._reader.pieces():
            if kind != BODY:
                self._manifest = _manifest_from(data)
                continue
            try:
                piece = unsqueezer.decompress(data)
            except zstandard.ZstdError as error:
                raise BackupDamagedError from error
            total += len(piece)
            tell(total, 0)
            yield piece
        if total != self.manifest().body_bytes or not unsqueezer.eof:
            raise BackupDamagedError

    def manifest(self) -> Manifest:
        if self._manifest is None:
            raise BackupDamagedError
        return self._manifest


def _manifest_from(data: bytes) -> Manifest:
    try:
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, ValueError) as error:
        raise BackupDamagedError from error


def _fill(target: Path, pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
    copies.flush(target)
    return digest.hexdigest()


def _hash_of(file: Path) -> str:
    with file.open("rb", buffering=0) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _pair(one: Fingerprint) -> copies.Print:
    return one.rows, one.hash


def _same_kind(head: Head, database_url: str) -> None:
    kind = parse_url(database_url).get_backend_name()
    if head.database != kind:
        raise BackupError(f"This is a backup of {head.database}, and the database of this instance is {kind}.")


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}.") from error
