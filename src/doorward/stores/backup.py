"""Backups: a consistent copy of the rows while the service runs, and the way back, with an undo.

SQLite: SQLite's own online backup into a new file beside the target, checked, flushed to the disk, and renamed: a
backup file is either complete or not there. Restoring checks the copy first, needs the database to itself, and keeps
what was there as `<database>.before-restore`. PostgreSQL: `pg_tools`, the same rules with pg_dump and pg_restore.
"""

import contextlib
import glob
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from doorward.stores import pg_tools
from doorward.stores.errors import SchemaTooNewError, StoreSetupError, StoreUnavailableError
from doorward.stores.sql import parse_url
from doorward.stores.sqlite import file_of, hold_in_use, release
from doorward.stores.upgrade import configuration

_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup file that is complete and on the disk."""

    path: str
    size_bytes: int
    sha256: str
    revision: str


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did; `undo` is the file that restores the state before (empty: there was none)."""

    revision: str
    undo: str


def backup(url: str, target: Path, *, overwrites: bool = False) -> Backup:
    """Write a consistent copy of the rows to `target`.

    Raises:
        StoreSetupError: there is a file already, there is no database, or a tool is missing.
        StoreUnavailableError: the database cannot be read.
    """
    parsed = parse_url(url)
    if target.exists() and not overwrites:
        raise StoreSetupError(f"{target} exists already; choose another name, or overwrite it with --force.")
    with _file_beside(target) as unfinished:
        if parsed.get_backend_name() == "sqlite":
            revision = _copy_of_sqlite(_existing(file_of(parsed)), unfinished)
        else:
            pg_tools.dump(parsed, unfinished)
            revision = pg_tools.revision_in(unfinished)
        _flush(unfinished)
        result = Backup(str(target), unfinished.stat().st_size, _sha256(unfinished), revision)
        unfinished.replace(target)
        _flush(target.parent)
    return result


def restore(url: str, source: Path) -> Restored:
    """Put the rows of a backup in the place of the present ones; the service must be stopped.

    Raises:
        StoreSetupError: the file is no backup of this kind of database, or is damaged; nothing was changed.
        SchemaTooNewError: it is a newer program's backup. StoreUnavailableError: the database is in use.
    """
    parsed = parse_url(url)
    if not source.is_file():
        raise StoreSetupError(f"{source} is not a file.")
    path = file_of(parsed)
    if parsed.get_backend_name() != "sqlite":
        revision = _known(pg_tools.revision_in(source))
        return Restored(revision, pg_tools.restore(parsed, source))
    if path is None:
        raise StoreSetupError("A database in memory cannot be restored.")
    had_one = path.exists() and path.stat().st_size > 0
    use = hold_in_use(path, is_alone=True)
    try:
        with _file_beside(path) as unfinished:
            revision = _known(_copy_of_sqlite(source, unfinished))
            _flush(unfinished)
            undo = _keep(path) if had_one else ""
            unfinished.replace(path)
            _flush(path.parent)
    finally:
        release(use)
    return Restored(revision, undo)


def _copy_of_sqlite(source: Path, target: Path) -> str:
    """Copy a database into an empty file; returns its revision."""
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reader,
            contextlib.closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)
            writer.execute("PRAGMA journal_mode=DELETE")
            found = writer.execute("PRAGMA integrity_check").fetchone()[0]
            if found != "ok":
                raise StoreSetupError(f"{source} is damaged; nothing was changed.")
            row = writer.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise StoreSetupError(f"{source} is not a whole Doorward database ({error}); nothing was changed.") from error
    return str(row[0]) if row else ""


def _known(revision: str) -> str:
    if not revision:
        raise StoreSetupError("The backup does not say which version it is; nothing was changed.")
    try:
        ScriptDirectory.from_config(configuration(None)).get_revision(revision)
    except CommandError as error:
        raise SchemaTooNewError from error
    return revision


def _keep(path: Path) -> str:
    """Set the present file aside under a second name, so that there is a database at every moment."""
    _fold_in_log(path)
    kept = path.with_name(path.name + ".before-restore")
    for suffix in ("", "-wal", "-shm"):
        kept.with_name(kept.name + suffix).unlink(missing_ok=True)
    for suffix in ("-wal", "-shm"):  # left only where the present file is too damaged to fold its log in
        log = path.with_name(path.name + suffix)
        if log.exists():
            log.rename(kept.with_name(kept.name + suffix))
    try:
        os.link(path, kept)
    except OSError:  # a file system without hard links
        shutil.copy2(path, kept)
    return str(kept)


def _fold_in_log(path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=1)) as connection:
            is_busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise StoreUnavailableError("The database is in use.", retry_after_seconds=5) from error
        return  # damaged: that is why somebody restores
    if is_busy:
        raise StoreUnavailableError("The database is in use.", retry_after_seconds=5)


def _existing(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise StoreSetupError("There is no database file to copy.")
    return path


@contextlib.contextmanager
def _file_beside(target: Path) -> Iterator[Path]:
    """An empty file that only we can read, on the same file system; gone afterwards unless it was renamed."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.unfinished"):
        if not _is_running(left.name.split(".")[-2]):  # of a process that was killed: it holds personal data
            left.unlink(missing_ok=True)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreSetupError(f"{unfinished} cannot be written: {error.strerror}.") from error
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
