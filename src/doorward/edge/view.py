"""What the application is handed by the house: values and questions, no room by name.

`edge/server.py` fills a `HouseView` from a real house; a test fills one with small fakes.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.routing import Route

from doorward.hall.clock import Clock, SystemClock
from doorward.hall.doors import Desk, StandingBook

RoomRoutes = Callable[[Desk], list[Route]]
"""A room's `routes` with its service bound: `partial(gate.web.routes, gate)`."""

Probe = Callable[[], Awaitable[str | None]]
"""Returns when a part answers: None, or in a few words what is in doubt. Raises a DoorwardError (or OSError) when it is
away."""

Figures = Callable[[], Mapping[str, float]]
"""A room's numbers for `/metrics`: `gate_arrivals_total{action="admit"}` -> number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """How this service presents itself.

    `metrics_networks`: who may read `/metrics` without being an administrator, as CIDR networks; empty: this machine,
    as long as the public URL is on this machine as well.
    `security_contact`: a `mailto:` or `https:` address for security.txt (RFC 9116); empty: the public URL itself.
    `hsts`: what browsers are told about plain HTTP if the public URL is https; empty: nothing.
    """

    public_url: str = "http://127.0.0.1:8080"
    version: str = "0"
    security_contact: str = ""
    body_limit_bytes: int = 64 * 1024
    metrics_networks: tuple[str, ...] = ()
    hsts: str = "max-age=31536000"

    @property
    def origin(self) -> str:
        """Scheme, host and port as a browser sends them in `Origin`."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def is_https(self) -> bool:
        """Whether people reach the service over TLS."""
        return self.public_url.startswith("https://")

    @property
    def transport_security(self) -> str:
        """The value of `Strict-Transport-Security` (RFC 6797), which only an https service may say; empty: none.

        Never on this machine: a browser would refuse plain HTTP to every other service of `localhost` too.
        """
        return self.hsts if self.is_https and not self.is_loopback else ""

    @property
    def is_loopback(self) -> bool:
        """Whether the public URL names this machine itself: somebody is trying us out."""
        host = urlsplit(self.public_url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")

    @property
    def cookie_name(self) -> str:
        """The session cookie; `__Host-` binds it to this host, `/` and TLS (RFC 6265bis 4.1.3.2)."""
        return "__Host-doorward" if self.is_https else "doorward"


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseView:
    """Everything that the pages and the API stand on."""

    book: StandingBook
    rooms: tuple[RoomRoutes, ...] = ()
    probes: Mapping[str, Probe] = field(default_factory=dict)
    figures: tuple[Figures, ...] = ()
    is_serving: Callable[[], bool] = lambda: True
    front: Front = field(default_factory=Front)
    clock: Clock = field(default_factory=SystemClock)
