"""Rows in PostgreSQL, through psycopg 3 on two small thread pools (reads never queue behind writes)."""

import asyncio
import importlib.util
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError

from doorward.stores.after_commit import READER_OPTION, alone, collect
from doorward.stores.errors import StoreSetupError, StoreUnavailableError
from doorward.stores.faults import is_disconnect, is_retried, translated, without_values

T = TypeVar("T")

_THREADS: Final = 6  # of each kind
_WAITING_LIMIT: Final = 10_000
_TRIES: Final = 6
_CLOSE_SECONDS: Final = 10.0
_VACUUM_SECONDS: Final = 600
_SESSION: Final = (
    "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000 -c timezone=UTC"
)
_log = structlog.get_logger("doorward.stores")


class PostgresStore:
    """A pool of connections to a PostgreSQL database."""

    def __init__(self, url: URL, options: Mapping[str, Any] | None = None) -> None:
        """Prepare the pool; connections are made when first needed. `options`: execution options of all of them.

        Raises:
            StoreSetupError: the driver is not installed.
        """
        self._engine = make_engine(url, options)
        self._readers = ThreadPoolExecutor(_THREADS, thread_name_prefix="doorward-reader")
        self._writers = ThreadPoolExecutor(_THREADS, thread_name_prefix="doorward-writer")
        self._waiting = 0
        self._closing_until: float | None = None

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read-only transaction."""
        return await self._submit(self._readers, self._read_now, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction of its own; durable when this returns."""
        return await self._submit(self._writers, self._write_now, work)

    async def clear_old_pages(self, tables: Sequence[str]) -> bool:
        """Have PostgreSQL give up the dead rows of these tables (VACUUM); those that an old transaction sees stay."""
        await asyncio.to_thread(self._vacuum, tables)
        return True

    async def close(self) -> None:
        """Finish what waits (what takes longer than ten seconds is refused) and close the connections."""
        self._closing_until = time.monotonic() + _CLOSE_SECONDS
        for pool in (self._readers, self._writers):
            await asyncio.to_thread(pool.shutdown)
        self._engine.dispose()

    async def _submit(
        self, pool: ThreadPoolExecutor, run: Callable[[Callable[[Connection], T]], T], work: Callable[[Connection], T]
    ) -> T:
        if self._closing_until is not None:
            raise StoreUnavailableError("The database is being closed.", retry_after_seconds=5)
        if self._waiting >= _WAITING_LIMIT:
            raise StoreUnavailableError("Too many works wait for the database.", retry_after_seconds=1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, run, work)
        finally:
            self._waiting -= 1

    def _vacuum(self, tables: Sequence[str]) -> None:
        names = ", ".join(self._engine.dialect.identifier_preparer.quote(name) for name in tables)
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(f"SET statement_timeout = {_VACUUM_SECONDS * 1000}")
                try:
                    connection.exec_driver_sql(f"VACUUM {names}")
                finally:
                    connection.exec_driver_sql("RESET statement_timeout")
        except Exception as error:
            shown = translated(without_values(error))
            if shown is error:
                raise
            raise shown from error

    def _read_now(self, work: Callable[[Connection], T]) -> T:
        return self._with_retries(lambda: self._read_once(work), is_reading=True)

    def _write_now(self, work: Callable[[Connection], T]) -> T:
        return self._with_retries(lambda: self._write_once(work))

    def _read_once(self, work: Callable[[Connection], T]) -> T:
        opened = self._engine.connect().execution_options(postgresql_readonly=True, **{READER_OPTION: True})
        with opened as connection, alone(connection):
            return work(connection)

    def _write_once(self, work: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            collect(connection)
            result = work(connection)
            callbacks = collect(connection)
            try:
                connection.commit()
            except DBAPIError as error:
                if is_disconnect(error):  # it may have been committed: running it again could do it twice
                    message = "The database went away while it was saving; the change may or may not have been kept."
                    raise StoreUnavailableError(message, retry_after_seconds=2) from error
                raise
        for callback in callbacks:
            callback()
        return result

    def _with_retries(self, attempt: Callable[[], T], *, is_reading: bool = False) -> T:
        number = 1
        while True:
            self._refuse_after_close()
            try:
                return attempt()
            except Exception as error:
                is_worth_it = is_retried(error) or (is_disconnect(error) and number == 1)
                if number == _TRIES or not is_worth_it:
                    shown = translated(without_values(error), is_reading=is_reading)
                    if shown is error:
                        raise
                    raise shown from error
                _log.info("store_work_retried", attempt=number, error=type(error).__name__)
            time.sleep(random.uniform(0, 0.005 * 2**number))  # noqa: S311 - jitter, not a secret
            number += 1

    def _refuse_after_close(self) -> None:
        if self._closing_until is not None and time.monotonic() > self._closing_until:
            raise StoreUnavailableError("The database is being closed.", retry_after_seconds=5)


def make_engine(url: URL, options: Mapping[str, Any] | None = None) -> Engine:
    """An engine for a `postgresql://` URL.

    Raises:
        StoreSetupError: the driver is not installed.
    """
    if importlib.util.find_spec("psycopg") is None:
        raise StoreSetupError("PostgreSQL needs its driver: pip install 'doorward[cluster]'")
    arguments: dict[str, Any] = {"connect_timeout": 5, "application_name": "doorward", "options": _SESSION}
    arguments |= {"keepalives_idle": 30, "tcp_user_timeout": 15_000}
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,  # values in error texts would end in logs
        execution_options=dict(options or {}),
        pool_size=2 * _THREADS,
        max_overflow=0,
        pool_timeout=10,
        pool_recycle=1800,
        connect_args={name: value for name, value in arguments.items() if name not in url.query},
    )
