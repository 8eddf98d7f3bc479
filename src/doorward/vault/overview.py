"""What `doorward vault status` shows: the ring's files and who can read them, its locks, and the keys in the database.

Nothing is unlocked for it, and nothing secret is in it.
"""

import grp
import pwd
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from doorward.hall.errors import DoorwardError
from doorward.stores.sql import Database, parse_url
from doorward.stores.sqlite import file_of
from doorward.vault import control, ringfile, tables
from doorward.vault.locks import key_file, recovery
from doorward.vault.model import KekState
from doorward.vault.opening import is_in_memory
from doorward.vault.privatefile import drafts_of
from doorward.vault.process import hardening
from doorward.vault.site import Site

_ONE_FOR_BOTH = "The key lies beside the database: whoever copies this directory has both. Move it (`vault.key_path`)."
_NO_SHEET = "There is no recovery sheet: run `doorward vault rekey --new-recovery`."
_UNFINISHED = "A change of keys was interrupted, and the former key still opens the ring: run `doorward vault rekey`."
_UNUSED = "This key file opens only old copies of the key ring; delete it: "
_DRAFTS = "A command was killed while it wrote; delete what it left: "


@dataclass(frozen=True, slots=True)
class KekCount:
    """One key-encryption key, and how many data keys it wraps."""

    version: int
    state: str
    made_at: float
    data_keys: int


@dataclass(frozen=True, slots=True)
class DatabaseKeys:
    """What the database says. `problem`: why it could not be asked.

    `left`: data keys that an older key-encryption key wraps. `former`: data keys that have a newer version.
    """

    ring_id: str | None = None
    keks: tuple[KekCount, ...] = ()
    problem: str = ""
    is_rotating: bool = False
    left: int = 0
    former: int = 0


def ring_values(site: Site) -> dict[str, Any]:
    """The key ring's file, its locks, and what should be changed about them.

    Raises:
        KeyRingError: there is no ring, or its file cannot be read.
    """
    file = ringfile.read(site.ring_path)
    return {
        "ring": file.ring_id,
        "unlock": site.settings.unlock,
        "locks": [{"kind": entry.kind, **_shown(entry.parameters)} for entry in file.locks],
        "files": [_readers(path) for path in _files(site) if path.exists()],
        "warnings": _warnings(site, file),
    }


async def database_keys(site: Site) -> DatabaseKeys:
    """The keys in the database, counted; a database that is not there yet is not made."""
    if is_in_memory(site):
        return DatabaseKeys(problem="in memory")
    file = _database_file(site)
    if file is not None and not file.exists():
        return DatabaseKeys(problem="not made yet")
    try:
        database = Database.open(site.database_url)
        try:
            return await database.read(_counted)
        finally:
            await database.close()
    except DoorwardError as error:
        return DatabaseKeys(problem=error.message)


def server_values(site: Site) -> list[dict[str, Any]]:
    """What each running server of this data directory says about its vault."""
    return control.ask(site, control.Question(do="status"))


def process_values() -> dict[str, Any]:
    """Whether keys are kept out of dumps in this process (and so in a server on this machine)."""
    state = hardening()
    return {"undumpable": state.is_undumpable, "no_core": state.has_no_core}


def day(at: float) -> str:
    """A moment, for people."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _counted(connection: Connection) -> DatabaseKeys:
    ring_id = tables.ring_of(connection)
    if ring_id is None:
        return DatabaseKeys(problem="not sealed yet")
    counts = tables.count_keys(connection)
    keks = tuple(
        KekCount(one.version, KekState(one.state).value, one.created_at, counts.get(one.version, 0))
        for one in tables.all_keks(connection)
    )
    older = keks[:-1]
    left, former = sum(one.data_keys for one in older), tables.count_former_keys(connection)
    return DatabaseKeys(ring_id, keks, is_rotating=bool(older or former), left=left, former=former)


def _files(site: Site) -> list[Path]:
    return [site.ring_path, *([site.key_path] if site.settings.unlock == key_file.KIND else [])]


def _readers(path: Path) -> dict[str, str]:
    found = path.stat()
    return {"path": str(path), "rights": stat.filemode(found.st_mode), "owner": _owner(found.st_uid, found.st_gid)}


def _owner(user: int, group: int) -> str:
    try:
        return f"{pwd.getpwuid(user).pw_name}:{grp.getgrgid(group).gr_name}"
    except KeyError:
        return f"{user}:{group}"


def _shown(parameters: dict[str, str | int]) -> dict[str, str | int]:
    return {name: value for name, value in parameters.items() if name != "salt"}


def _database_file(site: Site) -> Path | None:
    url = parse_url(site.database_url)
    return file_of(url) if url.get_backend_name() == "sqlite" else None


def _warnings(site: Site, file: ringfile.RingFile) -> list[str]:
    kinds = [entry.kind for entry in file.locks]
    places = {site.ring_path.resolve().parent, Path(site.data_directory).resolve()}
    if database := _database_file(site):
        places.add(database.resolve().parent)
    usual = [kind for kind in kinds if kind != recovery.KIND]
    drafts = [str(path) for base in (site.ring_path, site.key_path) for path in drafts_of(base)]
    checks = (
        (site.settings.unlock == key_file.KIND and site.key_path.resolve().parent in places, _ONE_FOR_BOTH),
        (recovery.KIND not in kinds, _NO_SHEET),
        (len(usual) > 1, _UNFINISHED),
        (site.settings.unlock not in kinds, f"`vault.unlock` is {site.settings.unlock!r}, and no such lock is there."),
        (key_file.KIND not in kinds and site.key_path.exists(), f"{_UNUSED}{site.key_path}"),
        (bool(drafts), _DRAFTS + " ".join(drafts)),
    )
    return [text for applies, text in checks if applies]
