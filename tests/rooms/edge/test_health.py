"""Readiness is per lane: a database that is away never takes out the people who belong."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from doorward.edge import health
from doorward.edge.app import build_app
from doorward.edge.view import HouseView
from doorward.hall.errors import UnavailableError


class Part:
    """A part that can be away, and counts how often it is asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0

    async def __call__(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error


def client_of(client: Any, house: HouseView, **changes: Any) -> Any:
    return type(client)(build_app(replace(house, **changes)))


async def test_all_is_well(client: Any, house: HouseView) -> None:
    answer = await client_of(client, house, probes={"database": Part()}).get("/readyz")
    assert answer.status == 200
    assert answer.json == {"ready": True, "lanes": {"existing": "ok", "signups": "ok"}, "parts": {"database": "ok"}}


@pytest.mark.parametrize("error", [UnavailableError(), ConnectionRefusedError(), TimeoutError()])
async def test_a_part_away_leaves_people_served(client: Any, house: HouseView, error: Exception) -> None:
    answer = await client_of(client, house, probes={"database": Part(error), "counters": Part()}).get("/readyz")
    assert answer.status == 200
    assert answer.json["lanes"] == {"existing": "ok", "signups": "degraded"}
    assert answer.json["parts"] == {"database": "away", "counters": "ok"}


async def test_a_part_that_never_answers(client: Any, house: HouseView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PATIENCE_SECONDS", 0.01)

    async def silent() -> None:
        await asyncio.Event().wait()

    answer = await client_of(client, house, probes={"database": silent}).get("/readyz")
    assert answer.json["parts"] == {"database": "away"}


async def test_a_process_that_cannot_serve_is_not_ready(client: Any, house: HouseView) -> None:
    answer = await client_of(client, house, is_serving=lambda: False).get("/readyz")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "2"
    assert answer.json["lanes"] == {"existing": "away", "signups": "away"}


async def test_asking_often_asks_the_parts_once(client: Any, house: HouseView) -> None:
    part = Part()
    served = client_of(client, house, probes={"database": part})
    await asyncio.gather(*(served.get("/readyz") for _ in range(20)))
    assert part.asked == 1


async def test_alive(client: Any) -> None:
    answer = await client.get("/healthz")
    assert (answer.status, answer.text) == (200, "ok\n")
