"""The command line: every room's commands under one name, on one configuration.

Commands that work beside a running server (`posture`, `keys`, `admin`) open the house of the configuration without
serving; the server hears of what they change through the outbox.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop
from rich.console import Console

from doorward import __version__, config, logs
from doorward.accounts import commands as accounts_commands
from doorward.accounts.service import Accounts
from doorward.config import commands as config_commands
from doorward.config import loading
from doorward.edge.app import build_letters
from doorward.edge.server import CannotListenError, Opened, redirecting, serve
from doorward.gate import commands as gate_commands
from doorward.gate.service import Gate
from doorward.hall.clock import SystemClock
from doorward.hall.errors import DoorwardError
from doorward.house import FORGETS, House
from doorward.siege import commands as siege_commands
from doorward.stores import commands as stores_commands
from doorward.stores.sealed import RowSealer
from doorward.stores.settings import StoresSettings
from doorward.upstream import commands as upstream_commands
from doorward.upstream import recording_commands
from doorward.upstream.recordings import Recordings
from doorward.vault import (
    acme_commands,
    honey_commands,
    rotate_commands,
    selftest_commands,
    shred_commands,
    tls_commands,
)
from doorward.vault import commands as vault_commands
from doorward.vault.acme import Certificates
from doorward.vault.backups import commands as backup_commands
from doorward.vault.backups.commands import BackupSite
from doorward.vault.honey_commands import Apiary
from doorward.vault.opening import open_vault
from doorward.vault.rotate import FAST
from doorward.vault.rotations import Rotations
from doorward.vault.shred_commands import Shears
from doorward.vault.site import Site
from doorward.vault.tls_site import TlsSite

FIRST_ADMIN = "admin@localhost"

app = typer.Typer(
    name="doorward",
    help="Keep an AI service open to its people while it is under attack.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold a secret
)


@app.callback()
def doorward(
    file: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Configuration of any command (TOML).")
    ] = None,
) -> None:
    """Keep an AI service open to its people while it is under attack."""
    if file is not None:
        os.environ["DOORWARD_CONFIG"] = str(file)
    logs.configure("console", "error")  # standard output is the command's; `serve` logs as it is configured


def loaded(path: Path | None = None) -> config.Config:
    """The configuration of this process; every mistake in it is printed, and ends the command with status 2."""
    try:
        return config.load(path or loading.find_file(os.environ), os.environ)
    except config.ConfigError as error:
        config_commands.print_mistakes(error.mistakes)
        raise typer.Exit(2) from error


@asynccontextmanager
async def _opened() -> AsyncIterator[House]:
    logs.configure("console", "error")
    house = await House.open(loaded(), build_letters(), for_commands=True)
    try:
        yield house
    finally:
        await house.close()


@asynccontextmanager
async def opened_accounts() -> AsyncIterator[Accounts]:
    """The accounts of the configured house, for a command."""
    async with _opened() as house:
        yield house.accounts


@asynccontextmanager
async def opened_gate() -> AsyncIterator[Gate]:
    """The gate of the configured house, for a command."""
    async with _opened() as house:
        await house.gate.load()
        yield house.gate


@asynccontextmanager
async def opened_recordings() -> AsyncIterator[Recordings]:
    """The recorded conversations of the configured house, for a command."""
    async with _opened() as house:
        yield house.upstream.recordings


@asynccontextmanager
async def opened_certificates() -> AsyncIterator[Certificates]:
    """The ordered certificates of the configured house; where no server answers an authority, this process does."""
    async with _opened() as house, AsyncExitStack() as stack:
        with suppress(CannotListenError):  # a server is there, or something else that leads to it
            await stack.enter_async_context(redirecting(house))
        yield house.certificates


@asynccontextmanager
async def opened_shears() -> AsyncIterator[Shears]:
    """What deletes people of the configured house, for a command."""
    async with _opened() as house:
        yield Shears(house.accounts.deletion.by_operator, house.stores.shredding)


@asynccontextmanager
async def opened_apiary() -> AsyncIterator[Apiary]:
    """The honey of the configured house, for a command."""
    async with _opened() as house:
        yield Apiary(house.stores.honey, house.accounts.decoys)


@asynccontextmanager
async def opened_rotations() -> AsyncIterator[Rotations]:
    """What gives the configured house new keys, for a command."""
    async with _opened() as house:
        yield house.rotations_at(FAST)


def stores_settings(path: Path | None) -> StoresSettings:
    """Where the configured house keeps things."""
    return loaded(path).stores


def rows_sealer(path: Path | None) -> RowSealer:
    """The vault of the configured house's rows."""
    settings = loaded(path)
    stores = settings.stores
    return asyncio.run(open_vault(settings.vault, stores.data_directory, stores.database_url(), SystemClock()))


def vault_site() -> Site:
    """Where the configured house keeps its key ring and its rows."""
    settings = loaded()
    return Site(settings.vault, settings.stores.data_directory, settings.stores.database_url())


def backup_site() -> BackupSite:
    """Where the configured house keeps its backups."""
    return BackupSite(vault_site(), loaded().backup, FORGETS)


def tls_site() -> TlsSite:
    """Where the configured server speaks TLS."""
    settings = loaded()
    server, directory = settings.server, settings.stores.data_directory
    return TlsSite(settings.tls, directory, server.host, server.port, settings.public_url)


@app.command("serve", epilog="Example: doorward serve --upstream http://127.0.0.1:8000/v1")
def serve_command(
    upstream: Annotated[
        str | None, typer.Option(help="Base address of an OpenAI-compatible service; without one, a simulator.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = None,
    role: Annotated[str | None, typer.Option(help="all, edge or worker.")] = None,
    file: config_commands.FileOption = None,
    admin_link: Annotated[
        bool | None,
        typer.Option(help="Print a one-time link for the first admin (by default: on a terminal only)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Run Doorward in front of an AI service until Ctrl+C or SIGTERM."""
    given = {"UPSTREAM_URL": upstream, "SERVER_HOST": host, "SERVER_PORT": port, "SERVER_ROLE": role}
    os.environ.update({f"DOORWARD_{name}": str(value) for name, value in given.items() if value is not None})
    settings = loaded(file)
    try:
        if sys.stdout.isatty() and not as_json:
            vault_commands.greet_first_start(vault_site())
        shows_link = sys.stdout.isatty() if admin_link is None else admin_link
        uvloop.run(serve(settings, _announce_json if as_json else partial(_announce, shows_link=shows_link)))
    except DoorwardError as error:
        typer.echo(f"{error.message} {error.advice}", err=True)
        raise typer.Exit(1) from error


async def _announce_json(opened: Opened) -> None:
    sys.stdout.write(msgspec.json.encode({"ready": True, "url": opened.url, "version": __version__}).decode() + "\n")
    sys.stdout.flush()


async def _announce(opened: Opened, *, shows_link: bool) -> None:
    house, console = opened.house, Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]Doorward {__version__}[/] keeps the door at [link={opened.url}]{opened.url}[/link]")
    service = house.config.upstream.url or "the built-in simulator (set --upstream to change that)"
    console.print(f"  AI service   {service}")
    console.print(f"  sign up      {opened.url}/signup")
    console.print(f"  console      {opened.url}/console")
    if shows_link and not await house.accounts.has_admin():
        link, _ = await house.accounts.welcome.admin_link(FIRST_ADMIN)
        console.print(f"  first admin  {link}  (works once, for 15 minutes)")
    else:
        console.print("  admins       run `doorward admin link` for a one-time link")
    sys.stdout.flush()


@app.command("version", epilog="Example: doorward version --json")
def version(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False) -> None:
    """Print the version."""
    text = msgspec.json.encode({"version": __version__}).decode() if as_json else __version__
    typer.echo(text)


config_commands.register(app)
upstream_commands.register(app)
stores_commands.register(app, stores_settings, rows_sealer)
backup_commands.register(app, backup_site)
siege_commands.register(app)
app.add_typer(accounts_commands.keys_app(opened_accounts), name="keys")
app.add_typer(accounts_commands.admin_app(opened_accounts), name="admin")
app.add_typer(gate_commands.posture_app(opened_gate), name="posture")
app.add_typer(recording_commands.recordings_app(opened_recordings), name="recordings")
vault = vault_commands.vault_app(vault_site)
shred_commands.register(vault, opened_shears)
rotate_commands.register(vault, opened_rotations)
honey_commands.register(vault, opened_apiary)
selftest_commands.register(vault)
app.add_typer(vault, name="vault")
tls = tls_commands.tls_app(tls_site)
acme_commands.register(tls, opened_certificates)
app.add_typer(tls, name="tls")
