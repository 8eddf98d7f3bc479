"""A task that does its work whenever the bell rings, and looks by itself from time to time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from doorward.hall.errors import DoorwardError

_FAILED_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 5.0
_log = structlog.get_logger("doorward.stores")


class Pump:
    """Runs `work` again and again, never twice at a time; what `work` raises is logged and tried again."""

    def __init__(self, name: str, work: Callable[[], Awaitable[float]]) -> None:
        """`work` returns after how many seconds it wants to look again if nobody rings."""
        self._name = name
        self._work = work
        self._bell = asyncio.Event()
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running event loop; does nothing if it runs already."""
        if self._task is None:
            self._is_stopping = False
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Let the work in hand finish (at most five seconds), and end."""
        task, self._task, self._loop = self._task, None, None
        self._is_stopping = True
        self._bell.set()
        if task is not None:
            await asyncio.wait([task], timeout=_STOP_SECONDS)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def ring(self) -> None:
        """There is something to do."""
        self._bell.set()

    def ring_from_thread(self) -> None:
        """There is something to do, said from another thread. Does nothing while the pump stands still."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._bell.set)

    async def _run(self) -> None:
        while not self._is_stopping:
            self._bell.clear()
            try:
                wait_seconds = await self._work()
            except DoorwardError as error:
                _log.warning("pump_failed", pump=self._name, code=error.code)
                wait_seconds = _FAILED_SECONDS
            except Exception:  # noqa: BLE001 - whatever it is: it is in the log, and the next round tries again
                _log.exception("pump_failed", pump=self._name, code="unexpected")
                wait_seconds = _FAILED_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), wait_seconds)
