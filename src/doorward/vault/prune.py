"""Takes away the keys of mailboxes that came to nothing: each attempt of an attacker leaves one behind.

A key goes when it is two days old and no table has a row of its mailbox: whoever could have it in memory, has used it
within the last five minutes, and then there is a row.
"""

from functools import partial
from typing import Final

from sqlalchemy import Connection

from doorward.hall.clock import Clock
from doorward.hall.jobs import Job
from doorward.stores.after_commit import after_commit
from doorward.stores.sql import Database
from doorward.vault import prune_tables as rows
from doorward.vault.data_keys import DataKeys

_AGE_SECONDS: Final = 2 * 86_400.0
_EVERY_SECONDS: Final = 900.0
_AT_ONCE: Final = 500


class KeyPruning:
    """Recurring work of the vault."""

    def __init__(self, data_keys: DataKeys, database: Database, clock: Clock) -> None:
        """Take away from `database`, and from the memory of `data_keys`."""
        self._data_keys = data_keys
        self._database = database
        self._clock = clock
        self.pruned = 0

    def jobs(self) -> list[Job]:
        """The recurring work."""
        return [Job("vault.data_keys.prune", _EVERY_SECONDS, self._prune)]

    async def prune(self) -> int:
        """Take unused keys away; returns how many.

        Raises:
            StoreUnavailableError: the database is away.
        """
        before, total = self._clock.now() - _AGE_SECONDS, 0
        while subjects := await self._database.read(lambda c: rows.unused_mailboxes(c, before, _AT_ONCE)):
            gone = await self._database.write(partial(self._drop, subjects=subjects, before=before))
            total += gone
            if gone == 0 or len(subjects) < _AT_ONCE:
                break
        self.pruned += total
        return total

    def _drop(self, connection: Connection, subjects: list[str], before: float) -> int:
        gone = rows.drop(connection, subjects, before)
        self._data_keys.forget(subjects)  # at once for whoever comes next in this thread, and again when it is settled
        after_commit(connection, lambda: self._data_keys.forget(subjects))
        return gone

    async def _prune(self) -> None:
        await self.prune()
