"""What everybody in a siege stands on: the target, the mailboxes, the crowd, the clock and the notebook."""

import asyncio
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from doorward.siege.crowd import Crowd, Margins
from doorward.siege.mailboxes import Mailboxes
from doorward.siege.model import RunRecord
from doorward.siege.proofs import SolverPool
from doorward.siege.scenario import Scenario
from doorward.siege.target import Target


@dataclass(slots=True)
class Ground:
    """Shared by people and attackers.

    `began` is the `perf_counter` of second 0, `model` the AI model to ask. Each kind of visitor draws from a crowd of
    its own, so that how busy one is does not change who another is. `salt` only enters people's names: a mailbox
    can sign up once, and a siege may be run again.
    """

    scenario: Scenario
    record: RunRecord
    target: Target
    mailboxes: Mailboxes
    margins: Margins
    solvers: SolverPool
    began: float = field(default_factory=time.perf_counter)
    model: str = "default"
    salt: str = ""
    _crowds: dict[str, Crowd] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def crowd(self, kind: str) -> Crowd:
        """The crowd of a kind of visitor."""
        if kind not in self._crowds:
            seed = f"{self.record.seed}/{kind}"
            rngs = (random.Random(seed), random.Random(f"{seed}/{self.salt}"))  # noqa: S311  # a simulation's dice
            self._crowds[kind] = Crowd(self.scenario, self.margins, *rngs, used=self._names)
        return self._crowds[kind]

    def now_s(self) -> float:
        """Seconds since the siege began."""
        return time.perf_counter() - self.began

    def restart_clock(self) -> None:
        """Begin second 0 now."""
        self.began = time.perf_counter()

    async def until(self, moment_s: float) -> None:
        """Sleep until a moment of the siege."""
        wait = moment_s - self.now_s()
        if wait > 0:
            await asyncio.sleep(wait)


class Troop:
    """Tasks that belong together. An unexpected error in one is raised by `finish`, never dropped."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None

    def send(self, work: Coroutine[Any, Any, None]) -> None:
        """Start one."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def __len__(self) -> int:
        return len(self._tasks)

    async def finish(self, grace_seconds: float) -> None:
        """Wait for everybody for so long, then call off the rest.

        Raises:
            Exception: what went unexpectedly wrong in one of them.
        """
        if self._tasks and grace_seconds > 0:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        rest = list(self._tasks)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        if self._error is not None:
            raise self._error

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and self._error is None:
            self._error = task.exception()
