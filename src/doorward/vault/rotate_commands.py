"""`doorward vault rotate`: new keys while the service runs, with a progress bar."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from doorward.stores.durable import State
from doorward.vault.commands import Json, answered, say
from doorward.vault.rotate import progress_of
from doorward.vault.rotations import Rotations

Open = Callable[[], AbstractAsyncContextManager[Rotations]]
_NICENESS: Final = 19
_WORDS: Final = {
    "rewrap": "data keys, wrapped anew",
    "destroy": "data keys, wrapped anew",
    "reseal": "people, sealed anew",
    "wait": "waiting until no process has a former key in memory",
    "settle": "former data keys, destroyed",
}


def register(app: typer.Typer, opened: Open) -> None:
    """Hang `rotate` onto the group `vault`; `opened` gives the rotations of the configured house."""

    @app.command("rotate", epilog="Example: doorward vault rotate --data-keys")
    def rotate(
        data_keys: Annotated[
            bool,
            typer.Option("--data-keys", help="Also give every person a new data key (takes six minutes and more)."),
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Replace the key-encryption key while the service runs; goes on where an interrupted rotation stopped."""
        _give_way()
        state = answered(as_json, lambda: asyncio.run(_rotated(opened, with_data_keys=data_keys, shows=not as_json)))
        values = progress_of(state)
        words = f"Key {values['version']} wraps {values['rewrapped']} data keys anew; older ones are destroyed."
        if data_keys:
            words += f" {values['people']} people have new data keys."
        if values.get("kept"):
            words += f" {values['kept']} keep their former key beside it, for values of theirs that do not open."
        say(as_json, words, values)


def _give_way() -> None:
    """Let whoever serves people on this machine go first."""
    with suppress(OSError):  # where that is forbidden, it is as nice as it may be
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)


async def _rotated(opened: Open, *, with_data_keys: bool, shows: bool) -> State:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shows) as progress:
        task = progress.add_task("looking", total=None)

        def tell(state: State) -> None:
            is_people = state["stage"] in {"reseal", "wait", "settle"}
            done, total = (state.get("people", 0), None) if is_people else (state["rewrapped"], state["total"])
            progress.update(task, description=_WORDS[state["stage"]], completed=done, total=total)

        async with opened() as rotations:
            return await rotations.run(with_data_keys=with_data_keys, tell=tell)
