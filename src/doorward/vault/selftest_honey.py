"""The self-test's checks of honey records: whoever uses one is noticed within a second."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from doorward.hall.bus import Bus
from doorward.hall.events import HoneyTouched
from doorward.stores.outbox import Outbox
from doorward.vault.honey import Honey
from doorward.vault.model import HoneyKind
from doorward.vault.selftest_ground import Check, Ground
from doorward.vault.selftest_tables import events_of

_WITHIN_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.005
_ACCOUNT: Final = "acc_honey"
_MAILBOX: Final = b"a blind index"


@dataclass(frozen=True, slots=True)
class _Nursery:
    """Makes of an account what the vault has of it: its data key."""

    ground: Ground

    def address(self, wish: str) -> str:
        return wish

    async def make_account(self, email: str, also: Callable[[Connection, str, bytes, str], None]) -> None:
        def work(connection: Connection) -> None:
            self.ground.vault.key_for(connection, _ACCOUNT)
            also(connection, _ACCOUNT, _MAILBOX, self.ground.vault.subject_of(email))

        await self.ground.database.write(work)

    def make_key(self) -> tuple[str, bytes]:
        text = secrets.token_urlsafe()
        return text, hashlib.sha256(text.encode()).digest()


async def honey(ground: Ground) -> AsyncIterator[Check]:
    """A key is shown, and rows are opened by somebody who opens everybody's."""
    outbox = Outbox(ground.database, Bus(), ground.clock, "selftest")
    records = Honey(ground.vault, ground.database, outbox, ground.shredding, ground.clock)
    await records.load()
    nursery = _Nursery(ground)
    _, text = await records.plant_key(nursery, "")
    await records.plant_account(HoneyKind.ROW, nursery, "honey@example.com", "")
    records.start()
    try:
        records.credential_seen(hashlib.sha256(text.encode()).digest())
        yield await _told("honey: a key that was shown is told of", ground, 1)
        await ground.database.read(lambda connection: ground.vault.keys_of(connection, [_ACCOUNT]))
        yield await _told("honey: a row that was opened is told of", ground, 2)
    finally:
        await records.close()
        ground.vault.watch(frozenset(), lambda _: None)


async def _told(name: str, ground: Ground, number: int) -> Check:
    """Whether the `number`th incident is published in time."""
    began = time.perf_counter()
    while (seconds := time.perf_counter() - began) < _WITHIN_SECONDS:
        if await ground.database.read(lambda connection: events_of(connection, HoneyTouched.name)) >= number:
            return Check(name, True, f"{seconds:.3f} s")
        await asyncio.sleep(_LOOK_SECONDS)
    return Check(name, False, f"not within {_WITHIN_SECONDS:g} s")
