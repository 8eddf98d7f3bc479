"""Brings the tables of a database up to this program's version, by Alembic, in one transaction.

1. The revisions are packaged in `doorward/migrations`. A database names the one that it is at.
2. A database at a revision that this program does not know was upgraded by a newer one: it is refused, untouched.
3. On PostgreSQL an advisory lock makes a second process wait, which then finds nothing left to do. On SQLite the
   write lock does that.
4. If a step fails, the whole upgrade is taken back, on both databases.
5. A step that seals what was plain names the tables; after the commit their pages are rewritten (see `scrub`).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, text

from doorward.stores.errors import SchemaOutdatedError, SchemaTooNewError
from doorward.stores.faults import translated
from doorward.stores.postgresql import make_engine as make_postgresql_engine
from doorward.stores.schema import is_postgresql
from doorward.stores.scrub import scrub
from doorward.stores.sealed import SEALER_OPTION, RowSealer
from doorward.stores.sql import Database, parse_url
from doorward.stores.sqlite import file_of, hold_in_use, release
from doorward.stores.sqlite import make_engine as make_sqlite_engine

_MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"
_LOCK_NUMBER: Final = 0x646F6F72  # "door": any number that every Doorward agrees on


OpensSealer = Callable[[], RowSealer]
"""Opens the vault of the database that is upgraded."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade did; an empty `before` is a database without tables."""

    before: str
    after: str

    @property
    def is_change(self) -> bool:
        """Whether there was anything to do."""
        return self.before != self.after


def upgrade(url: str, revision: str = "head", sealer: OpensSealer | None = None) -> Upgrade:
    """Bring the database at `url` up to date (also while a server runs on it); nothing happens if it is.

    `sealer` opens its vault, for steps that seal rows; it is not asked where there are no rows, or nothing to do.

    Raises:
        VaultLockedError: there are rows to seal, and no vault.
        SchemaTooNewError: a newer program has upgraded it. StoreSetupError: the URL cannot be used.
        StoreUnavailableError: the database is away, locked or full.
    """
    parsed = parse_url(url)
    path = file_of(parsed) if parsed.get_backend_name() == "sqlite" else None
    use = hold_in_use(path) if path else None
    engine = _engine(parsed)
    try:
        with engine.connect() as connection:
            has_steps = current_revision(connection) not in {"", newest_revision()}
        options = {SEALER_OPTION: sealer()} if sealer and has_steps else {}
        with engine.execution_options(**options).begin() as connection:
            done = upgrade_tables(connection, revision)
        scrub(engine)
    except Exception as error:
        shown = translated(error)
        if shown is error:
            raise
        raise shown from error
    else:
        return done
    finally:
        engine.dispose()
        if use is not None:
            release(use)


async def prepare(database: Database, *, upgrades_postgresql: bool) -> Upgrade:
    """What `serve` does first: upgrade a SQLite database; PostgreSQL only where that is wished, else just check it.

    Raises:
        SchemaOutdatedError: it has to be upgraded by hand first. SchemaTooNewError: a newer program has upgraded it.
        StoreUnavailableError: the database is away.
    """
    if upgrades_postgresql or not database.is_postgresql:
        done = await database.write(upgrade_tables)
        if not database.is_in_memory:
            await asyncio.to_thread(_scrub, database.url)
        return done
    revision = await database.read(check)
    return Upgrade(revision, revision)


def _scrub(url: URL) -> None:
    engine = _engine(url)
    try:
        scrub(engine)
    except Exception as error:
        shown = translated(error)
        if shown is error:
            raise
        raise shown from error
    finally:
        engine.dispose()


def _engine(url: URL) -> Engine:
    return make_sqlite_engine(url) if url.get_backend_name() == "sqlite" else make_postgresql_engine(url)


def upgrade_tables(connection: Connection, revision: str = "head") -> Upgrade:
    """Upgrade in the transaction that is running on `connection`."""
    if is_postgresql(connection):
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
    config = configuration(connection)
    before = _known_revision(connection, config)
    command.upgrade(config, revision)
    return Upgrade(before, current_revision(connection))


def check(connection: Connection) -> str:
    """The revision of a database that is up to date.

    Raises:
        SchemaOutdatedError: it is older than this program. SchemaTooNewError: it is newer.
    """
    config = configuration(connection)
    revision = _known_revision(connection, config)
    if revision != newest_revision():
        raise SchemaOutdatedError
    return revision


def current_revision(connection: Connection) -> str:
    """The revision that the database says it is at; empty if it has no tables yet."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def newest_revision() -> str:
    """The revision of this program."""
    return ScriptDirectory.from_config(configuration(None)).get_current_head() or ""


def configuration(connection: Connection | None) -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _known_revision(connection: Connection, config: Config) -> str:
    revision = current_revision(connection)
    if revision:
        try:
            ScriptDirectory.from_config(config).get_revision(revision)
        except CommandError as error:
            raise SchemaTooNewError from error
    return revision
