"""PostgreSQL's own pg_dump and pg_restore. Passwords go by environment, never on a command line that others can see."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from sqlalchemy import URL, text

from doorward.stores.errors import StoreSetupError, StoreUnavailableError
from doorward.stores.faults import translated
from doorward.stores.postgresql import make_engine

_DEBIAN: Final = "usr/lib/postgresql/*/bin"
_VERSION_ROW: Final = re.compile(r"^COPY [^\n]*alembic_version[^\n]*\n([^\n\\]+)\n", re.MULTILINE)
_OTHERS: Final = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'doorward' AND pid <> pg_backend_pid()"
)


def dump(url: URL, target: Path) -> None:
    """Write the database to `target` in pg_dump's custom format, as of one moment.

    Raises:
        StoreSetupError: pg_dump is missing or refuses.
    """
    _run(url, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}", _address(url))


def restore(url: URL, source: Path) -> str:
    """Replace the database's contents by a dump, in one transaction; returns the file that undoes it.

    Raises:
        StoreUnavailableError: a server uses the database. StoreSetupError: a tool is missing or refuses.
    """
    _refuse_if_used(url)
    undo = source.with_name(source.name + ".before-restore")
    dump(url, undo)
    undo.chmod(0o600)
    options = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
    _run(url, "pg_restore", *options, f"--dbname={_address(url)}", str(source))
    return str(undo)


def revision_in(source: Path) -> str:
    """The revision of the tables in a dump; empty if it has none.

    Raises:
        StoreSetupError: not a dump, or pg_restore is missing.
    """
    script = _run(None, "pg_restore", "--data-only", "--table=alembic_version", "--file=-", str(source))
    found = _VERSION_ROW.search(script)
    return found.group(1).strip() if found else ""


def _refuse_if_used(url: URL) -> None:
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


def _address(url: URL) -> str:
    return url._replace(drivername="postgresql", password=None).render_as_string(hide_password=False)


def _run(url: URL | None, name: str, *arguments: str) -> str:
    environment = dict(os.environ)
    if url is not None and url.password:
        environment["PGPASSWORD"] = str(url.password)
    done = subprocess.run(  # noqa: S603 - the program is found by us, and no shell reads the arguments
        [_program(name), *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="replace").strip().splitlines()
        raise StoreSetupError(f"{name} refused: {complaint[0] if complaint else done.returncode}")
    return done.stdout.decode(errors="replace")


def _program(name: str) -> str:
    debian = sorted(Path("/").glob(f"{_DEBIAN}/{name}"), key=lambda path: _major(path.parent.parent.name))
    found = str(debian[-1]) if debian else shutil.which(name)
    if found is None:
        raise StoreSetupError(f"{name} is not installed; on Debian: apt install postgresql-client")
    return found


def _major(folder: str) -> int:
    return int(folder) if folder.isdigit() else 0
