"""What a caller of `/v1/` is told when the relay itself answers: bytes in the shape that OpenAI's clients know.

Built without Starlette, for these answers are given in the protocol, before ASGI. OpenAI's own clients retry 408,
409, 429 and 5xx by themselves and honour `Retry-After`.
"""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


@dataclass(frozen=True, slots=True)
class RelayFault:
    """Something that the relay answers itself. `retry_after_seconds` goes into `Retry-After`."""

    status: int
    code: str
    message: str
    retry_after_seconds: int | None = None

    def body(self) -> bytes:
        """The JSON object, as OpenAI's API writes errors."""
        fallback = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {
            "message": self.message,
            "type": _TYPES.get(self.status, fallback),
            "param": None,
            "code": self.code,
        }
        return json.dumps({"error": error}, separators=(",", ":")).encode()

    def answer(self, request_id: str, *, is_last: bool = False, is_head: bool = False) -> bytes:
        """The whole HTTP/1.1 answer; `is_last` says that the connection closes after it, `is_head` omits the body."""
        body = self.body()
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "cache-control: no-store",
            f"x-request-id: {request_id}",
        ]
        if self.retry_after_seconds is not None:
            lines.append(f"retry-after: {max(1, self.retry_after_seconds)}")
        if self.status == 401:
            lines.append('www-authenticate: Bearer realm="doorward"')
        if is_last:
            lines.append("connection: close")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if is_head else body)

    def frame(self) -> bytes:
        """The error as a server-sent event, to end a stream that was cut; starts on a line of its own."""
        return b"\n\ndata: " + self.body() + b"\n\n"


NOT_LOGGED_IN: Final = RelayFault(
    401,
    "auth.required",
    "No valid API key or session came with this request. Send `Authorization: Bearer dw_live_…`.",
)
RECALL_BUSY: Final = RelayFault(
    503, "service.unavailable", "Your key could not be looked up just now. Try again in a moment.", 1
)
SCOPE_MISSING: Final = RelayFault(
    403, "auth.forbidden", "This key has no scope for this. Make a key with the scope `chat`."
)
TOO_LARGE: Final = RelayFault(413, "input.too_large", "The request is larger than this service takes.")
BODY_TIMEOUT: Final = RelayFault(408, "request.timeout", "The request did not arrive in time.")
BODY_MALFORMED: Final = RelayFault(400, "request.framing", "The request's body is not framed as HTTP/1.1 asks.")
NO_ROUTE: Final = RelayFault(
    503, "upstream.away", "The AI service cannot be reached just now. Try again in a few seconds.", 5
)
ALL_BUSY: Final = RelayFault(
    503, "upstream.busy", "All connections to the AI service are busy. Try again in a few seconds.", 2
)
NO_ANSWER: Final = RelayFault(504, "upstream.timeout", "The AI service did not answer in time. Try again.", 5)
LOST: Final = RelayFault(502, "upstream.lost", "The AI service closed the connection before it answered. Try again.", 1)
BROKEN: Final = RelayFault(502, "upstream.broken", "The AI service sent something that is no HTTP answer.", 5)
CUT: Final = RelayFault(502, "upstream.cut", "The AI service broke off in the middle of its answer. Try again.")
STALLED: Final = RelayFault(504, "upstream.stalled", "The AI service fell silent in the middle of its answer.")
DRAINING: Final = RelayFault(503, "service.restarting", "The service restarts. Try again in a few seconds.", 2)
