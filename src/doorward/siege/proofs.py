"""Paying the price: a few solver processes with a bounded queue, and the payload that goes with the form."""

import asyncio
import base64
import sys
from asyncio.subprocess import PIPE, Process
from itertools import count
from typing import Any

import msgspec


class NoProofError(Exception):
    """The price will not be paid: too long a queue, an unpayable challenge, or the solvers are gone."""


class SolverPool:
    """Solver processes at the lowest priority, each given one challenge at a time, first come first served."""

    def __init__(self, processes: int, queue_limit: int) -> None:
        self._count = processes
        self._queue_limit = queue_limit
        self._idle: asyncio.Queue[Process] = asyncio.Queue()
        self._processes: list[Process] = []
        self._numbers = count(1)
        self._waiting = 0
        self.solved = 0

    async def start(self) -> None:
        """Start the processes."""
        for _ in range(self._count):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "doorward.siege.solver", stdin=PIPE, stdout=PIPE
            )
            self._processes.append(process)
            self._idle.put_nowait(process)

    async def stop(self) -> None:
        """End every process: by the end of its input, or by force if it is in the middle of a long price."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            try:
                async with asyncio.timeout(1.0):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        self._processes.clear()

    async def solve(self, challenge: dict[str, Any]) -> tuple[int, str]:
        """The counter and derived key of `challenge`.

        Raises:
            NoProofError: the queue is full, the challenge is unpayable, or the solver ended.
        """
        if self._waiting >= self._queue_limit:
            raise NoProofError("too many proofs are waiting")
        self._waiting += 1
        try:
            process = await self._idle.get()
        finally:
            self._waiting -= 1
        work = asyncio.ensure_future(self._ask(process, challenge))
        work.add_done_callback(lambda done: self._release(process, done))  # also when the caller has gone away
        return await asyncio.shield(work)

    def _release(self, process: Process, done: "asyncio.Future[tuple[int, str]]") -> None:
        if not done.cancelled():
            done.exception()  # looked at here, for the caller may have gone away
        self._idle.put_nowait(process)

    async def _ask(self, process: Process, challenge: dict[str, Any]) -> tuple[int, str]:
        if process.stdin is None or process.stdout is None or process.returncode is not None:
            raise NoProofError("the solver has ended")
        number = next(self._numbers)
        try:
            process.stdin.write(msgspec.json.encode({"id": number, "challenge": challenge}) + b"\n")
            line = await process.stdout.readline()
            reply = msgspec.json.decode(line)
        except (OSError, msgspec.DecodeError) as error:
            raise NoProofError("the solver has ended") from error
        if reply["id"] != number or "error" in reply:
            raise NoProofError(reply.get("error", "the solver answered something else"))
        self.solved += 1
        return reply["counter"], reply["key"]


def payload(challenge: dict[str, Any], counter: int, key: str, milliseconds: float) -> str:
    """The ALTCHA v2 payload of a solution, in base 64; `milliseconds` is what the visitor's own device took."""
    solution = {"counter": counter, "derivedKey": key, "time": round(milliseconds, 1)}
    return base64.b64encode(msgspec.json.encode({"challenge": challenge, "solution": solution})).decode()
