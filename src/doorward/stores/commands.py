"""`doorward db`: bring the tables up to date."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from doorward.hall.errors import DoorwardError
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
    group = typer.Typer(no_args_is_help=True, help="Upgrade the database.")

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
