"""SQLite's one writer: many works, one transaction, one write to the disk.

1. Callers queue works; the queue is bounded, and a full queue refuses at once.
2. The writer thread takes everything that waits (up to `WORKS_PER_COMMIT`) and opens one transaction.
3. Each work runs inside its own savepoint, so that one that fails takes back only its own changes.
4. One commit makes them all durable; only then is any caller answered.
5. If SQLite took the whole transaction back (a full disk does that), or the commit failed, each work is tried once
   more alone, so that the one at fault is found and its neighbours don't suffer.
"""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog
from sqlalchemy import Connection, Engine

from doorward.stores.after_commit import Callback, collect
from doorward.stores.errors import StoreUnavailableError
from doorward.stores.faults import translated

WORKS_PER_COMMIT: Final = 512
_log = structlog.get_logger("doorward.stores")


@dataclass(slots=True)
class _Task:
    """A work that waits for its turn, and the caller that waits for it."""

    work: Callable[[Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def answer(self) -> None:
        """Tell the caller (in the caller's own loop)."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class GroupCommitWriter:
    """Runs works one after the other in one thread and commits them in groups."""

    def __init__(self, engine: Engine, waiting_limit: int, *, keeps_connection: bool) -> None:
        """`keeps_connection`: the database lives in the connection (in memory), so never reopen it."""
        self._engine = engine
        self._waiting_limit = waiting_limit
        self._keeps_connection = keeps_connection
        self._connection: Connection | None = None
        self._waiting: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="doorward-writer", daemon=True)
        self._thread.start()

    async def submit(self, work: Callable[[Connection], Any]) -> Any:
        """Run `work`; its changes are on the disk when this returns.

        Raises:
            StoreUnavailableError: closing, too many works wait, or the database is away.
        """
        loop = asyncio.get_running_loop()
        task = _Task(work, loop, loop.create_future())
        with self._changed:
            if self._closing:
                raise StoreUnavailableError("The database is being closed.", retry_after_seconds=5)
            if len(self._waiting) >= self._waiting_limit:
                raise StoreUnavailableError("Too many changes wait to be written.", retry_after_seconds=1)
            self._waiting.append(task)
            self._changed.notify()
        return await task.future

    async def close(self) -> None:
        """Write what waits, then stop. Nothing that was asked for stays without an answer."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while tasks := self._take():
            self._serve(tasks)
        self._drop_connection()

    def _take(self) -> list[_Task]:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            number = min(len(self._waiting), WORKS_PER_COMMIT)
            return [self._waiting.popleft() for _ in range(number)]

    def _serve(self, tasks: list[_Task]) -> None:
        try:
            connection = self._open_connection()
            transaction = connection.begin()
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller gets it
            self._fail(tasks, error)
            return
        callbacks: dict[Callback, None] = {}
        try:
            for task in tasks:
                self._attempt(connection, task, callbacks, is_alone=len(tasks) == 1)
            transaction.commit()
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers get it
            self._take_back(connection)
            if len(tasks) == 1:
                self._fail(tasks, error)
            else:
                self._serve_one_by_one(tasks)
            return
        for callback in callbacks:
            callback()
        _answer(tasks)

    def _attempt(self, connection: Connection, task: _Task, callbacks: dict[Callback, None], *, is_alone: bool) -> None:
        collect(connection)
        if is_alone:
            task.result = task.work(connection)
        else:
            driver = _driver(connection)
            driver.execute("SAVEPOINT work")
            try:
                task.result = task.work(connection)
            except Exception as error:
                if not driver.in_transaction:  # SQLite has rolled back everything, the neighbours' works too
                    raise
                driver.execute("ROLLBACK TO work")
                driver.execute("RELEASE work")
                task.error = _shown(error)
                return
            driver.execute("RELEASE work")
        callbacks.update(collect(connection))

    def _serve_one_by_one(self, tasks: list[_Task]) -> None:
        for task in tasks:
            task.result, task.error = None, None
            self._serve([task])

    def _fail(self, tasks: list[_Task], error: Exception) -> None:
        for task in tasks:
            task.error = _shown(error)
        if isinstance(tasks[0].error, StoreUnavailableError):
            _log.warning("store_write_failed", code=tasks[0].error.code, works=len(tasks))
            if not self._keeps_connection:
                self._drop_connection()
        _answer(tasks)

    def _open_connection(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _take_back(self, connection: Connection) -> None:
        try:
            connection.rollback()
        except Exception as error:  # noqa: BLE001 - the connection is beyond use: the next work opens another
            _log.warning("store_rollback_failed", error=type(error).__name__)
            self._drop_connection()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def _shown(error: Exception) -> Exception:
    """The error for one caller: each gets its own, since an exception collects the trace of whoever raises it."""
    shown = translated(error)
    if shown is not error:
        shown.__cause__ = error
    return shown


def _answer(tasks: list[_Task]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Task]] = {}
    for task in tasks:
        by_loop.setdefault(task.loop, []).append(task)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_answer_here, group)
        except RuntimeError:  # the loop is closed: nobody waits for the answer any more
            _log.warning("store_answer_lost", works=len(group))


def _answer_here(tasks: list[_Task]) -> None:
    for task in tasks:
        task.answer()
