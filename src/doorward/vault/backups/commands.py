"""`doorward backup`, `restore` and `verify`."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from sqlalchemy import Connection

from doorward.hall.clock import SystemClock
from doorward.vault import opening, ringfile
from doorward.vault.backups import restoring
from doorward.vault.backups.errors import BackupError
from doorward.vault.backups.making import SUFFIX, Made, Source, Tell, make, source_for
from doorward.vault.backups.recipients import AGE, AgeIdentity, Identity, RingRecipient
from doorward.vault.backups.retention import name_at
from doorward.vault.backups.settings import BackupSettings
from doorward.vault.commands import Json, answered, say
from doorward.vault.errors import RingMissingError
from doorward.vault.locks import choice
from doorward.vault.ring import Ring
from doorward.vault.shred import Forget, replay
from doorward.vault.shred_list import FILE_NAME, ShredList
from doorward.vault.site import Site

_LARGEST_IDENTITY = 65_536
IdentityOption = Annotated[
    Path | None, typer.Option("--identity", help="File of the age identity that opens it, instead of the key ring.")
]


@dataclass(frozen=True, slots=True)
class BackupSite:
    """One instance, its backups, and what deletes its people's rows."""

    site: Site
    settings: BackupSettings
    forgets: Sequence[Forget]

    @property
    def directory(self) -> Path:
        """Where backups go."""
        return self.settings.directory_in(self.site.data_directory)


Load = Callable[[], BackupSite]


def register(app: typer.Typer, load: Load) -> None:
    """Add the commands; `load` reads the configuration when one runs."""

    @app.command("backup", epilog="Example: doorward backup /mnt/elsewhere/monday.dwbackup")
    def backup(
        target: Annotated[
            Path | None, typer.Argument(help="File to write (default: a dated one in `backup.directory`).")
        ] = None,
        force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
        as_json: Json = False,
    ) -> None:
        """Copy the rows, as of one moment, while the service runs; compressed, and sealed by the key ring."""
        done = answered(as_json, lambda: _made(load(), target, force=force, shows=not as_json))
        opens = "an age identity" if done.opened_by == AGE else "the key ring"
        words = f"{done.path}: {_size(done.size_bytes)} in {done.seconds:.1f} s; {opens} opens it. Keep both, apart."
        say(as_json, words, asdict(done))

    @app.command("restore", epilog="Example: doorward restore /mnt/elsewhere/monday.dwbackup")
    def restore(
        file: Annotated[Path, typer.Argument(help="A file that `doorward backup` wrote.")],
        identity: IdentityOption = None,
        as_json: Json = False,
    ) -> None:
        """Put a backup in the place of the present rows. Stop the service first; the output names the undo."""
        done = answered(as_json, lambda: _restored(load(), file, identity, shows=not as_json))
        words = f"Restored as of {_moment(done.made_at)}, tables at {done.revision}."
        is_undo = done.undo.endswith(SUFFIX)
        words += f"\nUndo: doorward restore {done.undo}" if is_undo else f"\nKept: {done.undo}" if done.undo else ""
        say(as_json, words, asdict(done))

    @app.command("verify", epilog="Example: doorward verify --drill /mnt/elsewhere/monday.dwbackup")
    def verify(
        file: Annotated[Path, typer.Argument(help="A file that `doorward backup` wrote.")],
        drill: Annotated[
            bool, typer.Option("--drill", help="Also bring it back into a scratch database, and compare.")
        ] = False,
        identity: IdentityOption = None,
        as_json: Json = False,
    ) -> None:
        """Read a backup to its end: a changed or missing bit anywhere is found."""
        words, values = answered(as_json, lambda: _verified(load(), file, identity, drills=drill, shows=not as_json))
        say(as_json, words, values)


def _made(load: BackupSite, target: Path | None, *, force: bool, shows: bool) -> Made:
    site, now = load.site, SystemClock().now()
    if opening.is_in_memory(site):
        raise BackupError("A database in memory has nothing to back up.")
    if not site.ring_path.exists():
        raise RingMissingError
    ring = opening.ring_of(site, asyncio.run(opening.bound_ring(site)), now).kept.ring
    source = source_for(site.database_url, ring, load.settings)
    with _progress("copying", shows=shows) as tell:
        return make(source, target or load.directory / name_at(now), now, overwrites=force, tell=tell)


def _restored(load: BackupSite, file: Path, identity: Path | None, *, shows: bool) -> restoring.Restored:
    site, now = load.site, SystemClock().now()
    ring = _ring(site)
    kept = ShredList(site.ring_path.with_name(FILE_NAME), lambda: ring)

    def replays(connection: Connection) -> None:
        replay(connection, kept.read(), load.forgets)

    kept.read()  # a list that is damaged is found before anything is changed
    source = Source(site.database_url, ring.ring_id, RingRecipient(ring))
    care = restoring.Care(replays, load.directory / f"before-restore-{name_at(now)}")
    with _progress("reading", shows=shows) as tell:
        return restoring.restore(source, file, _identity(identity, ring), care, now, tell=tell)


def _verified(
    load: BackupSite, file: Path, identity: Path | None, *, drills: bool, shows: bool
) -> tuple[str, dict[str, Any]]:
    opens = _identity(identity, None if identity else _ring(load.site))
    with _progress("reading", shows=shows) as tell:
        found = restoring.verify(file, opens, tell=tell)
        done = restoring.drill(file, opens, load.site.database_url, tell=tell) if drills else None
    head, rows = found.head, sum(one.rows for one in found.manifest.tables.values())
    values: dict[str, Any] = {
        "path": str(file), "size_bytes": found.size_bytes, "made_at": head.made_at, "database": head.database,
        "revision": head.revision, "ring": head.ring, "opened_by": head.opened_by, "rows": rows,
        "tables": {name: one.rows for name, one in found.manifest.tables.items()},
    }  # fmt: skip
    words = f"{file} is whole: {rows} rows of {_moment(head.made_at)}, {head.database}, tables at {head.revision}."
    if done is not None:
        values["drill"] = {"tables": done.tables, "rows": done.rows, "seconds": done.seconds}
        words += f"\nBrought back into a scratch database in {done.seconds:.1f} s: {done.tables} tables, all the same."
    return words, values


def _ring(site: Site) -> Ring:
    """The ring, without a look at the database: it may be damaged, or not there yet."""
    if not site.ring_path.exists():
        raise RingMissingError
    return ringfile.open_with(ringfile.read(site.ring_path), choice.configured(site)).ring


def _identity(path: Path | None, ring: Ring | None) -> Identity:
    if path is not None:
        return AgeIdentity(_text_of(path))
    if ring is None:
        raise RingMissingError
    return RingRecipient(ring)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_IDENTITY).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(f"{path} cannot be read: {type(error).__name__}.") from error


@contextmanager
def _progress(word: str, *, shows: bool) -> Iterator[Tell]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shows, transient=True) as progress:
        task = progress.add_task(word, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count} bytes"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
