"""`doorward vault selftest`: proves on a scratch database that what the vault promises holds on this machine.

It works in a directory of its own that is gone afterwards, with a ring of its own: no configuration, no real row.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Connection

from doorward.hall.bus import Bus
from doorward.hall.clock import SystemClock
from doorward.hall.errors import DoorwardError, SealBrokenError, ShreddedError
from doorward.hall.model import Cell
from doorward.stores.outbox import Outbox
from doorward.stores.schema import METADATA
from doorward.stores.sql import Database
from doorward.vault.service import Vault
from doorward.vault.shred import Shredding

_CELL = Cell("selftest", "value", "row_1")
_WORDS = "a canary in the coal mine"


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and whether it held."""

    name: str
    is_met: bool
    figure: str


def run() -> list[Check]:
    """All checks, in a scratch directory."""
    return asyncio.run(_run())


def values(checks: list[Check]) -> dict[str, object]:
    """As JSON values."""
    return {"ok": all(check.is_met for check in checks), "checks": [asdict(check) for check in checks]}


async def _run() -> list[Check]:
    with tempfile.TemporaryDirectory(prefix="doorward-selftest-") as folder:
        vault = Vault.in_memory()
        database = Database.open(f"sqlite:///{Path(folder) / 'scratch.db'}", vault)
        try:
            await database.write(METADATA.create_all)
            await database.write(vault.bind)
            checks = await database.write(lambda connection: list(_cells(vault, connection)))
            stranger = Vault.in_memory()
            is_refused = await database.read(lambda c: _refuses(lambda: stranger.keys_of(c, ["acc_1"])))
            checks.append(Check("with another key ring: refused", is_refused, ""))
            checks += await _shredding(vault, database)
        finally:
            await database.close()
        data = _bytes_below(Path(folder))
        return [*checks, Check("no text in any file", _WORDS.encode() not in data, f"{len(data)} bytes")]


def _cells(vault: Vault, connection: Connection) -> Iterator[Check]:
    key = vault.key_for(connection, "acc_1")
    envelope = key.seal(_CELL, _WORDS)
    yield Check("sealed and opened", key.unseal(_CELL, envelope) == _WORDS, f"{len(envelope)} bytes")
    others = [_CELL._replace(**{part: "other"}) for part in _CELL._fields]
    moved = sum(_refuses(lambda cell=cell: key.unseal(cell, envelope)) for cell in others)  # type: ignore[misc]
    yield Check("moved to another cell: refused", moved == len(others), f"{moved} of {len(others)}")
    flipped = sum(_refuses(lambda bit=bit: key.unseal(_CELL, _flip(envelope, bit))) for bit in range(8 * len(envelope)))  # type: ignore[misc]
    yield Check("one bit changed: refused", flipped == 8 * len(envelope), f"{flipped} of {8 * len(envelope)}")
    cut = sum(_refuses(lambda size=size: key.unseal(_CELL, envelope[:size])) for size in range(len(envelope)))  # type: ignore[misc]
    yield Check("cut short: refused", cut == len(envelope), f"{cut} of {len(envelope)}")
    other = vault.key_for(connection, "acc_2")
    yield Check("with another person's key: refused", _refuses(lambda: other.unseal(_CELL, envelope)), "")


async def _shredding(vault: Vault, database: Database) -> list[Check]:
    envelope = await database.write(lambda c: vault.key_for(c, "acc_3").seal(_CELL, _WORDS))
    clock = SystemClock()
    shredding = Shredding(vault, database, Outbox(database, Bus(), clock, "selftest"), clock, None)
    await database.write(lambda c: shredding.shred(c, ["acc_3"], "operator"))
    left = await database.read(lambda c: len(vault.keys_of(c, ["acc_3"])))
    remade = False
    try:
        await database.write(lambda c: vault.key_for(c, "acc_3").unseal(_CELL, envelope))
        remade = True
    except ShreddedError:
        remade = False
    return [Check("shredded: no key is left and none is made anew", left == 0 and not remade, "")]


def _bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def _flip(envelope: bytes, bit: int) -> bytes:
    changed = bytearray(envelope)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _refuses(work: Callable[[], object]) -> bool:
    with _refused() as seen:
        work()
    return bool(seen)


@contextmanager
def _refused() -> Iterator[list[DoorwardError]]:
    seen: list[DoorwardError] = []
    try:
        yield seen
    except (SealBrokenError, ShreddedError) as error:
        seen.append(error)
