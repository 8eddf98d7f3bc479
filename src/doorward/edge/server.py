"""One process of Doorward: the house, its application and the street in front, served until it is told to stop.

1. The socket is ours before the house opens, and is listened to after: nobody is answered from half a snapshot.
2. On SIGTERM or SIGINT the street stops taking requests and running streams end by themselves, at most
   `server.drain_seconds`; only then does the house close. A second signal ends the wait.
3. A process with the role `worker` listens to nobody: it does the recurring work until it is told to stop.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import msgspec
import structlog
import uvicorn

from doorward import __version__, logs
from doorward.accounts import tokens
from doorward.accounts.web import routes as accounts_routes
from doorward.config import Config
from doorward.edge.addresses import TrustedProxies
from doorward.edge.app import build_app
from doorward.edge.redirect import Redirect
from doorward.edge.street import Street, street_class
from doorward.edge.street_parts import StreetLimits, StreetParts
from doorward.edge.tls_transport import over_tls
from doorward.edge.unlocking import unlocked
from doorward.edge.view import Figures, Front, HouseView
from doorward.gate.web import routes as gate_routes
from doorward.hall.clock import SystemClock
from doorward.hall.errors import DoorwardError
from doorward.hall.jobs import JobRunner
from doorward.house import House
from doorward.vault.acme_files import make_ready
from doorward.vault.panels import VaultParts
from doorward.vault.tls import ServedTls, TransportOverview
from doorward.vault.web import routes as vault_routes

_DRAIN_MARGIN_SECONDS = 5  # the street ends streams by itself, with an error frame, up to two seconds late

_log = structlog.get_logger("doorward.edge")


class CannotListenError(DoorwardError):
    """The address to listen on cannot be had."""

    code = "server.cannot_listen"
    status = 503
    advice = (
        "Stop what listens there, or choose another `server.port` or `server.redirect_port`. Ports below 1024 need a"
        " right: `AmbientCapabilities=CAP_NET_BIND_SERVICE` in a systemd unit."
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """A server that is about to take its first request."""

    house: House
    url: str  # where it listens, as a person on this machine would type it


Announce = Callable[[Opened], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ways:
    """How a server says that it is there, and how it is spoken to (None: in plain HTTP)."""

    announce: Announce | None = None
    tls: ServedTls | None = None
    redirect: Redirect | None = None  # the plain listener beside it


async def serve(config: Config, announce: Announce | None = None) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is called once the socket is open.

    Raises:
        CannotListenError: the address is taken or not ours. CertificateError: it cannot be shown.
        DoorwardError: the stores cannot be used.
    """
    logs.configure(config.server.log_format, config.server.log_level)
    if config.server.role == "worker":
        async with unlocked(config) as house:
            await _work(house)
        return
    with closing(listen(config.server.host, config.server.port)) as listener:
        # Port 0 is known only now, and links and mails name it.
        server = msgspec.structs.replace(config.server, port=listener.getsockname()[1])
        config = msgspec.structs.replace(config, server=server)
        tls = open_tls(config)
        async with unlocked(config) as house, redirecting(house) as redirect:
            renewals = JobRunner(tls.jobs() if tls else (), is_worker=False)
            try:
                await house.start()
                renewals.start()
                await _Server(house, listener, Ways(announce, tls, redirect)).run()
            finally:
                await renewals.stop()


def open_tls(config: Config) -> ServedTls | None:
    """The TLS of the listener; None where it speaks plain HTTP.

    Raises:
        CertificateError: it shall speak TLS, and cannot.
    """
    directory = config.stores.data_directory
    if config.acme.is_on:
        paths = config.tls.certificate_path(directory), config.tls.key_path(directory)
        make_ready(*paths, config.acme.domains, SystemClock().now())
    if not config.tls.is_on(directory):
        return None
    hosts = {config.server.host, urlsplit(config.public_url).hostname} - {"0.0.0.0", "::", None}  # noqa: S104
    return ServedTls.open(config.tls, directory, SystemClock(), tuple(filter(None, hosts)))


@asynccontextmanager
async def redirecting(house: House) -> AsyncIterator[Redirect | None]:
    """The plain listener of `server.redirect_port`, where there is one.

    Raises:
        CannotListenError: the port is taken, or not ours to take.
    """
    server = house.config.server
    if not server.redirect_port:
        yield None
        return
    proxies, tokens_shown = TrustedProxies(server.trusted_proxies), house.certificates.challenges
    listener = listen(server.host, server.redirect_port)
    redirect = await Redirect.open(listener, house.config.public_url, tokens_shown, proxies, house.clock)
    try:
        yield redirect
    finally:
        await redirect.close()


async def _work(house: House) -> None:
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    await house.start()
    _log.info("worker_started", version=__version__)
    await told.wait()


class _Server(uvicorn.Server):
    """uvicorn's server over a socket of our own, so that a taken port is an error with advice."""

    def __init__(self, house: House, listener: socket.socket, ways: Ways) -> None:
        self._house = house
        self._announce = ways.announce
        self._socket = listener
        host, port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self._url = f"{'https' if ways.tls else 'http'}://{shown}:{port}"
        street = build_street(house)
        more = [part.figures for part in (ways.tls, ways.redirect) if part]
        transport = ways.tls.overview if ways.tls else None
        view = build_view(house, lambda: self.started and not self.should_exit, street, more, transport)
        app = build_app(view)
        spoken = over_tls(street, ways.tls) if ways.tls else street
        super().__init__(
            uvicorn.Config(
                app, http=spoken, loop="none",  # type: ignore[arg-type]  # any maker of protocols will do
                ws="none", lifespan="off", log_config=None, access_log=False,
                server_header=False, date_header=False, proxy_headers=False, backlog=4_096,
                timeout_graceful_shutdown=int(house.config.server.drain_seconds) + _DRAIN_MARGIN_SECONDS,
            )
        )  # fmt: skip

    async def run(self) -> None:  # type: ignore[override]  # ours runs on the loop that is there
        """Serve until told to stop."""
        await self.serve(sockets=[self._socket])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on a signal, and end with status 0 when all is closed (uvicorn's own would end by the signal)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where we are once the socket takes connections."""
        await super().startup(sockets)
        _log.info("listening", url=self._url, version=__version__, role=self._house.config.server.role)
        if self._announce is not None:
            await self._announce(Opened(self._house, self._url))


def listen(host: str, port: int) -> socket.socket:
    """A bound socket.

    Raises:
        CannotListenError: the address is taken, not ours, or no address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CannotListenError(f"Cannot listen on {host}:{port}: {error.strerror or error}.") from error
    return listener


def build_street(house: House) -> type[Street]:
    """The protocol class of this house's server."""
    server = house.config.server
    limits = StreetLimits(
        max_connections=server.max_connections,
        max_connections_per_address=server.max_connections_per_address,
        first_byte_timeout_seconds=server.first_byte_timeout_seconds,
        stalled_answer_seconds=server.stalled_answer_seconds,
        max_header_bytes=server.max_header_bytes,
        max_body_bytes=server.max_body_bytes,
        max_relay_body_bytes=house.config.upstream.max_body_bytes,
        keep_alive_seconds=server.keep_alive_seconds,
        header_timeout_seconds=server.header_timeout_seconds,
        body_timeout_seconds=server.body_timeout_seconds,
        drain_seconds=server.drain_seconds,
        handshake_timeout_seconds=house.config.tls.handshake_timeout_seconds,
    )
    front = build_front(house)
    return street_class(
        StreetParts(
            book=house.accounts.book,
            doorkeeper=house.gate,
            is_credential=tokens.kind_of,
            relay=house.upstream.relay,
            allowance=house.upstream,
            trusted_proxies=TrustedProxies(server.trusted_proxies),
            cookie_name=front.cookie_name,
            public_url=front.public_url,
            transport_security=front.transport_security,
            clock=house.clock,
            limits=limits,
        )
    )


def build_front(house: House) -> Front:
    """How this house presents itself."""
    server = house.config.server
    return Front(
        public_url=house.config.public_url,
        version=__version__,
        security_contact=server.security_contact,
        body_limit_bytes=server.max_body_bytes,
        metrics_networks=server.metrics_networks,
        hsts=house.config.tls.hsts(),
    )


def build_view(
    house: House, is_serving: Callable[[], bool], street: type[Street], more: Iterable[Figures] = (),
    transport: Callable[[], TransportOverview] | None = None,
) -> HouseView:  # fmt: skip
    """What the application may see of the house; `more` and `transport` are of the listeners."""
    rooms = (house.gate, house.accounts, house.upstream, house.stores.vault, house.certificates)
    others = (house.rotations, house.backups, house.stores.honey)
    stores = house.stores
    vault = VaultParts(
        vault=stores.vault, rotations=house.rotations, shredding=stores.shredding, clock=house.clock,
        transport=transport, certificates=house.certificates, backups=house.backups.overview,
    )  # fmt: skip
    figures = tuple(room.figures for room in (*rooms, *others))
    return HouseView(
        book=house.accounts.book,
        rooms=(
            partial(gate_routes, house.gate),
            partial(accounts_routes, house.accounts),
            partial(vault_routes, vault),
        ),
        probes={
            "database": house.stores.database.ping,
            "counters": house.stores.counters.ping,
            "vault": house.stores.vault.ping,
        },
        figures=(*figures, street.figures, *more),
        is_serving=is_serving,
        front=build_front(house),
        clock=house.clock,
    )
