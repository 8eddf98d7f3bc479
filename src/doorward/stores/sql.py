"""The rows: one `Database`, in a SQLite file or in PostgreSQL, chosen by URL.

A `work` is an ordinary function of a SQLAlchemy `Connection`. It runs in a thread, inside a transaction that this
module opens and commits; it may be run again after a conflict, so it must have no effects outside the database
(`after_commit` is for those). It must not commit or roll back by itself; `connection.begin_nested()` is allowed.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import URL, Connection, make_url, text
from sqlalchemy.exc import ArgumentError

from doorward.stores.errors import StoreSetupError
from doorward.stores.postgresql import PostgresStore
from doorward.stores.sealed import SEALER_OPTION, RowSealer
from doorward.stores.sqlite import SqliteStore, file_of

T = TypeVar("T")


class _Store(Protocol):
    async def read(self, work: Callable[[Connection], T]) -> T: ...
    async def write(self, work: Callable[[Connection], T]) -> T: ...
    async def clear_old_pages(self, tables: Sequence[str]) -> bool: ...
    async def close(self) -> None: ...


class Database:
    """An open database."""

    def __init__(self, store: _Store, url: URL) -> None:
        """Use `Database.open`."""
        self._store = store
        self.url = url

    @classmethod
    def open(cls, url: str, sealer: RowSealer | None = None) -> "Database":
        """Open `sqlite:///path` (`sqlite://` is in memory) or `postgresql://user@host/name`.

        SQLite: the file and its directory are made where missing; `?timeout=` gives the seconds to wait for another
        process's lock. PostgreSQL: connections are made when first needed. `sealer`: the vault, for personal columns;
        a database that is opened without one can neither write nor read those.

        Raises:
            StoreSetupError: not such a URL, or a driver or a file is missing.
            StoreUnavailableError: the SQLite file is being restored from a backup.
        """
        parsed = parse_url(url)
        options = {} if sealer is None else {SEALER_OPTION: sealer}
        is_sqlite = parsed.get_backend_name() == "sqlite"
        store: _Store = SqliteStore(parsed, options) if is_sqlite else PostgresStore(parsed, options)
        return cls(store, parsed)

    @property
    def is_postgresql(self) -> bool:
        """Whether the rows are in PostgreSQL, where other processes may write too."""
        return self.url.get_backend_name() == "postgresql"

    @property
    def is_in_memory(self) -> bool:
        """Whether the rows are gone when the database is closed."""
        return not self.is_postgresql and file_of(self.url) is None

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on one consistent state, without the right to write, and return what it returns.

        Raises:
            StoreUnavailableError: the database is away or overloaded; what `work` itself raises passes through.
        """
        return await self._store.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and return what it returns; its changes are durable by then.

        If `work` raises, its changes (and nobody else's) are taken back and the exception passes through.

        Raises:
            StoreFullError: no room on the disk. StoreUnavailableError: away, locked, closing or overloaded.
        """
        return await self._store.write(work)

    async def clear_old_pages(self, tables: Sequence[str]) -> bool:
        """Have the database overwrite or give up what was deleted from these tables; False: something is in the way.

        SQLite: the write-ahead log is moved into the file and emptied. PostgreSQL: VACUUM; copies in its own
        write-ahead log, and bytes in the free space of pages, stay until it needs the room.

        Raises:
            StoreUnavailableError: the database is away.
        """
        return await self._store.clear_old_pages(tables)

    async def ping(self) -> None:
        """Find out whether the database can be written to at all.

        Raises:
            StoreUnavailableError: it cannot.
        """
        await self._store.write(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    async def close(self) -> None:
        """Finish what waits and close; later calls raise StoreUnavailableError."""
        await self._store.close()


def parse_url(url: str) -> URL:
    """The parsed URL of a database.

    Raises:
        StoreSetupError: not a URL of SQLite or PostgreSQL (the message does not repeat it: it may hold a password).
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter: a port that is no number
        raise StoreSetupError("The database URL cannot be read.") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return parsed.set(drivername="sqlite")
    if backend in {"postgres", "postgresql"}:
        return parsed.set(drivername="postgresql")
    raise StoreSetupError("The database URL must begin with sqlite:/// or postgresql://.")
