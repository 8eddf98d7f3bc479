"""From a checked head to ASGI, by uvicorn's own cycle of request and response."""

import asyncio
import re
from typing import Final, Literal
from urllib.parse import unquote

from uvicorn._types import HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from doorward.edge.street_line import Line
from doorward.edge.wire import Head, host_is_valid

Scheme = Literal["http", "https"]

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# Believed from trusted proxies, and taken out of what anybody else sends: nothing behind may read them by mistake.
_FORWARDING: Final = frozenset({b"forwarded", b"x-real-ip", b"x-request-id"})
_FORWARDING_PREFIX: Final = b"x-forwarded-"


class Application:
    """A request that the application answers."""

    def __init__(self, line: Line, head: Head, request_id: bytes) -> None:
        self._line = line
        self._cycle = RequestResponseCycle(
            scope=scope_of(line, head, request_id),
            transport=line.transport,
            flow=line.flow,
            logger=line.logger,
            access_logger=line.access_logger,
            access_log=line.access_log,
            default_headers=line.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=not line.is_whole and expects_continue(head),
            keep_alive=line.keeps_alive,
            on_response=line.on_response_complete,
        )
        line.cycle = self._cycle

    @property
    def has_begun_answer(self) -> bool:
        """Whether some of the answer has been written."""
        return self._cycle.response_started

    def start(self) -> None:
        """Have the application work on it."""
        self._line._start_asgi_task(self._cycle, self._line.app)  # noqa: SLF001  # our base class's own method

    def body(self, data: bytes) -> None:
        """Some of the body; reading stops while the application does not take it."""
        self._cycle.body += data
        if len(self._cycle.body) > HIGH_WATER_LIMIT:
            self._line.pause_reading()
        self._cycle.message_event.set()

    def body_end(self) -> None:
        """The body is whole."""
        self._cycle.more_body = False
        self._cycle.message_event.set()

    def pause(self) -> None:
        """The cycle itself waits for the flow."""

    def resume(self) -> None:
        """The cycle itself waits for the flow."""

    def cancel(self) -> None:
        """Tell the application that the caller is gone."""
        self._cycle.disconnected = True
        self._cycle.message_event.set()

    def end_now(self) -> None:
        """The connection is about to be closed."""
        self.cancel()


def expects_continue(head: Head) -> bool:
    """Whether the caller holds its body back until it is asked for it (RFC 9110 section 10.1.1)."""
    value = head.value(b"\r\nexpect:")
    return value is not None and value.lower() == b"100-continue"


def request_id_of(head: Head, *, is_proxy: bool) -> bytes | None:
    """The request id that a trusted proxy has given; None if there is none to take."""
    value = head.value(b"\r\nx-request-id:") if is_proxy else None
    return value if value is not None and _REQUEST_ID.fullmatch(value) else None


def scope_of(line: Line, head: Head, request_id: bytes) -> HTTPScope:
    """The ASGI scope: who asks, and for what, after trusted proxies."""
    path, _, query = head.target.partition(b"?")
    address = line.address
    scheme: Scheme = line.scheme or "http"
    host: bytes | None = None
    port = line.client[1] if line.client else 0
    if line.is_proxy:
        address, scheme, host = _forwarded(line, head, scheme)
        port = port if address == line.address else 0
    text = path.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": line.asgi_version, "spec_version": "2.3"},
        "http_version": "1.0" if head.minor == b"0" else "1.1",
        "server": line.server,
        "client": (address, port),
        "scheme": scheme,
        "method": head.method.decode("ascii"),
        "root_path": "",
        "path": unquote(text) if "%" in text else text,
        "raw_path": path,
        "query_string": query,
        "headers": _headers(head, host, is_proxy=line.is_proxy),
        "state": {**line.app_state, "request_id": request_id.decode("ascii")},
        "extensions": {},
    }


def _forwarded(line: Line, head: Head, scheme: Scheme) -> tuple[str, Scheme, bytes | None]:
    address = line.proxies.visitor(line.address, head.values(b"x-forwarded-for"))
    proto = head.values(b"x-forwarded-proto")
    if len(proto) == 1 and proto[0].lower() in (b"http", b"https"):
        scheme = "https" if proto[0].lower() == b"https" else "http"
    hosts = head.values(b"x-forwarded-host")
    return address, scheme, hosts[0] if len(hosts) == 1 and host_is_valid(hosts[0]) else None


def _headers(head: Head, host: bytes | None, *, is_proxy: bool) -> list[tuple[bytes, bytes]]:
    headers = []
    for name, value in head.fields():
        lower = name.lower()
        if not is_proxy and (lower in _FORWARDING or lower.startswith(_FORWARDING_PREFIX)):
            continue
        headers.append((lower, host if host is not None and lower == b"host" else value))
    return headers
