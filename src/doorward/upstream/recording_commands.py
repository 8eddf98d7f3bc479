"""`doorward recordings`: what was recorded of conversations, for the operator. Reading one is put on record."""

import asyncio
import json
import os
import pwd
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from doorward.hall.errors import DoorwardError, InvalidInputError
from doorward.upstream.recording_model import Recording, RecordingFacts
from doorward.upstream.recordings import Recordings

T = TypeVar("T")
Opener = Callable[[], AbstractAsyncContextManager[Recordings]]

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
RecordingId = Annotated[str, typer.Argument(help="The recording's id, from `doorward recordings list`.")]

_WARNING: Final = "These are a person's words. That you read them is on record (event upstream.recording.opened)."


def recordings_app(opened: Opener) -> typer.Typer:
    """The commands under `doorward recordings`."""
    app = typer.Typer(help="List, read and delete recorded conversations.", no_args_is_help=True)

    @app.command("list", epilog="Example: doorward recordings list --account acc_01j9… --json")
    def list_recordings(
        account: Annotated[str, typer.Option("--account", help="Only those of this account's id.")] = "",
        limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="The most to list.")] = 100,
        as_json: Json = False,
    ) -> None:
        """List recordings, the newest first: whose and when, never what was said."""
        found = _run(opened, lambda recordings: recordings.listed(account, limit), as_json)
        if as_json:
            typer.echo(json.dumps({"recordings": [facts.values() for facts in found]}))
        elif found:
            Console().print(_table(found))
        else:
            typer.echo("There are no recordings.")

    @app.command("show", epilog="Example: doorward recordings show rec_01j9…")
    def show(recording_id: RecordingId, as_json: Json = False) -> None:
        """Show what was said in one recording. That you did is published as an event, with your user's name."""
        found = _run(opened, lambda recordings: recordings.read(recording_id, reader()), as_json)
        typer.echo(_WARNING, err=True)
        if as_json:
            values = found.facts.values() | {"prompt": found.prompt, "answer": found.answer, "warning": _WARNING}
            typer.echo(json.dumps(values))
        else:
            typer.echo(_text(found))

    @app.command("delete", epilog="Example: doorward recordings delete --account acc_01j9…")
    def delete(
        recording_id: Annotated[str, typer.Argument(help="The recording's id; or give one of the options.")] = "",
        account: Annotated[str, typer.Option("--account", help="All of this account's id.")] = "",
        everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
        as_json: Json = False,
    ) -> None:
        """Delete one recording, those of an account, or all."""
        number = _run(opened, lambda recordings: _delete(recordings, recording_id, account, everything), as_json)
        typer.echo(json.dumps({"deleted": number}) if as_json else f"{number} deleted.")

    return app


def reader() -> str:
    """Who runs this command: the user of the operating system, also behind sudo."""
    user_id = os.getuid()
    sudo = os.environ.get("SUDO_UID", "")
    if user_id == 0 and sudo.isascii() and sudo.isdigit() and len(sudo) < 10:
        user_id = int(sudo)
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"uid {user_id}"


async def _delete(recordings: Recordings, recording_id: str, account: str, everything: bool) -> int:
    if sum(map(bool, (recording_id, account, everything))) != 1:
        raise InvalidInputError("Name a recording, or give --account, or --all: exactly one of them.")
    if recording_id:
        await recordings.delete(recording_id)
        return 1
    return await (recordings.delete_all() if everything else recordings.delete_of(account))


def _run(opened: Opener, work: Callable[[Recordings], Awaitable[T]], as_json: bool) -> T:
    async def run() -> T:
        async with opened() as recordings:
            return await work(recordings)

    try:
        return asyncio.run(run())
    except DoorwardError as error:
        if as_json:
            values = {"code": error.code, "message": error.message, "advice": error.advice}
            typer.echo(json.dumps({"ok": False, "error": values}))
        else:
            typer.echo(f"{error.message}\n{error.advice}", err=True)
        raise typer.Exit(1) from error


def _table(recordings: list[RecordingFacts]) -> Table:
    table = Table("id", "account", "when (UTC)", "until (UTC)", "request", "status", "bytes")
    for one in recordings:
        size = f"{one.prompt_bytes} + {one.answer_bytes}"
        table.add_row(
            one.recording_id, one.account_id, _moment(one.at), _moment(one.expires_at), one.path, str(one.status), size
        )
    return table


def _text(found: Recording) -> str:
    facts = found.facts
    rules = f"redacted by the rules of {facts.rules}" if facts.rules else "not redacted"
    head = f"{facts.recording_id} of {facts.account_id}, {_moment(facts.at)} UTC, {rules}"
    return f"{head}\n\n{_printable(found.prompt)}\n\n--- answer ({facts.status}) ---\n{_printable(found.answer)}"


def _printable(text: str) -> str:
    """Without what would move a terminal's cursor: somebody else wrote this."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
