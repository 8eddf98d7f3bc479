"""One error, three shapes: problem+json, OpenAI's, a page."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from doorward.edge.app import build_app
from doorward.edge.problems import kinds
from doorward.edge.view import HouseView
from doorward.hall.errors import (
    DoorwardError,
    InvalidInputError,
    NotLoggedInError,
    TooManyError,
    UnavailableError,
)

PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def failing(client: Any, house: HouseView, error: Exception, path: str = "/api/v1/thing") -> Any:
    """A client of an application in which one address fails."""

    async def handler(_request: Request) -> Response:
        raise error

    return type(client)(build_app(replace(house, rooms=(lambda _desk: [Route(path, handler)],))))


async def test_problem_document(client: Any, house: HouseView) -> None:
    answer = await failing(client, house, InvalidInputError("That is no address.", field="email")).get(
        "/api/v1/thing", headers=PAGE
    )
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    request_id = answer.headers["x-request-id"]
    assert answer.json == {
        "type": "http://127.0.0.1:8080/problems/input.invalid",
        "title": "The request says something that cannot be right.",
        "status": 400,
        "detail": "That is no address.",
        "code": "input.invalid",
        "advice": "Correct the named field and send the request again.",
        "field": "email",
        "request_id": request_id,
    }


async def test_own_members_never_replace_ours(client: Any, house: HouseView) -> None:
    error = InvalidInputError("No.")
    error.members = {"offer": {"ticket": "t"}, "status": 200}  # type: ignore[attr-defined]
    answer = await failing(client, house, error).get("/api/v1/thing")
    assert answer.json["offer"] == {"ticket": "t"}
    assert answer.json["status"] == 400


async def test_openai_shape(client: Any, house: HouseView) -> None:
    answer = await failing(client, house, TooManyError(retry_after_seconds=7), "/v1/models").get(
        "/v1/models", headers=PAGE
    )
    assert answer.status == 429
    assert answer.headers["retry-after"] == "7"
    assert answer.json["error"]["type"] == "rate_limit_error"
    assert answer.json["error"]["code"] == "rate.limited"
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("language", "words"), [("en", "This part of the service is away for the moment."), ("zh", 'lang="zh-Hans"')]
)
async def test_page(client: Any, house: HouseView, language: str, words: str) -> None:
    answer = await failing(client, house, UnavailableError(), "/thing").get(
        "/thing", headers={**PAGE, "accept-language": language}
    )
    assert answer.status == 503
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["retry-after"] == "10"
    assert words in answer.text
    assert answer.headers["x-request-id"] in answer.text


async def test_a_page_is_only_for_who_prefers_it(client: Any) -> None:
    answer = await client.get("/nothing", headers={"accept": "application/json, text/html"})
    assert answer.json["code"] == "request.not_found"


@pytest.mark.parametrize("kind", [TooManyError, UnavailableError])
async def test_retry_after_is_always_there(client: Any, house: HouseView, kind: Callable[[], DoorwardError]) -> None:
    answer = await failing(client, house, kind()).get("/api/v1/thing")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json["retry_after"] == int(answer.headers["retry-after"])


async def test_no_login_says_how(client: Any, house: HouseView) -> None:
    answer = await failing(client, house, NotLoggedInError()).get("/api/v1/thing")
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_unexpected_says_nothing_and_is_logged(client: Any, house: HouseView) -> None:
    client = failing(client, house, RuntimeError("the password is hunter2"))
    with structlog.testing.capture_logs() as lines:
        answer = await client.get("/api/v1/thing")
    assert answer.status == 500
    assert "hunter2" not in answer.text
    assert answer.json["code"] == "service.internal"
    failed = next(line for line in lines if line["event"] == "request_failed")
    assert "RuntimeError" in failed["traceback"]
    assert "handler" in failed["traceback"]


async def test_an_error_in_mid_answer_breaks_off(client: Any, house: HouseView) -> None:
    async def pieces() -> Any:
        yield b"one"
        raise RuntimeError("too late")

    async def handler(_request: Request) -> Response:
        return StreamingResponse(pieces())

    client = type(client)(build_app(replace(house, rooms=(lambda _desk: [Route("/stream", handler)],))))
    with pytest.raises(RuntimeError, match="too late"):
        await client.get("/stream")


async def test_405_names_the_methods(client: Any) -> None:
    answer = await client.call("DELETE", "/healthz")
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]
    assert answer.json["code"] == "request.method_not_allowed"


async def test_404_of_a_trailing_slash_is_no_redirect(client: Any) -> None:
    assert (await client.get("/docs/api/")).status == 404


async def test_every_code_has_a_page(client: Any) -> None:
    assert "auth.required" in kinds()
    overview = await client.get("/problems")
    for code, kind in kinds().items():
        answer = await client.get(f"/problems/{code}")
        assert answer.status == 200
        assert code in answer.text
        assert str(kind.status) in answer.text
        assert f'href="/problems/{code}"' in overview.text
    assert (await client.get("/problems/no.such")).status == 404


def test_codes_are_unique() -> None:
    def descendants(kind: type[DoorwardError]) -> list[type[DoorwardError]]:
        return [child for direct in kind.__subclasses__() for child in (direct, *descendants(direct))]

    own = [kind for kind in descendants(DoorwardError) if "code" in vars(kind)]
    assert len({kind.code for kind in own}) == len(own)
