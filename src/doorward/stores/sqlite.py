"""Rows in a SQLite file: WAL, every commit on the disk (synchronous=FULL), one writer, several readers."""

import asyncio
import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from doorward.stores.after_commit import READER_OPTION, alone
from doorward.stores.errors import StoreSetupError, StoreUnavailableError
from doorward.stores.faults import translated
from doorward.stores.group_commit import GroupCommitWriter

T = TypeVar("T")

_READERS: Final = 4
_WAITING_LIMIT: Final = 10_000
_LOCK_SECONDS: Final = 5.0  # how long to wait for another process's lock; `?timeout=` in the URL changes it
MMAP_BYTES: Final = 2**31 - 2**16  # SQLite's own ceiling (SQLITE_MAX_MMAP_SIZE)
_SETTINGS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",  # what is deleted is overwritten with zeros
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-16384",
    "PRAGMA journal_size_limit=67108864",
    f"PRAGMA mmap_size={MMAP_BYTES}",
)


class SqliteStore:
    """A SQLite database that is open in this process."""

    def __init__(self, url: URL, options: Mapping[str, Any] | None = None) -> None:
        """Open (and create, readable by its owner only) the file of `url`; an empty path is a database in memory.

        `options`: execution options of every connection.

        Raises:
            StoreSetupError: the directory or file cannot be made.
            StoreUnavailableError: the file is being restored from a backup.
        """
        self._path = file_of(url)
        self._use = hold_in_use(self._path) if self._path else None
        self._readers = (
            None if self._path is None else ThreadPoolExecutor(_READERS, thread_name_prefix="doorward-reader")
        )
        self._read_engine = None if self._path is None else make_engine(url, options, is_reader=True)
        self._write_engine = make_engine(url, options)
        self._writer = GroupCommitWriter(self._write_engine, _WAITING_LIMIT, keeps_connection=self._path is None)
        self._reading = 0
        self._closing = False

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on one consistent state of the database, without the right to write."""
        if self._readers is None:  # in memory there is one connection, the writer's
            result: T = await self._writer.submit(partial(_without_writing, work))
            return result
        if self._closing or self._reading >= _WAITING_LIMIT:
            raise StoreUnavailableError("Too many questions wait for the database.", retry_after_seconds=1)
        self._reading += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._read_now, work)
        finally:
            self._reading -= 1

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the writer thread; durable when this returns."""
        result: T = await self._writer.submit(work)
        return result

    async def clear_old_pages(self, _tables: Sequence[str]) -> bool:
        """Move the write-ahead log into the file and empty it; False if a reader was in the way (try again).

        What was deleted is zeros in the file already (`secure_delete`); its former pages are in the log until then.
        """
        return self._path is None or await asyncio.to_thread(self._empty_log)

    async def close(self) -> None:
        """Write what waits and let go of the file."""
        self._closing = True
        await self._writer.close()
        if self._readers is not None:
            await asyncio.to_thread(self._readers.shutdown)
        for engine in (self._read_engine, self._write_engine):
            if engine is not None:
                engine.dispose()
        if self._use is not None:
            release(self._use)
            self._use = None

    def _empty_log(self) -> bool:
        try:
            with contextlib.closing(self._write_engine.raw_connection()) as connection:
                is_busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except Exception as error:
            shown = translated(error)
            if shown is error:
                raise
            raise shown from error
        return not is_busy

    def _read_now(self, work: Callable[[Connection], T]) -> T:
        if self._read_engine is None:
            raise StoreUnavailableError("The database is being closed.", retry_after_seconds=5)
        try:
            with self._read_engine.connect() as connection, alone(connection):
                return work(connection)
        except Exception as error:
            shown = translated(error, is_reading=True)
            if shown is error:
                raise
            raise shown from error


def file_of(url: URL) -> Path | None:
    """The file of a SQLite URL; None for a database in memory."""
    return Path(url.database) if url.database and url.database != ":memory:" else None


def make_engine(url: URL, options: Mapping[str, Any] | None = None, *, is_reader: bool = False) -> Engine:
    """An engine on the file of `url`; a reader's connections may not write."""
    path = file_of(url)
    if path is not None:
        _make_file(path)
    engine = create_engine(
        url.set(query={}),
        poolclass=StaticPool if path is None else QueuePool,
        hide_parameters=True,
        execution_options={READER_OPTION: is_reader, **(options or {})},
        connect_args={"timeout": _lock_seconds(url), "check_same_thread": False},
        **({} if path is None else {"pool_size": _READERS, "max_overflow": 0}),
    )
    begin = "BEGIN" if is_reader else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "connect")
    def set_up(driver: sqlite3.Connection, _record: Any) -> None:
        driver.isolation_level = None  # SQLAlchemy's `begin` below opens transactions, not the driver
        for setting in _SETTINGS:
            driver.execute(setting)
        if is_reader:
            driver.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def open_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def hold_in_use(path: Path, *, is_alone: bool = False) -> int:
    """Mark the database file as in use by this process (a shared lock on `<file>.lock`), or as ours alone.

    Returns the lock's file descriptor; closing it, also by dying, gives the lock back.

    Raises:
        StoreUnavailableError: somebody else holds it in a way that excludes us.
    """
    _make_file(path)
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        message = "The database is in use." if is_alone else "The database is being restored from a backup."
        raise StoreUnavailableError(message, retry_after_seconds=5) from error
    return descriptor


def _without_writing(work: Callable[[Connection], T], connection: Connection) -> T:
    connection.exec_driver_sql("PRAGMA query_only=ON")
    try:
        return work(connection)
    finally:
        connection.exec_driver_sql("PRAGMA query_only=OFF")


def release(use: int) -> None:
    """Give back what `hold_in_use` returned."""
    os.close(use)


def _make_file(path: Path) -> None:
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        # A file that is there is not opened: closing it would drop the locks of all SQLite connections of this process
        # (POSIX), and another process would take away the log from under them (sqlite.org/howtocorrupt.html, 2.2).
        elif path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        elif not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise StoreSetupError(f"The database file {path} cannot be opened for writing: {error.strerror}.") from error


def _lock_seconds(url: URL) -> float:
    value = url.query.get("timeout", "")
    try:
        return float(str(value)) if value else _LOCK_SECONDS
    except ValueError as error:
        raise StoreSetupError("`timeout` in the database URL must be a number of seconds.") from error
