"""From records to the result, and from the result to a judgement. Pure: no clock, no socket.

1. People and bots are counted by how their sign-ups ended. `lost` counts everybody turned away with no place in
   line, so it includes the refused: attempted = admitted + probation + waitlisted + lost (people), and
   attempted = admitted + probation + waitlisted + refused (bots: held by the price counts as refused).
2. Existing users are measured over the whole run; the quiet figures come from the calm phase alone, the others
   from the attack phase (from the whole run where a scenario has no attack).
3. The first action is the first tightening after the attack began; the reopening is when the last cohort that had
   been tightened was open again, and stayed so.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from doorward.siege.model import ChatRecord, Outcome, Phase, PostureChange, RunRecord, Side

OPEN: Final = "open"
_LEVELS: Final = ("open", "careful", "probation", "waitlist")


class PeopleResult(msgspec.Struct, frozen=True, kw_only=True):
    """Newcomers who are people."""

    attempted: int
    admitted: int
    probation: int
    waitlisted: int
    refused: int
    lost: int
    delay_p50_s: float | None
    delay_p95_s: float | None


class BotsResult(msgspec.Struct, frozen=True, kw_only=True):
    """The sign-up botnet."""

    attempted: int
    admitted: int
    probation: int
    waitlisted: int
    refused: int


class ExistingResult(msgspec.Struct, frozen=True, kw_only=True):
    """People who already belong. Milliseconds to the first byte of the answer's body."""

    requests: int
    ok: int
    challenged: int
    p50_ms: float | None
    p99_ms: float | None
    quiet_p50_ms: float | None
    quiet_p99_ms: float | None


class StuffingResult(msgspec.Struct, frozen=True, kw_only=True):
    """Credential stuffing, and what it did to owners who logged in meanwhile on their own devices."""

    attempts: int
    takeovers: int
    owners_refused: int


class PostureResult(msgspec.Struct, frozen=True, kw_only=True, rename={"from_level": "from", "to_level": "to"}):
    """One change of the door."""

    t_s: float
    cohort: str
    from_level: str
    to_level: str
    reason: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `siege --json` writes. A seeded crowd: a simulation, not field figures."""

    scenario: str
    seed: int
    seconds: float
    people: PeopleResult
    bots: BotsResult
    existing: ExistingResult
    stuffing: StuffingResult
    posture: list[PostureResult]
    first_action_s: float | None
    reopened_after_s: float | None


def result_schema() -> dict[str, Any]:
    """The JSON Schema of the result."""
    return msgspec.json.schema(Result)


def quantile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least `share` (0 to 1) of all values do not exceed; None of nothing."""
    ranked = sorted(values)
    if not ranked:
        return None
    return ranked[min(len(ranked) - 1, max(0, math.ceil(share * len(ranked)) - 1))]


def score(record: RunRecord) -> Result:
    """Count a run."""
    attack = record.span(Phase.ATTACK)
    return Result(
        scenario=record.scenario,
        seed=record.seed,
        seconds=round(record.seconds, 3),
        people=_people(record),
        bots=_bots(record),
        existing=_existing(record),
        stuffing=_stuffing(record),
        posture=[_change(change) for change in sorted(record.posture, key=lambda change: change.at_s)],
        first_action_s=first_action(record.posture, attack.start_s) if attack else None,
        reopened_after_s=reopened_after(record.posture, attack.end_s) if attack else None,
    )


def first_action(posture: Sequence[PostureChange], attack_start_s: float) -> float | None:
    """Seconds from the attack's start to the first tightening; None if there was none."""
    moments = [c.at_s for c in posture if c.at_s >= attack_start_s and is_tightening(c)]
    return round(min(moments) - attack_start_s, 2) if moments else None


def reopened_after(posture: Sequence[PostureChange], attack_end_s: float) -> float | None:
    """Seconds from the attack's end until every cohort was open for good; None if one never was, or none tightened."""
    levels: dict[str, str] = {}
    open_since: float | None = None
    for change in sorted(posture, key=lambda change: change.at_s):
        levels[change.cohort] = change.to_level
        everyone_open = all(level == OPEN for level in levels.values())
        if not everyone_open:
            open_since = None
        elif open_since is None:
            open_since = change.at_s
    return None if open_since is None else round(max(0.0, open_since - attack_end_s), 2)


def is_tightening(change: PostureChange) -> bool:
    """Whether the change made the door stricter for its cohort."""
    return strictness(change.to_level) > strictness(change.from_level)


def endings(record: RunRecord) -> list[tuple[str, str, int]]:
    """How sign-ups ended that did not lead to a full account: whose, how and why in the target's word, how often."""
    counts = Counter(
        (signup.side.value, f"{signup.outcome.value}: {signup.why}" if signup.why else signup.outcome.value)
        for signup in record.signups
        if signup.outcome is not Outcome.ADMITTED
    )
    return [(side, ending, number) for (side, ending), number in sorted(counts.items())]


def strictness(level: str) -> int:
    """0 for open up to 3 for wait-list; a level that we do not know counts as stricter than all."""
    return _LEVELS.index(level) if level in _LEVELS else len(_LEVELS)


def _change(change: PostureChange) -> PostureResult:
    return PostureResult(
        t_s=round(change.at_s, 2),
        cohort=change.cohort,
        from_level=change.from_level,
        to_level=change.to_level,
        reason=change.reason,
    )


def _people(record: RunRecord) -> PeopleResult:
    mine = [signup for signup in record.signups if signup.side is Side.PERSON]
    counts = Counter(signup.outcome for signup in mine)
    inside = {Outcome.ADMITTED, Outcome.PROBATION}
    delays = [s.delay_s for s in mine if s.outcome in inside and s.delay_s is not None]
    return PeopleResult(
        attempted=len(mine),
        admitted=counts[Outcome.ADMITTED],
        probation=counts[Outcome.PROBATION],
        waitlisted=counts[Outcome.WAITLISTED],
        refused=counts[Outcome.REFUSED],
        lost=counts[Outcome.LOST] + counts[Outcome.REFUSED],
        delay_p50_s=_rounded(quantile(delays, 0.5)),
        delay_p95_s=_rounded(quantile(delays, 0.95)),
    )


def _bots(record: RunRecord) -> BotsResult:
    counts = Counter(signup.outcome for signup in record.signups if signup.side is Side.BOT)
    return BotsResult(
        attempted=counts.total(),
        admitted=counts[Outcome.ADMITTED],
        probation=counts[Outcome.PROBATION],
        waitlisted=counts[Outcome.WAITLISTED],
        refused=counts[Outcome.REFUSED] + counts[Outcome.LOST],
    )


def _existing(record: RunRecord) -> ExistingResult:
    attack = record.span(Phase.ATTACK)
    loud = [c for c in record.chats if attack is None or attack.start_s <= c.at_s < attack.end_s]
    calm = record.span(Phase.CALM)
    quiet = [c for c in record.chats if calm is not None and calm.start_s <= c.at_s < calm.end_s]
    return ExistingResult(
        requests=len(record.chats),
        ok=sum(chat.is_ok for chat in record.chats),
        challenged=sum(chat.was_challenged for chat in record.chats),
        p50_ms=_rounded(_latency(loud, 0.5)),
        p99_ms=_rounded(_latency(loud, 0.99)),
        quiet_p50_ms=_rounded(_latency(quiet, 0.5)),
        quiet_p99_ms=_rounded(_latency(quiet, 0.99)),
    )


def _latency(chats: list[ChatRecord], share: float) -> float | None:
    return quantile((chat.first_byte_ms for chat in chats if chat.is_ok), share)


def _stuffing(record: RunRecord) -> StuffingResult:
    tries = [login for login in record.logins if not login.is_owner]
    return StuffingResult(
        attempts=len(tries),
        takeovers=sum(login.got_in for login in tries),
        owners_refused=sum(login.is_owner and not login.got_in for login in record.logins),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
