"""`doorward vault honey`: plant, list and remove honey records."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table

from doorward.hall.errors import InvalidInputError
from doorward.vault.commands import Json, answered, say
from doorward.vault.honey import Honey, HoneyRecord, Nursery
from doorward.vault.model import HoneyKind
from doorward.vault.overview import day

T = TypeVar("T")
LONGEST_NOTE: Final = 80
_ADVICE: Final = {
    HoneyKind.ACCOUNT: "Leave the address where only a thief looks: a customer list, a spreadsheet, an old export. Tell"
    " nobody to use it.",
    HoneyKind.KEY: "Leave the key where only a thief looks: a repository, a wiki page, a CI variable. It is not shown"
    " again, and it opens nothing.",
    HoneyKind.ROW: "Leave it alone: only somebody who reads everybody's values comes upon it.",
}


@dataclass(frozen=True, slots=True)
class Apiary:
    """What the commands need of an open house."""

    honey: Honey
    nursery: Nursery


Opener = Callable[[], AbstractAsyncContextManager[Apiary]]


def register(group: typer.Typer, opened: Opener) -> None:
    """Add the commands to `doorward vault`."""
    app = typer.Typer(help="Accounts, keys and rows whose use raises an incident.", no_args_is_help=True)
    group.add_typer(app, name="honey")

    @app.command("plant", epilog='Example: doorward vault honey plant key --note "CI variable OLD_KEY"')
    def plant(
        kind: Annotated[HoneyKind, typer.Argument(help="account, key or row.")],
        email: Annotated[str, typer.Option("--email", help="Address of the account; without it, a made-up one.")] = "",
        note: Annotated[str, typer.Option("--note", help="Where you leave it: at most 80 characters.")] = "",
        as_json: Json = False,
    ) -> None:
        """Make a honey record, and say where to leave it."""
        if email and kind is not HoneyKind.ACCOUNT:
            raise typer.BadParameter("--email goes with `account` only.")
        made, text = answered(as_json, lambda: _ran(opened, lambda bees: _planted(bees, kind, email, note)))
        shown = text or _address(made)
        words = f"{shown}\n\n{_ADVICE[kind]}\nIts id is {made.honey_id}."
        say(as_json, words.strip(), _values(made) | ({"key": text} if text else {}))

    @app.command("list", epilog="Example: doorward vault honey list --json")
    def list_records(as_json: Json = False) -> None:
        """List the honey records."""
        found = answered(as_json, lambda: _ran(opened, lambda bees: bees.honey.records()))
        if as_json:
            say(as_json, "", {"records": [_values(one) for one in found]})
        else:
            Console().print(_table(found))

    @app.command("remove", epilog="Example: doorward vault honey remove hny_0000…")
    def remove(
        honey_id: Annotated[str, typer.Argument(help="Its id, from `doorward vault honey list`.")],
        as_json: Json = False,
    ) -> None:
        """Remove a honey record, and the account that was made for it."""
        answered(as_json, lambda: _ran(opened, lambda bees: bees.honey.remove(honey_id)))
        say(as_json, f"{honey_id} is removed; a running server knows within seconds.", {"removed": honey_id})


async def _planted(bees: Apiary, kind: HoneyKind, email: str, note: str) -> tuple[HoneyRecord, str]:
    text = " ".join(note.split())
    if len(text) > LONGEST_NOTE or not text.isprintable():
        raise InvalidInputError("A note has at most 80 printable characters.", field="note")
    if kind is HoneyKind.KEY:
        return await bees.honey.plant_key(bees.nursery, text)
    return await bees.honey.plant_account(kind, bees.nursery, email, text), ""


def _ran(opened: Opener, work: Callable[[Apiary], Awaitable[T]]) -> T:
    async def whole() -> T:
        async with opened() as bees:
            return await work(bees)

    return asyncio.run(whole())


def _address(one: HoneyRecord) -> str:
    """What may be left somewhere; the address of a row is for nobody."""
    return one.email if one.kind == HoneyKind.ACCOUNT else ""


def _values(one: HoneyRecord) -> dict[str, Any]:
    about = {"honey_id": one.honey_id, "kind": str(one.kind), "email": _address(one)}
    return about | {"note": one.note, "made_at": one.made_at}


def _table(found: list[HoneyRecord]) -> Table:
    table = Table(Column("Id", no_wrap=True, min_width=30), "Kind", "Address", "Note", "Made")
    for one in found:
        table.add_row(one.honey_id, one.kind, _address(one), one.note, day(one.made_at))
    return table
