"""`doorward db`: upgrade, back up and restore the rows."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from doorward.hall.errors import DoorwardError
from doorward.stores.backup import backup, restore
from doorward.stores.sealed import RowSealer
from doorward.stores.settings import StoresSettings
from doorward.stores.upgrade import upgrade

T = TypeVar("T")
Load = Callable[[Path | None], StoresSettings]
SealerOf = Callable[[Path | None], RowSealer]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="TOML file (default: $DOORWARD_CONFIG, else ./doorward.toml if it is there)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def register(app: typer.Typer, load: Load, sealer: SealerOf | None = None) -> None:
    """Add the group `db` to the command line.

    `load` reads the settings from a file, or from the default place; `sealer` opens the vault that belongs to them.
    """
    group = typer.Typer(no_args_is_help=True, help="Upgrade, back up and restore the database.")

    @group.command("upgrade", epilog="Example: doorward db upgrade --config doorward.toml")
    def upgrade_command(config: ConfigOption = None, *, json: JsonOption = False) -> None:
        """Bring the tables up to this version; nothing happens if they are. Make a backup first."""
        opens = None if sealer is None else partial(sealer, config)
        done = _answered(
            json,
            lambda: upgrade(load(config).database_url(), sealer=opens),
        )
        words = f"upgraded to {done.after}" if done.is_change else f"up to date ({done.after})"
        _say(json, words, {"changed": done.is_change, **asdict(done)})

    @group.command("backup", epilog="Example: doorward db backup /var/backups/doorward-2026-11-24.db")
    def backup_command(
        target: Annotated[Path, typer.Argument(help="File to write; only its owner may read it.")],
        config: ConfigOption = None,
        *,
        force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
        json: JsonOption = False,
    ) -> None:
        """Copy the rows, as of one moment, while the service runs. The copy holds personal data: keep it safe."""
        done = _answered(json, lambda: backup(load(config).database_url(), target, overwrites=force))
        _say(json, f"{done.path}: {done.size_bytes} bytes, sha256 {done.sha256}", asdict(done))

    @group.command("restore", epilog="Example: doorward db restore /var/backups/doorward-2026-11-24.db")
    def restore_command(
        source: Annotated[Path, typer.Argument(help="A file that `doorward db backup` wrote.")],
        config: ConfigOption = None,
        *,
        json: JsonOption = False,
    ) -> None:
        """Put a backup in the place of the present rows. Stop the service first; the output names the undo."""
        done = _answered(json, lambda: restore(load(config).database_url(), source))
        undo = f"; undo: doorward db restore {done.undo}" if done.undo else ""
        _say(json, f"restored, tables at {done.revision}{undo}", asdict(done))

    app.add_typer(group, name="db")


def _answered(is_json: bool, work: Callable[[], T]) -> T:
    try:
        return work()
    except DoorwardError as error:
        if is_json:
            values = {"code": error.code, "message": error.message, "advice": error.advice}
            typer.echo(msgspec.json.encode({"ok": False, "error": values}).decode())
        else:
            typer.echo(f"{error.message}\n{error.advice}", err=True)
        raise typer.Exit(1) from error


def _say(is_json: bool, words: str, values: dict[str, Any]) -> None:
    typer.echo(msgspec.json.encode({"ok": True, **values}).decode() if is_json else words)
