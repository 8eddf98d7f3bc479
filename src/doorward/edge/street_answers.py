"""Answers that the street gives by itself: built once as bytes, so that giving one costs a write.

An answer is kept in two parts, for the `Date` header stands between them.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from doorward.upstream.errors import RelayFault

_TEXTS: Final = {
    "request.malformed": ("This is no HTTP request that this service takes.", "Check how your client builds it."),
    "request.host": ("The request names no host, or more than one.", "Send exactly one valid `Host` header."),
    "request.duplicate_header": ("A header that must stand once stands twice.", "Send it once."),
    "request.framing": ("The length of the request's body is not clear.", "Send one `Content-Length`, or chunks."),
    "request.timeout": ("The request did not arrive in time.", "Send it again, as a whole."),
    "request.target_too_long": ("The address is too long.", "Send less in the address."),
    "request.headers_too_large": ("The headers are too large or too many.", "Clear cookies or send fewer headers."),
    "request.not_encrypted": (
        "This request came with an API key, unencrypted.",
        "Everybody on the way could read the key: revoke it, and use the https address.",
    ),
    "input.too_large": ("The body is larger than this service takes.", "Send less at once."),
    "service.busy": ("There are more visitors than can be served just now.", "Wait as `Retry-After` says."),
    "gate.ticket.missing": (
        "This form came without its ticket.",
        "Open the form again and send it from there; API clients ask for an offer (`…/offer`) and its ticket first.",
    ),
    "gate.ticket.forged": (
        "This form's ticket is not genuine, or too old.",
        "Open the form again and send it from there; API clients ask for a new ticket.",
    ),
}
_STYLE: Final = (
    "body{font:1.05rem/1.6 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1.2rem;color:#1b1f24;"
    "background:#fff}a{color:#0b5cad}@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#14171a}"
    "a{color:#7db8f5}}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """A fixed answer; `whole` puts the date in."""

    status: int
    start: bytes
    rest: bytes
    code: str

    def whole(self, date_line: bytes) -> bytes:
        """The bytes to write."""
        return self.start + date_line + self.rest

    def closing(self) -> "Answer":
        """The same answer, as the last one on its connection."""
        return Answer(self.status, self.start + b"connection: close\r\n", self.rest, self.code)


def answer(status: int, headers: dict[str, str], body: bytes, code: str) -> Answer:
    """An answer of these parts; `content-length` is added."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    rest = f"{lines}content-length: {len(body)}\r\n\r\n".encode() + body
    return Answer(status, f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode(), rest, code)


@lru_cache(maxsize=256)
def problem(status: int, code: str, public_url: str = "", retry_after_seconds: int | None = None) -> Answer:
    """A problem document (RFC 9457) for one of the codes above."""
    detail, advice = _TEXTS[code]
    values: dict[str, object] = {
        "type": f"{public_url}/problems/{code}",
        "title": detail,
        "status": status,
        "detail": detail,
        "code": code,
        "advice": advice,
    }
    headers = {
        "content-type": "application/problem+json",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    if retry_after_seconds is not None:
        values["retry_after"] = retry_after_seconds
        headers["retry-after"] = str(retry_after_seconds)
    return answer(status, headers, json.dumps(values, separators=(",", ":")).encode(), code)


def page(status: int, code: str, form: str, retry_after_seconds: int | None = None) -> Answer:
    """A small page for people, in both languages, with the way back to the form at `form`."""
    if code == "service.busy":
        english, chinese = "We are very busy just now. Please try again in a moment.", "现在访问人数过多，请稍后再试。"
    else:
        english = "This form is too old, or something in it went missing. Please open it again; it takes a second."
        chinese = "此表单已过期或不完整。请重新打开表单再提交。"
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport"'
        ' content="width=device-width,initial-scale=1"><title>Please try again · 请重试</title>'
        f"<style>{_STYLE}</style><main><h1>Please try again</h1><p>{english}</p>"
        f'<p><a href="{form}">Open the form again</a></p>'
        f'<section lang="zh-Hans"><h1>请重试</h1><p>{chinese}</p><p><a href="{form}">重新打开表单</a></p></section>'
        f"<p><small>{code}</small></p></main></html>"
    ).encode()
    headers = {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'",
    }
    if retry_after_seconds is not None:
        headers["retry-after"] = str(retry_after_seconds)
    return answer(status, headers, body, code)


def openai(fault: RelayFault, request_id: str = "") -> Answer:
    """An answer in the shape that OpenAI's clients know."""
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    if request_id:
        headers["x-request-id"] = request_id
    if fault.retry_after_seconds is not None:
        headers["retry-after"] = str(max(1, fault.retry_after_seconds))
    if fault.status == 401:
        headers["www-authenticate"] = 'Bearer realm="doorward"'
    return answer(fault.status, headers, fault.body(), fault.code)
