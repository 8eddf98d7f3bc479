"""The picture of a siege as numbers: what happened in which stretch of time, and where it stands on the page. Pure.

1. Time runs left to right over the whole run; all parts share that axis.
2. On top, a band per cohort shows how strict the door was for it, by level and time.
3. In the middle is the door itself, a line: who got in stands above it, who was held below, per second. The two
   sides have scales of their own, named at the axis, for bots are ten times as many as people.
4. Below, every dot is one chat of somebody who belongs, by its milliseconds to the first byte.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from doorward.siege.model import ChatRecord, Outcome, PostureChange, RunRecord, Side
from doorward.siege.scoring import OPEN, quantile

MOST_BANDS: Final = 7
MOST_DOTS: Final = 1_500
_BUCKETS: Final = 48
_LEVEL_RANK: Final = {"open": 0, "careful": 1, "probation": 2, "waitlist": 3}
_BAND_HEIGHT: Final = 18
_CROWD_UP: Final = 104
_CROWD_DOWN: Final = 104
_LATENCY_HEIGHT: Final = 108
_GAP: Final = 40
_LATENCY_GAP: Final = 62


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time and how many a second, as a box."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A cohort at one level for a while."""

    x: float
    width: float
    level: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Band:
    """A cohort's row."""

    cohort: str
    y: float
    segments: list[Segment]


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of time as figures: the table twin of the picture."""

    start_s: float
    people_in: int
    people_waiting: int
    people_lost: int
    bots_in: int
    bots_probation: int
    bots_held: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(slots=True)
class Picture:
    """Where everything stands, in the units of the view box."""

    width: float
    left: float
    end_s: float
    height: float = 0.0
    phases: list[tuple[str, float, float]] = field(default_factory=list)  # name, x, width
    bands: list[Band] = field(default_factory=list)
    more_cohorts: int = 0
    bands_top: float = 0.0
    door_y: float = 0.0
    bars: list[Bar] = field(default_factory=list)
    up_ticks: list[Tick] = field(default_factory=list)
    down_ticks: list[Tick] = field(default_factory=list)
    latency_top: float = 0.0
    latency_bottom: float = 0.0
    dots: list[tuple[float, float, str]] = field(default_factory=list)
    median_line: str = ""
    quiet_y: float | None = None
    latency_ticks: list[Tick] = field(default_factory=list)
    time_ticks: list[Tick] = field(default_factory=list)
    right: float = 0.0

    def x(self, at_s: float) -> float:
        """The place of a moment."""
        share = min(1.0, max(0.0, at_s / self.end_s))
        return round(self.left + share * (self.right - self.left), 1)


def moments(record: RunRecord) -> list[Moment]:
    """The run in even stretches of time."""
    end_s, step = _extent(record)
    counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for signup in record.signups:
        counts[int(signup.ended_s / step)][_kind(signup.side, signup.outcome)] += 1
    chats: dict[int, list[float]] = defaultdict(list)
    for chat in record.chats:
        if chat.is_ok:
            chats[int(chat.at_s / step)].append(chat.first_byte_ms)
    return [_moment(number * step, counts[number], chats[number]) for number in range(math.ceil(end_s / step))]


def bands_of(posture: Sequence[PostureChange], end_s: float) -> dict[str, list[tuple[float, float, str]]]:
    """For each cohort that was ever tightened: (start, end, level) while it was not open."""
    rows: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    held: dict[str, tuple[float, str]] = {}
    for change in sorted(posture, key=lambda change: change.at_s):
        since, level = held.pop(change.cohort, (change.at_s, OPEN))
        if level != OPEN:
            rows[change.cohort].append((since, change.at_s, level))
        if change.to_level != OPEN:
            held[change.cohort] = (change.at_s, change.to_level)
    for cohort, (since, level) in held.items():
        rows[cohort].append((since, end_s, level))
    return dict(rows)


def draw(record: RunRecord, width: float) -> Picture:
    """The picture at a width of the view box (960 for desks, about 420 for phones)."""
    end_s, step = _extent(record)
    picture = Picture(width=width, left=46, end_s=end_s, right=width - 8)
    picture.phases = [
        (span.phase.value, picture.x(span.start_s), round(picture.x(span.end_s) - picture.x(span.start_s), 1))
        for span in record.spans
    ]
    _draw_bands(picture, record)
    _draw_crowds(picture, moments(record), step)
    _draw_latency(picture, record.chats, moments(record), step)
    tick = _nice(end_s / (8 if width > 600 else 4))
    picture.time_ticks = [Tick(picture.x(n * tick), f"{n * tick:g} s") for n in range(int(end_s / tick) + 1)]
    picture.height = picture.latency_bottom + 34
    return picture


def _draw_bands(picture: Picture, record: RunRecord) -> None:
    rows = bands_of(record.posture, picture.end_s)
    ranked = sorted(rows, key=lambda cohort: _weight(rows[cohort]), reverse=True)
    shown = sorted(ranked[:MOST_BANDS], key=lambda cohort: rows[cohort][0][0])
    picture.more_cohorts = len(ranked) - len(shown)
    picture.bands_top = 52.0
    for place, cohort in enumerate(shown):
        segments = [
            Segment(picture.x(a), max(2.0, round(picture.x(b) - picture.x(a), 1)), level, round(a, 1), round(b, 1))
            for a, b, level in rows[cohort]
        ]
        y = picture.bands_top + place * (_BAND_HEIGHT + 20) + 16
        picture.bands.append(Band(cohort, y, segments))
    rows_height = max(1, len(shown)) * (_BAND_HEIGHT + 20)
    picture.door_y = picture.bands_top + rows_height + _GAP + _CROWD_UP


def _draw_crowds(picture: Picture, stretch: list[Moment], step: float) -> None:
    ups = [[("in", m.people_in), ("bot-in", m.bots_in)] for m in stretch]
    downs = [
        [
            ("bot-held", m.bots_held),
            ("bot-probation", m.bots_probation),
            ("waiting", m.people_waiting),
            ("lost", m.people_lost),
        ]
        for m in stretch
    ]
    up_top, down_top = _highest(ups) / step, _highest(downs) / step
    for number, (up, down) in enumerate(zip(ups, downs, strict=True)):
        x = picture.x(number * step)
        width = max(1.0, round(picture.x((number + 1) * step) - x - 1.2, 1))
        picture.bars += _stack(up, (x, width), (picture.door_y - 1.5, -_CROWD_UP / up_top / step))
        picture.bars += _stack(down, (x, width), (picture.door_y + 1.5, _CROWD_DOWN / down_top / step))
    picture.up_ticks = [Tick(picture.door_y - v / up_top * _CROWD_UP, f"{v:g}") for v in _scale(up_top)]
    picture.down_ticks = [Tick(picture.door_y + v / down_top * _CROWD_DOWN, f"{v:g}") for v in _scale(down_top)]
    picture.latency_top = picture.door_y + _CROWD_DOWN + _LATENCY_GAP
    picture.latency_bottom = picture.latency_top + _LATENCY_HEIGHT


def _draw_latency(picture: Picture, chats: list[ChatRecord], stretch: list[Moment], step: float) -> None:
    slowest = quantile((chat.first_byte_ms for chat in chats if chat.is_ok), 0.995) or 1.0
    top = _nice_above(slowest * 1.15)

    def y(milliseconds: float) -> float:
        return round(picture.latency_bottom - min(1.0, milliseconds / top) * _LATENCY_HEIGHT, 1)

    every = max(1, math.ceil(len(chats) / MOST_DOTS))
    picture.dots = [
        (
            picture.x(chat.at_s),
            y(chat.first_byte_ms) if chat.is_ok else picture.latency_top,
            "ok" if chat.is_ok else "failed",
        )
        for number, chat in enumerate(chats)
        if not chat.is_ok or number % every == 0
    ]
    points = [(picture.x(m.start_s + step / 2), y(m.p50_ms)) for m in stretch if m.p50_ms is not None]
    picture.median_line = "M" + " L".join(f"{x:g} {at:g}" for x, at in points) if points else ""
    picture.latency_ticks = [Tick(y(value), f"{value:g}") for value in _scale(top)]


def _extent(record: RunRecord) -> tuple[float, float]:
    """The end of the axis, and the length of one stretch."""
    ends = [record.seconds]
    ends += [chat.at_s for chat in record.chats[-50:]]
    ends += [change.at_s for change in record.posture]
    ends += [signup.ended_s for signup in record.signups]
    end_s = max(ends) + 0.5
    return end_s, _nice(end_s / _BUCKETS)


def _kind(side: Side, outcome: Outcome) -> str:
    if side is Side.PERSON:
        if outcome in {Outcome.ADMITTED, Outcome.PROBATION}:
            return "people_in"
        return "people_waiting" if outcome is Outcome.WAITLISTED else "people_lost"
    if outcome is Outcome.ADMITTED:
        return "bots_in"
    return "bots_probation" if outcome is Outcome.PROBATION else "bots_held"


def _moment(start_s: float, counts: dict[str, int], latencies: list[float]) -> Moment:
    return Moment(
        start_s=round(start_s, 2),
        people_in=counts["people_in"],
        people_waiting=counts["people_waiting"],
        people_lost=counts["people_lost"],
        bots_in=counts["bots_in"],
        bots_probation=counts["bots_probation"],
        bots_held=counts["bots_held"],
        p50_ms=quantile(latencies, 0.5),
        p99_ms=quantile(latencies, 0.99),
    )


def _weight(spans: list[tuple[float, float, str]]) -> tuple[int, float]:
    return max(_LEVEL_RANK.get(level, 9) for _, _, level in spans), sum(end - start for start, end, _ in spans)


def _stack(parts: list[tuple[str, int]], place: tuple[float, float], growth: tuple[float, float]) -> Iterable[Bar]:
    """Boxes one upon another from a base line; `growth` is (base, units per head, negative for upwards)."""
    x, width = place
    base, per_head = growth
    for kind, count in parts:
        height = round(abs(per_head) * count, 1)
        if height > 0:
            yield Bar(x, round(base if per_head > 0 else base - height, 1), width, height, kind)
            base += height if per_head > 0 else -height


def _highest(stacks: list[list[tuple[str, int]]]) -> float:
    return max((sum(count for _, count in stack) for stack in stacks), default=0) or 1


def _nice(value: float) -> float:
    """1, 2 or 5 times a power of ten, close to `value` (and never below a tenth)."""
    value = max(value, 0.1)
    power = 10.0 ** math.floor(math.log10(value))
    return next((round(step * power, 6) for step in (1, 2, 5, 10) if value <= step * power * 1.25), 10 * power)


def _nice_above(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(value, 0.1)))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if value <= step * power)


def _scale(top: float) -> list[float]:
    """Two or three values to label an axis with."""
    step = _nice(top / 2.6)
    return [round(step * number, 6) for number in range(1, int(top / step + 1e-9) + 1)]
