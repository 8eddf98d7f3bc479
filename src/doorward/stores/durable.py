"""Work that takes long and must survive a crash, on DBOS: a chain of steps, each remembered when it is done.

1. A work is a kind, a state (small JSON values, never anything secret or personal) and a step: it takes the state and
   returns the next one, until that says `done`.
2. DBOS writes every state down in a database of its own: a SQLite file beside the rows, or the schema `dbos` in the
   same PostgreSQL. Whoever opens it next continues what a killed process has left.
3. One process at a time does such work: the others are told so.
4. A step may run twice (killed after its effect, before it was remembered), so it must bear that. So it may begin
   anew: a SQLite file that is damaged is set aside, because it holds nothing but how far a work was.

DBOS is loaded when it is first needed: importing it takes most of a second.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from doorward.hall.errors import ConflictError
from doorward.stores.errors import StoreDamagedError, StoreSetupError
from doorward.stores.faults import translated
from doorward.stores.postgresql import make_engine
from doorward.stores.sqlite import file_of

State = dict[str, Any]
Step = Callable[[State], State]

FILE_NAME: Final = "durable.db"
_LOCK_NUMBER: Final = 0x776F726B  # "work": any number that every Doorward agrees on
_VERSION: Final = "1"  # of the states: what was begun under another one is not continued
_WORKFLOW: Final = "doorward.work"
_log = structlog.get_logger("doorward.stores")


class DurableBusyError(ConflictError):
    """Another process is doing work of this kind."""

    code = "durable.busy"
    advice = "Wait until it is done; `doorward vault status` shows how far it is."


def run(url: URL, kind: str, state: State, step: Step) -> State:
    """Do a work to its end, or continue the one of this kind that was interrupted; returns the last state.

    Blocks; `step` is called in another thread. `url`: of the rows.

    Raises:
        DurableBusyError: another process does it. Whatever `step` raises ends the work, and passes through.
        StoreSetupError: a database in memory keeps nothing. StoreUnavailableError: the database is away.
    """
    with _alone(url):
        try:
            with _launched(url, kind, step) as work:
                return work(state)
        except DBAPIError as error:
            shown = translated(error)
            if url.get_backend_name() != "sqlite" or not isinstance(shown, StoreDamagedError):
                raise shown from error
            _set_aside(_file(url))
        with _launched(url, kind, step) as work:  # begun anew: what was done is in the rows
            return work(state)


@contextlib.contextmanager
def _launched(url: URL, kind: str, step: Step) -> Iterator[Callable[[State], State]]:
    logging.getLogger("dbos").addHandler(logging.NullHandler())  # before its own, which writes to the terminal
    logging.getLogger("dbos").setLevel(logging.CRITICAL)  # what ends a work passes through to whoever began it
    _make_private(url)
    from dbos import DBOS  # noqa: PLC0415  # loaded late, see above

    DBOS(
        config={
            "name": "doorward", "system_database_url": _system_url(url),
            "enable_otlp": False, "log_level": "CRITICAL", "application_version": _VERSION,
            "executor_id": kind,
        }
    )  # fmt: skip
    try:

        @DBOS.workflow(name=_WORKFLOW)
        def advance(state: State) -> State:
            while not state.get("done"):
                state = DBOS.run_step({"name": kind}, step, state)
            return state

        DBOS.launch()  # also continues what a killed process has left

        def work(state: State) -> State:
            running = DBOS.list_workflows(name=_WORKFLOW, status=["PENDING", "ENQUEUED"])
            mine = [one for one in running if one.executor_id == kind]
            if mine:
                result: State = DBOS.retrieve_workflow(mine[0].workflow_id).get_result()
                return result
            return DBOS.start_workflow(advance, state).get_result()

        yield work
    finally:
        DBOS.destroy(destroy_registry=True)


@contextlib.contextmanager
def _alone(url: URL) -> Iterator[None]:
    if url.get_backend_name() == "sqlite":
        path = _file(url)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise DurableBusyError from error
        finally:
            os.close(lock)
        return
    with _advisory_lock(url):
        yield


@contextlib.contextmanager
def _advisory_lock(url: URL) -> Iterator[None]:
    engine = make_engine(url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            taken = connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": _LOCK_NUMBER})
            is_ours = taken.scalar_one()
            if is_ours:
                yield  # the connection is the lock: it ends with this process
    except Exception as error:
        shown = translated(error)
        if shown is error:
            raise
        raise shown from error
    finally:
        engine.dispose()
    if not is_ours:
        raise DurableBusyError


def _make_private(url: URL) -> None:
    if url.get_backend_name() == "sqlite":
        with contextlib.suppress(FileExistsError):  # DBOS would make it readable for all
            os.close(os.open(_file(url), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _set_aside(path: Path) -> None:
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.replace(path.with_name(f"{path.name}.damaged"))
    _log.warning("durable_file_set_aside", file=path.name)


def _system_url(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{_file(url)}"
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def _file(url: URL) -> Path:
    path = file_of(url)
    if path is None:
        raise StoreSetupError("A database in memory keeps no long work.")
    return path.with_name(FILE_NAME)
