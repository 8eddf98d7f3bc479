"""A small HTTP/1.1 client for these tests: it shows what came over the wire, and when it can hang up."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PATIENCE_SECONDS = 30


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool  # False: the connection ended before the body did

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[Any]:
        """The server-sent events, as JSON where they are."""
        lines = [line.removeprefix(b"data: ") for line in self.body.split(b"\n\n") if line]
        return [json.loads(line) if line.startswith(b"{") else line.decode() for line in lines]


class Asked:
    """A request on its way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    def hang_up(self) -> None:
        self._writer.transport.abort()

    async def answer(self) -> Answer:
        """Read to the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in fields}
            rest = await self.reader.read()
        status = int(head[0].split(" ")[1])
        if "chunked" in headers.get("transfer-encoding", ""):
            body, is_whole = _unchunked(rest)
        else:
            body, is_whole = rest, len(rest) == int(headers.get("content-length", len(rest)))
        return Answer(status, headers, body, is_whole)


def _unchunked(data: bytes) -> tuple[bytes, bool]:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return body, True
        body, data = body + data[:length], data[length + 2 :]
    return body, False


@asynccontextmanager
async def asking(url: str, path: str, body: object = None, **headers: str) -> AsyncIterator[Asked]:
    """Send a request (POST of JSON or bytes if there is a body, else GET) to a path under the base address."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{'GET' if body is None else 'POST'} {parts.path}{path} HTTP/1.1", f"host: {parts.netloc}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [f"content-length: {len(data)}", "connection: close", "", ""]
        writer.write("\r\n".join(lines).encode() + data)
        yield Asked(reader, writer)
    finally:
        writer.transport.abort()


async def ask(url: str, path: str, body: object = None, **headers: str) -> Answer:
    """Ask and read the whole answer."""
    async with asking(url, path, body, **headers) as asked:
        return await asked.answer()


def chat(text: str = "hello", **more: object) -> dict[str, object]:
    """The body of a chat request."""
    return {"model": "sim-chat", "messages": [{"role": "user", "content": text}], **more}
