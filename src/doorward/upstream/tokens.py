"""How many tokens an exchange used, read beside the stream and never out of it.

1. An OpenAI-compatible service ends its answer with `"usage": {… "total_tokens": N …}`: at the end of the JSON object,
   or in the last events of a stream if the caller asked for it. The last such number in the last 4 KiB counts. Text
   inside an answer cannot forge it: a quote inside a JSON string is written `\\"`.
2. Where there is none (not asked for, compressed, cut), tokens are estimated from bytes: four a token for what was sent
   and for a plain answer; an event carries about one token in some 200 bytes of JSON around it.
"""

import re
from typing import Final

_WINDOW_BYTES: Final = 4_096
_BYTES_PER_TOKEN: Final = 4
_BYTES_PER_EVENT: Final = 200
_USAGE: Final = b'"usage"'
_TOTAL: Final = re.compile(rb'"total_tokens"\s{0,8}:\s{0,8}([0-9]{1,9})(?![0-9])')


class TokenWindow:
    """The last bytes of an answer, and how many there were in all."""

    __slots__ = ("_bytes", "_last")

    def __init__(self) -> None:
        self._last = b""
        self._bytes = 0

    def add(self, pieces: list[bytes]) -> None:
        """Some of the answer's body."""
        for piece in pieces:
            size = len(piece)
            self._bytes += size
            self._last = piece if size >= _WINDOW_BYTES else self._last[size - _WINDOW_BYTES :] + piece

    def tokens(self, request_bytes: int, *, is_event_stream: bool) -> int:
        """Tokens used, as the service says or as estimated; `request_bytes` is the size of what was sent."""
        last = self._last
        found = _TOTAL.findall(last, max(last.find(_USAGE), 0)) if _USAGE in last else []
        if found:
            return int(found[-1])
        per_token = _BYTES_PER_EVENT if is_event_stream else _BYTES_PER_TOKEN
        return request_bytes // _BYTES_PER_TOKEN + self._bytes // per_token
