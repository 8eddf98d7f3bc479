"""The listener beside TLS, on port 80: sends browsers to https, and shows an authority its tokens. Nothing else.

1. One request a connection, read by the street's strict reader (`wire`); small, quick, and few connections at once.
2. `/.well-known/acme-challenge/<token>` is answered from the rows that an order wrote (RFC 8555 section 8.3). They are
   looked up once a second at most, however many ask.
3. A request with an API key (`Authorization`) is refused, not redirected: the key has crossed the network in clear, and
   a client that follows the redirection would go on doing so without anybody noticing.
4. Everything else goes to the public origin with 308, which keeps the method; the Host header decides nothing, so this
   is no open redirect. Nothing is said about https itself here: browsers ignore HSTS over plain HTTP (RFC 6797 8.1).
"""

import asyncio
import re
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Self, cast

import structlog

from doorward.edge.addresses import TrustedProxies, canonical
from doorward.edge.street_answers import Answer, answer, problem
from doorward.edge.street_parts import StreetLimits
from doorward.edge.street_watch import Watch
from doorward.edge.wire import NO_BODY, Head, WireFault, early_fault, read_head
from doorward.hall.clock import Clock, SystemClock
from doorward.hall.errors import UnavailableError

Look = Callable[[int], Awaitable[dict[str, str]]]

CHALLENGE_PATH: Final = b"/.well-known/acme-challenge/"
LIMITS: Final = StreetLimits(
    max_connections=1_024,
    max_connections_per_address=64,
    max_header_bytes=8_192,
    first_byte_timeout_seconds=5.0,
    header_timeout_seconds=5.0,
    linger_seconds=2.0,
)
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]{1,256}")
_MOST_TOKENS: Final = 1_000
_LOOK_AGAIN_SECONDS: Final = 1.0
_METHODS: Final = (b"GET", b"HEAD")
_HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}

_log = structlog.get_logger("doorward.edge")


class ShownTokens:
    """What an authority may ask for, looked up when somebody asks and the last look is a second old."""

    def __init__(self, look: Look) -> None:
        """`look` gives the tokens of now with their answers, at most so many."""
        self._look = look
        self._known: dict[str, str] = {}
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def answer_to(self, token: str) -> str | None:
        """The answer to a token; None if there is none.

        Raises:
            StoreUnavailableError: it is not known, and the rows are away.
        """
        if token not in self._known and asyncio.get_running_loop().time() - self._looked_at > _LOOK_AGAIN_SECONDS:
            if self._looking is None:
                self._looking = asyncio.create_task(self._look_up())
            await asyncio.shield(self._looking)
        return self._known.get(token)

    async def _look_up(self) -> None:
        try:
            self._known = await self._look(_MOST_TOKENS)
            self._looked_at = asyncio.get_running_loop().time()
        finally:
            self._looking = None


@dataclass(slots=True)
class _Shared:
    """What all connections of one listener share."""

    origin: bytes
    tokens: ShownTokens
    proxies: TrustedProxies
    watch: Watch
    counts: Counter[str] = field(default_factory=Counter)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class _Visit(asyncio.Protocol):
    """One connection: a request, an answer, and the end."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set when made, before any use
        self._data = b""
        self._is_answered = False
        self._is_waiting = False
        self._is_half_closed = False
        self.deadline = shared.watch.now + LIMITS.first_byte_timeout_seconds
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, if there is room."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.address = canonical(peer[0]) if isinstance(peer, tuple) else ""
        watch = self._shared.watch
        watch.start(asyncio.get_running_loop())
        if not watch.admit(self, is_proxy=self._shared.proxies.trusts(self.address)):
            self._fault(503, "service.busy")
            self._transport.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        """It is gone."""
        self._is_answered = True
        self._shared.watch.leave(self)

    def data_received(self, data: bytes) -> None:
        """Some of the request; what follows its head is thrown away."""
        if self._is_answered or self._is_waiting:
            return
        if not self._data:
            self.deadline = self._shared.watch.now + LIMITS.header_timeout_seconds
        scanned, self._data = len(self._data), self._data + data
        end = self._data.find(b"\r\n\r\n", max(scanned - 3, 0)) + 4
        try:
            if 4 <= end <= LIMITS.max_header_bytes:
                self._begin(read_head(self._data[:end]))
            elif fault := early_fault(self._data[: LIMITS.max_header_bytes + 1], scanned, LIMITS.max_header_bytes):
                raise fault
        except WireFault as fault:
            self._fault(fault.status, fault.code)

    def eof_received(self) -> bool:
        """The caller sends no more; the connection stays if it still gets its answer."""
        self._is_half_closed = True
        return self._is_waiting

    def expire(self) -> None:
        """See `Watched.expire`."""
        if self._is_answered:
            self._transport.abort()
        else:
            self._fault(408, "request.timeout")

    def evict(self) -> None:
        """See `Watched.evict`."""
        self._is_answered = True
        self._transport.abort()

    def idle_until(self) -> float | None:
        """See `Watched.idle_until`."""
        return None if self._is_waiting else self.deadline

    def _begin(self, head: Head) -> None:
        is_head = head.method == b"HEAD"
        if head.value(b"\r\nauthorization:") is not None:
            self._give(problem(403, "request.not_encrypted"), is_head=is_head)
        elif not head.path.startswith(CHALLENGE_PATH):
            self._give(_moved(self._shared.origin + head.target), is_head=is_head)
        elif head.method not in _METHODS or head.length != NO_BODY:
            self._give(_NOT_ALLOWED, is_head=is_head)
        elif _TOKEN.fullmatch(token := head.path[len(CHALLENGE_PATH) :]) is None:
            self._give(_NO_TOKEN, is_head=is_head)
        else:
            self._is_waiting = True
            self.deadline = self._shared.watch.now + LIMITS.header_timeout_seconds
            task = asyncio.create_task(self._show(token.decode("ascii"), is_head=is_head))
            self._shared.tasks.add(task)
            task.add_done_callback(self._shared.tasks.discard)

    async def _show(self, token: str, *, is_head: bool) -> None:
        try:
            found = await self._shared.tokens.answer_to(token)
        except UnavailableError:
            self._fault(503, "service.busy", is_head=is_head)
        else:
            self._give(_NO_TOKEN if found is None else _shown(found), is_head=is_head)

    def _fault(self, status: int, code: str, *, is_head: bool = False) -> None:
        self._give(problem(status, code, "", 5 if status == 503 else None), is_head=is_head)

    def _give(self, given: Answer, *, is_head: bool) -> None:
        """Answer, say that this was all, and let the caller read it."""
        if self._is_answered:
            return
        self._is_answered, self._is_waiting, self._data = True, False, b""
        self._shared.counts[given.code] += 1
        whole = given.closing().whole(self._shared.watch.date_line)
        self._transport.write(whole[: whole.index(b"\r\n\r\n") + 4] if is_head else whole)
        self.deadline = self._shared.watch.now + LIMITS.linger_seconds
        if self._is_half_closed:
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write_eof()


def _moved(location: bytes) -> Answer:
    return answer(308, {"location": location.decode("ascii"), **_HEADERS}, b"", "redirect")


def _shown(text: str) -> Answer:
    return answer(200, {"content-type": "application/octet-stream", **_HEADERS}, text.encode("ascii"), "acme.shown")


_NO_TOKEN: Final = answer(404, {"content-type": "text/plain", **_HEADERS}, b"no such token\n", "acme.unknown")
_NOT_ALLOWED: Final = answer(
    405, {"content-type": "text/plain", "allow": "GET, HEAD", **_HEADERS}, b"only GET and HEAD\n", "method.not_allowed"
)


class Redirect:
    """The running listener. Made by `open`."""

    def __init__(self, server: asyncio.Server, shared: _Shared) -> None:
        """Use `open`."""
        self._server = server
        self._shared = shared

    @classmethod
    async def open(
        cls,
        listener: socket.socket,
        origin: str,
        look: Look,
        proxies: TrustedProxies | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Listen on a bound socket and send people to `origin` (scheme, host and port of the https side)."""
        watch = Watch(LIMITS, clock or SystemClock())
        shared = _Shared(origin.encode("ascii"), ShownTokens(look), proxies or TrustedProxies(()), watch)
        server = await asyncio.get_running_loop().create_server(lambda: _Visit(shared), sock=listener, backlog=512)
        _log.info("redirecting", port=listener.getsockname()[1], to=origin)
        return cls(server, shared)

    @property
    def watch(self) -> Watch:
        """The connections of now."""
        return self._shared.watch

    def figures(self) -> dict[str, float]:
        """Counts since the start, by code, and the connections of now."""
        counts = self._shared.counts.items()
        figures = {f'redirect_answers_total{{code="{code}"}}': float(count) for code, count in counts}
        figures["redirect_connections"] = float(len(self._shared.watch))
        figures["redirect_connections_turned_away_total"] = float(self._shared.watch.turned_away)
        return figures

    async def close(self) -> None:
        """Take no more connections; what is being answered gets its answer."""
        self._server.close()
        await asyncio.gather(*self._shared.tasks, return_exceptions=True)
