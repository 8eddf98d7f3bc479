"""`doorward config`: check, show, schema and explain, for people and, with `--json`, for machines."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from doorward.config import describe
from doorward.config.loading import Examination, examine, find_file
from doorward.config.mistakes import Gravity, Mistake
from doorward.hall.errors import NotFoundError

FileOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="TOML file (default: $DOORWARD_CONFIG, else ./doorward.toml if it is there)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def register(app: typer.Typer) -> None:
    """Add the group `config` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Check and explain the configuration.")
    group.command("check", epilog="Example: doorward config check --config doorward.toml")(check)
    group.command("show", epilog="Example: doorward config show --json")(show)
    group.command("schema", epilog="Example: doorward config schema > doorward.schema.json")(schema)
    group.command("explain", epilog="Example: doorward config explain server.trusted_proxies")(explain)
    app.add_typer(group, name="config")


def check(config: FileOption = None, *, json: JsonOption = False) -> None:
    """Report every mistake at once, with its line and a way out. Exit status 1 if Doorward would not start."""
    examination = _examined(config)
    if json:
        _print_json({"ok": not examination.errors, "mistakes": examination.mistakes})
    else:
        print_mistakes(examination.mistakes)
        count = len(examination.errors)
        typer.echo(f"{count} to correct" if count else "good to start", err=bool(count))
    if examination.errors:
        raise typer.Exit(1)


def show(config: FileOption = None, *, json: JsonOption = False) -> None:
    """Print the values in force, with secrets hidden. Exit status 1 if some were refused."""
    examination = _examined(config)
    if examination.errors:
        print_mistakes(examination.errors)
        raise typer.Exit(1)
    values = describe.show(examination.config)
    if json:
        _print_json(values)
        return
    for name, section in values.items():
        if isinstance(section, dict):
            typer.echo(f"\n[{name}]")
            for key, value in section.items():
                typer.echo(f"{key} = {_encoded(value)}")
        else:
            typer.echo(f"{name} = {_encoded(section)}")


def schema(*, json: JsonOption = True) -> None:
    """Print the JSON Schema of the file: for editors, and for checks in a pipeline. It is always JSON."""
    del json  # accepted so that every command takes it
    _print_json(describe.schema())


def explain(
    name: Annotated[str, typer.Argument(help="A setting, a section, or a variable.")], *, json: JsonOption = False
) -> None:
    """Say what a setting means, what it takes, its default and its variable."""
    try:
        explanations = describe.explain(name)
    except NotFoundError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(1) from error
    if json:
        _print_json([explanation.values() for explanation in explanations])
        return
    for explanation in explanations:
        default = "(a secret: none)" if explanation.is_secret else _encoded(explanation.default)
        typer.echo(f"{explanation.name}\n  {explanation.description}")
        typer.echo(f"  takes {explanation.takes}; default {default}; variable {explanation.variable}")


def _examined(config: Path | None) -> Examination:
    return examine(config or find_file(os.environ), os.environ)


def print_mistakes(mistakes: Sequence[Mistake]) -> None:
    """Print mistakes on standard error, one a paragraph."""
    if not mistakes:
        return
    table = Table("", "where", "setting", "what is wrong", "what to do", show_edge=False)
    for mistake in mistakes:
        colour = "red" if mistake.gravity is Gravity.ERROR else "yellow"
        place = mistake.source if mistake.line is None else f"{mistake.source}:{mistake.line}"
        texts = map(escape, (place, mistake.key, mistake.problem, mistake.suggestion))
        table.add_row(f"[{colour}]{mistake.gravity.value}[/]", *texts)
    console = Console(stderr=True)
    if console.is_terminal:
        console.print(table)
    else:
        for mistake in mistakes:
            typer.echo(f"{mistake.gravity.value}: {mistake}", err=True)


def _print_json(value: Any) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()
