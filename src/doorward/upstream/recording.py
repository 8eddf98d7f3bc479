"""Recording, where an operator turned it on: copies of relayed bodies, taken beside the relay and never in its way.

1. The relay hands each piece of a body over as it passes; what is kept are references to those same bytes, up to a
   bound for each exchange and one for all. No piece is looked at, changed or waited for here.
2. When memory is full, an exchange is dropped whole and counted: a gap is better than a slower answer.
3. What is complete waits until `recordings` fetches it to redact, seal and write it.
"""

import random
import re
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from doorward.upstream.heads import RelayRequest
from doorward.upstream.transcript import Body

_BODIES: Final = frozenset({b"POST", b"PUT", b"PATCH"})
_LONGEST_HEADER: Final = 200
_PATH: Final = re.compile(r"/v1/[a-z_]{1,40}(?:/[a-z_]{1,40})?(?![^/])")  # what is asked for, without names in it


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRules:
    """How much is recorded. Sizes in bytes; `share` of the exchanges, from 0 to 1."""

    body_bytes: int
    memory_bytes: int
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """One exchange that has ended, as it was copied."""

    account_id: str
    request_id: str
    path: str  # `/v1/chat/completions`; `/v1/` for one of an unknown form
    status: int  # of the answer; 0: none came
    outcome: str  # as the relay counts it: `ok`, `gone` or the code of a fault
    prompt: Body
    answer: Body

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return len(self.prompt.data) + len(self.answer.data)


class Recorder:
    """Makes tapes, and keeps the finished ones until they are fetched. Lives in the loop's thread."""

    def __init__(self, rules: RecordingRules) -> None:
        """Begin with nothing."""
        self.rules = rules
        self.held_bytes = 0
        self.counts: Counter[str] = Counter()
        self._done: deque[Exchanged] = deque()
        self._running: set[Tape] = set()

    def begin(self, request: RelayRequest) -> "Tape | None":
        """A tape for a request; None where it is not recorded."""
        if request.method not in _BODIES or random.random() >= self.rules.share:  # noqa: S311  # a sample, no secret
            return None
        if self.held_bytes >= self.rules.memory_bytes:
            self.counts["dropped"] += 1
            return None
        tape = Tape(self, request)
        self._running.add(tape)
        return tape

    def take(self, number: int) -> list[Exchanged]:
        """Fetch finished exchanges, the oldest first; `settle` or `give_back` follows."""
        return [self._done.popleft() for _ in range(min(number, len(self._done)))]

    def settle(self, exchanges: list[Exchanged]) -> None:
        """These are written, or not wanted any more: their memory is free."""
        self.held_bytes -= sum(each.size_bytes for each in exchanges)

    def give_back(self, exchanges: list[Exchanged]) -> None:
        """They could not be written yet."""
        self._done.extendleft(reversed(exchanges))

    def forget(self, account_id: str) -> None:
        """Drop what is in memory of an account."""
        for tape in [each for each in self._running if each.account_id == account_id]:
            tape.drop()
        gone = [each for each in self._done if each.account_id == account_id]
        self._done = deque(each for each in self._done if each.account_id != account_id)
        self.settle(gone)

    def grow(self, tape: "Tape", size: int) -> None:
        """Count memory that a tape takes; past the bound that tape is dropped."""
        self.held_bytes += size
        if self.held_bytes > self.rules.memory_bytes:
            tape.drop()
            self.counts["dropped"] += 1

    def stop(self, tape: "Tape", exchanged: Exchanged | None) -> None:
        """A tape has ended: with an exchange, or dropped."""
        self._running.discard(tape)
        if exchanged is not None:
            self._done.append(exchanged)

    def figures(self) -> dict[str, float]:
        """Counts since the start, and what is in memory."""
        return {
            "upstream_recordings_held_bytes": float(self.held_bytes),
            "upstream_recordings_waiting": float(len(self._done)),
            "upstream_recordings_dropped_total": float(self.counts["dropped"]),
            "upstream_recordings_written_total": float(self.counts["written"]),
        }


class Tape:
    """The copy of one exchange while it runs. The relay calls it; every call is short and cannot fail."""

    __slots__ = ("_answer", "_encoding", "_kind", "_prompt", "_recorder", "_request", "_status", "account_id")

    def __init__(self, recorder: Recorder, request: RelayRequest) -> None:
        self.account_id = request.standing.account_id
        self._recorder: Recorder | None = recorder
        self._request = request
        self._prompt = _Copy()
        self._answer = _Copy()
        self._status = 0
        self._kind = self._encoding = ""

    def prompt(self, data: bytes) -> None:
        """Some of the request's body."""
        if self._recorder is not None:
            self._recorder.grow(self, self._prompt.add(data, self._recorder.rules.body_bytes))

    def head(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """The head of the answer."""
        self._status = status
        for name, value in fields:
            lower = name.lower()
            if lower == b"content-type":
                self._kind = value[:_LONGEST_HEADER].decode("latin-1")
            elif lower == b"content-encoding":
                self._encoding = value[:_LONGEST_HEADER].decode("latin-1")

    def answer(self, pieces: list[bytes]) -> None:
        """Some of the answer's body."""
        for piece in pieces:
            if self._recorder is None:
                return
            self._recorder.grow(self, self._answer.add(piece, self._recorder.rules.body_bytes))

    def end(self, outcome: str) -> None:
        """The exchange is over."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        request = self._request
        exchanged = Exchanged(
            account_id=self.account_id,
            request_id=request.request_id.decode("latin-1"),
            path=found[0] if (found := _PATH.match(request.path)) else "/v1/",
            status=self._status,
            outcome=outcome,
            prompt=self._prompt.body(_field(request, b"content-type:"), _field(request, b"content-encoding:")),
            answer=self._answer.body(self._kind, self._encoding),
        )
        recorder.stop(self, exchanged)

    def drop(self) -> None:
        """Keep nothing of this exchange."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.held_bytes -= self._prompt.held + self._answer.held
            self._prompt, self._answer = _Copy(), _Copy()
            recorder.stop(self, None)


class _Copy:
    """The beginning of one body, as the pieces that it came in, and how long it was in all."""

    __slots__ = ("held", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.held = 0
        self.size = 0

    def add(self, piece: bytes, limit: int) -> int:
        """Keep a piece as far as there is room; returns the bytes kept."""
        self.size += len(piece)
        room = limit - self.held
        if room <= 0:
            return 0
        kept = piece if len(piece) <= room else piece[:room]
        self.pieces.append(kept)
        self.held += len(kept)
        return len(kept)

    def body(self, kind: str, encoding: str) -> Body:
        return Body(b"".join(self.pieces), self.size, kind, encoding)


def _field(request: RelayRequest, name: bytes) -> str:
    """The value of a request's header line; empty if it has none. `name` ends with the colon."""
    for line in request.prepared or request.lines:
        if line[: len(name)].lower() == name:
            return line[len(name) :][:_LONGEST_HEADER].strip().decode("latin-1")
    return ""
