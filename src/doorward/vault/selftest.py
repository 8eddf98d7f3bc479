"""`doorward vault selftest`: proves on a scratch database that what the vault promises holds on this machine.

It works in a directory of its own that is gone afterwards, with a ring of its own: no configuration, no real row. Each
group of checks goes on from the state that the one before left; one that an error stops is told as failed.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Connection

from doorward.hall.errors import DoorwardError, VaultLockedError
from doorward.hall.model import Cell
from doorward.vault.selftest_copies import copies
from doorward.vault.selftest_ground import WORDS, Check, Ground, refuses
from doorward.vault.selftest_honey import honey
from doorward.vault.selftest_keys import rotation, shredding
from doorward.vault.service import Vault

Group = Callable[[Ground], AsyncIterator[Check]]
_CELL = Cell("selftest", "value", "row_1")


def run(tell: Callable[[Check], None] | None = None) -> list[Check]:
    """All checks, in a scratch directory; `tell` hears each when it is done."""
    return asyncio.run(_run(tell or (lambda _: None)))


def values(checks: list[Check]) -> dict[str, object]:
    """As JSON values."""
    return {"ok": all(check.is_met for check in checks), "checks": [asdict(check) for check in checks]}


async def _run(tell: Callable[[Check], None]) -> list[Check]:
    checks: list[Check] = []
    groups: dict[str, Group] = {
        "cells": _cells, "rotation": rotation, "shredding": shredding, "honey": honey,
        "copies": copies, "files": _files,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="doorward-selftest-") as folder:
        ground = await Ground.open(Path(folder))
        try:
            for name, group in groups.items():
                async for check in _told(name, group(ground)):
                    checks.append(check)
                    tell(check)
        finally:
            await ground.database.close()
    return checks


async def _told(name: str, checks: AsyncIterator[Check]) -> AsyncIterator[Check]:
    try:
        async for check in checks:
            yield check
    except DoorwardError as error:
        yield Check(f"{name}: went to the end", False, error.message)


async def _cells(ground: Ground) -> AsyncIterator[Check]:
    for check in await ground.database.write(lambda connection: list(_sealing(ground.vault, connection))):
        yield check
    stranger = Vault.in_memory()
    is_refused = await ground.database.read(lambda c: refuses(lambda: stranger.keys_of(c, ["acc_1"])))
    yield Check("with another key ring: refused", is_refused)
    ring = ground.vault.ring
    ground.vault.lock()
    is_locked = await ground.database.read(
        lambda c: refuses(lambda: ground.vault.keys_of(c, ["acc_1"]), VaultLockedError)
    )
    ground.vault.reopen(ring)
    yield Check("while the vault is locked: refused", is_locked)


def _sealing(vault: Vault, connection: Connection) -> Iterator[Check]:
    key = vault.key_for(connection, "acc_1")
    envelope = key.seal(_CELL, WORDS)
    yield Check("sealed and opened", key.unseal(_CELL, envelope) == WORDS, f"{len(envelope)} bytes")
    others = [_CELL._replace(**{part: "other"}) for part in _CELL._fields]
    moved = sum(refuses(lambda cell=cell: key.unseal(cell, envelope)) for cell in others)  # type: ignore[misc]
    yield Check("moved to another cell: refused", moved == len(others), f"{moved} of {len(others)}")
    bits = 8 * len(envelope)
    flipped = sum(refuses(lambda bit=bit: key.unseal(_CELL, _flip(envelope, bit))) for bit in range(bits))  # type: ignore[misc]
    yield Check("one bit changed: refused", flipped == bits, f"{flipped} of {bits}")
    cut = sum(refuses(lambda size=size: key.unseal(_CELL, envelope[:size])) for size in range(len(envelope)))  # type: ignore[misc]
    yield Check("cut short: refused", cut == len(envelope), f"{cut} of {len(envelope)}")
    other = vault.key_for(connection, "acc_2")
    yield Check("with another person's key: refused", refuses(lambda: other.unseal(_CELL, envelope)))


async def _files(ground: Ground) -> AsyncIterator[Check]:
    await ground.database.close()
    data = ground.all_bytes()
    yield Check("no text in any file", WORDS.encode() not in data, f"{len(data):,} bytes")


def _flip(envelope: bytes, bit: int) -> bytes:
    changed = bytearray(envelope)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
