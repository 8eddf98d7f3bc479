"""The values that travel between the street, the relay and the rest of this room."""

from dataclasses import dataclass
from typing import Protocol

from doorward.hall.model import Standing


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request of somebody who belongs is not relayed now: an OpenAI-shaped answer in words.

    `code` is stable (`upstream.allowance.used_up`, `upstream.away`, `upstream.concurrency`, …); with a status of
    429 or 503 `retry_after_seconds` is at least 1.
    """

    status: int
    code: str
    message: str
    retry_after_seconds: int | None = None


class RelayHooks(Protocol):
    """What the relay asks and tells the rest of this room: all of it answered from memory, none of it awaited."""

    def permits(self, standing: Standing, path: str) -> bool:
        """Whether the credential's scopes cover this path (`chat` or `*` for all of `/v1/`)."""
        ...

    def allowance_left(self, standing: Standing) -> int | None:
        """Tokens left in the current UTC day; None without a cap. Also asked by `/authorize`; changes nothing."""
        ...

    def begin(self, standing: Standing) -> Denial | None:
        """A request is about to start: reserve what it needs, or say why not (allowance, rate, concurrency, health).

        None means begun, and exactly one `record` follows.
        """
        ...

    def record(self, standing: Standing, tokens: int, ok: bool) -> None:
        """A begun request has ended: what it used, and whether the AI service answered it as a whole."""
        ...

    def observe(self, fault: str) -> None:
        """How the AI service did: empty for an answer, else `connect`, `timeout`, `cut`, `broken` or `status` (5xx)."""
        ...
