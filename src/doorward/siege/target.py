"""The target as it looks from outside: its JSON API, decoded, and patience with it when it is busy."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import msgspec

from doorward.siege.client import Actor, Answer, Call, Client, TransportError

LONGEST_WAIT_SECONDS: Final = 20.0
_PAGE_HEADERS: Final = (("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.5"),)
_REASON: Final = re.compile(r"[^a-z0-9_.-]+")


class GaveUpError(Exception):
    """Somebody stopped trying; the message is a short code of why."""


class Answered(Protocol):
    """What patience looks at."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def retry_after(self) -> float | None:
        """Seconds that the target asked to wait."""
        ...


R = TypeVar("R", bound=Answered)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with its body as a JSON object; an empty one if it was none."""

    status: int
    data: dict[str, Any]
    retry_after: float | None

    @property
    def code(self) -> str:
        """A short word for the answer: the problem's code (RFC 9457 extension), or the status."""
        code = self.data.get("code") or self.data.get("type") or ""
        return _REASON.sub("-", str(code).rsplit("/", 1)[-1].lower())[:60] or f"http-{self.status}"

    @property
    def reason(self) -> str:
        """The code of the first reason that a problem gives, else the problem's own."""
        reasons = self.data.get("reasons")
        first = reasons[0] if isinstance(reasons, list) and reasons else None
        code = first.get("code") if isinstance(first, dict) else None
        return _REASON.sub("-", code.lower())[:60] if isinstance(code, str) else self.code

    def text(self, name: str) -> str:
        """A member of the body as text.

        Raises:
            GaveUpError: it is not there.
        """
        value = self.data.get(name)
        if not isinstance(value, str) or not value:
            raise GaveUpError(f"answer-without-{name}")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """A member of the body as an object.

        Raises:
            GaveUpError: it is not there.
        """
        value = self.data.get(name)
        if not isinstance(value, dict):
            raise GaveUpError(f"answer-without-{name}")
        return value


class Target:
    """Sends calls and decodes what comes back."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def get(self, actor: Actor, path: str) -> Reply:
        """GET of the JSON API."""
        call = Call("GET", path, headers=(("Accept", "application/json"),))
        return decode(await self.client.send(actor, call))

    async def post(self, actor: Actor, path: str, value: object) -> Reply:
        """POST to the JSON API."""
        return decode(await self.client.send(actor, Call.json(path, value)))

    async def page(self, actor: Actor, path: str) -> Answer:
        """GET of a page, as a browser asks for it."""
        return await self.client.send(actor, Call("GET", path, headers=_PAGE_HEADERS))

    async def submit(self, actor: Actor, path: str, fields: dict[str, str]) -> Answer:
        """POST of a form, as a browser sends it."""
        call = Call.form(path, fields)
        return await self.client.send(
            actor, Call(call.method, call.path, call.body, call.content_type, headers=_PAGE_HEADERS)
        )


def decode(answer: Answer) -> Reply:
    """An answer as a reply."""
    try:
        data = msgspec.json.decode(answer.body) if answer.body else {}
    except msgspec.DecodeError:
        data = {}
    return Reply(answer.status, data if isinstance(data, dict) else {"items": data}, answer.retry_after)


async def patiently(attempt: Callable[[], Awaitable[R]], patience_seconds: float) -> R:
    """Try until there is an answer other than "busy" (429, 502, 503, 504), as a patient visitor would.

    Raises:
        GaveUpError: patience ran out, with the last thing that was in the way.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    pause = 0.5
    while True:
        wait = pause
        try:
            answer = await attempt()
        except TransportError as error:
            trouble = type(error).__name__.removesuffix("Error").lower()
        else:
            if answer.status not in {429, 502, 503, 504}:
                return answer
            trouble = f"http-{answer.status}"
            told = answer.retry_after
            wait = pause if told is None else min(max(told, 0.1), LONGEST_WAIT_SECONDS)
        if loop.time() + wait > deadline:
            raise GaveUpError(trouble)
        await asyncio.sleep(wait)
        pause = min(pause * 2, 8.0)
