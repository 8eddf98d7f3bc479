"""One connection to the AI service: sends what it is given, reads answers with llhttp, and judges its own health."""

import asyncio
import os
import socket
from dataclasses import dataclass
from typing import Final, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

_FRESH_SECONDS: Final = 1.0
_MOST_HEADERS: Final = 200
_LONGEST_HEADERS: Final = 65_536


@dataclass(slots=True)
class ResponseHead:
    """The status and headers of an answer, as they came."""

    status: int
    fields: list[tuple[bytes, bytes]]


class Borrower(Protocol):
    """What a connection is lent to; `not_connected`, `lost` or a complete `received` ends it, exactly one of them."""

    is_cancelled: bool
    expects_no_body: bool  # it asked by HEAD

    def connected(self, connection: "Connection", *, is_reused: bool) -> None:
        """Send your request over this connection."""
        ...

    def not_connected(self, fault: str) -> None:
        """There is no connection: `connect`, `timeout`, `busy`, or what failed in TLS (`tls_…`)."""
        ...

    def responded(self, head: ResponseHead) -> None:
        """The head of the answer is here; `received` follows at once."""
        ...

    def received(self, pieces: list[bytes], *, is_complete: bool) -> None:
        """Some of the body, without its framing; perhaps none."""
        ...

    def lost(self, fault: str) -> None:
        """The answer will not be completed: `cut`, `broken`, or `end` (closed in good order)."""
        ...

    def pause_sending(self) -> None:
        """The other side takes no more for now."""
        ...

    def resume_sending(self) -> None:
        """It does again."""
        ...


class Keeper(Protocol):
    """Whose connection it is."""

    def forget(self, connection: "Connection") -> None:
        """It is gone."""
        ...


class Connection(asyncio.Protocol):
    """One connection to the AI service; reads answers with llhttp."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._parser = HttpResponseParser(self)
        self._borrower: Borrower | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._fields_size = 0
        self._pieces: list[bytes] = []
        self._has_head = False  # the final head of the current answer has been read
        self._is_complete = False
        self._is_reusable = True
        self._is_closed = False
        self._peek: socket.socket | None = None
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set when made, before any use
        self.idle_since = 0.0

    # The life of a connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.transport = cast("asyncio.Transport", transport)

    def lend(self, borrower: Borrower, *, is_reused: bool) -> None:
        """Work for this borrower until its answer is complete."""
        self._borrower = borrower
        self._fields = []
        self._fields_size = 0
        self._has_head = False
        self._is_complete = False
        borrower.connected(self, is_reused=is_reused)

    def is_alive(self, now: float) -> bool:
        """Whether it can be lent: open here and, if it has been idle for a while, not closed by the other side."""
        if not self.is_reusable():
            return False
        return now - self.idle_since < _FRESH_SECONDS or self._is_quiet()

    def is_reusable(self) -> bool:
        """Whether another exchange may use it."""
        return self._is_reusable and not self._is_closed and not self.transport.is_closing()

    def _is_quiet(self) -> bool:
        if self._peek is None:
            handle = self.transport.get_extra_info("socket")
            self._peek = socket.socket(fileno=os.dup(handle.fileno()))
            self._peek.setblocking(False)
        try:
            self._peek.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # closed, or it said something that nobody asked for

    def close(self) -> None:
        """Close at once; nobody is told."""
        self._borrower = None
        self._forget()
        self.transport.abort()

    def _forget(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            if self._peek is not None:
                self._peek.close()
            self._keeper.forget(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop when it is gone, for whatever reason."""
        borrower, self._borrower = self._borrower, None
        self._forget()
        if borrower is not None:
            borrower.lost("cut" if exc is not None else "end")

    # Bytes to and from it

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        borrower = self._borrower
        if borrower is None:
            self.close()  # an answer that nobody asked for would be given to the next who asks
            return
        pieces: list[bytes] = []
        self._pieces = pieces
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._is_reusable = False
            if not self._is_complete:
                self._break(borrower)
                return
        if self._is_complete:
            self._finish(borrower)
        elif self._has_head:
            borrower.received(pieces, is_complete=False)

    def _break(self, borrower: Borrower) -> None:
        """What was right before the fault is still given on, so that a cut answer holds all that came."""
        if self._has_head:
            borrower.received(self._pieces, is_complete=False)
        self.close()
        borrower.lost("broken")

    def _finish(self, borrower: Borrower) -> None:
        self._is_reusable &= not borrower.expects_no_body
        self._borrower = None
        borrower.received(self._pieces, is_complete=True)
        if not self._is_reusable:
            self.close()

    def pause_writing(self) -> None:
        """Called by the loop."""
        if self._borrower is not None:
            self._borrower.pause_sending()

    def resume_writing(self) -> None:
        """Called by the loop."""
        if self._borrower is not None:
            self._borrower.resume_sending()

    # Called by llhttp while it reads

    def on_message_begin(self) -> None:
        """Another answer begins; one was asked for only."""
        if self._is_complete:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; after the head these are trailers, which are dropped."""
        if self._has_head:
            return
        self._fields.append((name, value))
        self._fields_size += len(name) + len(value)
        if self._fields_size > _LONGEST_HEADERS or len(self._fields) > _MOST_HEADERS:
            raise ValueError("the answer's headers are too large")

    def on_headers_complete(self) -> None:
        """A head is complete; an interim one (1xx) is passed over."""
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._fields = []
            return
        borrower = self._borrower
        if status == 101 or borrower is None:
            raise ValueError("nobody asked to switch protocols")
        self._has_head = True
        borrower.responded(ResponseHead(status, self._fields))
        if borrower.expects_no_body:
            self._is_complete = True

    def on_body(self, body: bytes) -> None:
        """Some of the body, without its framing."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The answer is complete, if it was not an interim one."""
        if self._has_head:
            self._is_complete = True
            self._is_reusable &= self._parser.should_keep_alive()  # llhttp forgets it after this call
