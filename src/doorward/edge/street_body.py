"""A request's body as it arrives: how much of it has come, and by when the rest must."""

from doorward.edge.street_parts import StreetLimits
from doorward.edge.wire import CHUNKED, ChunkReader, WireFault


class BodyReader:
    """Takes the framing off one body, within a size and a least speed. `began` is the watch's time at its start."""

    __slots__ = ("_began", "_chunks", "_left", "_limit", "_limits", "_received", "is_whole")

    def __init__(self, length: int, limit_bytes: int, began: float, limits: StreetLimits) -> None:
        """Expect `length` bytes, or chunks.

        Raises:
            WireFault: it is declared to be too large.
        """
        if length > limit_bytes:
            raise WireFault(413, "input.too_large")
        self.is_whole = False
        self._left = length
        self._chunks = ChunkReader() if length == CHUNKED else None
        self._limit = limit_bytes
        self._limits = limits
        self._began = began
        self._received = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The body in these bytes, and what follows it once `is_whole`.

        Raises:
            WireFault: it is no chunked body, or too large.
        """
        if self._chunks is None:
            piece = data[: self._left]
            rest = data[self._left :]
            self._left -= len(piece)
            self._received += len(piece)
            self.is_whole = self._left == 0
            return piece, rest
        piece, rest = self._chunks.feed(data)
        self._received += len(piece)
        if self._received > self._limit:
            raise WireFault(413, "input.too_large")
        self.is_whole = self._chunks.is_done
        return piece, rest

    def deadline(self) -> float:
        """By when it must be whole, on the watch: each byte that has come earns some time, up to a total."""
        earned = self._limits.body_timeout_seconds + self._received / self._limits.body_bytes_per_second
        return self._began + min(earned, self._limits.body_total_timeout_seconds)
