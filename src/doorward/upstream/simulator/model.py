"""The simulator's knobs, the models that it offers, and what it counts."""

from dataclasses import dataclass
from enum import StrEnum

from doorward.upstream.simulator.faults import Fault


class Ability(StrEnum):
    """What a simulated model can do."""

    CHAT = "chat"
    EMBED = "embed"
    DRAW = "draw"


MODELS: dict[str, Ability] = {
    "sim-chat": Ability.CHAT,
    "sim-small": Ability.CHAT,
    "sim-embed": Ability.EMBED,
    "sim-image": Ability.DRAW,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """How the simulated service behaves."""

    time_to_first_token_ms: int = 150
    tokens_per_second: float = 40.0  # in each stream
    slots: int = 64  # answers worked on at once
    queue: int = 256  # requests that may wait for a slot; one more is turned away
    answer_tokens: tuple[int, int] = (24, 87)  # the shortest and the longest answer, unless the asker limits it
    full_status: int = 429  # how: 429 (rate limit) or 503 (overloaded)
    api_key: str = ""  # asked for as a bearer token; empty: anybody may ask
    seed: int = 1
    faults: tuple[Fault, ...] = ()

    def __repr__(self) -> str:
        """Without the key."""
        return f"Knobs(slots={self.slots}, queue={self.queue}, seed={self.seed}, faults={len(self.faults)})"


@dataclass(slots=True)
class Counts:
    """What happened since the start."""

    requests: int = 0
    completed: int = 0
    abandoned: int = 0  # the client went before the end
    turned_away: int = 0  # no slot and no room in the queue
    faulty: int = 0
    working: int = 0  # now
    waiting: int = 0  # now
    most_working: int = 0
