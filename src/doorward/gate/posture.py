"""The posture's state machine, pure: how a cohort's level may change, and how it comes back by itself.

1. Every change has a reason and an expiry in the future, at most `longest_hold_seconds` away. Whatever happens to
   the detector or the database, an expired row counts as open (`Posture.level`).
2. Two thresholds: the detector tightens at the full score and holds at `renewal_share` of it (see `detect`). A
   renewal only moves the expiry, counted from when members were last seen; the level and the version stay.
3. Dwell: no hold is shorter than `dwell_seconds`, and for as long after a reopening the detector leaves the cohort
   alone. Growing stricter while evidence grows is not flapping and may be quick.
4. Memory: a cohort that is tightened again within `incident_memory_seconds` of its last tightening is held eight
   times longer from then on, so an attack that switches on and off makes the door move once, not with every switch.
5. A person's word stands: the detector may be stricter than a person asked, never looser, and a cohort that a person
   opened is left alone until the expiry that the person gave.
   Undo takes back exactly one change that is in force: what was in force before it comes back if its own time has
   not run out, and otherwise the cohort is open and left alone for the rest of the undone change's time.
6. A tightening of everybody (`*`) by the detector comes last: only when more cohorts are tightened than the limit.
"""

import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from doorward.gate.errors import NothingToUndoError, PostureChangeError
from doorward.gate.model import EVERYBODY, Change, Level, Posture, Row

DETECTOR: Final = "detector"
_LONGER: Final = 8
_REASON_LIMIT: Final = 500


@dataclass(frozen=True, slots=True)
class Pace:
    """The times that keep the posture from flapping, in seconds."""

    hold: float
    dwell: float
    memory: float
    longest: float


@dataclass(frozen=True, slots=True)
class History:
    """What the state machine needs to remember of a cohort beside the row in force."""

    reopened_at: float = -math.inf
    last_tightened_at: float = -math.inf
    streak: int = 0  # tightenings from open of which each came within the memory of the one before


def checked(change: Change, pace: Pace) -> Change:
    """The change, if it may be made (rule 1).

    Raises:
        PostureChangeError: no reason, no name of who set it, or an expiry that is missing, past or too far away.
    """
    if not change.reason.strip() or len(change.reason) > _REASON_LIMIT:
        raise PostureChangeError(f"a change needs a reason of 1 to {_REASON_LIMIT} characters", field="reason")
    if not change.set_by:
        raise PostureChangeError("a change needs the name of who sets it", field="set_by")
    if not change.at < change.expires_at <= change.at + pace.longest:
        raise PostureChangeError(
            f"a change needs an expiry within the next {pace.longest / 3600:g} hours", field="expires_in_seconds"
        )
    return change


def applied(posture: Posture, change: Change, version: int) -> Posture:
    """The posture after a change, as version `version`.

    Raises:
        PostureChangeError: the version is not newer.
    """
    if version <= posture.version:
        raise PostureChangeError("a version of the posture is newer than the one before it")
    before = posture.level(change.cohort, change.at)
    rows = {key: row for key, row in posture.rows.items() if not _is_spent_pin(row, change.at)}
    rows.pop(change.cohort, None)
    if change.expires_at > change.at:
        rows[change.cohort] = Row(version, change, before, change.at)
    return Posture(version, MappingProxyType(rows))


def _is_spent_pin(row: Row, at: float) -> bool:
    return row.change.level is Level.OPEN and row.change.expires_at <= at


def remembered(history: History | None, change: Change, pace: Pace) -> History:
    """The memory of a cohort after a change."""
    before = history or History()
    if change.level is Level.OPEN:
        return replace(before, reopened_at=change.at)
    if before.streak and before.reopened_at < before.last_tightened_at:  # stricter still, in the same incident
        return replace(before, last_tightened_at=change.at)
    recent = change.at - before.last_tightened_at < pace.memory
    return replace(before, last_tightened_at=change.at, streak=before.streak + 1 if recent else 1)


def renewed(posture: Posture, cohort: str, expires_at: float) -> Posture:
    """The posture with a later expiry of one row, same level and version (rule 2)."""
    row = posture.rows[cohort]
    if expires_at <= row.change.expires_at:
        return posture
    rows = dict(posture.rows)
    rows[cohort] = replace(row, change=replace(row.change, expires_at=expires_at))
    return Posture(posture.version, MappingProxyType(rows))


@dataclass(frozen=True, slots=True)
class Wish:
    """What the detector wants for a cohort at a moment."""

    at: float
    cohort: str
    level: Level
    reason: str
    evidence: tuple[tuple[str, str], ...]
    seen_at: float  # when the evidence was last fresh: a renewal counts from here


def judged(posture: Posture, wish: Wish, history: History | None, pace: Pace) -> Change | float | None:
    """What becomes of a wish: a change, a later expiry for the row in force (a number), or nothing."""
    row = posture.rows.get(wish.cohort)
    level = posture.level(wish.cohort, wish.at)
    in_force = row is not None and row.change.expires_at > wish.at
    hold = _hold(history, wish.at, pace, held=level is not Level.OPEN)
    if row is not None and in_force and (level.rank >= wish.level.rank or level is Level.OPEN):
        if row.change.set_by != DETECTOR:  # 5
            return None
        return max(row.change.expires_at, min(wish.seen_at + hold, wish.at + pace.longest))
    if history is not None and wish.at - history.reopened_at < pace.dwell:  # 3
        return None
    if row is not None and in_force and row.change.set_by != DETECTOR:  # 5
        hold = max(hold, row.change.expires_at - wish.at)
    expires_at = wish.at + min(hold, pace.longest)
    return Change(wish.at, wish.cohort, wish.level, wish.reason, wish.evidence, expires_at, DETECTOR)


def _hold(history: History | None, at: float, pace: Pace, *, held: bool) -> float:
    """How long a tightening lasts (rules 3 and 4); `held`: it is in force, so this is a renewal."""
    hold = max(pace.hold, pace.dwell)
    if history is None:
        return hold
    again = history.streak > 1 if held else history.streak > 0 and at - history.last_tightened_at < pace.memory
    return min(hold * _LONGER, pace.longest) if again else hold


def lapsed(posture: Posture, at: float) -> list[Change]:
    """The reopenings that are due: one for each row whose time has run out."""
    return [
        Change(at, cohort, Level.OPEN, "expired: no evidence renewed it", (), at, row.change.set_by)
        for cohort, row in sorted(posture.rows.items())
        if row.change.expires_at <= at and row.change.level is not Level.OPEN
    ]


def undoing(posture: Posture, version: int, before: Row | None, at: float, set_by: str) -> Change:
    """The change that takes back `version`; `before` is the row that was in force until it was made.

    Raises:
        NothingToUndoError: that version is not in force.
    """
    row = next((row for row in posture.rows.values() if row.version == version), None)
    if row is None or row.change.expires_at <= at:
        raise NothingToUndoError
    reason = f"undo of version {version}"
    if before is None or before.change.level is Level.OPEN or before.change.expires_at <= at:
        return Change(at, row.change.cohort, Level.OPEN, reason, (), row.change.expires_at, set_by, undoes=version)
    return replace(before.change, at=at, reason=reason, set_by=set_by, undoes=version)


def crowded(posture: Posture, at: float, limit: int) -> bool:
    """Whether so many cohorts are tightened that everybody must pay the careful price (rule 6)."""
    tight = sum(1 for key, row in posture.rows.items() if key != EVERYBODY and row.change.expires_at > at)
    return tight > limit
