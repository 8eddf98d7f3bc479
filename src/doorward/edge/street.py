"""The street: everything that comes in by TCP, strictly and fast, before ASGI is built for it.

A subclass of uvicorn's httptools protocol: uvicorn keeps the life of connections, of the application's tasks and of
shutdown; heads and framing are read by `wire`, for llhttp alone is too lenient and cannot be stopped between two
pipelined requests.

The way of a request:

1. Bytes are gathered to a head, within the header's time and size (`street_line`). What is wrong is answered with
   fixed bytes, and the connection closes after the caller could read them.
2. The head goes one of four ways: `/authorize` is answered at once; `/v1/` goes to the relay if the caller belongs; a
   POST to the door needs a genuine ticket in its first 16 KiB; the rest is ASGI's.
3. The body goes to whoever took the request, within the body's time, rate and size.
4. When both the answer and the body are whole, the next request on the connection is looked at, never before:
   pipelined requests wait in a buffer whose limit stops reading.

The lanes of people who belong never meet the gate here: `/authorize` and `/v1/` use the book of standings and the
allowances alone.
"""

import itertools
import secrets
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import structlog

from doorward.edge import street_authorize
from doorward.edge.street_answers import Answer, openai, problem
from doorward.edge.street_asgi import Application, expects_continue, request_id_of
from doorward.edge.street_authorize import Judge
from doorward.edge.street_calls import Call, KnownCalls
from doorward.edge.street_gate import Buffered, FirstLook
from doorward.edge.street_known import Known, KnownHeads, short_way
from doorward.edge.street_line import ANSWERING, BODY, CLOSING, WAITING, Line
from doorward.edge.street_parts import StreetLimits, StreetParts
from doorward.edge.street_watch import Watch
from doorward.edge.wire import Head
from doorward.hall.doors import StandingBook
from doorward.hall.errors import DoorwardError
from doorward.hall.model import Standing
from doorward.upstream import errors as relay_errors
from doorward.upstream.errors import RelayFault
from doorward.upstream.relay import RelayRequest

__all__ = ["Street", "StreetLimits", "StreetParts", "street_class"]

LOG: Final = structlog.get_logger("doorward.edge")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
_REQUEST_IDS: Final = itertools.count(1)
_REQUEST_ID_START: Final = secrets.token_hex(6).encode()
_RELAY_FAULTS: Final = {
    fault.code: fault for fault in (relay_errors.TOO_LARGE, relay_errors.BODY_TIMEOUT, relay_errors.BODY_MALFORMED)
}

Then = Callable[[Head, Standing], None]


@dataclass(frozen=True, slots=True)
class Refusals:
    """What to answer to somebody who is not in the book: unknown, or not to be looked up just now."""

    unknown: Answer
    busy: Answer


class Street(Line):
    """One connection of a server. Made by `street_class`, which binds it to its parts."""

    parts: ClassVar[StreetParts]
    judge: ClassVar[Judge]
    first_look: ClassVar[FirstLook]
    known: ClassVar[KnownHeads]
    calls: ClassVar[KnownCalls]
    recalls: ClassVar[list[None]]  # one entry for each look-up that runs
    book: ClassVar[StandingBook]

    @classmethod
    def figures(cls) -> dict[str, float]:
        """Counts since the start, by code, and the connections of now."""
        figures = {f'street_answers_total{{code="{code}"}}': float(count) for code, count in cls.counts.items()}
        figures["street_connections"] = float(len(cls.watch))
        figures["street_connections_evicted_total"] = float(cls.watch.evicted)
        figures["street_connections_turned_away_total"] = float(cls.watch.turned_away)
        figures["street_overloaded"] = float(cls.watch.is_overloaded)
        return figures

    # The four ways

    def begin(self, head: Head) -> None:
        """Send the request on its way."""
        target = head.target
        if target.startswith(b"/authorize") and target[10:11] in (b"", b"?", b"/"):
            self._authorize(head)
        elif target.startswith(b"/v1/") and self.parts.relay is not None:
            self._relay(head)
        elif head.method == b"POST" and self.first_look.concerns(head):
            self._look_first(head)
        else:
            self._to_application(head, None)

    def body_limit(self, head: Head) -> int:
        """Bytes that this request's body may have."""
        if head.target.startswith(b"/v1/"):
            return self.limits.max_relay_body_bytes
        if head.path in self.parts.gate_paths:
            return self.limits.max_gate_body_bytes
        return self.limits.max_body_bytes

    def fault_answer(self, status: int, code: str) -> Answer:
        """The answer to a request that cannot be taken, in the shape that its path asks for."""
        if self.head is not None and self.head.target.startswith(b"/v1/"):
            return openai(_RELAY_FAULTS.get(code, RelayFault(status, code, "The request was not taken.")))
        return problem(status, code, self.parts.public_url, 5 if status == 503 else None)

    # 1. /authorize

    def _authorize(self, head: Head) -> None:
        credential = self.judge.credential(head)
        if credential is None:
            self.answer(street_authorize.MISSING)
        elif not self.parts.is_credential(credential):
            self.answer(street_authorize.MALFORMED)
        else:
            standing = self.book.standing_of(credential)
            if standing is not None:
                self.known.add_caller(head, credential)
                self.answer(self.judge.answer(head, standing))
            else:
                self._recall(head, credential, self._answer_authorize, _AUTHORIZE_REFUSALS)

    def _answer_authorize(self, head: Head, standing: Standing) -> None:
        self.answer(self.judge.answer(head, standing))

    def _recall(self, head: Head, credential: bytes, then: Then, refusals: Refusals) -> None:
        """Look a well-formed credential up where the snapshot was made from; so many at once and no more."""
        if len(self.recalls) >= self.limits.max_recalls:
            self.answer(refusals.busy)
            return
        self.phase = WAITING
        self.set_deadline()
        task = self.loop.create_task(self._recalled(head, credential, then, refusals))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _recalled(self, head: Head, credential: bytes, then: Then, refusals: Refusals) -> None:
        self.recalls.append(None)
        standing = None
        refusal = refusals.unknown
        try:
            standing = await self.book.recall(credential)
        except DoorwardError:
            refusal = refusals.busy
        except Exception:
            LOG.exception("recall_failed")
            refusal = refusals.busy
        finally:
            self.recalls.pop()
        if self.phase != WAITING:
            return  # gone, or given up meanwhile
        self.phase = ANSWERING if self.is_whole else BODY
        self.set_deadline()
        if standing is None:
            self.answer(refusal)
        else:
            then(head, standing)
        self.go_on()

    # 2. The relay

    def _relay(self, head: Head) -> None:
        credential = self.judge.credential(head)
        if credential is None or not self.parts.is_credential(credential):
            self.answer(_RELAY_REFUSALS.unknown)
            return
        standing = self.book.standing_of(credential)
        if standing is not None:
            self._open_relay(head, standing)
            if self.taker is not None and self.parts.relay is not None:
                self.calls.add(head, credential, self.parts.relay.prepared(head.method, head.target, head.lines()))
        else:
            self._recall(head, credential, self._open_relay, _RELAY_REFUSALS)

    def _open_relay(self, head: Head, standing: Standing) -> None:
        request = RelayRequest(
            method=head.method,
            target=head.target,
            lines=head.lines(),
            length=head.length,
            minor=head.minor,
            standing=standing,
            request_id=self._request_id(head),
        )
        if not self.is_whole and expects_continue(head):
            self.transport.write(_CONTINUE)
        self._take_exchange(request)

    def relay_known(self, call: Call, data: bytes) -> bool:
        """Relay a call whose head is known; False if that is not for the short way to decide."""
        known = call.known
        standing = self.book.standing_of(call.credential)
        if standing is None or not 0 < call.length <= self.limits.max_relay_body_bytes:
            return False
        self.head = head = known.head
        self.keeps_alive = True
        self.expect_body(call.length)
        request = RelayRequest(
            method=head.method,
            target=head.target,
            lines=[],
            length=call.length,
            minor=head.minor,
            standing=standing,
            request_id=b"req_%b%012x" % (_REQUEST_ID_START, next(_REQUEST_IDS)),
            prepared=known.prepared,
        )
        self._take_exchange(request)
        self.take(data[call.head_size :])
        return True

    def _take_exchange(self, request: RelayRequest) -> None:
        relay = self.parts.relay
        if relay is None:
            raise TypeError("no request is relayed without a relay")
        self.counts["relay.opened"] += 1
        exchange = relay.open(request, self)
        if isinstance(exchange, RelayFault):
            self.answer(openai(exchange, request.request_id.decode("ascii")))
        elif not exchange.is_over:
            self.taker = exchange
            if self.flow.write_paused:
                exchange.pause()

    def relay_keeps_alive(self) -> bool:
        """Whether the connection stays open after this answer: not if the request is not whole when it begins."""
        self.keeps_alive = self.keeps_alive and self.is_whole
        return self.keeps_alive

    def relay_write(self, data: bytes) -> None:
        """Send these bytes of the answer."""
        self.transport.write(data)

    def relay_done(self) -> None:
        """The answer is whole."""
        self.over()

    def relay_cut(self) -> None:
        """The answer ends and is not whole: end without its end, or by a reset where the end is the only sign."""
        self.taker = None
        if self.head is None or self.head.minor == b"1":
            self.linger()
            return
        handle = self.transport.get_extra_info("socket")
        if handle is not None:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.evict()

    def relay_pause(self) -> None:
        """Read no more of the request for now."""
        self.pause_reading()

    def relay_resume(self) -> None:
        """Read on."""
        self.resume_reading()

    def _request_id(self, head: Head) -> bytes:
        given = request_id_of(head, is_proxy=self.is_proxy)
        return given or b"req_%b%012x" % (_REQUEST_ID_START, next(_REQUEST_IDS))

    # 3. The first look at the door

    def _look_first(self, head: Head) -> None:
        if self.watch.is_overloaded or self.parts.shed():
            self.answer(self.first_look.shaped(head, "service.busy"))
        elif self.is_whole:
            self._judge_first(head, b"")
        else:
            if expects_continue(head):
                self.transport.write(_CONTINUE)
            self.taker = Buffered(head, self._judge_first)

    def _judge_first(self, head: Head, body: bytes) -> None:
        refusal = self.first_look.refusal(head, body)
        if refusal is not None:
            look = self.first_look
            self.known.add_form(head, look.shaped(head, "gate.ticket.missing"), look.shaped(head, "gate.ticket.forged"))
            self.answer(refusal)
        else:
            self._to_application(head, body)

    # 4. The application

    def _to_application(self, head: Head, body: bytes | None) -> None:
        """`body` is the whole body if it has been read already."""
        if len(self.tasks) >= self.limits.max_running_requests and not self._belongs(head):
            self.answer(self.first_look.shaped(head, "service.busy"))
            return
        application = Application(self, head, self._request_id(head))
        self.taker = application
        if body:
            application.body(body)
        if self.is_whole:
            application.body_end()
        self.counts["application.started"] += 1
        application.start()

    def _belongs(self, head: Head) -> bool:
        credential = self.judge.credential(head)
        return credential is not None and self.book.standing_of(credential) is not None

    def on_response_complete(self) -> None:
        """Called by the cycle when the application's answer has been written."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.phase = CLOSING
            self.deadline = self.watch.now + self.limits.stalled_answer_seconds
        else:
            self.over()


_AUTHORIZE_REFUSALS: Final = Refusals(street_authorize.UNKNOWN, street_authorize.BUSY)
_RELAY_REFUSALS: Final = Refusals(openai(relay_errors.NOT_LOGGED_IN), openai(relay_errors.RECALL_BUSY))


def _security_line(parts: StreetParts) -> bytes:
    value = parts.transport_security
    return f"strict-transport-security: {value}\r\n".encode() if value else b""


def street_class(parts: StreetParts) -> type[Street]:
    """The street of one server, to be given to `uvicorn.Config(http=…)`."""
    relay = parts.relay

    class BoundStreet(Street):
        """A street that knows its parts."""

        limits = parts.limits
        watch = Watch(parts.limits, parts.clock, relay.tick if relay is not None else None, _security_line(parts))
        proxies = parts.trusted_proxies
        judge = Judge(parts)
        first_look = FirstLook(parts)

    BoundStreet.parts = parts
    BoundStreet.book = parts.book
    counts: Counter[str] = Counter()
    BoundStreet.counts = counts
    BoundStreet.recalls = []
    BoundStreet.known = heads = KnownHeads()
    BoundStreet.calls = KnownCalls()
    shared = Known(
        parts, BoundStreet.watch, counts, BoundStreet.judge, BoundStreet.first_look, heads, BoundStreet.calls
    )
    BoundStreet.data_received = short_way(shared, Line.data_received)  # type: ignore[method-assign, assignment]
    return BoundStreet
