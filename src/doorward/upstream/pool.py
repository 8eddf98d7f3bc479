"""Connections to the AI service: kept alive, counted, and each lent to one exchange at a time.

1. An idle connection is lent at once, the most recently used first. One that has been idle for more than a second is
   asked first whether the other side has closed it (one non-blocking peek), for the news may be in the kernel only.
2. Otherwise a new one is opened, up to the limit; past it, exchanges wait in line, and past the line they are refused.
3. A connection returns to the pool only after a whole answer to a wholly sent request.
4. Time is told by `tick`: no timer per request.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from doorward.upstream.connection import Borrower, Connection
from doorward.upstream.trust import fault_of


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the AI service is. `base_path` replaces the `/v1` of a relayed target."""

    host: str
    port: int
    base_path: bytes
    authority: bytes  # for the Host header
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, url: str, tls: ssl.SSLContext | None = None) -> Self:
        """The origin of a base address such as `http://127.0.0.1:8000/v1`.

        `tls` replaces the system's default trust (for a private certificate authority).

        Raises:
            ValueError: it is no http or https URL with a host.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ValueError("the upstream needs an address such as http://127.0.0.1:8000/v1")
        is_tls = parts.scheme == "https"
        return cls(
            host=parts.hostname,
            port=parts.port or (443 if is_tls else 80),
            base_path=parts.path.rstrip("/").encode("ascii"),
            authority=parts.netloc.encode("ascii"),
            tls=(tls or ssl.create_default_context()) if is_tls else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How many connections, and for how long."""

    max_connections: int = 1_024
    max_waiting: int = 1_024
    connect_timeout_seconds: float = 5.0
    keep_idle_seconds: float = 4.0  # below the 5 s after which uvicorn, and with it vLLM, closes an idle one


class Pool:
    """All connections to one origin."""

    def __init__(self, origin: Origin, limits: PoolLimits) -> None:
        self._origin = origin
        self._limits = limits
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._count = 0  # open ones and those that are being opened
        self._waiting: deque[Borrower] = deque()
        self._now = 0.0

    def figures(self) -> dict[str, float]:
        """How many connections are open and idle, and how many exchanges wait for one."""
        return {
            "upstream_connections": float(len(self._open)),
            "upstream_connections_idle": float(len(self._idle)),
            "upstream_waiting": float(len(self._waiting)),
        }

    def acquire(self, borrower: Borrower) -> None:
        """Have a connection lent to the borrower, now or as soon as one is free."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_alive(self._now):
                connection.lend(borrower, is_reused=True)
                return
            connection.close()
        if self._count < self._limits.max_connections:
            self._start(borrower)
        elif len(self._waiting) < self._limits.max_waiting:
            self._waiting.append(borrower)
        else:
            borrower.not_connected("busy")

    def release(self, connection: Connection) -> None:
        """Take a connection back after a whole exchange; one that may not be used again is closed by itself."""
        if not connection.is_reusable():
            return
        borrower = self._next_waiting()
        if borrower is not None:
            connection.lend(borrower, is_reused=True)
        else:
            connection.idle_since = self._now
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """A connection is gone; somebody who waits may have a new one."""
        if connection not in self._open:
            return
        self._open.discard(connection)
        self._count -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        borrower = self._next_waiting()
        if borrower is not None:
            self._start(borrower)

    def _next_waiting(self) -> Borrower | None:
        while self._waiting:
            borrower = self._waiting.popleft()
            if not borrower.is_cancelled:
                return borrower
        return None

    def _start(self, borrower: Borrower) -> None:
        self._count += 1
        task = asyncio.get_running_loop().create_task(self._connect(borrower))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, borrower: Borrower) -> None:
        origin, loop = self._origin, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.connect_timeout_seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(self), origin.host, origin.port, ssl=origin.tls
                )
        except TimeoutError:
            self._failed(borrower, "timeout")
        except OSError as error:  # refused, unreachable, unknown host, TLS that fails
            self._failed(borrower, fault_of(error))
        else:
            self._opened(borrower, connection)

    def _failed(self, borrower: Borrower, fault: str) -> None:
        self._count -= 1
        borrower.not_connected(fault)
        following = self._next_waiting()
        if following is not None:
            self._start(following)

    def _opened(self, borrower: Borrower, connection: Connection) -> None:
        if not connection.is_reusable():  # closed again before anybody could use it
            self._failed(borrower, "connect")
            return
        self._open.add(connection)
        if borrower.is_cancelled:
            self.release(connection)
        else:
            connection.lend(borrower, is_reused=False)

    def tick(self, now: float) -> None:
        """Seconds on any steady clock: closes what has been idle for too long."""
        self._now = now
        oldest = now - self._limits.keep_idle_seconds
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle[0].close()

    async def close(self) -> None:
        """Close every connection; exchanges that run are lost."""
        for task in list(self._opening):
            task.cancel()
        for connection in list(self._open):
            connection.transport.abort()
        await asyncio.gather(*self._opening, return_exceptions=True)
