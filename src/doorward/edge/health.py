"""Is the process alive, and whom can it serve? `/healthz` and `/readyz`.

Readiness is per lane. People who belong are served from the snapshot in memory, so a database that is away leaves
them, and the process's readiness, green: a load balancer that took every node out because of one shared database
would lock out exactly those whom we must keep. Only a process that can't serve them (it is starting or stopping)
answers 503. Newcomers' lane says `degraded` meanwhile.
"""

import asyncio
import time
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from doorward.edge.view import HouseView, Probe
from doorward.hall.errors import DoorwardError

LOG: Final = structlog.get_logger("doorward.edge")
_PATIENCE_SECONDS: Final = 2.0
_FRESH_SECONDS: Final = 1.0


class Health:
    """Answers the two questions. Parts are asked at most once a second, however often we are asked."""

    def __init__(self, house: HouseView) -> None:
        self._house = house
        self._parts: dict[str, str] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    def routes(self) -> list[Route]:
        """The two addresses."""
        return [
            Route("/healthz", self._alive, methods=["GET"]),
            Route("/readyz", self._ready, methods=["GET"]),
        ]

    async def _alive(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _ready(self, _request: Request) -> Response:
        parts = await self._states()
        is_serving = self._house.is_serving()
        signups = "away" if not is_serving else "degraded" if "away" in parts.values() else "ok"
        content = {
            "ready": is_serving,
            "lanes": {"existing": "ok" if is_serving else "away", "signups": signups},
            "parts": parts,
        }
        return JSONResponse(content, 200 if is_serving else 503, headers={} if is_serving else {"Retry-After": "2"})

    async def _states(self) -> dict[str, str]:
        async with self._asking:
            if time.monotonic() - self._asked_at > _FRESH_SECONDS:
                states = await asyncio.gather(*(_state(name, probe) for name, probe in self._house.probes.items()))
                self._parts = dict(zip(self._house.probes, states, strict=True))
                self._asked_at = time.monotonic()
        return self._parts


async def _state(name: str, probe: Probe) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            doubt = await probe()
    except (DoorwardError, OSError, TimeoutError) as error:
        LOG.warning("part_away", part=name, error=type(error).__name__)
        return "away"
    return doubt or "ok"
