"""`doorward vault shred`: delete a person for good, and verify receipts of that."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from doorward.hall.model import ShredReceipt
from doorward.vault.commands import Json, answered, say
from doorward.vault.errors import ReceiptError
from doorward.vault.privatefile import write_private
from doorward.vault.receipts import LONGEST_BYTES, document_of, verified
from doorward.vault.shred import Shredding

_PATIENCE: Final = 10  # times, half a second each, that the command waits for old pages to be clear
_WARNING: Final = (
    "This deletes {name} with everything that is kept about them, and destroys their keys. Nobody can undo it, and no"
    " backup brings it back."
)


@dataclass(frozen=True, slots=True)
class Shears:
    """What the command needs of an open house: who deletes an account by its id or address, and the shredding."""

    delete: Callable[[str], Awaitable[ShredReceipt]]
    shredding: Shredding


Opener = Callable[[], AbstractAsyncContextManager[Shears]]


def register(group: typer.Typer, opened: Opener) -> None:
    """Add the command to `doorward vault`."""

    @group.command("shred", epilog="Example: doorward vault shred ada@example.com --receipt ada.json")
    def shred(
        name: Annotated[str, typer.Argument(help="Id or e-mail address of the account.")] = "",
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to do it.")] = False,
        receipt: Annotated[Path | None, typer.Option("--receipt", help="File to write the signed receipt to.")] = None,
        verify: Annotated[
            Path | None, typer.Option("--verify", help="Delete nobody: verify the receipt in this file.")
        ] = None,
        public_key: Annotated[
            str, typer.Option("--public-key", help="Who must have signed it; without it, this instance's key ring.")
        ] = "",
        as_json: Json = False,
    ) -> None:
        """Delete a person for good, with a signed receipt; or verify such a receipt."""
        if verify is not None:
            found = answered(as_json, lambda: _verified(opened, verify, public_key))
            say(as_json, f"The receipt is genuine.\n{_told(found)}", asdict(found))
            return
        if not name:
            raise typer.BadParameter("Give the id or the address of an account, or --verify.")
        if not yes:
            typer.confirm(_WARNING.format(name=name) + " Go on?", abort=True, err=True)
        done = answered(as_json, lambda: asyncio.run(_shredded(opened, name)))
        if receipt is not None:
            answered(as_json, lambda: write_private(receipt, (document_of(done) + "\n").encode()))
        say(as_json, _told(done), asdict(done))


async def _shredded(opened: Opener, name: str) -> ShredReceipt:
    async with opened() as shears:
        receipt = await shears.delete(name)
        for _ in range(_PATIENCE):
            await shears.shredding.clear()
            receipt = await shears.shredding.settled(receipt)
            if receipt.cleared_at is not None:
                break
            await asyncio.sleep(0.5)
        return receipt


def _verified(opened: Opener, path: Path, public_key: str) -> ShredReceipt:
    try:
        with path.open("rb") as file:
            document = file.read(LONGEST_BYTES + 1)
    except OSError as error:
        raise ReceiptError(f"{path} cannot be read: {error.strerror}.") from error
    return verified(document, public_key or asyncio.run(_own_key(opened)))


async def _own_key(opened: Opener) -> str:
    async with opened() as shears:
        return shears.shredding.public_key


def _told(receipt: ShredReceipt) -> str:
    rows = sum(receipt.destroyed.values())
    cleared = "yes" if receipt.cleared_at is not None else "not yet; a running server does it within seconds"
    lines = [
        ("receipt", receipt.receipt_id),
        ("subjects", ", ".join(receipt.subjects)),
        ("reason", receipt.reason),
        ("rows", f"{rows} ({json.dumps(receipt.destroyed)})"),
        ("old pages clear", cleared),
        ("signed by", f"{receipt.ring_id}, public key {receipt.public_key}"),
    ]
    return "\n".join(f"{name:16} {value}" for name, value in lines)
