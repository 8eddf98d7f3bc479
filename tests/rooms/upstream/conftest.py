"""A simulator per test, and the way to wait for what happens elsewhere."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from doorward.upstream.simulator import Knobs, Simulator

sys.path.insert(0, str(Path(__file__).parent))  # for `wire`

Start = Callable[..., Awaitable[Simulator]]


@pytest.fixture
async def simulate() -> AsyncIterator[Start]:
    """Starts simulators that work at once unless told otherwise, and stops them at the end."""
    async with AsyncExitStack() as stack:

        async def start(**knobs: Any) -> Simulator:
            fast = {"time_to_first_token_ms": 0, "tokens_per_second": 1e6}
            return await stack.enter_async_context(Simulator(Knobs(**fast | knobs)))

        yield start


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits until something is so; fails after a long time."""

    async def wait(is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not is_so():  # noqa: ASYNC110  # it happens in somebody else's code
                await asyncio.sleep(0.005)

    return wait
