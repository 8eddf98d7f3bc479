"""What every request passes: headers, the same-site rule, the body limit, the log line, the standing."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from doorward.edge.app import build_app
from doorward.edge.middleware import SAFE_METHODS
from doorward.edge.view import Front, HouseView
from doorward.hall.doors import Desk
from doorward.hall.model import Role

OWASP = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "x-permitted-cross-domain-policies": "none",
}


class Note(msgspec.Struct):
    text: str


def echo(desk: Desk) -> list[Route]:
    """A room of one service that takes a note and tells who asks."""

    async def note(request: Request) -> Response:
        return JSONResponse({"text": (await desk.body(request, Note)).text})

    async def who(request: Request) -> Response:
        return JSONResponse({"account_id": desk.standing(request).account_id})

    async def admin(request: Request) -> Response:
        return JSONResponse({"account_id": desk.standing(request, Role.ADMIN).account_id})

    return [
        Route("/note", note, methods=["POST", "PUT", "DELETE"]),
        Route("/who", who),
        Route("/admin", admin),
        Route("/welcome/{token}", who),
    ]


@pytest.fixture
def house(house: HouseView) -> HouseView:
    return replace(house, rooms=(echo,))


@pytest.mark.parametrize("path", ["/", "/nothing", "/who", "/openapi.json", "/healthz"])
async def test_security_headers_are_on_every_answer(client: Any, path: str) -> None:
    answer = await client.get(path)
    assert {name: answer.headers.get(name) for name in OWASP} == OWASP
    policy = answer.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert not any("unsafe" in rule or "http" in rule for rule in policy)
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers


async def test_strict_transport_only_over_tls(client: Any, house: HouseView) -> None:
    secured = type(client)(build_app(replace(house, front=Front(public_url="https://ai.example"))))
    assert (await secured.get("/")).headers["strict-transport-security"].startswith("max-age=31536000")


async def test_personal_pages_are_not_kept(client: Any) -> None:
    assert (await client.get("/")).headers["cache-control"] == "no-store"


CROSS = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:8080.evil.example"},
    {"cookie": "doorward=dws_member"},
    {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8080"},
]
OURS = [
    {"sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
    {"origin": "http://127.0.0.1:8080"},
    {"origin": "http://localhost:9", "host": "localhost:9"},
    {"authorization": "Bearer dws_member"},
    {},
]


def unsafe_routes(app: Any) -> list[tuple[str, str]]:
    """Every unsafe method of every route of the router."""
    return [
        (method, route.path.replace("{", "").replace("}", ""))
        for route in app.routes
        for method in sorted((route.methods or set()) - SAFE_METHODS)
    ]


async def test_cross_site_requests_are_refused_on_every_unsafe_route(client: Any) -> None:
    routes = unsafe_routes(client.app)
    assert ("POST", "/language") in routes
    assert ("DELETE", "/note") in routes
    for method, path in routes:
        for headers in CROSS:
            answer = await client.call(method, path, headers=headers)
            assert (answer.status, answer.json["code"]) == (403, "request.cross_site"), (method, path, headers)


@pytest.mark.parametrize("headers", OURS)
async def test_our_own_requests_pass(client: Any, headers: dict[str, str]) -> None:
    answer = await client.post("/note", headers={"content-type": "application/json", **headers}, body=b'{"text":"a"}')
    assert answer.json == {"text": "a"}


async def test_cross_site_reading_is_no_danger(client: Any) -> None:
    assert (await client.get("/", headers={"sec-fetch-site": "cross-site"})).status == 200


async def test_body_limit_by_declared_length(client: Any) -> None:
    answer = await client.post(
        "/note", headers={"content-type": "application/json", "content-length": "70000"}, body=b"{}"
    )
    assert (answer.status, answer.json["code"]) == (413, "input.too_large")


async def test_body_limit_by_what_comes(client: Any) -> None:
    answer = await client.post("/note", headers={"content-type": "application/json"}, chunks=[b" " * 40_000] * 2)
    assert (answer.status, answer.json["code"]) == (413, "input.too_large")


async def test_log_line_has_the_route_and_no_secret(client: Any) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = await client.get("/welcome/s3cret-token?code=123456", headers={"authorization": "Bearer dws_member"})
    line = next(line for line in lines if line["event"] == "request")
    assert line["route"] == "/welcome/{token}"
    assert line["status"] == 200
    assert line["sent_bytes"] == len(answer.body)
    assert not any(secret in str(lines) for secret in ("s3cret", "123456", "dws_member", "203.0.113"))


async def test_the_street_s_request_id_is_kept(client: Any) -> None:
    first, second = await client.get("/"), await client.get("/", headers={"x-request-id": "mine"})
    assert first.headers["x-request-id"].startswith("req_")
    assert second.headers["x-request-id"] not in ("mine", first.headers["x-request-id"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer dws_member"}, 200),
        ({"authorization": "bearer dws_member"}, 200),
        ({"authorization": "Basic dws_member"}, 401),
        ({"cookie": "doorward=dws_member"}, 200),
        ({"cookie": "doorward=dws_stranger"}, 401),
        ({"cookie": "doorward=dws_member", "authorization": "Bearer dws_stranger"}, 401),
    ],
)
async def test_standing(client: Any, headers: dict[str, str], status: int) -> None:
    assert (await client.get("/who", headers=headers)).status == status


@pytest.mark.parametrize(
    ("credential", "status"), [("dws_member", 403), ("dws_admin", 200), ("dw_live_plain", 403), ("dw_live_admin", 200)]
)
async def test_administrators_need_a_session_or_the_scope(client: Any, credential: str, status: int) -> None:
    assert (await client.get("/admin", headers={"authorization": f"Bearer {credential}"})).status == status


async def test_a_credential_that_only_the_rows_know(client: Any, book: Any) -> None:
    book.elsewhere[b"dws_fresh"] = book.here[b"dws_member"]
    assert (await client.get("/who", headers={"authorization": "Bearer dws_fresh"})).status == 200


async def test_rows_away(client: Any, book: Any) -> None:
    book.is_away = True
    headers = {"cookie": "doorward=dws_unknown"}
    assert (await client.get("/", headers=headers)).status == 200
    unknown = await client.get("/who", headers=headers)
    assert (unknown.status, unknown.json["code"]) == (503, "service.unavailable")
    assert (await client.get("/who", headers={"cookie": "doorward=dws_member"})).status == 200
