"""What to do in this process once a transaction is safely on disk (wake the outbox, wake the postbox).

A callback runs in the database's thread, at most once per commit however often it was asked for, and only if the
work that asked was committed. It must be quick and must not raise.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection

READER_OPTION: Final = "doorward_reads"  # the execution option of connections that never write
_KEY: Final = "doorward.after_commit"
_SCRATCH: Final = "doorward.scratch"

Callback = Callable[[], None]


def after_commit(connection: Connection, callback: Callback) -> None:
    """Have `callback` called when the work that is running on `connection` has been committed."""
    connection.info.setdefault(_KEY, {})[callback] = None


def once_settled(connection: Connection, callback: Callback) -> None:
    """Call `callback` when what `connection` has seen is sure to stay: at once if it only reads, else after commit."""
    if connection.get_execution_options().get(READER_OPTION):
        callback()
    else:
        after_commit(connection, callback)


def scratch(connection: Connection) -> dict[Any, Any]:
    """What the running work wants to remember until its end; nothing of it outlives the work."""
    found: dict[Any, Any] = connection.info.setdefault(_SCRATCH, {})
    return found


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Around a work that only reads: what it remembered goes with it, and not to the next on this connection."""
    info = connection.info  # a connection that breaks meanwhile does not give it any more
    info.pop(_SCRATCH, None)  # of a work that failed
    try:
        yield
    finally:
        info.pop(_SCRATCH, None)
        info.pop(_KEY, None)


def collect(connection: Connection) -> dict[Callback, None]:
    """Take away what the work on `connection` asked for (the database calls this; an ordered set)."""
    connection.info.pop(_SCRATCH, None)
    callbacks: dict[Callback, None] = connection.info.pop(_KEY, {})
    return callbacks
