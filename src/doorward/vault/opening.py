"""Finds the key ring of a database when the house opens: makes one for an empty database, refuses a stranger's.

1. A database that has never had a ring gets one: made now, or the one that lies there ready. The ring is on the disk
   before the database hears of it, so that no crash can leave a database whose ring is lost.
2. A database with a ring opens with that ring only. Without it, or with another, nothing is touched.
3. Two processes that start at once make one ring: the directory is held while one is made. Two machines that start at
   once on one empty database make two, and the database takes one of them: the other machine refuses to start.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from doorward.hall.clock import Clock
from doorward.stores.sql import Database, parse_url
from doorward.stores.sqlite import file_of
from doorward.vault import ringfile, tables
from doorward.vault.envelope import new_key
from doorward.vault.errors import RingMissingError, WrongRingError
from doorward.vault.keeper import Keeper
from doorward.vault.locks import choice, recovery
from doorward.vault.locks.lock import Lock
from doorward.vault.privatefile import held
from doorward.vault.ring import Ring
from doorward.vault.service import Vault
from doorward.vault.settings import VaultSettings
from doorward.vault.site import Site

_NO_SHEET: Final = "it has no recovery sheet yet: run `doorward vault rekey --new-recovery` on a terminal"

_log = structlog.get_logger("doorward.vault")


@dataclass(frozen=True, slots=True)
class Made:
    """A ring that was there, or was made just now; then perhaps with its recovery sheet, to be shown once."""

    kept: ringfile.Kept
    lock: Lock
    sheet: str = ""
    is_new: bool = False


async def open_vault(
    settings: VaultSettings, data_directory: str, url: str, clock: Clock, given: Lock | None = None
) -> Vault:
    """The vault of the database at `url`; a ring is made if that database has none.

    `given`: a lock to open it with, instead of the configuration's.

    Raises:
        VaultLockedError: the passphrase is not at hand.
        RingMissingError, WrongRingError, WrongKeyError, KeyRingError: nothing was changed.
        StoreUnavailableError: the database is away.
    """
    site = Site(settings, data_directory, url)
    if is_in_memory(site):
        return Vault.in_memory(clock)
    made = ring_of(site, await bound_ring(site), clock.now(), given=given)
    if made.is_new:
        _log.warning("key_ring_made", ring=made.kept.ring.ring_id, advice=_NO_SHEET)
    vault = Vault(made.kept.ring, clock)
    vault.keeper = Keeper(vault, site, clock, made.lock)
    return vault


def is_in_memory(site: Site) -> bool:
    """Whether the rows, and so the ring, are kept nowhere."""
    url = parse_url(site.database_url)
    return url.get_backend_name() == "sqlite" and file_of(url) is None


async def bound_ring(site: Site) -> str | None:
    """The id of the ring that the database belongs to; None if it has never had one. A missing file stays missing.

    Raises:
        StoreUnavailableError: the database is away.
    """
    url = parse_url(site.database_url)
    file = file_of(url) if url.get_backend_name() == "sqlite" else None
    if file is not None and not file.exists():
        return None
    database = Database.open(site.database_url)
    try:
        return await database.read(tables.ring_of)
    finally:
        await database.close()


def ring_of(site: Site, wanted: str | None, now: float, *, given: Lock | None = None, with_sheet: bool = False) -> Made:
    """The open ring of a database that belongs to `wanted`, or to none yet. `with_sheet`: a new one gets a sheet.

    Raises:
        RingMissingError, WrongRingError, WrongKeyError, KeyRingError, VaultLockedError: nothing was changed.
    """
    path = site.ring_path
    if not path.exists():
        if wanted is not None:
            raise RingMissingError
        return _made(site, path, now, with_sheet=with_sheet)
    file = ringfile.read(path)
    if wanted is not None and file.ring_id != wanted:
        raise WrongRingError
    lock = given or choice.configured(site)
    return Made(ringfile.open_with(file, lock), lock)


def _made(site: Site, path: Path, now: float, *, with_sheet: bool) -> Made:
    with held(path.parent):
        if path.exists():  # another process was faster
            lock = choice.configured(site)
            return Made(ringfile.open_with(ringfile.read(path), lock), lock)
        lock = choice.configured(site, makes=True)
        ring, sheet_key = Ring.fresh(), new_key()
        locks = [lock, recovery.of_key(sheet_key, now)] if with_sheet else [lock]
        kept = ringfile.make(path, locks, ring)
    return Made(kept, lock, recovery.sheet(sheet_key, ring.ring_id, now) if with_sheet else "", is_new=True)
