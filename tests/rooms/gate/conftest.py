"""A gate on real stores in memory, and visitors who pay."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from hashlib import pbkdf2_hmac
from typing import Any

import pytest

from doorward.edge.app import build_letters
from doorward.gate import Gate, GateParts, GateSettings, tables  # noqa: F401  # describes the tables
from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock
from doorward.hall.model import Arrival, Attempt, Verdict
from doorward.hall.secrets import Secrets
from doorward.stores.counters import open_counters
from doorward.stores.outbox import Outbox
from doorward.stores.postbox import Postbox
from doorward.stores.settings import MailSettings
from doorward.stores.sql import Database
from rows import open_rows

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
KEYS = Secrets("a secret of the tests that is long enough")


def pay(challenge: dict[str, Any], milliseconds: float = 20.0) -> str:
    """The payload of a solved challenge."""
    p = challenge["parameters"]
    nonce, salt, prefix = bytes.fromhex(p["nonce"]), bytes.fromhex(p["salt"]), p["keyPrefix"]
    for counter in range(1, 5_000):
        key = pbkdf2_hmac("sha256", nonce + counter.to_bytes(4), salt, p["cost"], p["keyLength"]).hex()
        if key.startswith(prefix):
            solution = {"counter": counter, "derivedKey": key, "time": milliseconds}
            return base64.b64encode(json.dumps({"challenge": challenge, "solution": solution}).encode()).decode()
    raise AssertionError("no solution")


@dataclass
class Door:
    """A gate with its surroundings."""

    gate: Gate
    parts: GateParts
    clock: SteppedClock

    def arrival(self, email: str = "jane@example.org", address: str = "198.51.100.7", **more: Any) -> Arrival:
        """Somebody in front of the form."""
        given = {"user_agent": CHROME, "languages": "en-US,en;q=0.9"} | more
        return Arrival("req_1", self.clock.now(), Attempt.SIGNUP, address, email=email, **given)

    def paid(self, arrival: Arrival, seconds: float = 12.0) -> Arrival:
        """The same visitor, who has filled in the form and solved the challenge."""
        offer = self.gate.offer(replace(arrival, at=self.clock.now()))
        self.clock.step(seconds)
        return replace(arrival, at=self.clock.now(), ticket=offer.ticket, proof=pay(offer.challenge))

    async def come(self, email: str = "jane@example.org", address: str = "198.51.100.7", **more: Any) -> Verdict:
        """Somebody who pays and is considered."""
        return await self.gate.consider(self.paid(self.arrival(email, address, **more)))

    async def job(self, name: str) -> None:
        """Do one of the gate's jobs once."""
        await next(job for job in self.gate.jobs() if job.name == name).work()


async def opened(settings: GateSettings, clock: SteppedClock, database: Database, bus: Bus, node: str = "one") -> Door:
    """A gate on this database."""
    parts = GateParts(
        settings=settings, keys=KEYS, clock=clock, database=database, counters=open_counters("memory://", clock),
        outbox=Outbox(database, bus, clock, node), postbox=Postbox(database, clock, MailSettings()),
        stationery=build_letters(), bus=bus, public_url="https://door.example",
    )  # fmt: skip
    gate = Gate(parts)
    await parts.outbox.mark()
    await gate.load()
    return Door(gate, parts, clock)


@pytest.fixture
def settings() -> GateSettings:
    """The defaults, with cheap prices."""
    return GateSettings(price_open=20, price_careful=40, price_probation=40)


@pytest.fixture
async def rows() -> AsyncIterator[Database]:
    """A database in memory with all tables."""
    database = await open_rows("sqlite://")
    yield database
    await database.close()


@pytest.fixture
async def door(settings: GateSettings, rows: Database, clock: SteppedClock) -> Door:
    """A gate."""
    return await opened(settings, clock, rows, Bus())
