"""The self-test's checks of backups: whole, tried, and unable to bring a shredded person back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from doorward.hall.errors import ShreddedError
from doorward.vault.backups import restoring
from doorward.vault.backups.errors import BackupError, BackupForeignError
from doorward.vault.backups.making import Source, make
from doorward.vault.backups.recipients import RingRecipient
from doorward.vault.ring import Ring
from doorward.vault.selftest_ground import PEOPLE, Check, Ground, refuses, subject_of, text_of
from doorward.vault.shred import replay

_FLIPS: Final = 64
_GONE: Final = 7  # who is shredded after the backup was made


async def copies(ground: Ground) -> AsyncIterator[Check]:
    """A backup is made and tried; somebody is shredded; the backup is brought back without them."""
    path, ring = ground.folder / "copy.dwbackup", ground.vault.ring
    key = RingRecipient(ring)
    source = Source(ground.url, ring.ring_id, key)
    made = await asyncio.to_thread(make, source, path, ground.clock.now())
    done = await asyncio.to_thread(restoring.drill, path, key, ground.url)
    figure = f"{done.tables} tables, {done.rows} rows, {made.size_bytes:,} bytes, {done.seconds:.2f} s"
    yield Check("backed up, and brought back into a scratch database", done.rows >= PEOPLE, figure)
    found = await asyncio.to_thread(_found, path, key)
    yield Check("a backup with one bit changed: refused", found == _FLIPS, f"{found} of {_FLIPS}")
    stranger = RingRecipient(Ring.fresh())
    is_foreign = await asyncio.to_thread(refuses, lambda: restoring.verify(path, stranger), BackupForeignError)
    yield Check("a backup of another key ring: refused", is_foreign)
    async for check in _restored(ground, source, path):
        yield check


async def _restored(ground: Ground, source: Source, path: Path) -> AsyncIterator[Check]:
    ground.clock.step(1)
    await ground.database.write(lambda c: ground.shredding.shred(c, [subject_of(_GONE)], "operator"))
    await ground.shredding.clear()
    await ground.database.close()

    def replays(connection: Connection) -> None:
        replay(connection, ground.kept.read(), ground.shredding.forgets)

    care = restoring.Care(replays, ground.folder / "undo.dwbackup")
    identity = RingRecipient(ground.vault.ring)
    await asyncio.to_thread(restoring.restore, source, path, identity, care, ground.clock.now())
    await ground.reopen()
    others = [text_of(number) for number in range(PEOPLE) if number != _GONE]
    is_same = await ground.texts() == others
    yield Check("restored: everybody else's rows open", is_same, f"{len(others)} people")
    yield Check("restored: who was shredded meanwhile stays so", await _stays_gone(ground))


async def _stays_gone(ground: Ground) -> bool:
    subject = subject_of(_GONE)
    if await ground.database.read(lambda c: len(ground.vault.keys_of(c, [subject]))):
        return False
    try:
        await ground.database.write(lambda c: ground.vault.key_for(c, subject))
    except ShreddedError:
        return True
    return False


def _found(path: Path, key: RingRecipient) -> int:
    """How many changes of one bit, spread over the file, are found."""
    data, changed = path.read_bytes(), path.with_name("changed.dwbackup")
    found = 0
    for number in range(_FLIPS):
        copy = bytearray(data)
        copy[(len(data) - 1) * number // (_FLIPS - 1)] ^= 1 << number % 8
        changed.write_bytes(copy)
        found += refuses(lambda: restoring.verify(changed, key), BackupError)
    changed.unlink()
    return found
