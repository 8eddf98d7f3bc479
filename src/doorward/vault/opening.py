"""Finds the key ring of a database when the house opens: makes one for an empty database, refuses a stranger's.

1. A database that has never had a ring gets one: made now, or the one that lies there ready.
2. A database with a ring opens with that ring only. Without it, or with another, nothing is touched.
"""

from pathlib import Path

from doorward.hall.clock import Clock
from doorward.stores.sql import Database
from doorward.vault import ringfile, tables
from doorward.vault.errors import RingMissingError, WrongRingError
from doorward.vault.locks import key_file_lock
from doorward.vault.service import Vault
from doorward.vault.settings import VaultSettings


async def open_vault(settings: VaultSettings, data_directory: str, url: str, clock: Clock) -> Vault:
    """The vault of the database at `url`; a ring is made if that database has none.

    Raises:
        RingMissingError, WrongRingError, WrongKeyError, KeyRingError: nothing was changed.
        StoreUnavailableError: the database is away.
    """
    database = Database.open(url)
    try:
        if database.is_in_memory:
            return Vault.in_memory(clock)
        wanted = await database.read(tables.ring_of)
    finally:
        await database.close()
    return Vault(_ring(settings, data_directory, wanted).ring, clock)


def _ring(settings: VaultSettings, data_directory: str, wanted: str | None) -> ringfile.Kept:
    path, key_path = settings.ring_path(data_directory), settings.key_path(data_directory)
    if not path.exists():
        if wanted is not None:
            raise RingMissingError
        return _made(path, key_path)
    kept = ringfile.open_with(ringfile.read(path), key_file_lock(key_path))
    if wanted is not None and kept.ring.ring_id != wanted:
        raise WrongRingError
    return kept


def _made(path: Path, key_path: Path) -> ringfile.Kept:
    return ringfile.make(path, [key_file_lock(key_path, makes=True)])
