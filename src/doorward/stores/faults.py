"""Turns what a database driver raises into the errors of this house. Anything it does not know passes through."""

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from doorward.stores.errors import StoreDamagedError, StoreFullError, StoreUnavailableError

_SQLITE_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SQLITE_AWAY = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
    }
)
_SQLITE_PRIMARY_CODE = 0xFF  # the low byte of an extended result code (sqlite.org/rescode.html)

# PostgreSQL, appendix A "Error Codes".
_SQLSTATES_FULL = frozenset({"53100"})
_SQLSTATES_RETRIED = frozenset({"40001", "40P01"})
_READ_ONLY = "25006"
_SQLSTATES_AWAY = ("08", "53", "57P", "55P03", "57014", _READ_ONLY, "58", "28", "3D")


def translated(error: Exception, *, is_reading: bool = False) -> Exception:
    """The house's error for a driver's error, or the same exception if it is none of the store's health.

    `is_reading`: "read only" is then a mistake of the work and says nothing of the database.
    """
    if isinstance(error, PoolTimeoutError):
        return StoreUnavailableError("All connections to the database are busy.", retry_after_seconds=1)
    if not isinstance(error, DBAPIError):
        return error
    if is_reading and _is_read_only(error):
        return error
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return _from_sqlite(error, cause)
    return _from_postgresql(error)


def without_values(error: Exception) -> Exception:
    """The same exception, less PostgreSQL's DETAIL line: it repeats the row's values, which must not end in a log."""
    if isinstance(error, DBAPIError) and error.orig is not None and _sqlstate(error):
        error.orig.args = tuple(str(argument).partition("\nDETAIL")[0] for argument in error.orig.args)
        error.args = tuple(str(argument).partition("\nDETAIL")[0] for argument in error.args)
    return error


def is_retried(error: Exception) -> bool:
    """Whether PostgreSQL asks to run the transaction again (serialization failure, deadlock)."""
    return isinstance(error, DBAPIError) and _sqlstate(error) in _SQLSTATES_RETRIED


def is_disconnect(error: Exception) -> bool:
    """Whether the connection was lost under the work."""
    return isinstance(error, DBAPIError) and bool(error.connection_invalidated)


def _from_sqlite(error: DBAPIError, cause: sqlite3.Error) -> Exception:
    code = getattr(cause, "sqlite_errorcode", 0) & _SQLITE_PRIMARY_CODE
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(retry_after_seconds=30)
    if code in _SQLITE_LOCKED:
        return StoreUnavailableError("The database is locked by another process.", retry_after_seconds=1)
    if code in _SQLITE_DAMAGED:
        return StoreDamagedError(retry_after_seconds=60)
    if code in _SQLITE_AWAY:
        return StoreUnavailableError("The database file cannot be read or written.", retry_after_seconds=5)
    return error


def _from_postgresql(error: DBAPIError) -> Exception:
    state = _sqlstate(error)
    if state in _SQLSTATES_FULL:
        return StoreFullError(retry_after_seconds=30)
    if state in _SQLSTATES_RETRIED:
        return StoreUnavailableError("Too many changes of the same rows at once.", retry_after_seconds=1)
    is_away = state.startswith(_SQLSTATES_AWAY) if state else isinstance(error, OperationalError | InterfaceError)
    if is_away or error.connection_invalidated:
        return StoreUnavailableError("The database does not answer.", retry_after_seconds=2)
    return error


def _is_read_only(error: DBAPIError) -> bool:
    return _sqlstate(error) == _READ_ONLY or getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
