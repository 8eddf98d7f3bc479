"""Requests as the OpenAI-compatible API takes them, and its shape of errors. Unknown fields are ignored, as there."""

import re
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from doorward.upstream.simulator.model import MODELS, Ability

BODY_BYTES: Final = 16_777_216

Model = Annotated[str, Meta(min_length=1, max_length=200)]
Count = Annotated[int, Meta(ge=1, le=8)]
Limit = Annotated[int, Meta(ge=1, le=100_000)]


class ApiError(Exception):
    """An answer in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        kinds = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}
        kind = kinds.get(status, "invalid_request_error")
        self.body = encoded({"error": {"message": message, "type": kind, "param": param, "code": code}})

    def response(self) -> Response:
        """The answer; the sender is told when to come back where that makes sense."""
        headers = {"retry-after": "1"} if self.status in {429, 503} else {}
        return Response(self.body, self.status, headers, "application/json")


class Message(msgspec.Struct):
    """One turn of a conversation; content may come in parts, of which the texts count."""

    role: Annotated[str, Meta(min_length=1, max_length=40)]
    content: str | list[dict[str, Any]] | None = None

    def text(self) -> str:
        """The words."""
        if isinstance(self.content, list):
            return " ".join(text for part in self.content if isinstance(text := part.get("text"), str))
        return self.content or ""


class StreamOptions(msgspec.Struct):
    """What a stream brings besides the answer."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """`POST /v1/chat/completions`."""

    model: Model
    messages: Annotated[list[Message], Meta(min_length=1, max_length=2_048)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    n: Count | None = None

    def limit(self) -> int:
        """The most tokens that the answer may have."""
        return self.max_completion_tokens or self.max_tokens or 100_000

    def question(self) -> str:
        """The conversation as one text, on which the answer rests."""
        return "\n".join(f"{message.role}: {message.text()}" for message in self.messages)


class EmbeddingRequest(msgspec.Struct):
    """`POST /v1/embeddings`."""

    model: Model
    input: str | Annotated[list[str], Meta(min_length=1, max_length=2_048)]
    dimensions: Annotated[int, Meta(ge=1, le=4_096)] = 256


class ImageRequest(msgspec.Struct):
    """`POST /v1/images/generations`."""

    prompt: Annotated[str, Meta(min_length=1, max_length=32_000)]
    model: Model = "sim-image"
    n: Count | None = None
    size: Annotated[str, Meta(pattern="^[0-9]{2,4}x[0-9]{2,4}$")] | None = None

    def pixels(self) -> tuple[int, int]:
        """Width and height.

        Raises:
            ApiError: larger than 1024 in one direction, or smaller than 16.
        """
        width, _, height = (self.size or "256x256").partition("x")
        if not (16 <= int(width) <= 1_024 and 16 <= int(height) <= 1_024):
            raise ApiError(400, "Sizes go from 16x16 to 1024x1024.", param="size")
        return int(width), int(height)


Shape = TypeVar("Shape", ChatRequest, EmbeddingRequest, ImageRequest)


async def read(request: Request, shape: type[Shape], ability: Ability) -> Shape:
    """The request's body in its shape, for a model that can do it.

    Raises:
        ApiError: it cannot be read so. ClientDisconnect: the sender went away.
    """
    try:
        asked = msgspec.json.decode(await _body(request), type=shape)
    except msgspec.ValidationError as error:
        found = re.search(r"at `\$\.?([^`]*)`", str(error))
        message, _, _ = str(error).partition(" - at ")
        raise ApiError(400, f"{message}.", param=(found[1] or None) if found else None) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "We could not parse the JSON body of your request.") from error
    if MODELS.get(asked.model) is not ability:
        message = "The model does not exist or cannot do this; GET /v1/models lists them."
        raise ApiError(404, message, param="model", code="model_not_found")
    return asked


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > BODY_BYTES:
                raise ApiError(413, "The body is too large.")
            parts.append(part)
    except ClientDisconnect as error:
        raise ApiError(400, "The body ended early.") from error
    return b"".join(parts)


def encoded(value: object) -> bytes:
    """Compact JSON."""
    return msgspec.json.encode(value)
