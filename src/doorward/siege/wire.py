"""One HTTP/1.1 connection of the siege, as an asyncio protocol on httptools.

The siege shares two cores with its target, so its client is made to cost little: one parser per connection, no
parsing beyond what llhttp does, no copies but the body's own. One request is under way at a time.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httptools

MAXIMUM_BODY_BYTES: Final = 4_000_000
MAXIMUM_HEADERS: Final = 200


class TransportError(Exception):
    """An exchange that brought no whole answer."""


class UnreachableError(TransportError):
    """No connection could be made."""


class CutError(TransportError):
    """The connection ended, or turned to nonsense, before the answer was whole."""


class LateError(TransportError):
    """The answer took longer than the request was given."""


@dataclass(slots=True)
class Answer:
    """What came back. Times are `time.perf_counter` seconds since the request was begun (connecting included)."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case; the last of a repeated one
    cookies: list[str] = field(default_factory=list)  # each Set-Cookie header as sent
    body: bytes = b""
    first_byte_seconds: float = 0.0  # to the first byte of the body, or to the end where there is no body
    total_seconds: float = 0.0
    pieces: int = 0  # how many pieces of body were read

    @property
    def retry_after(self) -> float | None:
        """The seconds of Retry-After (RFC 9110, 10.2.3); the form with a date counts as none."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


class Connection(asyncio.Protocol):
    """A keep-alive connection; `exchange` may be called again once it has returned."""

    __slots__ = (
        "_answer",
        "_body",
        "_done",
        "_has_length",
        "_is_kept",
        "_on_piece",
        "_parser",
        "_size",
        "_started",
        "heard",
        "is_closed",
        "transport",
        "uses",
    )

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_closed = False
        self.heard = False  # whether anything of the answer under way has arrived
        self.uses = 0
        self._done: asyncio.Future[Answer] | None = None
        self._on_piece: Callable[[bytes], None] | None = None
        self._answer = Answer()
        self._body: list[bytes] = []
        self._size = 0
        self._started = 0.0
        self._has_length = False
        self._is_kept = False
        self._parser = httptools.HttpResponseParser(self)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self.heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(CutError(f"not an HTTP answer: {type(error).__name__}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange under way: whole if only the end of the connection could tell its length."""
        self.is_closed = True
        if self._done is None or self._done.done():
            return
        if exc is None and self._answer.status and not self._has_length:
            self._finish()
        else:
            self._fail(CutError("the connection ended before the answer was whole"))

    # httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header."""
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        if key == "set-cookie":
            self._answer.cookies.append(text)
        elif len(self._answer.headers) >= MAXIMUM_HEADERS:
            self._fail(CutError("the answer has too many headers"))
        else:
            self._answer.headers[key] = text
        if key in {"content-length", "transfer-encoding"}:
            self._has_length = True

    def on_headers_complete(self) -> None:
        """Note the status."""
        self._answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Note a piece of the body and when the first came."""
        if not self._answer.pieces:
            self._answer.first_byte_seconds = time.perf_counter() - self._started
        self._answer.pieces += 1
        self._size += len(body)
        if self._size > MAXIMUM_BODY_BYTES:
            self._fail(CutError("the answer is larger than the siege reads"))
        else:
            if self._on_piece is None or self._answer.status >= 400:
                self._body.append(body)
            if self._on_piece is not None:
                self._on_piece(body)

    def on_message_complete(self) -> None:
        """End the exchange, unless this was an interim answer (1xx)."""
        if self._answer.status < 200:
            self._answer = Answer()
            self._has_length = False
        else:
            bounded = self._has_length or self._answer.status in {204, 304}
            self._is_kept = bounded and bool(self._parser.should_keep_alive())  # the parser forgets after this call
            self._finish()

    # the siege's side

    async def exchange(
        self, wire_bytes: bytes, started: float, on_piece: Callable[[bytes], None] | None = None
    ) -> Answer:
        """Send one request and wait for its whole answer.

        Raises:
            CutError: the connection ended too early, or what came was not HTTP.
        """
        if self.is_closed or self.transport is None:
            raise CutError("the connection is closed")
        self.uses += 1
        self.heard = False
        self._answer, self._body, self._size = Answer(), [], 0
        self._has_length = self._is_kept = False
        self._started, self._on_piece = started, on_piece
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(wire_bytes)
        try:
            return await self._done
        finally:
            if not self._done.done() or self._done.cancelled():
                self.close()  # the caller went away (time-out): the rest of the answer must not meet a later request
            self._done = None

    def close(self) -> None:
        """Close at once."""
        self.is_closed = True
        if self.transport is not None:
            self.transport.abort()

    @property
    def may_be_kept(self) -> bool:
        """Whether another request may follow on this connection."""
        return self._is_kept and not self.is_closed

    def _finish(self) -> None:
        if self._done is None or self._done.done():
            return
        answer = self._answer
        answer.total_seconds = time.perf_counter() - self._started
        if not answer.pieces:
            answer.first_byte_seconds = answer.total_seconds
        answer.body = b"".join(self._body)
        self._done.set_result(answer)

    def _fail(self, error: TransportError) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
        self.close()
