"""PostgreSQL's own pg_dump and pg_restore. Passwords go by environment, never on a command line that others can see."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

from sqlalchemy import URL, Connection, Engine, text

from doorward.hall.ids import is_id, new_id
from doorward.stores.errors import NothingToCopyError, StoreSetupError, StoreUnavailableError
from doorward.stores.faults import translated
from doorward.stores.postgresql import make_engine
from doorward.stores.upgrade import current_revision

_DEBIAN: Final = "usr/lib/postgresql/*/bin"
_OTHERS: Final = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'doorward' AND pid <> pg_backend_pid()"
)
_TABLES: Final = (
    "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'alembic_version' ORDER BY 1"
)

_DROP_ALL: Final = (
    "DO $$ DECLARE name text; BEGIN FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() "
    "LOOP EXECUTE format('DROP TABLE %I CASCADE', name); END LOOP; END $$"
)

_LEFT: Final = (
    "SELECT datname FROM pg_database WHERE datname LIKE 'drill~_%' ESCAPE '~' AND datdba = current_user::regrole "
    "AND datname NOT IN (SELECT datname FROM pg_stat_activity WHERE datname IS NOT NULL)"
)
_YOUNG_SECONDS: Final = 600

_END_SECONDS: Final = 1.0  # within which a program has ended that let go of its input
_PIPE_BYTES: Final = 1 << 20  # what Linux gives to everybody

Pipe = int | IO[bytes] | None


@dataclass(frozen=True, slots=True)
class Dumped:
    """A dump that is being written."""

    revision: str
    stream: BinaryIO
    prints: Callable[[], dict[str, tuple[int, str]]]


@contextlib.contextmanager
def snapshot(url: URL) -> Iterator[Dumped]:
    """Dump the database as of one moment, in pg_dump's custom format, uncompressed.

    Raises:
        NothingToCopyError: there are no tables. StoreSetupError: pg_dump is missing or refuses.
        StoreUnavailableError: the database is away.
    """
    engine = make_engine(url)
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            name = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
            revision = _revision(connection)
            options = [f"--snapshot={name}", "--format=custom", "--compress=0", "--no-owner", "--no-privileges"]
            options += ["--exclude-schema=dbos", _address(url)]
            with _running(url, "pg_dump", *options, stdout=subprocess.PIPE) as process:
                stream = cast("BinaryIO", process.stdout)
                yield Dumped(revision, stream, lambda: prints(connection))
    except StoreSetupError:
        raise
    except Exception as error:
        shown = translated(error)
        if shown is error:
            raise
        raise shown from error
    finally:
        engine.dispose()


def restore(url: URL, pieces: Iterable[bytes]) -> None:
    """Replace the database's contents by a dump, in one transaction: tables that the dump lacks are gone too.

    psql would commit whatever it was given until its input ends, and it ends too when pg_restore is killed in the
    middle. So the word to commit is ours, and is said after pg_restore has ended well.

    Raises:
        StoreUnavailableError: a server uses the database. StoreSetupError: a tool is missing or refuses.
    """
    refuse_if_used(url)
    said = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--file=-")
    done = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
    steps = ("--command=SET client_min_messages = error", "--command=BEGIN", f"--command={_DROP_ALL}", "--file=-")
    with _running(url, "psql", *done, *steps, _address(url), stdin=subprocess.PIPE) as writer:
        script = cast("BinaryIO", writer.stdin)
        try:
            with _running(url, "pg_restore", *said, stdin=subprocess.PIPE, stdout=script) as reader:
                _give(cast("BinaryIO", reader.stdin), pieces)
        except StoreSetupError:
            if not _has_ended(writer):  # else psql refused first, and says why
                raise
        else:
            _give(script, [b"COMMIT;\n"])


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _give(stdin: BinaryIO, pieces: Iterable[bytes]) -> None:
    try:
        stdin.writelines(pieces)
        stdin.close()
    except BrokenPipeError:  # it refuses, and says why when it ends
        pass


@contextlib.contextmanager
def scratch(url: URL) -> Iterator[URL]:
    """An empty database of its own on the same server, for that time; what killed processes left of theirs goes too.

    Raises:
        StoreSetupError: the user may not create databases. StoreUnavailableError: the server is away.
    """
    name = new_id("drill")
    engine = make_engine(url)
    try:
        _drop_left_ones(engine)
        _outside_transactions(engine, f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            with _held(url.set(database=name)):
                yield url.set(database=name)
        finally:
            _outside_transactions(engine, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        engine.dispose()


@contextlib.contextmanager
def _held(url: URL) -> Iterator[None]:
    """Stay connected to a database, under a name that is no server's: it is left when we are gone, however that was."""
    engine = make_engine(url.update_query_dict({"application_name": "doorward drill"}))
    try:
        connection = engine.connect()
    except Exception as error:
        raise translated(error) from error
    try:
        yield
    finally:
        connection.invalidate()  # it may have been closed from the other side
        connection.close()
        engine.dispose()


def _drop_left_ones(engine: Engine) -> None:
    """Drop our databases for drills that nobody holds, unless they are so young that somebody may be about to."""
    try:
        with engine.connect() as connection:
            now = float(connection.execute(text("SELECT extract(epoch FROM now())")).scalar_one())
            left = connection.execute(text(_LEFT)).scalars().all()
    except Exception as error:
        raise translated(error) from error
    before = new_id("drill", now - _YOUNG_SECONDS)
    for name in left:
        if is_id(name, "drill") and name < before:
            with contextlib.suppress(StoreSetupError):  # somebody holds it now, or has dropped it
                _outside_transactions(engine, f'DROP DATABASE IF EXISTS "{name}"')


def prints_of(url: URL) -> dict[str, tuple[int, str]]:
    """The fingerprint of every table of a database that nobody else uses."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            return prints(connection)
    finally:
        engine.dispose()


def prints(connection: Connection) -> dict[str, tuple[int, str]]:
    """The fingerprint of every table: number of rows, and the sum of a hash over each, whatever their order."""
    found = {}
    for table in connection.execute(text(_TABLES)).scalars().all():
        question = f'SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM "{table}" AS t'  # noqa: S608
        number, total = connection.execute(text(question)).one()
        found[str(table)] = (int(number), str(total))
    return found


def engine_of(url: URL) -> Engine:
    """An engine for commands."""
    return make_engine(url)


def refuse_if_used(url: URL) -> None:
    """Raises StoreUnavailableError if a Doorward uses the database, or it is away."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            users = connection.execute(text(_OTHERS)).scalar_one()
    except Exception as error:
        raise translated(error) from error
    finally:
        engine.dispose()
    if users:
        raise StoreUnavailableError("A Doorward is running on this database.", retry_after_seconds=5)


def _revision(connection: Connection) -> str:
    found = current_revision(connection)
    if not found:
        raise NothingToCopyError
    return found


def _outside_transactions(engine: Engine, statement: str) -> None:
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text(statement))
    except Exception as error:
        shown = translated(error)
        if shown is error:
            raise StoreSetupError("The database user may not create a database to try a backup in.") from error
        raise shown from error


def _address(url: URL) -> str:
    return url._replace(drivername="postgresql", password=None).render_as_string(hide_password=False)


@contextlib.contextmanager
def _running(
    url: URL, name: str, *arguments: str, stdin: Pipe = subprocess.DEVNULL, stdout: Pipe = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """The tool while it runs; it must end well."""
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(  # noqa: S603 - the program is found by us, and no shell reads the arguments
            [_program(name), *arguments], env=environment, stdin=stdin, stdout=stdout, stderr=complaints
        )
        _widen(process)
        try:
            yield process
            _end(process, name, complaints)
        finally:
            if process.poll() is None:
                process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            process.wait()


def _widen(process: subprocess.Popen[bytes]) -> None:
    """Let more lie in the pipes: fewer turns between the processes. Where that is not allowed, it goes on as it is."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _end(process: subprocess.Popen[bytes], name: str, complaints: BinaryIO) -> None:
    if process.wait() != 0:
        complaints.seek(0)
        lines = complaints.read(4_096).decode(errors="replace").strip().splitlines()
        raise StoreSetupError(f"{name} refused: {lines[0] if lines else process.returncode}")


def _program(name: str) -> str:
    debian = sorted(Path("/").glob(f"{_DEBIAN}/{name}"), key=lambda path: _major(path.parent.parent.name))
    found = str(debian[-1]) if debian else shutil.which(name)
    if found is None:
        raise StoreSetupError(f"{name} is not installed; on Debian: apt install postgresql-client")
    return found


def _major(folder: str) -> int:
    return int(folder) if folder.isdigit() else 0
