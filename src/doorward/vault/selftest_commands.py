"""`doorward vault selftest`, hung onto the group that `commands` makes."""

import json

import typer
from rich.console import Console
from rich.table import Table

from doorward.vault import selftest
from doorward.vault.commands import Json
from doorward.vault.selftest_ground import Check


def register(app: typer.Typer) -> None:
    """Add the command to the group."""

    @app.command("selftest", epilog="Example: doorward vault selftest --json")
    def run(as_json: Json = False) -> None:
        """Prove sealing, rotation, shredding and backups on a scratch database; exits with 1 if a promise fails."""
        checks = selftest.run()
        if as_json:
            typer.echo(json.dumps(selftest.values(checks)))
        else:
            Console(soft_wrap=True).print(_table(checks))
        if not all(check.is_met for check in checks):
            raise typer.Exit(1)


def _table(checks: list[Check]) -> Table:
    table = Table("check", "outcome", "tried", title="What the vault promises, on a scratch database")
    for check in checks:
        table.add_row(check.name, "[green]ok[/]" if check.is_met else "[bold red]FAILED[/]", check.figure)
    return table
