"""`doorward posture …`: the lever and the history, straight on the database of the configured house.

`cli.py` says how to open the gate of the configured house (`Opener`); a server that runs on the same database hears
of a change by the event.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from doorward.gate.book import Lever
from doorward.gate.model import Level, Row
from doorward.gate.picture import row_values
from doorward.gate.service import Gate
from doorward.hall.errors import DoorwardError

T = TypeVar("T")
Opener = Callable[[], AbstractAsyncContextManager[Gate]]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_SET_BY: Final = "operator"


def posture_app(opened: Opener) -> typer.Typer:
    """The commands under `doorward posture`."""
    app = typer.Typer(help="See and set how strict the door is.", no_args_is_help=True)

    @app.command("show", epilog="Example: doorward posture show")
    def show(as_json: Json = False) -> None:
        """Show which cohorts the door is strict with, and until when."""
        live = _run(opened, _live)
        _print(live[1], as_json, {"version": live[0]}, "posture", "The door is open for everybody.")

    @app.command(
        "set",
        epilog="Example: doorward posture set careful --cohort mail=example.org --reason 'odd sign-ups' --minutes 30",
    )
    def set_level(
        level: Annotated[Level, typer.Argument(help="open, careful, probation or waitlist.")],
        reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the history.")],
        minutes: Annotated[float, typer.Option("--minutes", min=0.02, max=10_080, help="After this it ends.")],
        cohort: Annotated[str, typer.Option("--cohort", help="Whom it is about; * is everybody.")] = "*",
        as_json: Json = False,
    ) -> None:
        """Set the level of a cohort, with a reason and an end."""
        lever = Lever(level, cohort, reason, minutes * 60, _SET_BY)
        row = _run(opened, lambda gate: gate.pull(lever))
        _print([row], as_json, {}, "posture", "")

    @app.command("undo", epilog="Example: doorward posture undo 17")
    def undo(
        version: Annotated[int, typer.Argument(min=1, help="The change, from `doorward posture history`.")],
        as_json: Json = False,
    ) -> None:
        """Take one change back that is in force."""
        row = _run(opened, lambda gate: gate.undo(version, _SET_BY))
        _print([row], as_json, {}, "posture", "")

    @app.command("history", epilog="Example: doorward posture history --limit 20")
    def history(
        limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="How many changes.")] = 50,
        as_json: Json = False,
    ) -> None:
        """List the changes, the newest first."""
        rows = _run(opened, lambda gate: gate.book.history(limit))
        _print(rows, as_json, {}, "history", "Nothing has ever been changed.")

    return app


async def _live(gate: Gate) -> tuple[int, list[Row]]:
    posture = gate.posture()
    at = gate.now()
    return posture.version, [row for row in posture.rows.values() if row.change.expires_at > at]


def _run(opened: Opener, work: Callable[[Gate], Awaitable[T]]) -> T:
    """Do `work` on the opened gate; an error is told in words and ends the command with status 1."""

    async def whole() -> T:
        async with opened() as gate:
            return await work(gate)

    try:
        return asyncio.run(whole())
    except DoorwardError as error:
        typer.echo(f"{error.message} {error.advice}", err=True)
        raise typer.Exit(1) from error


def _print(rows: list[Row], as_json: bool, more: dict[str, object], name: str, nothing: str) -> None:
    if as_json:
        typer.echo(json.dumps(more | {name: [row_values(row) for row in rows]}))
    elif not rows:
        typer.echo(nothing)
    else:
        Console().print(_table(rows))


def _table(rows: list[Row]) -> Table:
    table = Table("Version", "At", "Cohort", "From", "To", "Until", "Why", "By")
    for row in rows:
        change = row.change
        table.add_row(
            str(row.version),
            _moment(change.at),
            change.cohort,
            row.from_level.value,
            change.level.value,
            _moment(change.expires_at),
            change.reason,
            change.set_by,
        )
    return table


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
