"""What every request passes on its way in and out, as plain ASGI: no thread, no copy of a streamed body.

From outside in: `Boundary` (request id, log line, headers, errors as answers), `SameSite`, `BodyLimit`, `WhoIsAsking`.
"""

import time
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from doorward.edge.errors import CrossSiteError, TooLargeError
from doorward.edge.problems import Problems
from doorward.edge.view import Front, HouseView
from doorward.hall.errors import DoorwardError
from doorward.hall.ids import new_id
from doorward.logs import traceback_of

LOG: Final = structlog.get_logger("doorward.edge")
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "worker-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # `same-origin`, not `no-referrer`: with that a browser sends `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
    "microphone=(), midi=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Origin-Agent-Cluster": "?1",
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-DNS-Prefetch-Control": "off",
}


class Boundary:
    """The outermost layer: gives a request its id, an answer its headers, an error its answer and the log its line."""

    def __init__(self, app: ASGIApp, problems: Problems, front: Front) -> None:
        self._app = app
        self._problems = problems
        self._headers = dict(_HEADERS)
        if front.transport_security:
            self._headers["Strict-Transport-Security"] = front.transport_security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope.setdefault("state", {}).setdefault("request_id", new_id("req"))
        answer = _Answer(send, request_id, self._headers)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._answered(scope, receive, answer)
        finally:
            _log_line(scope, answer)
            structlog.contextvars.unbind_contextvars("request_id")

    async def _answered(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if not isinstance(error, DoorwardError | HTTPException):
                # Not `exception`: what an error says may quote what the visitor sent.
                LOG.error("request_failed", route=route_of(scope), traceback=traceback_of(error))  # noqa: TRY400
            if answer.status:
                raise  # too late for another answer: the server closes the connection
            response = self._problems.respond(Request(scope), error)
            await response(scope, receive, answer)


class _Answer:
    """`send` with the house's headers; remembers the status and how much was sent."""

    def __init__(self, send: Send, request_id: str, headers: dict[str, str]) -> None:
        self._send = send
        self._request_id = request_id
        self._headers = headers
        self.began = time.perf_counter()
        self.status = 0
        self.sent_bytes = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Request-Id"] = self._request_id
        elif message["type"] == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)


def route_of(scope: Scope) -> str:
    """The route's pattern (`/welcome/{token}`): a path may hold a secret, a pattern can't."""
    return str(getattr(scope.get("route"), "path", "") or "unmatched")


def _log_line(scope: Scope, answer: _Answer) -> None:
    LOG.info(
        "request",
        method=scope["method"][:16],
        route=route_of(scope),
        status=answer.status,
        sent_bytes=answer.sent_bytes,
        milliseconds=round((time.perf_counter() - answer.began) * 1000, 1),
    )


class SameSite:
    """Refuses unsafe requests that another website's page made (OWASP CSRF prevention: Fetch Metadata, then Origin).

    1. `Sec-Fetch-Site` is set by the browser alone: `same-origin` and `none` (typed by the user) pass, others don't.
    2. Without it, `Origin` must be our public origin or name the host that was asked.
    3. With neither it is no page of today's browsers; it passes unless it comes with our cookie, for only a cookie
       makes another site's request dangerous.
    """

    def __init__(self, app: ASGIApp, front: Front) -> None:
        self._app = app
        self._front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and not self._is_ours(Headers(scope=scope)):
            raise CrossSiteError
        await self._app(scope, receive, send)

    def _is_ours(self, headers: Headers) -> bool:
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            return site in ("same-origin", "none")
        if origin is not None:
            host = origin.partition("://")[2]
            return origin == self._front.origin or (host != "" and host == headers.get("host"))
        return f"{self._front.cookie_name}=" not in headers.get("cookie", "")


class BodyLimit:
    """Stops reading a body at the limit, whatever its declared length."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared[:20]) > self._limit:
            raise TooLargeError(f"The body is larger than {self._limit} bytes.")
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._limit:
                raise TooLargeError(f"The body is larger than {self._limit} bytes.")
            return message

        await self._app(scope, limited, send)


class WhoIsAsking:
    """Looks up the caller's standing once, before the router; `FrontDesk.standing` reads it.

    A credential that the snapshot lacks is looked for in the rows. When they are away the caller is told so (503)
    only where a standing is asked for: a public page stays a page.
    """

    def __init__(self, app: ASGIApp, house: HouseView) -> None:
        self._app = app
        self._book = house.book
        self._cookie = house.front.cookie_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._look_up(scope)
        await self._app(scope, receive, send)

    async def _look_up(self, scope: Scope) -> None:
        state: dict[str, Any] = scope.setdefault("state", {})
        credential = self._credential(Request(scope))
        state.update(standing=None, standing_error=None, credential=credential)
        if not credential:
            return
        state["standing"] = self._book.standing_of(credential)
        if state["standing"] is None:
            try:
                state["standing"] = await self._book.recall(credential)
            except DoorwardError as error:
                state["standing_error"] = error

    def _credential(self, request: Request) -> bytes:
        """`Authorization: Bearer …` before the cookie: a header is always meant."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()[:256].encode()
        return request.cookies.get(self._cookie, "")[:256].encode()
