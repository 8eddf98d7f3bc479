"""`doorward vault`: the key ring, for the operator.

`cli.py` makes the group with `vault_app` and hangs the commands of the vault's other parts onto it.
"""

import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from doorward.hall.errors import DoorwardError
from doorward.vault import ringfile
from doorward.vault.site import Site

T = TypeVar("T")
Load = Callable[[], Site]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def vault_app(load: Load) -> typer.Typer:
    """The commands under `doorward vault`; `load` reads the configuration when a command runs."""
    app = typer.Typer(help="The key ring, and what is sealed with it.", no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """The key ring, and what is sealed with it."""

    @app.command("status", epilog="Example: doorward vault status --json")
    def status(as_json: Json = False) -> None:
        """Say which key ring this is, what opens it, and where its files lie."""
        site = load()
        file = answered(as_json, lambda: ringfile.read(site.ring_path))
        values = {"ring": file.ring_id, "locks": [lock.kind for lock in file.locks], "file": str(site.ring_path)}
        say(as_json, "\n".join(f"{name:6} {value}" for name, value in values.items()), values)

    return app


def answered(as_json: bool, work: Callable[[], T]) -> T:
    """What `work` returns; an error is told in words (or JSON) and ends the command with status 1."""
    try:
        return work()
    except DoorwardError as error:
        if as_json:
            values = {"code": error.code, "message": error.message, "advice": error.advice}
            typer.echo(json.dumps({"ok": False, "error": values}))
        else:
            typer.echo(f"{error.message} {error.advice}", err=True)
        raise typer.Exit(1) from error


def say(as_json: bool, words: str, values: dict[str, Any]) -> None:
    """Print a result, for people or for programs."""
    typer.echo(json.dumps({"ok": True, **values}) if as_json else words)
