"""What a siege writes down: records of what happened to whom, in seconds since the siege began."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """How a sign-up ended."""

    ADMITTED = "admitted"  # an account in the lane `existing`
    PROBATION = "probation"  # an account at once, with a small allowance
    WAITLISTED = "waitlisted"  # a durable place in line
    REFUSED = "refused"  # the target said no, or (bots) the price was more than the bot would pay
    LOST = "lost"  # turned away with neither an account nor a place: errors, silence, no mail


class Side(StrEnum):
    """Whose sign-up it was. The target is never told."""

    PERSON = "person"
    BOT = "bot"


class Phase(StrEnum):
    """The parts of a siege, in their order."""

    CALM = "calm"
    SURGE = "surge"
    ATTACK = "attack"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Span:
    """A phase's place in time."""

    phase: Phase
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class SignupRecord:
    """One sign-up. `delay_s` is what the door cost: from handing the form in to being in, without own typing."""

    side: Side
    began_s: float
    ended_s: float
    outcome: Outcome
    delay_s: float | None = None
    way: str = "api"  # `api`, `page` or `no-script`
    why: str = ""  # what the target or the line said, when it did not end well


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """One streamed chat of somebody who belongs."""

    at_s: float
    is_ok: bool
    was_challenged: bool
    first_byte_ms: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class LoginRecord:
    """One log-in: a try of the stuffing run, or an owner's own."""

    at_s: float
    is_owner: bool
    got_in: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class PostureChange:
    """The target changed how it treats a cohort (`*` for everybody)."""

    at_s: float
    cohort: str
    from_level: str
    to_level: str
    reason: str


@dataclass(frozen=True, slots=True)
class LagRecord:
    """How late the siege's own event loop was: latencies may hold this much of the siege itself."""

    at_s: float
    lag_ms: float


@dataclass(slots=True)
class RunRecord:
    """Everything a siege wrote down."""

    scenario: str
    seed: int
    seconds: float
    spans: tuple[Span, ...]
    signups: list[SignupRecord] = field(default_factory=list)
    chats: list[ChatRecord] = field(default_factory=list)
    logins: list[LoginRecord] = field(default_factory=list)
    posture: list[PostureChange] = field(default_factory=list)
    lags: list[LagRecord] = field(default_factory=list)
    tallies: Counter[str] = field(default_factory=Counter)  # `<kind>/<what came back>` -> how often
    data_sources: tuple[str, ...] = ()  # where shapes and addresses were drawn from

    def span(self, phase: Phase) -> Span | None:
        """The phase's place in time; None if the scenario has no such phase."""
        return next((span for span in self.spans if span.phase is phase), None)

    def phase_at(self, at_s: float) -> Phase:
        """The phase of a moment; the last one after the end."""
        return next((span.phase for span in self.spans if at_s < span.end_s), self.spans[-1].phase)
