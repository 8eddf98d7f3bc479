"""How an answer goes out: when each piece is due, what a fault does to it, and that it stops when the asker is gone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from doorward.upstream.simulator.faults import FaultKind, chosen_fault
from doorward.upstream.simulator.model import Counts, Knobs
from doorward.upstream.simulator.shapes import ApiError
from doorward.upstream.simulator.slots import FullError, Slots, Ticker

STEP_SECONDS = 0.02


class Workshop:
    """Where answers are made: slots, pace and the schedule of faults of one simulator."""

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self.counts = Counts()
        self.slots = Slots(knobs.slots, knobs.queue, self.counts)
        self.ticker = Ticker(STEP_SECONDS)
        self._started = asyncio.get_running_loop().time()

    def next_request(self) -> tuple[int, FaultKind | None]:
        """Number a request and draw its fault."""
        self.counts.requests += 1
        elapsed = asyncio.get_running_loop().time() - self._started
        fault = chosen_fault(self.knobs.faults, self.knobs.seed, self.counts.requests, elapsed)
        self.counts.faulty += fault is not None
        return self.counts.requests, fault


@dataclass(slots=True)
class Answer:
    """One answer as an ASGI application: `pieces` go out one by one from the first token on."""

    workshop: Workshop
    pieces: Sequence[bytes]
    content_type: bytes
    is_stream: bool
    tokens: int  # how many tokens long the work is
    fault: FaultKind | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for a slot, work at the set pace, and send."""
        counts = self.workshop.counts
        if self.fault is FaultKind.ERROR:
            failed = ApiError(500, "The server had an error while processing your request.")
            await failed.response()(scope, receive, send)
            return
        try:
            async with _while_there(receive), self.workshop.slots.taken():
                is_whole = await (self._stream(send) if self.is_stream else self._plain(send))
            if is_whole:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                counts.completed += 1
        except FullError:
            status = self.workshop.knobs.full_status
            code = "rate_limit_exceeded" if status == 429 else "overloaded"
            full = ApiError(status, "The engine is overloaded; please try again later.", code=code)
            await full.response()(scope, receive, send)
        except TimeoutError:
            counts.abandoned += 1

    async def _plain(self, send: Send) -> bool:
        """The whole answer when it is ready; returns whether it was sent as a whole."""
        if self.fault is FaultKind.STALL:
            await asyncio.Event().wait()  # ends when the asker goes
        await self._due(self._begin(), self.tokens)
        body = b"".join(self.pieces)
        await self._head(send, (b"content-length", b"%d" % len(body)))
        is_cut = self.fault is FaultKind.CUT
        await send(
            {"type": "http.response.body", "body": body[: len(body) // 2] if is_cut else body, "more_body": True}
        )
        return not is_cut

    async def _stream(self, send: Send) -> bool:
        """Piece by piece, those that are due at one step together; returns whether all were sent."""
        begin, loop = self._begin(), asyncio.get_running_loop()
        await self._head(send, (b"cache-control", b"no-cache"))
        total = len(self.pieces)
        end = total // 2 if self.fault in {FaultKind.STALL, FaultKind.CUT} else total
        sent = 0
        while sent < end:
            await self._due(begin, sent)
            ready = int((loop.time() - begin) * self.workshop.knobs.tokens_per_second) + 1
            upto = min(max(sent + 1, ready), end)
            await send({"type": "http.response.body", "body": b"".join(self.pieces[sent:upto]), "more_body": True})
            sent = upto
        if self.fault is FaultKind.STALL:
            await asyncio.Event().wait()  # ends when the asker goes
        return end == total

    def _begin(self) -> float:
        """When the first token is due, on the loop's clock."""
        return asyncio.get_running_loop().time() + self.workshop.knobs.time_to_first_token_ms / 1_000

    async def _due(self, begin: float, tokens: int) -> None:
        """Wait until so many tokens have been made."""
        await self.workshop.ticker.until(begin + tokens / self.workshop.knobs.tokens_per_second)

    async def _head(self, send: Send, header: tuple[bytes, bytes]) -> None:
        headers = [(b"content-type", self.content_type), header]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


@asynccontextmanager
async def _while_there(receive: Receive) -> AsyncIterator[None]:
    """Raise TimeoutError inside as soon as the asker has gone. The request's body must have been read."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as patience:
        gone = asyncio.ensure_future(receive())

        def leave(_: object) -> None:
            patience.reschedule(loop.time())

        gone.add_done_callback(leave)
        try:
            yield
        finally:
            gone.remove_done_callback(leave)
            gone.cancel()
