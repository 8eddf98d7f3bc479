"""A street on a real socket for tests: uvicorn in this process, small fakes behind it, a client that sends bytes."""

import asyncio
import contextlib
import hashlib
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import uvicorn

from doorward.accounts.tokens import kind_of, new_key, new_session_token
from doorward.edge.addresses import TrustedProxies
from doorward.edge.street import Street, StreetParts, street_class
from doorward.edge.street_line import ANSWERING
from doorward.edge.tls_transport import over_tls
from doorward.hall.clock import SteppedClock
from doorward.hall.errors import UnavailableError
from doorward.hall.model import Lane, Role, Standing
from doorward.upstream.exchange import RelayLimits
from doorward.upstream.pool import Origin, PoolLimits
from doorward.upstream.relay import Denial, Relay
from doorward.vault.tls import ServedTls

PATIENCE_SECONDS = 20  # how long a test waits for bytes before it fails; never part of what is tested


class Book:
    """A book of standings; `away` are credentials that only a look in the database finds."""

    def __init__(self) -> None:
        self.here: dict[bytes, Standing] = {}
        self.away: dict[bytes, Standing] = {}
        self.is_down = False
        self.recalled: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def add(self, lane: Lane = Lane.EXISTING, scopes: tuple[str, ...] = ("chat",), *, away: bool = False) -> bytes:
        """A new session token with a standing."""
        token = (new_session_token() if lane is Lane.EXISTING else new_key()).encode()
        number = len(self.here) + len(self.away)
        standing = Standing(f"acc_{number}", f"ses_{number}", lane, Role.MEMBER, frozenset(scopes), 4e9)
        (self.away if away else self.here)[token] = standing
        return token

    def standing_of(self, credential: bytes) -> Standing | None:
        return self.here.get(credential)

    async def recall(self, credential: bytes) -> Standing | None:
        self.recalled.append(credential)
        await self.gate.wait()
        if self.is_down:
            raise UnavailableError
        return self.away.get(credential)


class Doorkeeper:
    """Knows one genuine ticket."""

    def is_genuine(self, ticket: bytes) -> bool:
        return ticket == b"genuine-ticket_1"


class Hooks:
    """Relay hooks that remember, and deny when told to."""

    def __init__(self) -> None:
        self.denial: Denial | None = None
        self.left: int | None = 1_000
        self.began = 0
        self.records: list[tuple[str, int, bool]] = []
        self.observed: list[str] = []

    def permits(self, standing: Standing, path: str) -> bool:
        return path.startswith("/v1/") and "chat" in standing.scopes

    def allowance_left(self, standing: Standing) -> int | None:
        return self.left

    def begin(self, standing: Standing) -> Denial | None:
        if self.denial is None:
            self.began += 1
        return self.denial

    def record(self, standing: Standing, tokens: int, ok: bool) -> None:
        self.records.append((standing.account_id, tokens, ok))

    def observe(self, fault: str) -> None:
        self.observed.append(fault)


async def application(scope, receive, send) -> None:
    """Says what it was asked. `/stream` never ends by itself; `/early` answers before the body is read."""
    seen = {name: scope[name] for name in ("method", "path", "client", "scheme", "http_version")}
    seen["query"] = scope["query_string"].decode()
    seen["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    seen["request_id"] = scope["state"]["request_id"]
    body = b""
    if scope["path"] != "/early":
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        else:
            return
    seen["size"], seen["sha256"] = len(body), hashlib.sha256(body).hexdigest()
    content = json.dumps(seen).encode()
    headers = [(b"content-type", b"application/json")]
    if scope["path"] != "/stream":
        headers.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": scope["path"] == "/stream"})
    if scope["path"] == "/stream":
        await receive()


async def until(holds: Callable[[], object]) -> None:
    """Let the loop run until this holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0.0005)


@dataclass
class Reply:
    """One answer, read strictly."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    is_whole: bool = True

    def header(self, name: str) -> str | None:
        """The only header of that name."""
        values = [value for found, value in self.headers if found.lower() == name]
        assert len(values) <= 1, values
        return values[0] if values else None

    def json(self):
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Client:
    """A connection that sends what it is told to, byte for byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        """Send pieces one after another; the server gets its turn between two."""
        for piece in pieces:
            self.writer.write(piece)
            await asyncio.wait_for(self.writer.drain(), PATIENCE_SECONDS)
            if len(pieces) > 1:
                for _ in range(3):
                    await asyncio.sleep(0)

    async def reply(self, *, is_head: bool = False) -> Reply:
        """The next answer."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            while head.startswith(b"HTTP/1.1 100 "):
                head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head[:-4].split(b"\r\n")
            status = int(re.fullmatch(rb"HTTP/1\.1 (\d{3}) [ -~]*", lines[0]).group(1))
            headers = []
            for line in lines[1:]:
                name, separator, value = line.decode("latin-1").partition(": ")
                assert separator, line
                headers.append((name, value))
            reply = Reply(status, headers, b"")
            if not is_head and status not in (204, 304):
                await self._read_body(reply)
            return reply

    async def _read_body(self, reply: Reply) -> None:
        length = reply.header("content-length")
        if reply.header("transfer-encoding") == "chunked":
            assert length is None
            await self._read_chunks(reply)
        elif length is not None:
            try:
                reply.body = await self.reader.readexactly(int(length))
            except asyncio.IncompleteReadError as error:
                reply.body, reply.is_whole = error.partial, False
            except ConnectionResetError:
                reply.is_whole = False
        else:
            try:
                reply.body = await self.reader.read()
            except ConnectionResetError:
                reply.is_whole = False

    async def _read_chunks(self, reply: Reply) -> None:
        try:
            while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
                reply.body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
        except (asyncio.IncompleteReadError, ConnectionResetError):
            reply.is_whole = False

    async def is_closed(self) -> bool:
        """Whether the server closes the connection without another byte."""
        try:
            return await asyncio.wait_for(self.reader.read(1), PATIENCE_SECONDS) == b""
        except ConnectionResetError:
            return True

    async def close(self) -> None:
        """Go away."""
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # the latter: bytes after both have said the end
            await self.writer.wait_closed()


@dataclass
class Site:
    """A running street and what stands behind it."""

    port: int
    street: type[Street]
    book: Book
    hooks: Hooks
    clock: SteppedClock
    server: uvicorn.Server
    relay: Relay | None
    trust: ssl.SSLContext | None = None  # of clients that speak TLS
    clients: list[Client] = field(default_factory=list)

    async def client(self) -> Client:
        """A new connection."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust))
        self.clients.append(client)
        return client

    async def ask(self, *pieces: bytes) -> Reply:
        """One request on a connection of its own."""
        client = await self.client()
        await client.send(*pieces)
        return await client.reply()

    async def pass_time(self, seconds: float) -> None:
        """Let the street's own time pass, after the loop has done what it can."""
        for _ in range(5):
            await asyncio.sleep(0)
        self.street.watch.advance(seconds)


@contextlib.asynccontextmanager
async def serving(
    change: Callable[[StreetParts], StreetParts] = lambda parts: parts,
    *,
    upstream: str = "",
    limits: RelayLimits | None = None,
    tls: ServedTls | None = None,
) -> AsyncIterator[Site]:
    """A street on a free port; its watch moves only by `pass_time`. `tls`: clients speak that, and trust anybody."""
    book, hooks, clock = Book(), Hooks(), SteppedClock()
    relay = None
    if upstream:
        limits = limits or RelayLimits(pool=PoolLimits(connect_timeout_seconds=5))
        relay = Relay(Origin.parse(upstream), hooks, limits, "sk-upstream")
    parts = StreetParts(
        book=book, doorkeeper=Doorkeeper(), is_credential=kind_of, relay=relay, allowance=hooks, clock=clock
    )
    street = street_class(change(parts))
    street.watch.start = lambda loop: None
    listener = socket.create_server(("127.0.0.1", 0))
    http = over_tls(street, tls) if tls else street
    config = uvicorn.Config(application, http=http, lifespan="off", access_log=False, log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    site = Site(listener.getsockname()[1], street, book, hooks, clock, server, relay, trusting() if tls else None)
    try:
        yield site
    finally:
        for client in site.clients:
            await client.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await server.shutdown(sockets=[listener])
        if relay is not None:
            await relay.close()


def trusting() -> ssl.SSLContext:
    """A client's context that trusts whatever is shown."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def with_limits(**values) -> Callable[[StreetParts], StreetParts]:
    """A change of the street's limits."""
    return lambda parts: replace(parts, limits=replace(parts.limits, **values))


def with_proxies(*networks: str) -> Callable[[StreetParts], StreetParts]:
    """A change of the trusted proxies."""
    return lambda parts: replace(parts, trusted_proxies=TrustedProxies(networks))


@contextlib.asynccontextmanager
async def upstream(answer: Callable[..., object]) -> AsyncIterator[str]:
    """A service that `answer(reader, writer)` plays by hand; gives its base address."""
    tasks: set[asyncio.Task] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            tasks.discard(asyncio.current_task())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One request as the upstream sees it: head and unframed body."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
            body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        return head, body
    found = re.search(rb"content-length: (\d+)", lower)
    return head, await reader.readexactly(int(found.group(1))) if found else b""


def get(path: str, *lines: str, credential: bytes = b"") -> bytes:
    """A GET request."""
    return _request("GET", path, lines, credential) + b"\r\n"


def post(path: str, body: bytes, *lines: str, credential: bytes = b"") -> bytes:
    """A POST request with a length."""
    return _request("POST", path, (*lines, f"Content-Length: {len(body)}"), credential) + b"\r\n" + body


def _request(method: str, path: str, lines: tuple[str, ...], credential: bytes) -> bytes:
    if credential:
        lines = (*lines, f"Authorization: Bearer {credential.decode()}")
    return "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", "Host: ai.example.com", *lines)).encode()


class Wire:
    """A transport without a socket, for tests that feed a street by hand."""

    def __init__(self) -> None:
        self.written = b""
        self.is_over = False
        self.is_reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        self.is_over = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        assert not self.is_over

    def pause_reading(self) -> None:
        assert self.is_reading
        self.is_reading = False

    def resume_reading(self) -> None:
        assert not self.is_reading
        self.is_reading = True

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("192.0.2.1", 1234), "sockname": ("192.0.2.2", 80)}.get(name, default)


async def _settled(line: Street, wire: Wire, state: uvicorn.server.ServerState) -> None:
    """Let a whole request be answered, and what was held back behind it."""
    for _ in range(2):
        for _ in range(50):
            if not (wire.is_reading and state.tasks and line.phase == ANSWERING):
                break
            await asyncio.sleep(0)
        await asyncio.sleep(0)


async def statuses_of(pieces: list[bytes], *, ends: bool = False) -> list[int]:
    """The statuses that a street answers with when these pieces arrive one after another.

    `ends`: then time passes, and the connection must be closed by it.
    """
    book, hooks = Book(), Hooks()
    parts = StreetParts(
        book=book, doorkeeper=Doorkeeper(), is_credential=kind_of, allowance=hooks, clock=SteppedClock()
    )
    street = street_class(parts)
    street.watch.start = lambda loop: None
    config = uvicorn.Config(application, http=street, lifespan="off", access_log=False, log_config=None)
    config.load()
    state = uvicorn.server.ServerState()
    line, wire = street(config, state, {}), Wire()
    line.connection_made(wire)
    for piece in pieces:
        if piece and not wire.is_over:
            line.data_received(piece)
            await _settled(line, wire, state)
    if ends:
        for _ in range(4):  # at most: a body's time, lingering, an idle connection's time
            street.watch.advance(700)
            await asyncio.sleep(0)
        assert wire.is_over
    wire.is_over = True
    line.connection_lost(None)
    await until(lambda: not state.tasks)
    assert not len(street.watch)
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) (?!Continue)", wire.written)]


CHAT = "/v1/chat/completions"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Service:
    """An AI service that gives the same bytes to every request, and remembers what it was asked."""

    def __init__(self, *pieces: bytes, closes: bool = False) -> None:
        self.pieces = pieces
        self.closes = closes
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.left = asyncio.Event()

    async def __call__(self, reader, writer) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await read_request(reader))
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.closes:
                    return
        finally:
            self.left.set()


async def hangs(reader, writer) -> None:
    """A service that reads and never answers."""
    await read_request(reader)
    await reader.read()


async def ask(service, request: bytes, **how):
    """One request of somebody who belongs, through a street to this service."""
    async with upstream(service) as url, serving(upstream=url, **how) as site:
        token = site.book.add()
        reply = await site.ask(request.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer " + token + b"\r\n\r\n", 1))
        return reply, site
