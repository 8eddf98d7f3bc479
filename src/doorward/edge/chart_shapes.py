"""The marks of a chart in a 100 × 100 square, which the page stretches to its width. Pure: numbers in, marks out.

Words are never drawn here: they stand beside the square as text, so that they keep their size on a phone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

LEVELS: Final = ("open", "careful", "probation", "waitlist")
_GAP: Final = 0.22  # of a bar's place
_EMPTY: Final = Markup("")


@dataclass(frozen=True, slots=True)
class Series:
    """One line, area or set of bars; None is a gap."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A level of the posture from one moment to another, in the chart's own units of time."""

    start: float
    end: float
    level: str


@dataclass(frozen=True, slots=True)
class Band:
    """The posture of one cohort over time."""

    name: str
    spans: tuple[Span, ...]


def nice_ceiling(highest: float) -> float:
    """The next number of the form 1, 2 or 5 × 10ⁿ at or above `highest`; 1 where there is nothing."""
    if highest <= 0 or not math.isfinite(highest):
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(power * step for step in (1, 2, 5, 10, 20) if power * step >= highest * (1 - 1e-9))


def highest_of(series: Sequence[Series]) -> float:
    """The largest value in any of the series."""
    return max((value for one in series for value in one.values if value is not None), default=0.0)


def lines(series: Sequence[Series], ceiling: float) -> Markup:
    """A line per series, broken at gaps."""
    return _EMPTY.join(
        Markup('<path class="line series-{}" d="{}"/>').format(index, path)
        for index, one in enumerate(series, start=1)
        if (path := " ".join(_moves(run) for run in _runs(one, ceiling)))
    )


def areas(series: Sequence[Series], ceiling: float) -> Markup:
    """A filled area per series under its line, the first in front."""
    filled = [
        Markup('<path class="area series-{}" d="{}"/>').format(index, path)
        for index, one in enumerate(series, start=1)
        if (path := " ".join(_closed(run) for run in _runs(one, ceiling)))
    ]
    return _EMPTY.join(reversed(filled)) + lines(series, ceiling)


def bars(series: Sequence[Series], ceiling: float) -> Markup:
    """Bars side by side for each place."""
    places = max((len(one.values) for one in series), default=0)
    if places == 0:
        return _EMPTY
    place = 100 / places
    width = place * (1 - _GAP) / len(series)
    marks = []
    for number, one in enumerate(series):
        for index, value in enumerate(one.values):
            if value:
                left = index * place + place * _GAP / 2 + number * width
                height = _height(value, ceiling)
                marks.append(_rectangle(f"bar series-{number + 1}", left, 100 - height, width, height))
    return _EMPTY.join(marks)


def bands(rows: Sequence[Band], start: float, end: float) -> Markup:
    """One strip per cohort; the stricter the level, the higher its step, so that it reads without colour."""
    if not rows or end <= start:
        return _EMPTY
    strip = 100 / len(rows)
    marks = []
    for number, row in enumerate(rows):
        for span in row.spans:
            left = 100 * (max(span.start, start) - start) / (end - start)
            right = 100 * (min(span.end, end) - start) / (end - start)
            if right > left and span.level in LEVELS:
                height = strip * 0.86 * (LEVELS.index(span.level) + 1) / len(LEVELS)
                bottom = (number + 1) * strip
                marks.append(_rectangle(f"span level-{span.level}", left, bottom - height, right - left, height))
    return _EMPTY.join(marks)


def grid(steps: int = 4) -> Markup:
    """Faint horizontal lines, and the ground line."""
    path = " ".join(f"M0 {_short(100 * step / steps)}H100" for step in range(steps))
    return Markup('<path class="grid" d="{}"/><path class="ground" d="M0 100H100"/>').format(path)


def _height(value: float, ceiling: float) -> float:
    return max(0.0, min(100.0, 100 * value / ceiling))


def _runs(series: Series, ceiling: float) -> list[list[tuple[float, float]]]:
    """Points without gaps between them; x is spread over the whole width."""
    last = max(len(series.values) - 1, 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(series.values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((100 * index / last, 100 - _height(value, ceiling)))
    return [run for run in runs if run]


def _moves(run: list[tuple[float, float]]) -> str:
    """A path through points; a lone point is a very short line, which round ends make a dot."""
    points = run if len(run) > 1 else [run[0], (run[0][0] + 0.01, run[0][1])]
    return "M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in points)


def _closed(run: list[tuple[float, float]]) -> str:
    return f"{_moves(run)}L{_short(run[-1][0])} 100L{_short(run[0][0])} 100Z"


def _rectangle(kind: str, left: float, top: float, width: float, height: float) -> Markup:
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
        kind, _short(left), _short(top), _short(width), _short(height)
    )


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
