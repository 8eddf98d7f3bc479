"""What the street is built from, and how much it takes from one connection."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from doorward.edge.addresses import TrustedProxies
from doorward.hall.clock import Clock, SystemClock
from doorward.hall.doors import Doorkeeper, StandingBook
from doorward.hall.model import Standing
from doorward.upstream.relay import Relay


class Allowance(Protocol):
    """How much an account may still use of the AI service today."""

    def allowance_left(self, standing: Standing) -> int | None:
        """Tokens left in the current UTC day; None without a cap."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreetLimits:
    """Sizes in bytes, times in seconds; a whole second is the finest time that the street tells."""

    max_connections: int = 10_000
    max_connections_per_address: int = 1_024  # trusted proxies are not counted
    max_running_requests: int = 1_024  # in the application at once, for callers without a standing
    max_recalls: int = 64  # look-ups in the database at once
    max_headers: int = 100
    max_header_bytes: int = 16_384
    max_body_bytes: int = 65_536
    max_gate_body_bytes: int = 16_384
    max_relay_body_bytes: int = 16_777_216
    handshake_timeout_seconds: float = 10.0  # of TLS, before anything is said
    first_byte_timeout_seconds: float = 30.0  # a new connection that says nothing
    keep_alive_seconds: float = 75.0  # between two requests
    header_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0  # before the rate below counts
    body_bytes_per_second: int = 1_024  # at least, on average
    body_total_timeout_seconds: float = 600.0
    stalled_answer_seconds: float = 60.0  # a caller who takes not one byte of a waiting answer
    linger_seconds: float = 2.0  # for the caller to read a last answer
    drain_seconds: float = 30.0
    overloaded_lag_seconds: float = 0.5  # the event loop comes so much too late: strangers are asked to wait


@dataclass(frozen=True, slots=True, kw_only=True)
class StreetParts:
    """Whom the street asks.

    `is_credential`: whether bytes have the form of one of our session tokens or API keys (with a right checksum).
    `is_device`: whether a device token is one of ours by its form or signature; the accounts judge it fully.
    `transport_security` is what the street's own answers say of plain HTTP (RFC 6797); empty: nothing.
    `allowance` is asked for accounts on probation only. `shed` says that strangers must wait for now.
    `gate_paths` are the paths whose POST needs a genuine ticket; `device_paths` those of them where a known device
    stands in for it.
    """

    book: StandingBook
    doorkeeper: Doorkeeper
    is_credential: Callable[[bytes], object]
    relay: Relay | None = None
    allowance: Allowance | None = None
    trusted_proxies: TrustedProxies = field(default_factory=lambda: TrustedProxies(()))
    is_device: Callable[[bytes], object] = bool
    shed: Callable[[], bool] = lambda: False
    cookie_name: str = "doorward"
    public_url: str = ""
    transport_security: str = ""
    clock: Clock = field(default_factory=SystemClock)
    limits: StreetLimits = field(default_factory=StreetLimits)
    gate_paths: frozenset[bytes] = frozenset({b"/signup", b"/login", b"/api/v1/signup", b"/api/v1/login"})
    device_paths: frozenset[bytes] = frozenset({b"/login", b"/api/v1/login"})
