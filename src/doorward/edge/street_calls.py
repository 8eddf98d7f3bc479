"""Heads of relayed calls that have been taken before; as `street_known`, for requests whose length differs each time.

Clients of an AI service send the same head with every call on their connection, but for the digits of `Content-Length`.
So the bytes before and after those digits are what is remembered, by their hashes, and with them the head that the AI
service was sent. The credential is looked up and the allowance asked each time; no credential is kept.
"""

import re
from dataclasses import dataclass
from typing import Final

from doorward.edge.wire import NO_BODY, Head

_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,9})\r\n")
_LONGEST_HEAD: Final = 2_048
_MOST: Final = 8_192


@dataclass(frozen=True, slots=True)
class KnownCall:
    """What was found out about a head. `credential` is its place, counted from the end where it follows the length."""

    size_before: int
    size_after: int
    credential: slice
    head: Head  # without its bytes
    prepared: tuple[bytes, ...]  # the lines for the AI service, without length, key and request id


@dataclass(frozen=True, slots=True)
class Call:
    """A request with a known head."""

    known: KnownCall
    length: int
    credential: bytes
    head_size: int


class KnownCalls:
    """The memory of one server; full, it starts anew."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], KnownCall] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, data: bytes) -> Call | None:
        """The call that begins these bytes, if its head is known."""
        size = data.find(b"\r\n\r\n", 0, _LONGEST_HEAD) + 4
        match = _LENGTH.search(data, 0, size)
        if match is None:
            return None
        start, end = match.span(1)
        known = self._kept.get((hash(data[:start]), hash(data[end:size])))
        if known is None or known.size_before != start or known.size_after != size - end:
            return None
        return Call(known, int(match.group(1)), data[:size][known.credential], size)

    def add(self, head: Head, credential: bytes, prepared: tuple[bytes, ...]) -> None:
        """Remember a head that was relayed for somebody who belongs."""
        raw = head.raw
        match = _LENGTH.search(raw)
        if match is None or head.length <= NO_BODY or not head.keep_alive or len(raw) > _LONGEST_HEAD:
            return
        if head.lower.find(b"\r\nexpect:") >= 0 or head.lower.find(b"\r\nx-request-id:") >= 0:
            return
        start, end = match.span(1)
        at = raw.find(credential, head.fields_start)
        shift = 0 if at < start else len(raw)
        place = slice(at - shift, (at - shift + len(credential)) or None)
        if len(self._kept) >= _MOST:
            self._kept.clear()
        bare = Head()
        bare.raw = bare.lower = b""
        bare.method, bare.target, bare.minor = head.method, head.target, head.minor
        bare.fields_start = bare.fields_end = 0
        bare.length, bare.keep_alive = NO_BODY, True
        self._kept[hash(raw[:start]), hash(raw[end:])] = KnownCall(start, len(raw) - end, place, bare, prepared)
