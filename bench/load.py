"""Load for the benchmarks: keep-alive connections that send prepared requests at a steady pace and time the answers.

Open loop: a request is due at its time whether or not the one before was answered, and its latency counts from the
moment it was due. Otherwise a server that stalls would also stop being asked, and its worst moments would not show.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import httptools

PATIENCE_SECONDS = 10  # for what is under way when a load ends


@dataclass
class Answers:
    """What came back: latencies in seconds by status code."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    unanswered: int = 0

    def add(self, status: int, seconds: float) -> None:
        """Count one answer."""
        self.latencies.append(seconds)
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def percentile_ms(self, percent: float) -> float:
        """The latency in milliseconds that `percent` of the answers did not exceed."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, idle: deque["_Connection"]) -> None:
        self.transport: asyncio.Transport | None = None
        self._idle = idle
        self._done: Callable[[int], None] | None = None
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport) -> None:
        self.transport = transport

    def send(self, request: bytes, done: Callable[[int], None]) -> None:
        """Send a request; `done` is called with the status of the whole answer, 0 if none came."""
        self._done = done
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        done, self._done = self._done, None
        status, keeps = self._parser.get_status_code(), self._parser.should_keep_alive()
        self._parser = httptools.HttpResponseParser(self)
        if keeps:
            self._idle.append(self)
        else:
            self.transport.close()
        done(status)

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None
        if self in self._idle:
            self._idle.remove(self)
        if self._done is not None:
            done, self._done = self._done, None
            done(0)


class Load:
    """Sends what `requests` yields, `per_second` of them, over connections that are opened as needed."""

    def __init__(self, host: str, port: int, requests: Iterator[bytes], per_second: float) -> None:
        self._where = (host, port)
        self._requests = requests
        self._gap = 1 / per_second
        self._idle: deque[_Connection] = deque()
        self._under_way = 0
        self._all_back = asyncio.Event()
        self.answers = Answers()

    async def run(self, seconds: float) -> Answers:
        """Keep the pace for so long, wait for the answers, and give them back."""
        start, sent = time.perf_counter(), 0
        while (now := time.perf_counter()) < start + seconds:
            while start + sent * self._gap <= now:
                request = next(self._requests, None)
                if request is None:
                    seconds = 0
                    break
                await self._send(request, start + sent * self._gap)
                sent += 1
            await asyncio.sleep(max(0.0, start + sent * self._gap - time.perf_counter()))
        if self._under_way:
            self._all_back.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_back.wait(), PATIENCE_SECONDS)
        self.answers.unanswered += self._under_way
        return self.answers

    async def _send(self, request: bytes, due: float) -> None:
        if not self._idle:
            loop = asyncio.get_running_loop()
            await loop.create_connection(self._opened, *self._where)
        connection = self._idle.popleft()
        self._under_way += 1

        def done(status: int) -> None:
            self._under_way -= 1
            if not self._under_way:
                self._all_back.set()
            if status:
                self.answers.add(status, time.perf_counter() - due)
            else:
                self.answers.unanswered += 1

        connection.send(request, done)

    def _opened(self) -> _Connection:
        connection = _Connection(self._idle)
        self._idle.append(connection)
        return connection

    def close(self) -> None:
        """Close the idle connections."""
        for connection in [*self._idle]:
            if connection.transport:
                connection.transport.close()


async def saturate(host: str, port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Answers:
    """Closed loop: on each connection the next request follows the answer, for so long or until there are no more."""
    answers, loop = Answers(), asyncio.get_running_loop()
    end = time.perf_counter() + seconds
    pool: list[_Connection] = []
    finished = asyncio.Event()
    working = connections

    def ask(connection: _Connection) -> None:
        nonlocal working
        request, sent = next(requests, None), time.perf_counter()
        if request is None or sent >= end:
            working -= 1
            if not working:
                finished.set()
            return

        def done(status: int) -> None:
            now = time.perf_counter()
            if status and now <= end:
                answers.add(status, now - sent)
            elif not status:
                answers.unanswered += 1
            loop.call_soon(ask, connection)

        connection.send(request, done)

    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: _Connection(deque()), host, port)
        pool.append(connection)
    for connection in pool:
        ask(connection)
    await asyncio.wait_for(finished.wait(), seconds + PATIENCE_SECONDS)
    for connection in pool:
        if connection.transport:
            connection.transport.close()
    return answers


def request(method: str, target: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """One HTTP/1.1 request as bytes."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
