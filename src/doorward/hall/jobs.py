"""Work that a room does by itself, again and again. The house runs it; a failure is logged and tried again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from doorward.hall.errors import UnavailableError

_log = structlog.get_logger("doorward.hall")
_LONGEST_PAUSE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of recurring work.

    `on_each_node`: every process does it (snapshots, detection); otherwise only processes that have the role
    `worker` or `all`, and the work itself must bear being done by two at once.
    """

    name: str
    every_seconds: float
    work: Callable[[], Awaitable[None]]
    on_each_node: bool = False


class JobRunner:
    """Runs jobs until it is stopped: each at its own pace, never twice at once, slower while it fails."""

    def __init__(self, jobs: Iterable[Job], *, is_worker: bool) -> None:
        """`is_worker`: whether this process also does the work that need not be done on each node."""
        self._jobs = [job for job in jobs if job.on_each_node or is_worker]
        self._tasks: list[asyncio.Task[None]] = []
        self.failures: dict[str, int] = {}

    def start(self) -> None:
        """Begin; every job runs for the first time after its own pace."""
        self._tasks = [asyncio.create_task(self._repeat(job), name=f"job {job.name}") for job in self._jobs]

    async def stop(self) -> None:
        """Cancel what waits and what runs, and return when all have ended."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _repeat(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + job.every_seconds
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            failed = not await self._run(job)
            pause = job.every_seconds
            if failed:
                pause = max(pause, min(_LONGEST_PAUSE_SECONDS, pause * 2 ** self.failures[job.name]))
            due = max(due + pause, loop.time())

    async def _run(self, job: Job) -> bool:
        try:
            await job.work()
        except UnavailableError as error:
            _log.warning("job_put_off", job=job.name, code=error.code)
        except Exception:  # noqa: BLE001  # whatever went wrong with one job, the others and the next try go on
            _log.exception("job_failed", job=job.name)
        else:
            self.failures.pop(job.name, None)
            return True
        self.failures[job.name] = min(self.failures.get(job.name, 0) + 1, 10)
        return False
