"""The simulated service on a socket: inside a process that has other work, or as one of its own."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from doorward.upstream.settings import UpstreamSettings
from doorward.upstream.simulator.answers import Workshop
from doorward.upstream.simulator.app import build_app
from doorward.upstream.simulator.faults import parse_fault
from doorward.upstream.simulator.model import Counts, Knobs

GRACE_SECONDS = 1
BACKLOG = 1_024


class Simulator:
    """Starts on the running event loop and serves until it is stopped.

    `port` 0 takes a free one; `url` is the base address that `upstream.url` takes.
    """

    def __init__(self, knobs: Knobs | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self._knobs = knobs or Knobs()
        self._address = (host, port)
        self._workshop: Workshop | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.url = ""

    @classmethod
    def built_in(cls, settings: UpstreamSettings) -> Self:
        """The simulator as `[upstream]` sets it, on a free port of this machine alone.

        Raises:
            ValueError: a fault is not written as one (`config` has checked that).
        """
        knobs = Knobs(
            time_to_first_token_ms=settings.simulator_time_to_first_token_ms,
            tokens_per_second=settings.simulator_tokens_per_second,
            slots=settings.simulator_slots,
            queue=settings.simulator_queue,
            full_status=settings.simulator_full_status,
            api_key=settings.api_key,
            seed=settings.simulator_seed,
            faults=tuple(map(parse_fault, settings.simulator_faults)),
        )
        return cls(knobs)

    @property
    def counts(self) -> Counts:
        """What happened since the start."""
        return self._workshop.counts if self._workshop else Counts()

    async def start(self) -> None:
        """Listen and serve.

        Raises:
            OSError: the address cannot be had.
        """
        listener = _listener(self._address)
        host, port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
        self._workshop = Workshop(self._knobs)
        config = uvicorn.Config(
            build_app(self._workshop), http=_Protocol, ws="none", lifespan="off", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, timeout_graceful_shutdown=GRACE_SECONDS, backlog=BACKLOG,
        )  # fmt: skip
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="simulator")
        await self._server.is_listening.wait()

    async def stop(self) -> None:
        """End what is running within a second and close the socket."""
        if self._server and self._serving:
            self._server.should_exit = True
            await self._serving
            self._server = self._serving = None

    async def wait(self) -> None:
        """Until it is stopped."""
        if self._serving:
            await asyncio.shield(self._serving)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()


def _listener(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.create_server(address, family=family, backlog=BACKLOG)
    listener.setblocking(False)
    return listener


class _Server(uvicorn.Server):
    """Uvicorn without its hands on the process's signals, for it may share the process with Doorward."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to whoever runs the process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell who waits for it."""
        await super().startup(sockets=sockets)
        self.is_listening.set()


class _Protocol(HttpToolsProtocol):
    """Uvicorn's protocol with a log of its own: an answer cut on purpose is no error of the process."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _LOGGER


def _was_not_meant(record: logging.LogRecord) -> bool:
    return "without completing response" not in record.getMessage()


_LOGGER = logging.getLogger("doorward.simulator")
_LOGGER.addFilter(_was_not_meant)
