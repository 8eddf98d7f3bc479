"""The simulated service's addresses: what an OpenAI-compatible client asks, and `/health` for whoever runs it."""

import base64
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from doorward.hall.secrets import same
from doorward.upstream.simulator import words
from doorward.upstream.simulator.answers import Answer, Workshop
from doorward.upstream.simulator.faults import FaultKind
from doorward.upstream.simulator.model import MODELS, Ability
from doorward.upstream.simulator.shapes import ApiError, ChatRequest, EmbeddingRequest, ImageRequest, encoded, read

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"


def build_app(workshop: Workshop) -> Starlette:
    """The service around one workshop."""
    desk = _Desk(workshop)
    routes = [
        Route("/health", desk.health),
        Route("/v1/models", desk.guarded(desk.models)),
        Route("/v1/models/{name}", desk.guarded(desk.model)),
        Route("/v1/chat/completions", desk.guarded(desk.chat), methods=["POST"]),
        Route("/v1/embeddings", desk.guarded(desk.embeddings), methods=["POST"]),
        Route("/v1/images/generations", desk.guarded(desk.images), methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _unknown_address, ApiError: _api_error})


class _Desk:
    """The handlers. What they return is an ASGI application, which Starlette then calls."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._seed = workshop.knobs.seed

    def guarded(self, handler: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Any]]:
        """A handler behind the simulator's own API key, if it has one."""
        expected = f"Bearer {self._workshop.knobs.api_key}"

        async def guarded(request: Request) -> Any:
            given = request.headers.get("authorization", "")
            if self._workshop.knobs.api_key and not same(given, expected):
                raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
            return await handler(request)

        return guarded

    async def health(self, _: Request) -> Response:
        """What happened so far."""
        return Response(encoded({"status": "ok", **asdict(self._workshop.counts)}), media_type="application/json")

    async def models(self, _: Request) -> Response:
        """All models."""
        return Response(encoded({"object": "list", "data": list(map(_model, MODELS))}), media_type="application/json")

    async def model(self, request: Request) -> Response:
        """One model."""
        name = request.path_params["name"]
        if name not in MODELS:
            raise ApiError(404, "The model does not exist.", param="model", code="model_not_found")
        return Response(encoded(_model(name)), media_type="application/json")

    async def chat(self, request: Request) -> ASGIApp:
        """A conversation goes on."""
        asked = await read(request, ChatRequest, Ability.CHAT)
        number, fault = self._workshop.next_request()
        least_most = self._workshop.knobs.answer_tokens
        question = f"{asked.model}\n{asked.question()}"
        choices = [
            []
            if fault is FaultKind.BLANK
            else words.answer_tokens(self._seed, (question, str(choice)), least_most, asked.limit())
            for choice in range(asked.n or 1)
        ]
        longest = max(map(len, choices))
        reply = _Reply(asked, choices, number, int(time.time()))
        if asked.stream:
            return Answer(self._workshop, reply.events(), EVENTS, is_stream=True, tokens=longest, fault=fault)
        return Answer(self._workshop, [reply.whole()], JSON, is_stream=False, tokens=longest, fault=fault)

    async def embeddings(self, request: Request) -> ASGIApp:
        """Texts become vectors."""
        asked = await read(request, EmbeddingRequest, Ability.EMBED)
        _, fault = self._workshop.next_request()
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        made = [] if fault is FaultKind.BLANK else texts
        data = [
            {"object": "embedding", "index": i, "embedding": words.embedding(self._seed, text, asked.dimensions)}
            for i, text in enumerate(made)
        ]
        used = sum(map(words.token_count, texts))
        usage = {"prompt_tokens": used, "total_tokens": used}
        body = encoded({"object": "list", "data": data, "model": asked.model, "usage": usage})
        return Answer(self._workshop, [body], JSON, is_stream=False, tokens=0, fault=fault)

    async def images(self, request: Request) -> ASGIApp:
        """A prompt becomes pictures."""
        asked = await read(request, ImageRequest, Ability.DRAW)
        size = asked.pixels()
        _, fault = self._workshop.next_request()
        amount = 0 if fault is FaultKind.BLANK else asked.n or 1
        pictures = [words.picture(self._seed, asked.prompt, i, size) for i in range(amount)]
        data = [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures]
        body = encoded({"created": int(time.time()), "data": data})
        return Answer(self._workshop, [body], JSON, is_stream=False, tokens=0, fault=fault)


class _Reply:
    """A chat answer in both of its forms."""

    def __init__(self, asked: ChatRequest, choices: list[list[str]], number: int, created: int) -> None:
        self._asked = asked
        self._choices = choices
        self._identity = {"id": f"chatcmpl-sim{number:012d}", "created": created, "model": asked.model}

    def _finish(self, tokens: list[str]) -> str:
        return "length" if len(tokens) == self._asked.limit() else "stop"

    def _usage(self) -> dict[str, int]:
        prompt = words.token_count(self._asked.question())
        completion = sum(map(len, self._choices))
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def whole(self) -> bytes:
        """The plain form."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": "".join(tokens), "refusal": None},
                "logprobs": None,
                "finish_reason": self._finish(tokens),
            }
            for index, tokens in enumerate(self._choices)
        ]
        return encoded({**self._identity, "object": "chat.completion", "choices": choices, "usage": self._usage()})

    def events(self) -> list[bytes]:
        """The streamed form: one event a token, choices in turn, then ends, usage if asked for, and `[DONE]`."""
        with_usage = bool(self._asked.stream_options and self._asked.stream_options.include_usage)
        extra: dict[str, object] = {"usage": None} if with_usage else {}
        opening = b"".join(
            self._event([_delta(index, {"role": "assistant", "content": ""})], extra)
            for index in range(len(self._choices))
        )
        longest = max(map(len, self._choices))
        events = [
            b"".join(
                self._event([_delta(index, {"content": tokens[position]})], extra)
                for index, tokens in enumerate(self._choices)
                if position < len(tokens)
            )
            for position in range(longest)
        ]
        ends = [self._event([_delta(i, {}, self._finish(tokens))], extra) for i, tokens in enumerate(self._choices)]
        if with_usage:
            ends.append(self._event([], {"usage": self._usage()}))
        return [opening + b"".join(events[:1]), *events[1:], b"".join(ends) + b"data: [DONE]\n\n"]

    def _event(self, choices: list[dict[str, object]], extra: dict[str, object]) -> bytes:
        chunk = {**self._identity, "object": "chat.completion.chunk", "choices": choices, **extra}
        return b"data: " + encoded(chunk) + b"\n\n"


def _delta(index: int, delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "doorward-simulator"}


async def _api_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return error.response()


async def _unknown_address(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return ApiError(status, "Invalid URL or method.", code="unknown_url").response()
