"""Opens databases for tests: with the tables of every room that was imported, and with a key ring."""

from weakref import WeakKeyDictionary

from doorward.hall.clock import Clock
from doorward.house import FORGETS
from doorward.stores.outbox import Outbox
from doorward.stores.schema import METADATA
from doorward.stores.sql import Database
from doorward.vault.honey import Honey
from doorward.vault.service import Vault
from doorward.vault.shred import Shredding
from doorward.vault.shred_list import ShredList

_VAULTS: dict[str, Vault] = {}
_OPENED: WeakKeyDictionary[Database, Vault] = WeakKeyDictionary()


async def open_rows(url: str, clock: Clock | None = None) -> Database:
    """The database at `url`; tables and ring are made if it has none. Opened again, it has the same ring."""
    fresh = Vault.in_memory(clock)
    vault = fresh if url == "sqlite://" else _VAULTS.setdefault(url, fresh)
    database = Database.open(url, vault)
    _OPENED[database] = vault
    await database.write(METADATA.create_all)
    await database.write(vault.bind)
    return database


def vault_of(database: Database) -> Vault:
    """The vault that `open_rows` gave to a database."""
    return _OPENED[database]


def shredding_of(database: Database, outbox: Outbox, clock: Clock, kept: ShredList | None = None) -> Shredding:
    """What shreds in a database that `open_rows` opened; it forgets the rows of every room."""
    shredding = Shredding(vault_of(database), database, outbox, clock, kept)
    shredding.forgets = FORGETS
    return shredding


def honey_of(database: Database, outbox: Outbox, clock: Clock) -> Honey:
    """The honey of a database that `open_rows` opened; it knows of none before `load`."""
    return Honey(vault_of(database), database, outbox, shredding_of(database, outbox, clock), clock)
