"""HTTP/1 as it stands on the wire, read strictly: one head, and the framing of its body. Pure; no socket, no clock.

Two programs that read the same bytes differently are what request smuggling lives on, so nothing is repaired here.
A head is taken only if it is exactly the grammar of RFC 9112 without its tolerances:

1. Lines end in CR LF; a lone CR or LF anywhere in the head is refused, and so are a folded line and a leading
   empty line (RFC 9112 sections 2.2, 5.2).
2. The target is in origin form, `/…` (section 3.2.1), of visible ASCII without `#`; its path holds no dot segment,
   no NUL and no broken escape, so that nobody behind us walks up from `/v1/`.
3. Field names are tokens, with no space before the colon; values hold no control characters (RFC 9110 section 5.5).
4. Exactly one valid Host in HTTP/1.1; at most one Authorization, Content-Length and Transfer-Encoding;
   never both of the last two; a length is digits only; the only transfer coding is `chunked`, in HTTP/1.1 only.
5. Chunked bodies have chunk sizes of hexadecimal digits only: no extensions, no trailers.

What this grammar accepts, llhttp reads in the same way: a property test holds the two against each other.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

LONGEST_TARGET: Final = 8_192
MOST_HEADERS: Final = 100
LONGEST_HEAD: Final = 16_384

NO_BODY: Final = 0
CHUNKED: Final = -1

_HEAD: Final = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[!\"$&-\-/-~]*+([%.][!\"$-~]*+)?) HTTP/1\.([01])\r\n"
    rb"((?:[!#-'*+\-.^-z|~0-9A-Z]++:[\t -~\x80-\xff]*+\r\n)*+)\r\n"
)
_FRAMING: Final = re.compile(rb"\r\n(host|content-length|transfer-encoding|authorization|connection):[ \t]*+([^\r]*+)")
_LONGEST_LINE: Final = LONGEST_TARGET + len(b"OPTIONS  HTTP/1.1\r\n")
_LONE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)(?!\Z)")
_HOST: Final = re.compile(rb"(?:[a-z0-9_][a-z0-9._-]{0,252}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.IGNORECASE)
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")
_DOT_SEGMENT: Final = re.compile(rb"(?:^|[/\\])\.{1,2}(?:[/\\;]|$)")
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,8}")
_LONGEST_CHUNK_LINE: Final = 10


class WireFault(Exception):  # noqa: N818  # a fault of the sender's, not an error of ours
    """The bytes are no request that we take. `status` is the answer, `code` its stable name."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Head:
    """One request's line and headers, checked. Header values are read when somebody asks for them.

    `length` is the declared size of the body in bytes, `NO_BODY`, or `CHUNKED`.
    """

    __slots__ = ("fields_end", "fields_start", "keep_alive", "length", "lower", "method", "minor", "raw", "target")

    raw: bytes
    lower: bytes
    method: bytes
    target: bytes
    minor: bytes
    fields_start: int
    fields_end: int
    length: int
    keep_alive: bool

    def value(self, key: bytes) -> bytes | None:
        """The first value of a header, given as its lower-case name with `\\r\\n` before and `:` after."""
        at = self.lower.find(key)
        if at < 0:
            return None
        at += len(key)
        return self.raw[at : self.raw.find(b"\r", at)].strip(b" \t")

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a header, in order, given by its lower-case name."""
        return [value for found, value in self.fields() if found.lower() == name]

    def lines(self) -> list[bytes]:
        """All headers as lines, without their ends."""
        return (
            self.raw[self.fields_start : self.fields_end - 2].split(b"\r\n")
            if self.fields_end > self.fields_start
            else []
        )

    def fields(self) -> list[tuple[bytes, bytes]]:
        """All headers as they were sent, in order, without the white space around values."""
        fields = []
        for line in self.lines():
            name, _, value = line.partition(b":")
            fields.append((name, value.strip(b" \t")))
        return fields

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """What follows the first `?` of the target."""
        return self.target.partition(b"?")[2]


def read_head(raw: bytes, most_headers: int = MOST_HEADERS) -> Head:
    """One complete head, up to and including its empty line.

    Raises:
        WireFault: it breaks one of the rules above.
    """
    if len(raw) > LONGEST_TARGET and (fault := early_fault(raw, 0, len(raw))):
        raise fault
    match = _HEAD.fullmatch(raw)
    if match is None:
        raise WireFault(400, "request.malformed")
    head = Head()
    head.raw = raw
    head.lower = lower = raw.lower()
    head.method, head.target, suspect, head.minor = match.group(1, 2, 3, 4)
    head.fields_start, head.fields_end = match.span(5)
    if len(raw) > 4 * most_headers:  # the shortest header has four bytes
        _check_sizes(head, most_headers)
    if suspect is not None:
        _check_path(head.path)
    _set_framing(head, _FRAMING.findall(lower))
    return head


def _check_sizes(head: Head, most_headers: int) -> None:
    if len(head.target) > LONGEST_TARGET:
        raise WireFault(414, "request.target_too_long")
    if head.raw.count(b"\n") - 2 > most_headers:
        raise WireFault(431, "request.headers_too_large")


def early_fault(data: bytes, start: int, longest_head: int = LONGEST_HEAD) -> WireFault | None:
    """What is wrong already with the beginning of a head; looks at new bytes from `start` only.

    The earliest fault in the order of the bytes wins, so that the answer does not depend on how they arrive.
    """
    if not b"A" <= data[:1] <= b"Z":
        return WireFault(400, "request.malformed")
    lone = _LONE.search(data, max(start - 1, 0))
    faults = [] if lone is None else [(lone.start(), 400, "request.malformed")]
    if len(data) > _LONGEST_LINE and not 0 <= data.find(b"\n") <= _LONGEST_LINE:
        faults.append((_LONGEST_LINE, 414, "request.target_too_long"))
    if len(data) > longest_head:
        faults.append((longest_head, 431, "request.headers_too_large"))
    return WireFault(*min(faults)[1:]) if faults else None


def _check_path(path: bytes) -> None:
    if _BAD_ESCAPE.search(path) or _DOT_SEGMENT.search(unquote_to_bytes(path)):
        raise WireFault(400, "request.malformed")


@lru_cache(maxsize=1_024)
def host_is_valid(value: bytes) -> bool:
    """Whether this is a host name or address with an optional port (RFC 9110 section 7.2)."""
    return _HOST.fullmatch(value.rstrip(b" \t")) is not None


def _set_framing(head: Head, found: list[tuple[bytes, bytes]]) -> None:
    values = dict(found)
    if len(values) != len(found) and _is_repeated(found):
        raise WireFault(400, "request.duplicate_header")
    host = values.get(b"host")
    if not host_is_valid(host) if host is not None else head.minor == b"1":
        raise WireFault(400, "request.host")
    head.length = NO_BODY
    head.keep_alive = head.minor == b"1"
    if b"content-length" in values or b"transfer-encoding" in values:
        head.length = _body_length(values, head.minor)
    if b"connection" in values and head.keep_alive:
        tokens = b",".join(head.values(b"connection")).lower().split(b",")
        head.keep_alive = b"close" not in [token.strip(b" \t") for token in tokens]


def _is_repeated(found: list[tuple[bytes, bytes]]) -> bool:
    names = [name for name, _ in found if name != b"connection"]  # a list, which may stand in several lines
    return len(names) != len(set(names))


def _body_length(values: dict[bytes, bytes], minor: bytes) -> int:
    length = values.get(b"content-length")
    coding = values.get(b"transfer-encoding")
    if length is not None:
        digits = length.rstrip(b" \t")
        if coding is not None or not digits.isdigit() or len(digits) > 15:
            raise WireFault(400, "request.framing")
        return int(digits)
    if coding is None or coding.rstrip(b" \t") != b"chunked" or minor == b"0":
        raise WireFault(400, "request.framing")
    return CHUNKED


class ChunkReader:
    """Takes a chunked body apart, however its bytes arrive."""

    __slots__ = ("_held", "_left", "_step", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self._step: Callable[[bytes, int, list[bytes]], int] = self._size
        self._held = b""  # the part of a line that has arrived
        self._left = 0  # bytes of the current chunk still to come

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The body bytes in `data`, and what follows the end of the body once `is_done`.

        Raises:
            WireFault: this is no chunked body.
        """
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and not self.is_done:
            at = self._step(data, at, pieces)
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), data[at:]

    def _size(self, data: bytes, at: int, _pieces: list[bytes]) -> int:
        end = data.find(b"\n", at, at + _LONGEST_CHUNK_LINE)
        stop = end + 1 if end >= 0 else min(len(data), at + _LONGEST_CHUNK_LINE)
        line = self._held + data[at:stop]
        if end < 0 and len(line) < _LONGEST_CHUNK_LINE:
            self._held = line
            return stop
        if not _CHUNK_SIZE.fullmatch(line[:-2]) or line[-2:] != b"\r\n":
            raise WireFault(400, "request.framing")
        self._held = b""
        self._left = int(line[:-2], 16)
        self._step = self._data if self._left else self._last_end
        return stop

    def _data(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        piece = data[at : at + self._left]
        pieces.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = self._data_end
        return at + len(piece)

    def _data_end(self, data: bytes, at: int, _pieces: list[bytes]) -> int:
        stop = self._line_end(data, at)
        if not self._held:
            self._step = self._size
        return stop

    def _last_end(self, data: bytes, at: int, _pieces: list[bytes]) -> int:
        stop = self._line_end(data, at)
        self.is_done = not self._held
        return stop

    def _line_end(self, data: bytes, at: int) -> int:
        stop = at + 2 - len(self._held)
        line = self._held + data[at:stop]
        if not b"\r\n".startswith(line):
            raise WireFault(400, "request.framing")
        self._held = b"" if line == b"\r\n" else line
        return min(stop, len(data))
