"""Backups are made: the rows as of one moment, compressed and sealed, into a file that appears whole or not at all."""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import zstandard

from doorward import __version__
from doorward.stores import copies
from doorward.stores.sql import parse_url
from doorward.vault.backups.container import BODY, Fingerprint, Head, Manifest, Writer
from doorward.vault.backups.errors import BackupError
from doorward.vault.backups.recipients import AgeRecipients, Recipient, RingRecipient
from doorward.vault.backups.settings import BackupSettings
from doorward.vault.ring import Ring

SUFFIX: Final = ".dwbackup"
_READ_BYTES: Final = 1 << 20
_LEVEL: Final = -7  # most of the rows is sealed, and no level makes that smaller
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Tell = Callable[[int, int], None]
"""Hears how many bytes of the rows are done, and of how many (0: not known). What it raises ends the work."""


@dataclass(frozen=True, slots=True)
class Source:
    """Whose rows are backed up, and for whom."""

    database_url: str = field(repr=False)  # may hold a password
    ring_id: str
    seals_for: Recipient


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that is complete and on the disk."""

    path: str
    size_bytes: int
    rows_bytes: int  # before compression
    revision: str
    opened_by: str  # ring or age
    seconds: float


def source_for(database_url: str, ring: Ring, settings: BackupSettings) -> Source:
    """The rows of an instance, for the age recipients of its configuration, else for its ring.

    Raises:
        BackupError: not such recipients, or `doorward[age]` is not installed.
    """
    recipient = AgeRecipients(settings.recipients) if settings.recipients else RingRecipient(ring)
    return Source(database_url, ring.ring_id, recipient)


def make(source: Source, target: Path, now: float, *, overwrites: bool = False, tell: Tell | None = None) -> Made:
    """Write a sealed copy of the rows to `target`.

    Raises:
        BackupError: there is a file already, or the disk is full. StoreSetupError: there is no database, or a tool is
            missing. StoreUnavailableError: the database cannot be read.
    """
    if target.exists() and not overwrites:
        raise BackupError(f"{target} exists already; choose another name, or overwrite it with --force.")
    began = time.monotonic()
    url = parse_url(source.database_url)
    with explained(target), copies.private_file(target) as unfinished:
        with copies.snapshot(url, target) as rows:
            head = Head(
                database=url.get_backend_name(), revision=rows.revision, ring=source.ring_id, made_at=now,
                program=__version__, opened_by=source.seals_for.kind,
            )  # fmt: skip
            with unfinished.open("wb") as file:
                manifest = _write(Writer(file, head, source.seals_for), rows, tell or silent)
        copies.flush(unfinished)
        size = unfinished.stat().st_size
        unfinished.replace(target)
        copies.flush(target.parent)
    return Made(str(target), size, manifest.body_bytes, rows.revision, source.seals_for.kind, time.monotonic() - began)


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Around what writes `target`.

    Raises:
        BackupError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise BackupError(f"There is no room for {target}; nothing of it was left behind.") from error
        raise BackupError(f"{target} cannot be written: {error.strerror}.") from error


def silent(_done: int, _total: int) -> None:
    """Tells nobody."""
    return


def _write(writer: Writer, rows: copies.Snapshot, tell: Tell) -> Manifest:
    total = 0
    squeezer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
    while piece := rows.stream.read(_READ_BYTES):
        total += len(piece)
        if squeezed := squeezer.compress(piece):
            writer.write(BODY, squeezed)
        tell(total, rows.size_bytes)
    writer.write(BODY, squeezer.flush())
    prints = {name: Fingerprint(*one) for name, one in rows.prints().items()}
    manifest = Manifest(body_bytes=total, tables=prints)
    writer.finish(manifest)
    return manifest
