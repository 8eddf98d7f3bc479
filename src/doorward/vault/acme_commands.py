"""`doorward tls order` and `doorward tls revoke`: the ordered certificate, by hand.

They work beside a running server, whose port 80 answers the authority; without one they listen there themselves while
they order. `cli.py` hangs them under `doorward tls`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from doorward.hall.errors import DoorwardError
from doorward.vault.acme import Certificates
from doorward.vault.acme_model import Certificate
from doorward.vault.commands import Json

Opener = Callable[[], AbstractAsyncContextManager[Certificates]]


class Reason(StrEnum):
    """Why a certificate is revoked (RFC 5280 section 5.3.1, as far as a subscriber may say it)."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    SUPERSEDED = "superseded"
    CESSATION = "cessation-of-operation"


_CODES = {Reason.UNSPECIFIED: 0, Reason.KEY_COMPROMISE: 1, Reason.SUPERSEDED: 4, Reason.CESSATION: 5}


def register(app: typer.Typer, opened: Opener) -> None:
    """Add the commands to the group `tls`; `opened` gives the certificates of the configured house."""

    @app.command("order", epilog="Example: doorward tls order --dry-run")
    def order(
        dry_run: Annotated[
            bool, typer.Option("--dry-run", "--staging", help="Order from `acme.staging_directory`, and keep nothing.")
        ] = False,
        force: Annotated[
            bool, typer.Option("--force", help="Also if it is not due, or the authority said to wait.")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Order the certificate of the listener now. A running server does it by itself, and shows it in a second."""

        async def work(certificates: Certificates) -> Certificate:
            return await (certificates.rehearse() if dry_run else certificates.order(forced=force))

        issued = _run(opened, work, as_json=as_json)
        values = _values(issued) | {"kept": not dry_run}
        kept = "It works; nothing was kept." if dry_run else f"It is renewed on {values['renew_at']}."
        words = f"{', '.join(issued.domains)}: a certificate until {values['expires_at']}. {kept}"
        typer.echo(json.dumps({"ok": True, **values}) if as_json else words)

    @app.command("revoke", epilog="Example: doorward tls revoke --reason key-compromise --yes")
    def revoke(
        reason: Annotated[Reason, typer.Option(help="What the authority publishes.")] = Reason.UNSPECIFIED,
        yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
        as_json: Json = False,
    ) -> None:
        """Have the authority call the certificate void. A running server orders a new one, with a new key, at once."""
        if not yes:
            typer.confirm("Browsers may refuse this service until the new certificate is there. Revoke it?", abort=True)
        gone = _run(opened, lambda certificates: certificates.revoke(_CODES[reason]), as_json=as_json)
        words = f"{', '.join(gone.domains)}: revoked. A running server orders a new one within a minute."
        typer.echo(json.dumps({"ok": True, "domains": gone.domains, "reason": reason}) if as_json else words)


def _values(issued: Certificate) -> dict[str, Any]:
    return {
        "domains": issued.domains,
        "authority": issued.directory,
        "expires_at": _moment(issued.not_after),
        "renew_at": _moment(issued.renew_at),
    }


def _run(opened: Opener, work: Callable[[Certificates], Awaitable[Certificate]], *, as_json: bool) -> Certificate:
    async def whole() -> Certificate:
        async with opened() as certificates:
            return await work(certificates)

    try:
        return asyncio.run(whole())
    except DoorwardError as error:
        if as_json:
            values = {"code": error.code, "message": error.message, "advice": error.advice}
            typer.echo(json.dumps({"ok": False, "error": values}))
        else:
            typer.echo(f"{error.message} {error.advice}", err=True)
        raise typer.Exit(1) from error


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
