"""Errors as answers: the only place that turns a `DoorwardError` into HTTP.

On our API an error is `application/problem+json` (RFC 9457); under `/v1/` it has the shape that OpenAI's clients
know; for a person it is a page. Every 429 and 503 carries `Retry-After`. What we did not expect is a 500 that
says nothing but the request id.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from doorward.edge.errors import BrokenRequestError, InternalError, MethodNotAllowedError, NoSuchPageError
from doorward.edge.view import Front
from doorward.hall.errors import DoorwardError

DrawPage = Callable[[Request, DoorwardError], Response]

_DEFAULT_WAIT_SECONDS: Final = {429: 30, 503: 10}
_NEVER_A_PAGE: Final = re.compile(r"^/(api|v1|authorize|metrics|healthz|readyz|openapi\.json)(/|$)")
_OPENAI_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Problems:
    """Answers for errors; `draw_page` is set by the desk, which knows the templates."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self.draw_page: DrawPage | None = None

    def respond(self, request: Request, error: Exception) -> Response:
        """The answer for any exception."""
        known = as_doorward(error)
        response = self._shaped(request, known)
        wait = wait_seconds(known)
        if wait is not None:
            response.headers["Retry-After"] = str(wait)
        if known.status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="doorward"'
        if isinstance(error, HTTPException) and error.headers:
            response.headers.update({name: value for name, value in error.headers.items() if name.lower() == "allow"})
        return response

    def _shaped(self, request: Request, error: DoorwardError) -> Response:
        if request.url.path.startswith("/v1/"):
            return JSONResponse(openai_error(error), error.status)
        if self.draw_page is not None and wants_page(request):
            return self.draw_page(request, error)
        content = self.problem(error, request.scope["state"].get("request_id", ""))
        return JSONResponse(content, error.status, media_type="application/problem+json")

    def problem(self, error: DoorwardError, request_id: str) -> dict[str, Any]:
        """The members of a problem document; an error may add its own by an attribute `members`."""
        members: Mapping[str, object] = getattr(error, "members", {})
        wait = wait_seconds(error)
        return {
            **members,
            "type": f"{self._front.public_url.rstrip('/')}/problems/{error.code}",
            "title": title_of(type(error)),
            "status": error.status,
            "detail": error.message,
            "code": error.code,
            "advice": error.advice,
            "request_id": request_id,
            **({"field": error.field} if error.field else {}),
            **({"retry_after": wait} if wait is not None else {}),
        }


def as_doorward(error: Exception) -> DoorwardError:
    """The error as one of ours: Starlette's 404 and 405 have their own, what was not expected is a bare 500."""
    if isinstance(error, DoorwardError):
        return error
    if isinstance(error, HTTPException):
        kind = {404: NoSuchPageError, 405: MethodNotAllowedError}.get(error.status_code, BrokenRequestError)
        return kind()
    return InternalError()


def wait_seconds(error: DoorwardError) -> int | None:
    """Seconds for `Retry-After`; None where the header has no meaning."""
    if error.retry_after_seconds is not None:
        return max(1, error.retry_after_seconds)
    return _DEFAULT_WAIT_SECONDS.get(error.status)


def openai_error(error: DoorwardError) -> dict[str, Any]:
    """The error in the shape of OpenAI's API."""
    fallback = "server_error" if error.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": f"{error.message} {error.advice}",
            "type": _OPENAI_TYPES.get(error.status, fallback),
            "param": error.field or None,
            "code": error.code,
        }
    }


def wants_page(request: Request) -> bool:
    """Whether a person is looking: not on an API path, and `Accept` prefers HTML to JSON."""
    if _NEVER_A_PAGE.match(request.url.path):
        return False
    accept = request.headers.get("accept", "").lower()[:512]
    html, data = accept.find("text/html"), accept.find("application/json")
    return html >= 0 and (data < 0 or html < data)


def title_of(kind: type[DoorwardError]) -> str:
    """The short name of a kind of problem: the first line of its docstring."""
    return inspect.cleandoc(kind.__doc__ or "").partition("\n")[0]


def kinds() -> dict[str, type[DoorwardError]]:
    """Every code that this process can answer with, and its error: rooms' errors are there once imported."""
    return {kind.code: kind for kind in sorted(_descendants(DoorwardError), key=lambda kind: kind.code)}


def _descendants(kind: type[DoorwardError]) -> Iterator[type[DoorwardError]]:
    for child in kind.__subclasses__():
        if "code" in vars(child):
            yield child
        yield from _descendants(child)
