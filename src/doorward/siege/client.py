"""The siege's HTTP client: a pool of lean connections, and actors who each have an address and a cookie jar.

Thousands of actors share a few connections, as they would behind a reverse proxy: who speaks is said by
`X-Forwarded-For`, which the target believes only if it trusts the siege's own address.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

import msgspec

from doorward.siege.wire import Answer, Connection, CutError, LateError, TransportError, UnreachableError
from doorward.siege.witness import Witness

__all__ = [
    "Actor",
    "Answer",
    "Call",
    "Client",
    "CutError",
    "Endpoint",
    "LateError",
    "TransportError",
    "UnreachableError",
]

IDLE_SECONDS: Final = 3.0  # shorter than common servers' keep-alive, so that we seldom write to a closing connection
_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the target is. `connect_host` is the address that was judged (ownership), so that it can't change."""

    host: str
    port: int
    connect_host: str
    secure: bool = False

    @property
    def authority(self) -> str:
        """The `Host` header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.secure else 80) else f"{name}:{self.port}"


@dataclass(slots=True)
class Actor:
    """Somebody who talks to the target: an address, a client build, languages, and what they were handed."""

    address: str
    user_agent: str
    languages: str = "en"
    jar: dict[str, str] = field(default_factory=dict)
    bearer: str = ""

    def keep(self, cookies: list[str]) -> None:
        """Take the cookies of an answer (RFC 6265 name and value only: an actor talks to one host)."""
        for line in cookies:
            pair, _, attributes = line.partition(";")
            name, _, value = pair.strip().partition("=")
            if not value or "max-age=0" in attributes.replace(" ", "").lower():
                self.jar.pop(name, None)
            else:
                self.jar[name] = value.strip('"')


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = ""
    timeout_seconds: float = 30.0
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def json(cls, path: str, value: object, timeout_seconds: float = 30.0) -> "Call":
        """A POST of JSON."""
        return cls("POST", path, msgspec.json.encode(value), _JSON, timeout_seconds)

    @classmethod
    def form(cls, path: str, fields: dict[str, str], timeout_seconds: float = 30.0) -> "Call":
        """A POST of a form, fields in the order given."""
        return cls("POST", path, urlencode(fields).encode(), _FORM, timeout_seconds)


class Client:
    """Sends calls for actors over a pool of keep-alive connections to one endpoint."""

    def __init__(self, endpoint: Endpoint, connect_timeout_seconds: float = 5.0) -> None:
        self.endpoint = endpoint
        self._connect_timeout = connect_timeout_seconds
        self._idle: list[tuple[float, Connection]] = []
        self._busy: set[Connection] = set()
        self._tls = ssl.create_default_context() if endpoint.secure else None
        self.witness: Witness | None = None

    async def send(self, actor: Actor, call: Call, on_piece: Callable[[bytes], None] | None = None) -> Answer:
        """Send `call` as `actor`; with `on_piece` the body is handed over as it comes instead of being kept.

        A kept connection that the server closed meanwhile is replaced once, as browsers do (RFC 9112, 9.3.1), as
        long as nothing of the answer has come.

        Raises:
            UnreachableError, CutError, LateError: there was no whole answer.
        """
        started = time.perf_counter()
        wire_bytes = self._encode(actor, call)
        try:
            async with asyncio.timeout(call.timeout_seconds):
                answer = await self._exchange(wire_bytes, started, on_piece)
        except TimeoutError as error:
            raise LateError(f"no answer within {call.timeout_seconds:g} s") from error
        if self.witness is not None:
            self.witness.saw((actor.address, actor.user_agent), call.path, call.body, answer)
        if answer.cookies:
            actor.keep(answer.cookies)
        return answer

    async def close(self) -> None:
        """Close every connection, idle or not."""
        for _, connection in self._idle:
            connection.close()
        for connection in list(self._busy):
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)  # let the transports' connection_lost run before the loop may close

    async def _exchange(self, wire_bytes: bytes, started: float, on_piece: Callable[[bytes], None] | None) -> Answer:
        connection = self._take_idle()
        if connection is not None:
            try:
                return await self._use(connection, wire_bytes, started, on_piece)
            except CutError:
                if connection.heard:
                    raise
        return await self._use(await self._connect(), wire_bytes, started, on_piece)

    async def _use(
        self, connection: Connection, wire_bytes: bytes, started: float, on_piece: Callable[[bytes], None] | None
    ) -> Answer:
        self._busy.add(connection)
        try:
            answer = await connection.exchange(wire_bytes, started, on_piece)
        finally:
            self._busy.discard(connection)
        if connection.may_be_kept:
            self._idle.append((time.perf_counter(), connection))
        else:
            connection.close()
        return answer

    def _take_idle(self) -> Connection | None:
        now = time.perf_counter()
        while self._idle:
            since, connection = self._idle.pop()
            if connection.is_closed:
                continue
            if now - since < IDLE_SECONDS:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        server_name = self.endpoint.host if self._tls else None
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await loop.create_connection(
                    Connection,
                    self.endpoint.connect_host,
                    self.endpoint.port,
                    ssl=self._tls,
                    server_hostname=server_name,
                )
        except (OSError, TimeoutError) as error:
            raise UnreachableError(
                f"no connection to {self.endpoint.authority}: {str(error) or 'timed out'}"
            ) from error
        return connection

    def _encode(self, actor: Actor, call: Call) -> bytes:
        lines = [
            f"{call.method} {call.path} HTTP/1.1",
            f"Host: {self.endpoint.authority}",
            f"X-Forwarded-For: {actor.address}",
            f"User-Agent: {actor.user_agent}",
            f"Accept-Language: {actor.languages}",
        ]
        if actor.bearer:
            lines.append(f"Authorization: Bearer {actor.bearer}")
        if actor.jar:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in actor.jar.items()))
        if call.method == "POST":
            lines.append(f"Content-Length: {len(call.body)}")
            lines.append("Sec-Fetch-Site: same-origin")  # as a browser says on the site's own pages
        if call.content_type:
            lines.append(f"Content-Type: {call.content_type}")
        if call.content_type == _JSON:
            lines.append(f"Accept: {_JSON}")
        lines.extend(f"{name}: {value}" for name, value in call.headers)
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + call.body
