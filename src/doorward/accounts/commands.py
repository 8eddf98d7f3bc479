"""Commands about accounts, for the operator: API keys, and the link that lets the first administrator in.

`cli.py` hangs these under `doorward keys` and `doorward admin`, and says how to open the accounts of the configured
house (`Opener`); nothing here knows where that is.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from doorward.accounts import addresses
from doorward.accounts.entrance import mailbox_index
from doorward.accounts.model import Account, Key
from doorward.accounts.service import Accounts
from doorward.hall.errors import DoorwardError, NotFoundError

T = TypeVar("T")
Opener = Callable[[], AbstractAsyncContextManager[Accounts]]

Email = Annotated[str, typer.Option("--email", help="Whose account it is.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def keys_app(opened: Opener) -> typer.Typer:
    """The commands under `doorward keys`."""
    app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

    @app.command("create", epilog="Example: doorward keys create --email you@example.com --name ci --scope chat")
    def create(
        email: Email,
        name: Annotated[str, typer.Option("--name", help="What will use the key.")],
        scope: Annotated[
            list[str] | None, typer.Option("--scope", help="chat, models, embeddings, images, admin or * (default).")
        ] = None,
        days: Annotated[int | None, typer.Option("--days", help="Days until it ends; without it, never.")] = None,
        as_json: Json = False,
    ) -> None:
        """Make an API key for an account, and show it once."""

        async def work(accounts: Accounts) -> tuple[Key, str]:
            owner = await _owner(accounts, email)
            return await accounts.keys.create(owner.account_id, owner.role, name, scope or ["*"], days)

        key, text = _run(opened, work, as_json)
        if as_json:
            typer.echo(json.dumps(asdict(key) | {"key": text}))
        else:
            typer.echo(f"{text}\n\nThis is the only time that it is shown. Its id is {key.key_id}.")

    @app.command("list", epilog="Example: doorward keys list --email you@example.com")
    def list_keys(email: Email, as_json: Json = False) -> None:
        """List the live API keys of an account."""

        async def work(accounts: Accounts) -> list[Key]:
            return await accounts.keys.of_account((await _owner(accounts, email)).account_id)

        keys = _run(opened, work, as_json)
        if as_json:
            typer.echo(json.dumps({"keys": [asdict(key) for key in keys]}))
        else:
            Console().print(_table(keys))

    @app.command("revoke", epilog="Example: doorward keys revoke key_01j9…")
    def revoke(
        key_id: Annotated[str, typer.Argument(help="The key's id, from `doorward keys list`.")], as_json: Json = False
    ) -> None:
        """Revoke an API key, whoever it belongs to."""
        _run(opened, lambda accounts: accounts.keys.revoke(key_id, ""), as_json)
        typer.echo(json.dumps({"revoked": key_id}) if as_json else f"{key_id} is revoked.")

    return app


def admin_app(opened: Opener) -> typer.Typer:
    """The commands under `doorward admin`."""
    app = typer.Typer(help="Let an administrator in.", no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """Let an administrator in."""

    @app.command("link", epilog="Example: doorward admin link --email you@example.com")
    def link(
        email: Annotated[
            str, typer.Option("--email", help="The administrator's address; the account is made if there is none.")
        ] = "admin@localhost",
        as_json: Json = False,
    ) -> None:
        """Print a link that lets its user in as an administrator, once, for fifteen minutes."""
        url, ends_at = _run(opened, lambda accounts: accounts.welcome.admin_link(email), as_json)
        if as_json:
            typer.echo(json.dumps({"link": url, "expires_at": ends_at}))
        else:
            typer.echo(f"{url}\n\nIt can be used once, until {_moment(ends_at)}.")

    return app


def _run(opened: Opener, work: Callable[[Accounts], Awaitable[T]], as_json: bool) -> T:
    """Do `work` on the opened accounts; an error is told in words and ends the command with status 1."""

    async def whole() -> T:
        async with opened() as accounts:
            return await work(accounts)

    try:
        return asyncio.run(whole())
    except DoorwardError as error:
        if as_json:
            values = {"code": error.code, "message": error.message, "advice": error.advice}
            typer.echo(json.dumps({"ok": False, "error": values}))
        else:
            typer.echo(f"{error.message} {error.advice}", err=True)
        raise typer.Exit(1) from error


async def _owner(accounts: Accounts, email: str) -> Account:
    address = addresses.parse(email, local=True)
    found = await accounts.account_of_mailbox(mailbox_index(accounts.parts, address))
    if found is None:
        raise NotFoundError("There is no account with this address.")
    return found


def _table(keys: list[Key]) -> Table:
    table = Table("Id", "Name", "Key", "Scopes", "Made", "Last used", "Ends")
    for key in keys:
        last_used = _moment(key.last_used_at) if key.last_used_at else "never"
        ends = _moment(key.expires_at) if key.expires_at else "never"
        scopes = ", ".join(key.scopes)
        table.add_row(key.key_id, key.name, f"{key.hint}…", scopes, _moment(key.created_at), last_used, ends)
    return table


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
