"""One connection of the street: bytes become requests, one at a time, and time is kept.

What a request means is decided above (`street`); here stands only how it comes in, and how a connection ends.
"""

import asyncio
import math
from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from uvicorn.config import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from doorward.edge.addresses import TrustedProxies, canonical
from doorward.edge.street_answers import Answer
from doorward.edge.street_body import BodyReader
from doorward.edge.street_calls import Call
from doorward.edge.street_parts import StreetLimits
from doorward.edge.street_watch import Watch
from doorward.edge.wire import NO_BODY, Head, WireFault, early_fault, read_head

IDLE: Final = 0  # between two requests, or before the first byte
HEAD: Final = 1  # a part of a head has come
BODY: Final = 2  # the head has been taken, the body is still coming; an answer may have begun
ANSWERING: Final = 3  # the whole request is here, its answer is not whole
WAITING: Final = 4  # the caller is being looked up; nothing is read meanwhile
CLOSING: Final = 5  # the last bytes have been written; what comes is thrown away

_HELD_BYTES: Final = 65_536  # of pipelined requests, before reading stops
_MOST_HELD_BYTES: Final = 1_048_576  # more than reading in one go can bring after it was stopped
_TURNS: Final = 32  # requests answered in one go, before other connections get their turn
_WAITING_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class KnownForm:
    """A head before a form that was taken before: what to answer when the ticket in the body is none."""

    head: bytes
    size: int  # of head and body together
    missing: Answer
    forged: Answer


class Taker(Protocol):
    """Who takes a request's body, and gives its answer."""

    @property
    def has_begun_answer(self) -> bool:
        """Whether some of the answer has been written."""
        ...

    def body(self, data: bytes) -> None:
        """Some of the body."""
        ...

    def body_end(self) -> None:
        """The body is whole."""
        ...

    def pause(self) -> None:
        """The caller takes no more of the answer for now."""
        ...

    def resume(self) -> None:
        """It does again."""
        ...

    def cancel(self) -> None:
        """The caller is gone."""
        ...

    def end_now(self) -> None:
        """The time to drain is over."""
        ...


class Line(HttpToolsProtocol):
    """One connection. `street.Street` says what to do with each request."""

    limits: ClassVar[StreetLimits]
    watch: ClassVar[Watch]
    counts: ClassVar[Counter[str]]
    proxies: ClassVar[TrustedProxies]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        if isinstance(self.app, ProxyHeadersMiddleware):  # uvicorn's default, which believes any peer at 127.0.0.1
            self.app = self.app.app
        self.phase = IDLE
        self.deadline = math.inf
        self.address = ""  # the peer's
        self.is_proxy = False
        self.keeps_alive = True
        self.is_whole = True  # the current request's body
        self.head: Head | None = None  # of the current request
        self.taker: Taker | None = None
        self.form: KnownForm | None = None  # the last on this connection
        self.held = b""
        self._scanned = 0
        self._reader: BodyReader | None = None
        self._stalled_at = 0
        self._drained_by = math.inf

    # What `street` adds

    @abstractmethod
    def begin(self, head: Head) -> None:
        """Take a request: answer it, or set `taker`."""

    @abstractmethod
    def body_limit(self, head: Head) -> int:
        """Bytes that this request's body may have."""

    @abstractmethod
    def relay_known(self, call: Call, data: bytes) -> bool:
        """Relay a call whose head is known; False if that is not for the short way to decide."""

    @abstractmethod
    def fault_answer(self, status: int, code: str) -> Answer:
        """The answer to a request that cannot be taken; `head` is the request, if it got so far."""

    # The life of a connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the loop."""
        super().connection_made(transport)
        self.address = canonical(self.client[0]) if self.client else ""
        self.is_proxy = self.proxies.trusts(self.address)
        self.watch.start(self.loop)
        self.deadline = self.watch.now + self.limits.first_byte_timeout_seconds
        if not self.watch.admit(self, is_proxy=self.is_proxy):
            self.transport.write(self.fault_answer(503, "service.busy").closing().whole(self.watch.date_line))
            self._close()

    def secured(self) -> None:
        """Called by TLS below when the handshake is over: from here on, time runs as on a new connection."""
        if self.phase == IDLE:
            self.deadline = self.watch.now + self.limits.first_byte_timeout_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop when the caller is gone, for whatever reason."""
        self.watch.leave(self)
        self.phase = CLOSING
        self.held = b""
        taker, self.taker = self.taker, None
        if taker is not None:
            taker.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops: finish what runs, take nothing new."""
        self.keeps_alive = False
        if self.phase <= HEAD:
            self._close()
            return
        self._drained_by = self.watch.now + self.limits.drain_seconds
        self.deadline = min(self.deadline, self._drained_by)
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def evict(self) -> None:
        """Make room for others."""
        self.phase = CLOSING
        self.transport.abort()

    def idle_until(self) -> float | None:
        """When this connection is given up if nothing comes; None while something is answered on it."""
        return self.deadline if self.phase <= HEAD else None

    # From bytes to requests

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self.held:
            data = self.held + data
            self.held = b""
        self.take(data)

    def take(self, data: bytes) -> None:
        """Take what these bytes hold: the rest of a body, whole requests, and the beginning of one."""
        turns = 0
        while data:
            if self.phase <= HEAD:
                if turns == _TURNS or self.flow.write_paused:
                    self._keep_back(data)
                    if not self.flow.write_paused:
                        self.loop.call_soon(self.go_on)
                    return
                turns += 1
                data = self._take_head(data)
            elif self.phase == BODY:
                data = self._take_body(data)
            elif self.phase == CLOSING:
                return
            else:
                self._keep_back(data)
                return

    def go_on(self) -> None:
        """Take what has been held back."""
        data, self.held = self.held, b""
        if self.phase != CLOSING:
            self.take(data)

    def _keep_back(self, data: bytes) -> None:
        self.held = data
        if len(data) > _MOST_HELD_BYTES:
            self.counts["request.pipeline_too_long"] += 1
            self.evict()
        elif len(data) > _HELD_BYTES:
            self.pause_reading()

    def _take_head(self, data: bytes) -> bytes:
        end = data.find(b"\r\n\r\n", self._scanned) + 4
        if end < 4 or end > self.limits.max_header_bytes:
            self._take_part(data)
            return b""
        self._scanned = 0
        try:
            head = read_head(data if end == len(data) else data[:end], self.limits.max_headers)
            self._accept(head)
        except WireFault as fault:
            self.refuse(fault)
            return b""
        return data[end:]

    def _take_part(self, data: bytes) -> None:
        longest = self.limits.max_header_bytes
        fault = early_fault(data[: longest + 1], self._scanned, longest)
        if fault is not None:
            self.refuse(fault)
            return
        self.held = data
        self._scanned = max(len(data) - 3, 0)
        if self.phase == IDLE:
            self.phase = HEAD
            self.deadline = self.watch.now + self.limits.header_timeout_seconds

    def _accept(self, head: Head) -> None:
        self.head = head
        self.keeps_alive = head.keep_alive
        if head.length == NO_BODY:
            self.phase = ANSWERING
            self.is_whole = True
            self.deadline = math.inf
        else:
            self.expect_body(head.length)
        self.begin(head)

    def expect_body(self, length: int) -> None:
        """A body of the current request follows, of this length or in chunks.

        Raises:
            WireFault: it is declared to be too large.
        """
        if self.head is None:
            raise TypeError("a body belongs to a request")
        self.phase = BODY
        self.is_whole = False
        self._reader = BodyReader(length, self.body_limit(self.head), self.watch.now, self.limits)
        self.set_deadline()

    def _take_body(self, data: bytes) -> bytes:
        reader = self._reader
        if reader is None:
            raise TypeError("there is no body to be read")
        try:
            piece, rest = reader.feed(data)
        except WireFault as fault:
            self.refuse(fault)
            return b""
        if reader.is_whole:
            self.is_whole = True
            self.phase = ANSWERING
        self.set_deadline()
        taker = self.taker
        if taker is not None:
            if piece:
                taker.body(piece)
            if self.is_whole and self.taker is taker:
                taker.body_end()
        return rest

    # Answers and endings

    def answer(self, answer: Answer) -> None:
        """Give a fixed answer to the current request, and be done with it."""
        self.counts[answer.code] += 1
        if self.is_whole and self.keeps_alive:
            self.transport.write(answer.start + self.watch.date_line + answer.rest)
        else:
            self.transport.write(answer.closing().whole(self.watch.date_line))
        self.over()

    def over(self) -> None:
        """The answer is whole: on to the next request, if there may be one."""
        self.taker = None
        self.head = None
        if not self.is_whole:
            self.linger()
        elif not self.keeps_alive:
            self._close()
        else:
            self.phase = IDLE
            self.deadline = self.watch.now + self.limits.keep_alive_seconds
            if self.flow.read_paused:
                self.resume_reading()
            if self.held:
                self.loop.call_soon(self.go_on)

    def refuse(self, fault: WireFault) -> None:
        """The request is not to be taken, or no further: say so if nothing has been said, and close."""
        self.counts[fault.code] += 1
        taker, self.taker = self.taker, None
        has_begun = taker is not None and taker.has_begun_answer
        if taker is not None:
            taker.cancel()
        if has_begun:
            self.evict()
        else:
            self.is_whole = False
            self.transport.write(self.fault_answer(fault.status, fault.code).closing().whole(self.watch.date_line))
            self.linger()

    def linger(self) -> None:
        """Say that this was all, and let the caller read it: closing at once would reset what is still on its way."""
        self.phase = CLOSING
        self.held = b""
        self.deadline = self.watch.now + self.limits.linger_seconds
        if self.transport.is_closing():
            return
        self.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _close(self) -> None:
        self.phase = CLOSING
        self.deadline = self.watch.now + self.limits.stalled_answer_seconds
        self.transport.close()

    # Time and flow

    def set_deadline(self) -> None:
        """By when this phase must have moved on."""
        now = self.watch.now
        if self.phase == BODY and self._reader is not None:
            deadline = self._reader.deadline()
        elif self.phase == WAITING:
            deadline = now + _WAITING_SECONDS
        else:
            deadline = math.inf
        if self.flow.write_paused:
            deadline = min(deadline, now + self.limits.stalled_answer_seconds)
        self.deadline = min(deadline, self._drained_by)

    def expire(self) -> None:
        """The deadline has passed: called by the watch."""
        if self.phase == IDLE:
            self._close()
        elif self.phase in (HEAD, WAITING):
            self.refuse(WireFault(408, "request.timeout"))
        elif self.phase == CLOSING:
            self.transport.abort()
        elif self.watch.now > self._drained_by:
            self._end_now()
        elif self.flow.write_paused:
            self._judge_stall()
        else:
            self.refuse(WireFault(408, "request.timeout"))

    def _end_now(self) -> None:
        taker = self.taker
        if taker is not None:
            taker.end_now()
        if self.phase != CLOSING:
            self.evict()

    def _judge_stall(self) -> None:
        """An answer that is taken slowly is alive; one of which nothing was taken for so long is not."""
        waiting = self.transport.get_write_buffer_size()
        if waiting >= self._stalled_at:
            self.counts["answer.stalled"] += 1
            self.evict()
            return
        self._stalled_at = waiting
        self.set_deadline()

    def pause_writing(self) -> None:
        """Called by the loop."""
        super().pause_writing()
        self._stalled_at = self.transport.get_write_buffer_size()
        if self.phase < CLOSING:
            self.set_deadline()
        if self.taker is not None:
            self.taker.pause()

    def resume_writing(self) -> None:
        """Called by the loop."""
        super().resume_writing()
        if self.taker is not None:
            self.taker.resume()
        if self.phase <= HEAD:
            self.deadline = self.watch.now + self.limits.keep_alive_seconds
            if self.held:
                self.loop.call_soon(self.go_on)
        elif self.phase < CLOSING:
            self.set_deadline()

    def pause_reading(self) -> None:
        """Read no more for now."""
        if not self.transport.is_closing():
            self.flow.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if not self.transport.is_closing():
            self.flow.resume_reading()
