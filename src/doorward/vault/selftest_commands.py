"""`doorward vault selftest`, hung onto the group that `commands` makes."""

import json

import typer

from doorward.vault import selftest
from doorward.vault.commands import Json


def register(app: typer.Typer) -> None:
    """Add the command to the group."""

    @app.command("selftest", epilog="Example: doorward vault selftest --json")
    def run(as_json: Json = False) -> None:
        """Prove sealing, moving, flipping and shredding on a scratch database; exits with 1 if a promise fails."""
        checks = selftest.run()
        if as_json:
            typer.echo(json.dumps(selftest.values(checks)))
        else:
            for check in checks:
                typer.echo(f"{'ok' if check.is_met else 'FAILED':7}{check.name}  {check.figure}".rstrip())
        if not all(check.is_met for check in checks):
            raise typer.Exit(1)
