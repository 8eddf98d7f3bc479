"""What the live page draws: counts by action, bands of the posture, rows as JSON values. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from doorward.gate.model import Level, Row
from doorward.hall.model import Action, Attempt

BAND_SECONDS: Final = 600.0
_MOST_BANDS: Final = 8


def row_values(row: Row) -> dict[str, object]:
    """A row of the posture as JSON values."""
    change = row.change
    return {
        "version": row.version,
        "cohort": change.cohort,
        "from": row.from_level.value,
        "to": change.level.value,
        "reason": change.reason,
        "evidence": dict(change.evidence),
        "at": change.at,
        "expires_at": change.expires_at,
        "set_by": change.set_by,
        "undoes": change.undoes,
    }


def flows(seconds: Sequence[Mapping[str, Any]], attempt: Attempt = Attempt.SIGNUP) -> dict[str, list[int]]:
    """Per action, how many attempts each second had."""
    rows: dict[str, list[int]] = {action.value: [0] * len(seconds) for action in Action}
    for place, second in enumerate(seconds):
        for key, count in second["counts"].items():
            kind, action, _ = key.split("/", 2)
            if kind == attempt.value:
                rows[action][place] += count
    return rows


def reasons(seconds: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Reason codes of the last seconds with their counts, the commonest first."""
    counts: dict[str, int] = {}
    for second in seconds:
        for key, count in second["counts"].items():
            code = key.split("/", 2)[2]
            counts[code] = counts.get(code, 0) + count
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def bands(history: Iterable[Row], at: float, seconds: float = BAND_SECONDS) -> list[tuple[str, list[Any]]]:
    """Per cohort the spans (start, end, level) of the last seconds; start and end in Unix seconds.

    The cohorts that were tightened last come first; a cohort that expired without a row of its own ends there.
    """
    begin = at - seconds
    rows: dict[str, list[Row]] = {}
    for row in sorted(history, key=lambda row: row.version):
        rows.setdefault(row.change.cohort, []).append(row)
    drawn = []
    for cohort, changes in rows.items():
        spans = _spans(changes, begin, at)
        if any(level != Level.OPEN for _, _, level in spans):
            drawn.append((changes[-1].change.at, cohort, spans))
    return [(cohort, spans) for _, cohort, spans in sorted(drawn, reverse=True)[:_MOST_BANDS]]


def _spans(changes: Sequence[Row], begin: float, at: float) -> list[tuple[float, float, str]]:
    spans: list[tuple[float, float, str]] = []
    opened = begin
    for place, row in enumerate(changes):
        following = changes[place + 1].change.at if place + 1 < len(changes) else at
        end = min(following, max(row.change.at, row.change.expires_at), at)
        start = max(begin, row.change.at)
        if row.change.level is Level.OPEN or end <= start:
            continue
        if start > opened:
            spans.append((opened, start, Level.OPEN.value))
        spans.append((start, end, row.change.level.value))
        opened = end
    if at > opened:
        spans.append((opened, at, Level.OPEN.value))
    return spans


def figures_of(live: Mapping[str, Any], vitals: Mapping[str, float]) -> dict[str, object]:
    """The texts that the page's figures show, by their names; renewed every second."""
    counts = flows(live["seconds"])
    last = {action: sum(row[-10:]) / 10 for action, row in counts.items()}
    posture = live["posture"]
    return {
        "admitted": f"{last['admit']:.1f}",
        "probation": f"{last['probation']:.1f}",
        "priced": f"{last['challenge']:.1f}",
        "waitlisted": f"{last['waitlist']:.1f}",
        "refused": f"{last['refuse']:.1f}",
        "tightened": str(sum(row["to"] != Level.OPEN for row in posture)),
        "existing_p50": _milliseconds(vitals.get("existing_p50_ms")),
        "existing_p99": _milliseconds(vitals.get("existing_p99_ms")),
        "learned": str(live["learned"]),
        "posture": posture,
        "reasons": dict(reasons(live["seconds"])[:12]),
        "at": live["at"],
    }


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
