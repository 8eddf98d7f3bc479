"""What the accounts are built from. `house.py` fills it in; a test does so with a clock that it moves itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from doorward.accounts.settings import AccountsSettings
from doorward.hall.bus import Bus
from doorward.hall.clock import Clock
from doorward.hall.doors import Doorkeeper, Meter, Sealer, Shredder, Stationery, WaitList
from doorward.hall.secrets import Secrets
from doorward.stores.counters import Counters
from doorward.stores.outbox import Outbox
from doorward.stores.postbox import Postbox
from doorward.stores.sql import Database

RedeemInvitation = Callable[[str], Awaitable[str]]
"""Use up an invitation of the wait-list; returns the invited e-mail address or raises a DoorwardError."""


class Tripwire(Protocol):
    """The vault's honey records, as far as accounts meet them. Nothing here waits or raises."""

    @property
    def hidden(self) -> frozenset[str]:
        """Ids of the accounts that no list shows."""
        ...

    def mailbox_seen(self, mailbox: bytes, where: str) -> None:
        """Somebody used the address with this blind index, to `login` or `signup`."""
        ...

    def credential_seen(self, digest: bytes) -> None:
        """Somebody showed a credential that is not in the book."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsParts:
    """Stores, doors to other rooms, and settings."""

    settings: AccountsSettings
    secrets: Secrets
    sealer: Sealer
    shredder: Shredder
    tripwire: Tripwire
    clock: Clock
    database: Database
    counters: Counters
    outbox: Outbox
    postbox: Postbox
    stationery: Stationery
    bus: Bus
    doorkeeper: Doorkeeper
    waitlist: WaitList
    meter: Meter
    redeem_invitation: RedeemInvitation
    public_url: str

    @property
    def is_https(self) -> bool:
        """Whether people reach the service over TLS."""
        return self.public_url.startswith("https://")

    def url(self, path: str) -> str:
        """A full address for a letter."""
        return self.public_url.rstrip("/") + path
