"""What to do in this process once a transaction is safely on disk (wake the outbox, wake the postbox).

A callback runs in the database's thread, at most once per commit however often it was asked for, and only if the
work that asked was committed. It must be quick and must not raise.
"""

from collections.abc import Callable

from sqlalchemy import Connection

_KEY = "doorward.after_commit"

Callback = Callable[[], None]


def after_commit(connection: Connection, callback: Callback) -> None:
    """Have `callback` called when the work that is running on `connection` has been committed."""
    connection.info.setdefault(_KEY, {})[callback] = None


def collect(connection: Connection) -> dict[Callback, None]:
    """Take away what the work on `connection` asked for (the database calls this; an ordered set)."""
    callbacks: dict[Callback, None] = connection.info.pop(_KEY, {})
    return callbacks
