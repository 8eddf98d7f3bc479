"""What the gate is built from: everything it needs from outside, in one value."""

from dataclasses import dataclass

from doorward.gate.settings import GateSettings
from doorward.hall.bus import Bus
from doorward.hall.clock import Clock
from doorward.hall.doors import Stationery
from doorward.hall.secrets import Secrets
from doorward.stores.counters import Counters
from doorward.stores.outbox import Outbox
from doorward.stores.postbox import Postbox
from doorward.stores.sql import Database


@dataclass(frozen=True, slots=True)
class GateParts:
    """The gate's surroundings."""

    settings: GateSettings
    keys: Secrets
    clock: Clock
    database: Database
    counters: Counters
    outbox: Outbox
    postbox: Postbox
    stationery: Stationery
    bus: Bus
    public_url: str
