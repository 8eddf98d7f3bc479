"""Physical copies of the rows, as of one moment, while the service runs; and the way back.

1. SQLite: SQLite's own online backup into a private file beside the target, which is read and deleted. PostgreSQL:
   pg_dump's custom format, uncompressed, in the snapshot of a transaction of ours.
2. A fingerprint of each table, how many rows and a hash over them, is taken from the same moment. It tells whether
   what is brought back is what was there; whether bytes were changed on the way is for others to find out. PostgreSQL
   hashes every row. A SQLite copy is the file itself, byte for byte, so there a large table's hash is over a sample,
   evenly spread, and a look at a million rows costs a tenth of a second.
3. Loading into SQLite fills a new file beside the database, which takes its place only when all is well. Loading into
   PostgreSQL is one transaction.
"""

import contextlib
import errno
import fcntl
import hashlib
import marshal
import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection

from doorward.stores import pg_tools
from doorward.stores.errors import SchemaTooNewError, StoreSetupError, StoreUnavailableError
from doorward.stores.sqlite import MMAP_BYTES, file_of, hold_in_use, make_engine, release
from doorward.stores.upgrade import configuration

_ROWS_AT_ONCE: Final = 100
_SAMPLES: Final = 100  # of that many rows
_UNFINISHED: Final = re.compile(r"\..+\.[0-9a-f]{16}\.unfinished(-wal|-shm|-journal)?")
_WITH_LOGS: Final = ("", "-wal", "-shm", "-journal")
_MARSHAL_VERSION: Final = 2  # later versions write the same values in more than one way

Print = tuple[int, str]
"""Of a table: how many rows, and a hash over them."""


class Stream(Protocol):
    """Gives the rows, piece by piece; an empty piece is the end."""

    def read(self, size: int, /) -> bytes | None:
        """Up to `size` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows at one moment."""

    revision: str
    stream: Stream
    size_bytes: int  # 0: not known beforehand
    prints: Callable[[], dict[str, Print]]  # to be asked once the stream is read


@contextlib.contextmanager
def snapshot(url: URL, beside: Path) -> Iterator[Snapshot]:
    """The rows as of now. SQLite's copy lies in the directory of `beside` for that time.

    Raises:
        StoreSetupError: there is no database, it is damaged, or a tool is missing.
        StoreUnavailableError: it cannot be read. OSError: the disk is full.
    """
    if url.get_backend_name() == "sqlite":
        with _sqlite_snapshot(_existing(file_of(url)), beside) as found:
            yield found
    else:
        with pg_tools.snapshot(url) as dumped:
            yield Snapshot(dumped.revision, dumped.stream, 0, dumped.prints)


@contextlib.contextmanager
def _sqlite_snapshot(source: Path, beside: Path) -> Iterator[Snapshot]:
    with private_file(beside.with_name(f"{beside.name}.rows")) as copy:
        try:
            with (
                contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reader,
                contextlib.closing(sqlite3.connect(copy)) as writer,
            ):
                reader.execute(f"PRAGMA mmap_size={MMAP_BYTES}")
                writer.execute("PRAGMA synchronous=OFF")  # it is gone in a moment
                reader.backup(writer)
                writer.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise StoreUnavailableError(f"The database cannot be copied: {error}.", retry_after_seconds=5) from error
        except sqlite3.DatabaseError as error:
            raise StoreSetupError(f"{source} is not a whole Doorward database ({error}).") from error
        revision = revision_of(copy)
        with copy.open("rb", buffering=0) as stream:
            yield Snapshot(revision, stream, copy.stat().st_size, lambda: prints_of_file(copy))


@contextlib.contextmanager
def loading_sqlite(url: URL) -> Iterator[Path]:
    """A new file beside the database to be filled; `take_place` makes it the database.

    Raises:
        StoreUnavailableError: a process uses the database.
    """
    path = _in_a_file(url)
    use = hold_in_use(path, is_alone=True)
    try:
        _fold_in_log(path)
        with private_file(path) as new:
            yield new
    finally:
        release(use)


def take_place(new: Path, url: URL) -> None:
    """Make a filled file the database, in one step; what was there before is gone."""
    path = _in_a_file(url)
    flush(new)
    new.replace(path)
    for suffix in ("-wal", "-shm"):  # of the former database; empty, or it would be taken for the new one's
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    flush(path.parent)


def set_aside(url: URL) -> str:
    """Keep a SQLite database that cannot be read any more as `<file>.damaged`, with its log; returns the name."""
    path = _in_a_file(url)
    kept = path.with_name(f"{path.name}.damaged")
    for suffix in ("", "-wal", "-shm"):
        kept.with_name(kept.name + suffix).unlink(missing_ok=True)
        log = path.with_name(path.name + suffix)
        if suffix and log.exists():
            log.rename(kept.with_name(kept.name + suffix))
    try:
        kept.hardlink_to(path)  # there is a database at every moment
    except OSError:  # a file system without hard links
        shutil.copy2(path, kept)
    return str(kept)


def load_postgresql(url: URL, stream: Iterator[bytes]) -> None:
    """Replace the contents of a PostgreSQL database by a dump, in one transaction.

    Raises:
        StoreUnavailableError: a server uses the database. StoreSetupError: a tool is missing or refuses.
    """
    pg_tools.restore(url, stream)


def in_transaction(url: URL, file: Path | None, work: Callable[[Connection], None]) -> None:
    """Run `work` on a database that nobody else uses: a SQLite file, or the PostgreSQL database of `url`."""
    engine = pg_tools.engine_of(url) if file is None else make_engine(url.set(database=str(file)))
    try:
        with engine.begin() as connection:
            work(connection)
    finally:
        engine.dispose()
    if file is not None:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")  # all in one file, which can be renamed


def revision_of(file: Path) -> str:
    """The revision of a SQLite file's tables.

    Raises:
        StoreSetupError: it is damaged, or no database of ours.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            row = reader.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise StoreSetupError(f"The database is damaged or is not Doorward's ({error}).") from error
    return str(row[0]) if row else ""


def check_whole(file: Path) -> None:
    """Raises StoreSetupError if a SQLite file is damaged."""
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            found = reader.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise StoreSetupError(f"The copy is not a whole database ({error}).") from error
    if found != "ok":
        raise StoreSetupError("The copy is not a whole database.")


def known(revision: str) -> str:
    """The revision, if this program knows it.

    Raises:
        StoreSetupError: there is none. SchemaTooNewError: it is a newer program's.
    """
    if not revision:
        raise StoreSetupError("The copy does not say which version it is; nothing was changed.")
    try:
        ScriptDirectory.from_config(configuration(None)).get_revision(revision)
    except CommandError as error:
        raise SchemaTooNewError from error
    return revision


def prints_of_file(file: Path) -> dict[str, Print]:
    """The fingerprint of every table of a SQLite file, in the order in which the rows lie.

    Raises:
        StoreSetupError: it is damaged.
    """
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY 1"
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            return {name: _print(reader, name) for (name,) in reader.execute(tables).fetchall()}
    except sqlite3.DatabaseError as error:
        raise StoreSetupError(f"The database is damaged ({error}).") from error


def _print(reader: sqlite3.Connection, table: str) -> Print:
    number = int(reader.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608  # its own names
    # Two questions: SQLite goes to either end at once, but reads everything when it is asked for both.
    first = reader.execute(f'SELECT coalesce(min(rowid), 0) FROM "{table}"').fetchone()[0]  # noqa: S608
    last = reader.execute(f'SELECT coalesce(max(rowid), 0) FROM "{table}"').fetchone()[0]  # noqa: S608
    digest = hashlib.sha256()
    is_whole = number <= _SAMPLES * _ROWS_AT_ONCE
    starts = [first] if is_whole else [first + (last - first) * part // _SAMPLES for part in range(_SAMPLES)]
    some = -1 if is_whole else _ROWS_AT_ONCE
    for start in starts:
        cursor = reader.execute(f'SELECT * FROM "{table}" WHERE rowid >= ? ORDER BY rowid LIMIT ?', [start, some])  # noqa: S608
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            digest.update(marshal.dumps(rows, _MARSHAL_VERSION))
    return number, digest.hexdigest()


@contextlib.contextmanager
def private_file(target: Path) -> Iterator[Path]:
    """An empty file that only we can read, in the directory of `target`; gone afterwards unless it was renamed.

    Raises:
        StoreSetupError: the directory cannot be written.
    """
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(8)}.unfinished")
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(_writing_in(target.parent))
            os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreSetupError(f"{unfinished} cannot be written: {error.strerror}.") from error
        for suffix in _WITH_LOGS:
            stack.callback(unfinished.with_name(unfinished.name + suffix).unlink, missing_ok=True)
        yield unfinished


def flush(path: Path) -> None:
    """Have a file or directory on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _writing_in(directory: Path) -> Iterator[None]:
    """Mark the directory as written in by us, for that time or until we die.

    Who finds nobody else there takes away what killed processes have left. The mark is a lock, for a process number
    would not do: in a container the next process has the same one.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _is_locked(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
            for left in directory.glob(".*.unfinished*"):
                if _UNFINISHED.fullmatch(left.name):
                    left.unlink(missing_ok=True)
        _is_locked(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except OSError:  # others write there, or the file system has no such locks: then nothing is taken away
        return False
    return True


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


def _in_a_file(url: URL) -> Path:
    path = file_of(url)
    if path is None:
        raise StoreSetupError("A database in memory cannot be restored.")
    return path


def _existing(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise StoreSetupError("There is no database file to copy.")
    return path
