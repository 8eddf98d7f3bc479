"""Heads written anew on their way through: what a proxy must not give on is dropped, everything else is kept."""

from dataclasses import dataclass
from typing import Final

from doorward.hall.model import Lane, Standing
from doorward.upstream.pool import Origin

# RFC 9110 section 7.6.1, and the framing that each side has for itself.
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# What is ours, or speaks of the way to us: the AI service must neither see our callers' credentials nor believe them.
_NOT_SENT: Final = _HOP_BY_HOP | {
    b"authorization",
    b"content-length",
    b"cookie",
    b"doorward-device",
    b"doorward-ticket",
    b"expect",
    b"forwarded",
    b"host",
    b"via",
    b"x-real-ip",
    b"x-request-id",
}
_NOT_SENT_PREFIXES: Final = (b"x-forwarded-", b"x-doorward-")
_NOT_RETURNED: Final = _HOP_BY_HOP | {b"x-request-id", b"x-doorward-lane", b"set-cookie"}
_LANES: Final = {lane: lane.value.encode() for lane in Lane}
_EVENT_STREAM: Final = b"text/event-stream"


@dataclass(slots=True, kw_only=True)
class RelayRequest:
    """A request of somebody who belongs, as the street checked it.

    `target` starts with `/v1/`; `lines` are its headers as they came, without line ends; `length` is the body's size in
    bytes, 0 for none, -1 for chunked; `minor` is the digit of the caller's HTTP/1 version. `prepared` are the lines of
    an earlier request with the same head, as `kept_lines` gave them; empty if there was none.
    """

    method: bytes
    target: bytes
    lines: list[bytes]
    length: int
    minor: bytes
    standing: Standing
    request_id: bytes
    prepared: tuple[bytes, ...] = ()

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition(b"?")[0].decode("latin-1")

    @property
    def lane(self) -> bytes:
        """The lane's name, for a header."""
        return _LANES[self.standing.lane]


@dataclass(slots=True)
class ResponseFields:
    """An answer's headers for the caller, and what they say about its body."""

    lines: list[bytes]
    has_length: bool = False
    is_chunked: bool = False
    is_event_stream: bool = False


def request_head(request: RelayRequest, origin: Origin, authorization: bytes) -> bytes:
    """The head for the AI service. `authorization` is a whole header line, or empty."""
    lines = [*(request.prepared or kept_lines(request.method, request.target, request.lines, origin))]
    if request.length > 0 or (request.length == 0 and request.method in (b"POST", b"PUT", b"PATCH")):
        lines.append(b"content-length: %d" % request.length)
    elif request.length < 0:
        lines.append(b"transfer-encoding: chunked")
    lines.append(b"%bx-request-id: %b\r\n\r\n" % (authorization, request.request_id))
    return b"\r\n".join(lines)


def kept_lines(method: bytes, target: bytes, given: list[bytes], origin: Origin) -> tuple[bytes, ...]:
    """The request's line and the headers that are given on, without length, key and request id."""
    lines = [b"%b %b%b HTTP/1.1" % (method, origin.base_path, target[3:]), b"host: " + origin.authority]
    named: frozenset[bytes] = frozenset()
    for line in given:
        name = line[: line.find(b":")].lower()
        if name not in _NOT_SENT:
            if not name.startswith(_NOT_SENT_PREFIXES):
                lines.append(line)
        elif name == b"connection":
            named |= _named_in(line[11:])
    return tuple(line for line in lines if line[: line.find(b":")].lower() not in named) if named else tuple(lines)


def _named_in(value: bytes) -> frozenset[bytes]:
    return frozenset(token.strip(b" \t") for token in value.lower().split(b","))


def response_fields(fields: list[tuple[bytes, bytes]]) -> ResponseFields:
    """The answer's headers for the caller, without what stands between the AI service and us only."""
    result = ResponseFields([])
    dropped = _NOT_RETURNED
    for name, value in fields:
        lower = name.lower()
        if lower in dropped:
            if lower == b"transfer-encoding":
                result.is_chunked = value.lower() == b"chunked"
            elif lower == b"connection":
                dropped = dropped | (_named_in(value) - {b"content-length", b"content-type", b"close", b"keep-alive"})
            continue
        if lower == b"content-length":
            result.has_length = True
        elif lower == b"content-type":
            result.is_event_stream = value[: len(_EVENT_STREAM)].lower() == _EVENT_STREAM
        result.lines.append(b"%b: %b\r\n" % (name, value))
    return result
