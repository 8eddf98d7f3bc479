"""One exchange: a request on its way to the AI service, and its answer on its way back. `relay` tells the whole way."""

import asyncio
import math
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol

from doorward.hall.model import Standing
from doorward.upstream import errors
from doorward.upstream.connection import Connection, ResponseHead
from doorward.upstream.errors import RelayFault
from doorward.upstream.heads import RelayRequest, request_head, response_fields
from doorward.upstream.pool import Origin, Pool, PoolLimits
from doorward.upstream.recording import Recorder
from doorward.upstream.relay_model import RelayHooks
from doorward.upstream.tokens import TokenWindow

_HELD_BYTES: Final = 65_536  # of a body that waits for its connection
_IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
_STATUS_LINE: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Caller(Protocol):
    """The street's side of an exchange."""

    def relay_keeps_alive(self) -> bool:
        """Whether the connection stays open after this answer."""
        ...

    def relay_write(self, data: bytes) -> None:
        """Send these bytes to the caller."""
        ...

    def relay_done(self) -> None:
        """The whole answer has been written."""
        ...

    def relay_cut(self) -> None:
        """The answer ends here and is not whole: close so that nobody can take it for whole."""
        ...

    def relay_pause(self) -> None:
        """Read no more of the request's body for now."""
        ...

    def relay_resume(self) -> None:
        """Read on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """How long the relay waits for the AI service."""

    first_byte_timeout_seconds: float = 120.0
    idle_timeout_seconds: float = 60.0
    pool: PoolLimits = field(default_factory=PoolLimits)


class Office(Protocol):
    """Where an exchange belongs: the relay, as far as one exchange sees it."""

    origin: Origin
    authorization: bytes  # a whole header line, or empty
    limits: RelayLimits
    recorder: Recorder | None
    hooks: RelayHooks
    pool: Pool
    now: float

    def ended(self, exchange: "Exchange", outcome: str) -> None:
        """An exchange is over: `ok`, `gone` (the caller left) or the code of a fault."""
        ...

    def answered_after(self, standing: Standing, seconds: float) -> None:
        """The first byte of an answer came after this time."""
        ...


class Exchange:
    """One request and its answer. The street calls the first half of the methods, the pool the second."""

    def __init__(self, relay: Office, request: RelayRequest, caller: Caller) -> None:
        self.is_cancelled = False
        self.expects_no_body = request.method == b"HEAD"
        self.deadline = relay.now + relay.limits.pool.connect_timeout_seconds * 2 + 1
        self._relay = relay
        self._request = request
        self._caller = caller
        self._connection: Connection | None = None
        self._is_reused = False
        self.has_begun_answer = False
        self.is_over = False
        self._is_paused = False
        self._request_head = b""  # until it is written, together with the first of the body
        self._held: list[bytes] = []  # body that waits for a connection
        self._held_size = 0
        self._is_body_whole = request.length == 0
        self._head = b""  # of the answer, until its first write
        self._is_chunked = False  # towards the caller
        self._ends_by_close = False  # the AI service gave neither length nor chunks
        self._is_event_stream = False
        self._status = 0
        self._sent_bytes = 0
        self._window = TokenWindow()
        self._tape = None if relay.recorder is None else relay.recorder.begin(request)
        self._time = asyncio.get_running_loop().time
        self._began = self._time()

    # From the street

    def body(self, data: bytes) -> None:
        """Some of the request's body, without its framing."""
        if self.is_over or not data:
            return
        self._sent_bytes += len(data)
        if self._tape is not None:
            self._tape.prompt(data)
        if self._request.length < 0:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._connection is not None:
            self.deadline = self._relay.now + self._relay.limits.first_byte_timeout_seconds
            head, self._request_head = self._request_head, b""
            self._connection.transport.write(head + data if head else data)
            return
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > _HELD_BYTES:
            self._caller.relay_pause()

    def body_end(self) -> None:
        """The request's body is whole."""
        self._is_body_whole = True
        if self.is_over or self._request.length >= 0:
            return
        if self._connection is not None:
            self._connection.transport.write(self._request_head + b"0\r\n\r\n")
            self._request_head = b""
        else:
            self._held.append(b"0\r\n\r\n")

    def pause(self) -> None:
        """The caller takes no more for now: neither does the relay, and silence is no fault meanwhile."""
        self.deadline = math.inf
        self._is_paused = True
        if self._connection is not None and not self._connection.transport.is_closing():
            self._connection.transport.pause_reading()

    def resume(self) -> None:
        """The caller takes more again."""
        self._is_paused = False
        if self._connection is not None and not self.is_over:
            self.deadline = self._relay.now + self._relay.limits.idle_timeout_seconds
            if not self._connection.transport.is_closing():
                self._connection.transport.resume_reading()

    def cancel(self) -> None:
        """The caller has gone, or broke its own request off: close the AI service's connection at once."""
        if not self.is_over:
            self._end("gone", is_ok=self.has_begun_answer)

    def end_now(self) -> None:
        """The time to drain is over."""
        self.fail(errors.DRAINING, "")

    def time_out(self) -> None:
        """Nothing came for too long."""
        if self._connection is None:
            self.fail(errors.NO_ROUTE, "timeout")
        else:
            self.fail(errors.STALLED if self.has_begun_answer else errors.NO_ANSWER, "timeout")

    # From the pool

    def connected(self, connection: Connection, *, is_reused: bool) -> None:
        """Send the request: head and what has come of the body in one write; a head alone waits for its body."""
        self._connection = connection
        self._is_reused = is_reused
        self.deadline = self._relay.now + self._relay.limits.first_byte_timeout_seconds
        head = request_head(self._request, self._relay.origin, self._relay.authorization)
        if not self._held:
            if self._is_body_whole:
                connection.transport.write(head)
            else:
                self._request_head = head
            return
        connection.transport.write(b"".join((head, *self._held)))
        if self._held_size > _HELD_BYTES:
            self._caller.relay_resume()
        self._held = []

    def not_connected(self, fault: str) -> None:
        """No connection could be had."""
        self.fail(errors.ALL_BUSY if fault == "busy" else errors.NO_ROUTE, fault)

    def responded(self, head: ResponseHead) -> None:
        """Write the head of the answer anew, for the first `received`."""
        request, caller = self._request, self._caller
        fields = response_fields(head.fields)
        has_body = not (self.expects_no_body or head.status in (204, 304))
        self._ends_by_close = has_body and not fields.is_chunked and not fields.has_length
        self._is_chunked = has_body and not fields.has_length and request.minor == b"1"
        self._is_event_stream = fields.is_event_stream
        self._status = head.status
        if self._tape is not None:
            self._tape.head(head.status, head.fields)
        lines = [_STATUS_LINE.get(head.status) or b"HTTP/1.1 %d \r\n" % head.status, *fields.lines]
        lines.append(b"x-request-id: %b\r\nx-doorward-lane: %b\r\n" % (request.request_id, request.lane))
        if self._is_chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        if not caller.relay_keeps_alive() or not self._is_body_whole:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self._head = b"".join(lines)
        self.has_begun_answer = True
        self._relay.answered_after(request.standing, self._time() - self._began)

    def received(self, pieces: list[bytes], *, is_complete: bool) -> None:
        """Give on what came: head, pieces and end in one write."""
        if self.is_over:
            return
        if self._is_chunked:
            out = [self._head] if self._head else []
            for piece in pieces:
                out += (b"%x\r\n" % len(piece), piece, b"\r\n")
            if is_complete:
                out.append(b"0\r\n\r\n")
        else:
            out = [self._head, *pieces] if self._head else pieces
        self._head = b""
        self._window.add(pieces)
        if self._tape is not None:
            self._tape.answer(pieces)
        if not self._is_paused:
            self.deadline = self._relay.now + self._relay.limits.idle_timeout_seconds
        if out:
            self._caller.relay_write(out[0] if len(out) == 1 else b"".join(out))
        if is_complete:
            self._complete()

    def lost(self, fault: str) -> None:
        """The AI service's connection is gone before the answer was whole."""
        if self.is_over:
            return
        if fault == "end" and self._ends_by_close and self.has_begun_answer:
            self.received([], is_complete=True)
        elif self.has_begun_answer:
            self.fail(errors.BROKEN if fault == "broken" else errors.CUT, fault if fault == "broken" else "cut")
        elif self._is_reused and fault != "broken" and self._may_repeat():
            self._connection = None
            self._is_reused = False
            self._relay.pool.acquire(self)
        else:
            self.fail(errors.BROKEN if fault == "broken" else errors.LOST, "broken" if fault == "broken" else "cut")

    def pause_sending(self) -> None:
        """The AI service takes no more of the request's body for now."""
        self._caller.relay_pause()

    def resume_sending(self) -> None:
        """It does again."""
        self._caller.relay_resume()

    # Endings

    def _may_repeat(self) -> bool:
        return self._request.method in _IDEMPOTENT and self._sent_bytes == 0 and self._is_body_whole

    def _complete(self) -> None:
        connection = self._connection
        self._connection = None
        self._end("ok", is_ok=self._status < 500)
        self._relay.hooks.observe("" if self._status < 500 else "status")
        if connection is not None:
            if self._is_body_whole:
                self._relay.pool.release(connection)
            else:
                connection.close()  # answered before the body was sent: what is left of it would be a new request
        self._caller.relay_done()

    def fail(self, fault: RelayFault, observed: str) -> None:
        """End with a fault: as an answer if none has begun, as an event in a stream of events, and by cutting."""
        if self.is_over:
            return
        self._end(fault.code, is_ok=False)
        if observed and observed != "busy":
            self._relay.hooks.observe(observed)
        if not self.has_begun_answer:
            is_last = not self._caller.relay_keeps_alive() or not self._is_body_whole
            request_id = self._request.request_id.decode("latin-1")
            self._caller.relay_write(fault.answer(request_id, is_last=is_last, is_head=self.expects_no_body))
            self._caller.relay_done()
            return
        if self._is_event_stream and self._is_chunked:
            frame = fault.frame()
            self._caller.relay_write(b"%x\r\n%b\r\n" % (len(frame), frame))
        self._caller.relay_cut()

    def _end(self, outcome: str, *, is_ok: bool) -> None:
        self.is_over = True
        self.is_cancelled = True
        self._held = []
        self._relay.ended(self, outcome)
        if self._tape is not None:
            self._tape.end(outcome)
        tokens = self._window.tokens(self._sent_bytes, is_event_stream=self._is_event_stream)
        self._relay.hooks.record(self._request.standing, tokens, is_ok)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
