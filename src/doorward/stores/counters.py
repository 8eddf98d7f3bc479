"""Counters, rate windows, spent proofs and messages between processes: in memory, or in Valkey/Redis for many nodes.

Chosen by URL. `tests/contracts/test_counters.py` is run on both, so rooms need not care which one they have.
"""

from collections.abc import AsyncIterator
from typing import Protocol
from urllib.parse import urlsplit

from doorward.hall.clock import Clock
from doorward.stores.errors import StoreSetupError
from doorward.stores.memory import MemoryCounters


class Counters(Protocol):
    """Shared small numbers. Every method may raise CountersUnavailableError where the counters are on the network."""

    async def take(self, key: str, rate_per_second: float, burst: int, cost: int = 1) -> float:
        """Ask a budget that refills at `rate_per_second` and holds `burst` for `cost` (GCRA).

        Returns 0.0 if the budget gave it, else the seconds until it could; a refusal costs nothing.

        Raises:
            ValueError: the rate is not positive, or `cost` is not between 1 and `burst`.
        """
        ...

    async def spend(self, key: str, ttl_seconds: int) -> bool:
        """True for the first caller of this key in the whole house, False for all others for `ttl_seconds`."""
        ...

    async def add(self, key: str, amount: int, ttl_seconds: int) -> int:
        """Add to a counter that begins at 0 and ends `ttl_seconds` after its first addition; returns the new value."""
        ...

    async def get(self, key: str) -> int:
        """The value of a counter of `add`; 0 if there is none."""
        ...

    async def publish(self, channel: str, message: bytes) -> None:
        """Send a message to whoever subscribes now, at most once (facts that must arrive go through the outbox)."""
        ...

    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """The messages of a channel from now on; a reader that falls far behind loses the oldest."""
        ...

    async def ping(self) -> None:
        """Raise CountersUnavailableError if the counters are away."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def open_counters(url: str, clock: Clock) -> Counters:
    """Open `memory://`, `valkey://[user:password@]host[:port]/db`, `valkeys://…` (TLS), `redis://…` or `rediss://…`.

    With TLS, `?ca_file=path` trusts a private authority, `&certificate=path&key=path` shows a certificate of ours.

    Raises:
        StoreSetupError: not such a URL, or the client library is not installed.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return MemoryCounters(clock)
    if scheme in {"valkey", "valkeys", "redis", "rediss"}:
        from doorward.stores.valkey import ValkeyCounters  # noqa: PLC0415 - its library is an optional extra

        return ValkeyCounters.open(url)
    raise StoreSetupError("The URL of the counters must begin with memory://, valkey:// or redis://.")
