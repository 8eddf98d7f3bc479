"""`doorward vault`: the key ring, for the operator.

`cli.py` makes the group with `vault_app` and hangs the commands of the vault's other parts onto it.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from doorward.hall.clock import SystemClock
from doorward.hall.errors import DoorwardError, NotFoundError
from doorward.vault import control, opening, overview, rekeying, ringfile, terminal
from doorward.vault.errors import FileThereError, KeyRingError
from doorward.vault.locks import choice, recovery
from doorward.vault.locks.lock import Lock
from doorward.vault.site import Site

T = TypeVar("T")
Load = Callable[[], Site]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Recovery = Annotated[bool, typer.Option("--recovery", help="Open the ring with its recovery sheet.")]
_SECRET_BYTES = 4_096


def vault_app(load: Load) -> typer.Typer:
    """The commands under `doorward vault`; `load` reads the configuration when a command runs."""
    app = typer.Typer(help="The key ring, and what is sealed with it.", no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """The key ring, and what is sealed with it."""

    @app.command("init", epilog="Example: doorward vault init")
    def init(as_json: Json = False) -> None:
        """Make the key ring before the first start, and print its recovery sheet, once."""
        made = answered(as_json, lambda: _init(load()))
        values = {"ring": made.kept.ring.ring_id, "recovery_sheet": made.sheet}
        say(as_json, f"{made.sheet}\n{made.kept.ring.ring_id} is made.", values)

    @app.command("status", epilog="Example: doorward vault status --json")
    def status(as_json: Json = False) -> None:
        """Say which key ring this is, what opens it, where its files lie, and what its keys seal."""
        values = answered(as_json, lambda: _status(load()))
        say(as_json, _told(values), values)

    @app.command("unlock", epilog="Example: doorward vault unlock --recovery")
    def unlock(recovery: Recovery = False, as_json: Json = False) -> None:
        """Open the vault of a server that waits, or that has locked itself."""
        answers = answered(as_json, lambda: _unlock(load(), with_sheet=recovery))
        say(as_json, "\n".join(f"The vault is {one['state']}." for one in answers), {"servers": answers})

    @app.command("lock", epilog="Example: doorward vault lock")
    def lock(as_json: Json = False) -> None:
        """Let every running server drop its keys, until `unlock`: those who belong are served on."""
        answers = answered(as_json, lambda: _asked(load(), control.Question(do="lock")))
        say(as_json, "\n".join(f"The vault is {one['state']}." for one in answers), {"servers": answers})

    @app.command("rekey", epilog="Example: doorward vault rekey --to passphrase --new-recovery")
    def rekey(
        to: Annotated[str, typer.Option("--to", help="What shall open the ring: key-file, passphrase …")] = "",
        new_recovery: Annotated[bool, typer.Option("--new-recovery", help="Print a new recovery sheet, once.")] = False,
        recovery: Recovery = False,
        secret: Annotated[
            Path | None, typer.Option("--new-secret-file", help="File of the new passphrase or key.")
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Make a new key, passphrase or recovery sheet; the former one opens only old copies of the ring's file."""
        site = load()
        kind = to or ("" if new_recovery and secret is None else site.settings.unlock)
        done = answered(as_json, lambda: _rekey(site, kind, secret, new_recovery, recovery))
        next_step = f'\nNow set `unlock = "{kind}"` in `[vault]`.' if kind and kind != site.settings.unlock else ""
        words = f"{done.sheet}\n{done.ring_id} opens with: {', '.join(done.locks)}.{next_step}"
        say(as_json, words.strip(), {"ring": done.ring_id, "locks": list(done.locks), "recovery_sheet": done.sheet})

    return app


def greet_first_start(site: Site) -> None:
    """Make the ring of an empty instance and print its recovery sheet on the terminal; nothing if there is one.

    Raises:
        KeyRingError: it cannot be made. StoreUnavailableError: the database is away.
    """
    if opening.is_in_memory(site) or site.ring_path.exists():
        return
    made = opening.ring_of(site, asyncio.run(opening.bound_ring(site)), SystemClock().now(), with_sheet=True)
    if made.sheet:
        typer.echo(f"{made.sheet}\nThis sheet is not shown again. Everything about it: docs/howto/key-ring.md\n")


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
    typer.echo(json.dumps({"ok": True, **values}, ensure_ascii=False) if as_json else words)


def _init(site: Site) -> opening.Made:
    if opening.is_in_memory(site):
        raise KeyRingError("A database in memory has its key ring in memory too.")
    if site.ring_path.exists():
        raise FileThereError(f"{site.ring_path} is there already.")
    return opening.ring_of(site, asyncio.run(opening.bound_ring(site)), SystemClock().now(), with_sheet=True)


def _status(site: Site) -> dict[str, Any]:
    values = overview.ring_values(site)
    database = asdict(asyncio.run(overview.database_keys(site)))
    if database["ring_id"] not in {None, values["ring"]}:
        values["warnings"].append("The database belongs to another key ring.")
    return values | {
        "database": database,
        "servers": overview.server_values(site),
        "process": overview.process_values(),
    }


def _told(values: dict[str, Any]) -> str:
    database, process = values["database"], values["process"]
    lines = [f"ring      {values['ring']}", f"unlock    {values['unlock']}"]
    for one in values["locks"]:
        details = ", ".join(f"{name} {value}" for name, value in one.items() if name != "kind")
        lines.append(f"lock      {one['kind']}" + (f" ({details})" if details else ""))
    lines += [f"file      {one['rights']} {one['owner']} {one['path']}" for one in values["files"]]
    if database["problem"]:
        lines.append(f"database  {database['problem']}")
    for kek in database["keks"]:
        lines.append(f"key       version {kek['version']}, {kek['state']}, wraps {kek['data_keys']} data keys")
    if database["left"]:
        lines.append(f"rotation  {database['left']} data keys are still wrapped by an older key")
    if database["former"]:
        lines.append(f"rotation  {database['former']} former data keys are kept until no process has them in memory")
    for one in values["servers"]:
        lines.append(f"server    {one['state']}" + _key_words(one))
    lines.append(f"process   {'no dumps' if process['undumpable'] and process['no_core'] else 'may be dumped'}")
    return "\n".join(lines + [f"warning   {text}" for text in values["warnings"]])


def _key_words(server: dict[str, Any]) -> str:
    if server.get("key") in {None, "held"}:
        return ""
    ends = f", locks itself at {overview.day(server['locks_at'])}" if server.get("locks_at") else ""
    return f", key {server['key']}, last answer {overview.day(server['checked_at'])}{ends}"


def _unlock(site: Site, *, with_sheet: bool) -> list[dict[str, Any]]:
    if with_sheet:
        return _asked(site, control.Question(do="unlock", kind="recovery", secret=_typed_sheet()))
    if site.settings.unlock != "passphrase":
        return _asked(site, control.Question(do="unlock", kind="configured"))
    given = site.settings.passphrase or _typed_line("Passphrase of the key ring: ")
    return _asked(site, control.Question(do="unlock", kind="passphrase", secret=given))


def _asked(site: Site, question: control.Question) -> list[dict[str, Any]]:
    answers = control.ask(site, question)
    if not answers:
        raise NotFoundError("No server of this data directory is running.")
    for answer in answers:
        if not answer.pop("ok", False):
            raise KeyRingError(str(answer.get("message", "")))
    return answers


def _rekey(site: Site, kind: str, secret: Path | None, new_recovery: bool, with_sheet: bool) -> rekeying.Rekeyed:
    sheet = _typed_sheet() if with_sheet else ""
    wish = rekeying.Wish(kind, _line_of(secret) if secret else "", new_recovery)

    def opens_with(file: ringfile.RingFile) -> Lock:
        return recovery.of_sheet(sheet, file.ring_id) if with_sheet else choice.configured(site)

    return rekeying.rekey(site, wish, opens_with, SystemClock().now())


def _typed_sheet() -> str:
    if not terminal.is_there():
        return sys.stdin.read(_SECRET_BYTES)
    typer.echo("Type the four lines of the recovery sheet:", err=True)
    return "\n".join(sys.stdin.readline(_SECRET_BYTES) for _ in range(4))


def _typed_line(question: str) -> str:
    return terminal.ask_secret(question) if terminal.is_there() else sys.stdin.readline(_SECRET_BYTES).rstrip("\r\n")


def _line_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_SECRET_BYTES).decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyRingError(f"{path} cannot be read: {type(error).__name__}.") from error
