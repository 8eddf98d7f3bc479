"""Opens databases for tests: with the tables of every room that was imported, and with a key ring."""

from weakref import WeakKeyDictionary

from doorward.stores.schema import METADATA
from doorward.stores.sql import Database
from doorward.vault.service import Vault

_VAULTS: dict[str, Vault] = {}
_OPENED: WeakKeyDictionary[Database, Vault] = WeakKeyDictionary()


async def open_rows(url: str) -> Database:
    """The database at `url`; tables and ring are made if it has none. Opened again, it has the same ring."""
    vault = Vault.in_memory() if url == "sqlite://" else _VAULTS.setdefault(url, Vault.in_memory())
    database = Database.open(url, vault)
    _OPENED[database] = vault
    await database.write(METADATA.create_all)
    await database.write(vault.bind)
    return database


def vault_of(database: Database) -> Vault:
    """The vault that `open_rows` gave to a database."""
    return _OPENED[database]
