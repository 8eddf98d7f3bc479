"""Charts drawn on the server: SVG that says what it shows, with the same numbers as a table behind a click.

In a template:

    {{ chart("line", [("People", people), ("Bots", bots)], title=_("Arrivals"), labels=times, unit=_("a second")) }}
    {{ chart("posture", [("everybody", [(0, 40, "open"), (40, 60, "careful")])], title=…, labels=["12:00", "12:01"]) }}

Kinds: `line`, `area`, `bar` (series: name and values, None for a gap) and `posture` (series: cohort and spans of
start, end, level). `labels` name the places on the x axis; of a posture chart only its two ends.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup

from doorward.edge import chart_shapes as shapes
from doorward.edge.chart_shapes import Band, Series, Span

_MOST_LABELS: Final = 5
_DRAWERS: Final = {"line": shapes.lines, "area": shapes.areas, "bar": shapes.bars}
_EMPTY: Final = Markup("")
_FIGURE: Final = Markup(
    '<figure class="chart"><figcaption>{}{}</figcaption>{}{}'
    '<details class="twin"><summary>{}</summary>{}</details></figure>'
)
_LEGEND: Final = Markup('<ul class="legend">{}</ul>')
_KEY: Final = Markup('<li><svg class="key" viewBox="0 0 24 8" aria-hidden="true">{}</svg>{}</li>')
_BAR_KEY: Final = Markup('<rect class="bar series-{}" width="24" height="8"/>')
_LINE_KEY: Final = Markup('<path class="line series-{}" d="M1 4H23"/>')
_LEVEL_KEY: Final = Markup('<rect class="span level-{}" y="{}" width="24" height="{}"/>')
_TABLE: Final = Markup(
    '<div class="table-scroll" role="region" tabindex="0" aria-label="{0}"><table>'
    '<caption class="unseen">{0}</caption><thead><tr>{1}</tr></thead><tbody>{2}</tbody></table></div>'
)
_LARGEST: Final = 1e15  # beyond it a float has no exact whole numbers, and a chart no meaning
_UNIX_SECONDS: Final = 1e9  # larger numbers on a time axis are moments, smaller ones are seconds since a start
Words = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the marks."""

    title: str
    description: str = ""
    labels: Sequence[str] = ()
    unit: str = ""
    first_column: str = ""
    words: Words = field(default=lambda text: text)


def chart(kind: str, series: Sequence[tuple[str, Any]], **options: Any) -> Markup:
    """A whole figure: caption, legend, marks, axes and the table twin.

    Raises:
        ValueError: an unknown kind. TypeError: an unknown option.
    """
    frame = Frame(**options)
    if kind == "posture":
        return _posture(_bands(series), frame)
    if kind not in _DRAWERS:
        raise ValueError(f"no chart of the kind {kind!r}")
    rows = [Series(name, tuple(_number(value) for value in values)) for name, values in series]
    ceiling = shapes.nice_ceiling(shapes.highest_of(rows))
    drawn = shapes.grid() + _DRAWERS[kind](rows, ceiling)
    scale = [_plain(ceiling), _plain(ceiling / 2), "0"]
    plot = _plot(drawn, frame, scale, _summary(rows, frame), kind)
    return _figure(
        frame,
        plot,
        _legend([row.name for row in rows], _BAR_KEY if kind == "bar" else _LINE_KEY),
        _value_table(rows, frame),
    )


def _posture(rows: list[Band], frame: Frame) -> Markup:
    spans = [span for row in rows for span in row.spans]
    start, end = min((span.start for span in spans), default=0.0), max((span.end for span in spans), default=0.0)
    names = [row.name for row in rows]
    now = "; ".join(f"{row.name}: {row.spans[-1].level}" for row in rows if row.spans)
    plot = _plot(shapes.bands(rows, start, end), frame, names, frame.description or now, "posture")
    used = [level for level in shapes.LEVELS if any(span.level == level for span in spans)]
    return _figure(frame, plot, _level_legend(used, frame.words), _span_table(rows, frame))


def _bands(series: Sequence[tuple[str, Any]]) -> list[Band]:
    return [Band(name, tuple(Span(*span) for span in spans)) for name, spans in series]


def _number(value: Any) -> float | None:
    return max(-_LARGEST, min(_LARGEST, float(value))) if value is not None and math.isfinite(value) else None


def _figure(frame: Frame, plot: Markup, legend: Markup, table: Markup) -> Markup:
    unit = Markup(' <span class="unit">{}</span>').format(frame.unit) if frame.unit else ""
    return _FIGURE.format(frame.title, unit, legend, plot, frame.words("Show as a table"), table)


def _plot(drawn: Markup, frame: Frame, scale: Sequence[str], summary: str, kind: str) -> Markup:
    name = "chart-" + hashlib.blake2b(frame.title.encode(), digest_size=5).hexdigest()
    marks = Markup(
        '<svg role="img" viewBox="0 0 100 100" preserveAspectRatio="none" aria-labelledby="{0}-t {0}-d">'
        '<title id="{0}-t">{1}</title><desc id="{0}-d">{2}</desc>{3}</svg>'
    ).format(name, frame.title, summary, drawn)
    return Markup('<div class="plot {}"><div class="y-axis" aria-hidden="true">{}</div>{}{}</div>').format(
        kind, _spans(scale), marks, _x_axis(frame.labels, kind)
    )


def _x_axis(labels: Sequence[str], kind: str) -> Markup:
    shown = list(labels) if kind == "bar" and len(labels) <= _MOST_LABELS * 2 else _thinned(labels)
    return Markup('<div class="x-axis" aria-hidden="true">{}</div>').format(_spans(shown))


def _spans(texts: Sequence[str]) -> Markup:
    return _EMPTY.join(Markup("<span>{}</span>").format(text) for text in texts)


def _thinned(labels: Sequence[str]) -> list[str]:
    """First, last and a few evenly between."""
    if len(labels) <= _MOST_LABELS:
        return list(labels)
    last = len(labels) - 1
    return [labels[round(last * place / (_MOST_LABELS - 1))] for place in range(_MOST_LABELS)]


def _legend(names: Sequence[str], key: Markup) -> Markup:
    if len(names) < 2:
        return _EMPTY
    return _LEGEND.format(
        _EMPTY.join(_KEY.format(key.format(index), name) for index, name in enumerate(names, start=1))
    )


def _level_legend(levels: Sequence[str], words: Words) -> Markup:
    keys = []
    for level in levels:
        step = 2 * shapes.LEVELS.index(level)
        keys.append(_KEY.format(_LEVEL_KEY.format(level, 6 - step, 2 + step), level_word(level, words)))
    return _LEGEND.format(_EMPTY.join(keys))


def level_word(level: str, words: Words) -> str:
    """A posture's level for a reader."""
    return {
        "open": words("Open"),
        "careful": words("Careful"),
        "probation": words("Probation"),
        "waitlist": words("Wait-list"),
    }.get(level, level)


def _summary(rows: Sequence[Series], frame: Frame) -> str:
    if frame.description:
        return frame.description
    latest = ((row.name, [value for value in row.values if value is not None]) for row in rows)
    return "; ".join(f"{name}: {_plain(values[-1])} {frame.unit}".strip() for name, values in latest if values)


def _value_table(rows: Sequence[Series], frame: Frame) -> Markup:
    count = max((len(row.values) for row in rows), default=0)
    labels = [*frame.labels, *("" for _ in range(count - len(frame.labels)))]
    body = _EMPTY.join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            labels[index] or index + 1,
            _EMPTY.join(
                Markup('<td class="number">{}</td>').format(
                    _cell(row.values[index] if index < len(row.values) else None)
                )
                for row in rows
            ),
        )
        for index in range(count)
    )
    headings = [(row.name, "number") for row in rows]
    return _table(frame, [(frame.first_column or frame.words("Time"), ""), *headings], body)


def _span_table(rows: Sequence[Band], frame: Frame) -> Markup:
    words = frame.words
    body = _EMPTY.join(
        Markup(
            '<tr><th scope="row">{}</th><td>{}</td><td class="number">{}</td><td class="number">{}</td></tr>'
        ).format(row.name, level_word(span.level, words), _when(span.start), _when(span.end))
        for row in rows
        for span in row.spans
    )
    headings = [(words("Cohort"), ""), (words("Posture"), ""), (words("Begin"), "number"), (words("Until"), "number")]
    return _table(frame, headings, body)


def _table(frame: Frame, headings: Sequence[tuple[str, str]], body: Markup) -> Markup:
    head = _EMPTY.join(Markup('<th scope="col" class="{}">{}</th>').format(kind, text) for text, kind in headings)
    return _TABLE.format(frame.title, head, body)


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}" if at >= _UNIX_SECONDS else f"{_plain(at)} s"


def _cell(value: float | None) -> str:
    return "–" if value is None else _plain(value)


def _plain(number: float) -> str:
    """A number for people: no needless digits, thousands apart."""
    if number == round(number):
        return f"{round(number):,}"
    return f"{number:,.2f}".rstrip("0").rstrip(".") if abs(number) >= 0.01 else f"{number:.2g}"
