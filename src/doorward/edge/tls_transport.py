"""TLS under the street: ciphertext of the network on one side, a transport of plain bytes on the other.

1. A connection is shown to the street as soon as it is made, so that it is counted, limited and given up like any
   other; until its handshake is over the street hears nothing from it, and what it writes is dropped.
2. A handshake costs as much as fifty requests. So they wait in one line, a few have their turn each time around the
   loop, and connections that are open already are served in between: a flood of handshakes delays handshakes.
3. Ciphertext goes into the connection's memory, and all plain bytes that it gives come out as one piece. What the
   street writes meanwhile is gathered and becomes as few records as hold it.
4. The network's back-pressure is the street's: buffers are those of the transport below, and sizes are of ciphertext.
5. An end is announced (`close_notify`, RFC 8446 section 6.1) before the connection is closed. A caller's end that was
   not announced is told to the street as an end all the same: HTTP/1 says by itself whether a message is whole.
6. A failed handshake is answered with TLS's alert and counted by its cause. Who speaks plain HTTP is told so.

OpenSSL is `cryptography`'s own, through pyOpenSSL: docs/adr/0013-tls-by-pyopenssl.md.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from OpenSSL import SSL

from doorward.edge.street import Street
from doorward.edge.street_line import IDLE
from doorward.vault.tls import ServedTls

_RECORD: Final = 16_384  # plain bytes in one record (RFC 8446 section 5.1)
_FLUSHED: Final = 65_536  # ciphertext taken at once
_HANDSHAKES_AT_ONCE: Final = 2  # about a millisecond and a half
_MOST_HELD: Final = 131_072  # of a handshake: a long chain of a caller's certificates has room
_HEADER: Final = 5  # bytes before a record's own: its kind, a version, its length
_HANDSHAKE_RECORD: Final = 0x16  # a record's first byte (RFC 8446 section 5.1)
_PLAIN_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 40\r\nconnection: close\r\n\r\n"
    b"This port speaks TLS: begin with https.\n"
)


def over_tls(street: type[Street], tls: ServedTls) -> Callable[..., "TlsTransport"]:
    """What `uvicorn.Config(http=…)` takes to have this street spoken to in TLS."""

    waiting = WaitingHandshakes()

    def made(*arguments: Any, **named: Any) -> TlsTransport:
        return TlsTransport(street(*arguments, **named), tls, waiting)

    return made


class WaitingHandshakes:
    """2. The line of connections of which a part of the handshake has come."""

    def __init__(self) -> None:
        self._line: deque[TlsTransport] = deque()

    def __len__(self) -> int:
        return len(self._line)

    def add(self, transport: "TlsTransport", loop: asyncio.AbstractEventLoop) -> None:
        """Let this connection go on when it is its turn."""
        if not self._line:
            loop.call_soon(self._turn, loop)
        self._line.append(transport)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(len(self._line), _HANDSHAKES_AT_ONCE)):
            self._line.popleft().go_on()
        if self._line:
            loop.call_soon(self._turn, loop)


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """One connection: the protocol of the transport below, and the transport of the street above."""

    def __init__(self, street: Street, tls: ServedTls, waiting: WaitingHandshakes) -> None:
        super().__init__()
        self._street = street
        self._waiting = waiting
        self._held = b""  # of the handshake, until it is this connection's turn
        self._tls = tls
        self._ssl = ssl = tls.connection()
        # Bound once: pyOpenSSL looks up each attribute of a connection the slow way.
        self._recv, self._ssl_send, self._bio_read, self._bio_write = ssl.recv, ssl.send, ssl.bio_read, ssl.bio_write
        self._missing = 0  # bytes of the record that has begun to come; below 0: not known
        self._below: asyncio.Transport = None  # type: ignore[assignment]  # set when made, before any use
        self._has_begun = False
        self._is_open = False  # the handshake is over
        self._is_closing = False
        self._gathered: list[bytes] | None = None  # while the street works on what came

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the street count it."""
        self._below = cast("asyncio.Transport", transport)
        street = self._street
        street.connection_made(self)
        if street.phase == IDLE:
            street.deadline = street.watch.now + street.limits.handshake_timeout_seconds

    def data_received(self, data: bytes) -> None:
        """Ciphertext came."""
        if not self._is_open:
            self._hold(data)
            return
        is_one_record = self._follow(data)
        self._bio_write(data)
        self._read(is_one_record=is_one_record)

    def eof_received(self) -> None:
        """The caller sends no more."""
        if self._is_open:
            self._street.eof_received()
        elif not self._is_closing:
            self._tls.failed("left")
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._is_closing = True
        self._street.connection_lost(exc)

    def pause_writing(self) -> None:
        """The caller takes no more for now."""
        self._street.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._street.resume_writing()

    # The handshake

    def _hold(self, data: bytes) -> None:
        if self._is_closing:
            return
        if not self._held:
            self._waiting.add(self, self._street.loop)
        self._held += data
        if len(self._held) > _MOST_HELD:
            self._tls.failed("malformed")
            self.abort()

    def go_on(self) -> None:
        """It is this connection's turn."""
        data, self._held = self._held, b""
        if self._is_closing or not data:
            return
        self._follow(data)
        self._shake(data)
        if self._is_open:
            self._read(is_one_record=False)

    def _shake(self, data: bytes) -> None:
        """Go on with the handshake."""
        ssl = self._ssl
        if not self._has_begun:
            self._has_begun = True
            if data[0] != _HANDSHAKE_RECORD:
                self._refuse_plain(data)
                return
        self._bio_write(data)
        try:
            ssl.do_handshake()
        except SSL.WantReadError:
            self._flush()
            return
        except SSL.Error as error:
            self._tls.failed_by(error)
            self._end_below()
            return
        self._is_open = True
        self._tls.shaken(ssl)
        self._flush()
        self._street.secured()

    def _refuse_plain(self, data: bytes) -> None:
        is_http = b"A" <= data[:1] <= b"Z"
        self._tls.failed("plain_http" if is_http else "not_tls")
        if is_http:
            self._below.write(_PLAIN_HTTP)
        self._end_below()

    def _follow(self, data: bytes) -> bool:
        """Whether this is exactly one record: then one read gives all, and no second one has to fail to show it."""
        at, size = self._missing, len(data)
        if at == 0 and size > _HEADER and size == _HEADER + (data[3] << 8 | data[4]):
            return True
        while 0 <= at <= size - _HEADER:
            at += _HEADER + (data[at + 3] << 8 | data[at + 4])
        self._missing = at - size if at >= size else -1
        return False

    # From ciphertext to plain bytes

    def _read(self, *, is_one_record: bool) -> None:
        pieces: list[bytes] = []
        recv = self._recv
        is_over = is_broken = False
        try:
            pieces.append(recv(_RECORD))
            while not is_one_record:
                pieces.append(recv(_RECORD))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            is_over = True
        except SSL.Error:
            is_broken = True
        if pieces:
            self._deliver(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if is_broken:
            self._tls.failed("broken")
            self._end_below()
        elif is_over:
            self.eof_received()

    def _deliver(self, data: bytes) -> None:
        self._gathered = []
        try:
            self._street.data_received(data)
        finally:
            self._send_gathered()

    # From plain bytes to ciphertext

    def _send_gathered(self) -> None:
        gathered, self._gathered = self._gathered, None
        if gathered:
            self._send(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    def _send(self, data: bytes) -> None:
        send = self._ssl_send
        try:
            if len(data) <= _RECORD:
                send(data)
            else:
                view = memoryview(data)
                for at in range(0, len(data), _RECORD):
                    send(view[at : at + _RECORD])
        except SSL.Error:
            self._tls.failed("broken")
            self.abort()
        else:
            self._flush()

    def _flush(self) -> None:
        """Give the network what OpenSSL has for it."""
        read, below = self._bio_read, self._below
        with contextlib.suppress(SSL.WantReadError):
            while True:
                piece = read(_FLUSHED)
                below.write(piece)
                if len(piece) < _FLUSHED:
                    return

    def _end_below(self) -> None:
        """Send what is there, such as an alert, and close without `close_notify`."""
        self._is_closing = True
        self._flush()
        self._below.close()

    def _say_end(self) -> None:
        self._send_gathered()
        with contextlib.suppress(SSL.Error):  # it broke already: there is nobody to say it to
            self._ssl.shutdown()
        self._flush()

    # Called by the street

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send plain bytes."""
        if not self._is_open or self.is_closing():
            return
        if self._gathered is not None:
            self._gathered.append(bytes(data))
        else:
            self._send(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send these plain bytes."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Whether the end can be announced while more is read."""
        return self._is_open

    def write_eof(self) -> None:
        """Announce that no more comes; what the caller sends is still read."""
        if not self.is_closing():
            self._say_end()
            self._below.write_eof()

    def close(self) -> None:
        """Send what is there, announce the end, and close; before the handshake's end: close at once."""
        if self._is_closing:
            return
        if not self._is_open:
            self.abort()
            return
        self._say_end()
        self._is_closing = True
        self._below.close()

    def abort(self) -> None:
        """Close at once."""
        self._is_closing = True
        self._gathered = None
        self._below.abort()

    def is_closing(self) -> bool:
        """Whether it is closing or closed."""
        return self._is_closing or self._below.is_closing()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._below.resume_reading()

    def is_reading(self) -> bool:
        """Whether it is read."""
        return self._below.is_reading()

    def get_write_buffer_size(self) -> int:
        """Bytes of ciphertext that the network has not taken."""
        return self._below.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """When writing is paused and resumed, in bytes of ciphertext."""
        return self._below.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Change these."""
        self._below.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport below knows; `sslcontext` and `ssl_object` are ours."""
        if name == "ssl_object":
            return self._ssl
        if name == "sslcontext":
            return self._ssl.get_context()
        return self._below.get_extra_info(name, default)
