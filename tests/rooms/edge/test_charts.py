"""Charts say what they show, to everybody."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.edge.chart_shapes import nice_ceiling
from doorward.edge.charts import chart

SPANS = [("everybody", [(0, 40, "open"), (40, 60, "careful"), (60, 90, "waitlist")])]


def parsed(markup: str) -> ET.Element:
    return ET.fromstring(re.sub(r"&(?!amp;|lt;|gt;|#\d+;|quot;)", "&amp;", markup))


@pytest.mark.parametrize("kind", ["line", "area", "bar"])
def test_marks_words_and_twin(kind: str) -> None:
    drawn = chart(
        kind,
        [("People", [1, None, 3.5]), ("Bots", [4, 5, 6])],
        title="Arrivals",
        labels=["a", "b", "c"],
        unit="a second",
    )
    figure = parsed(drawn)
    svg = figure.find(".//svg[@role='img']")
    assert svg is not None
    names = svg.get("aria-labelledby", "").split()
    assert [svg.findtext(f"./*[@id='{name}']") for name in names] == [
        "Arrivals",
        "People: 3.5 a second; Bots: 6 a second",
    ]
    cells = [[cell.text for cell in row] for row in figure.findall(".//tbody/tr")]
    assert cells == [["a", "1", "4"], ["b", "–", "5"], ["c", "3.5", "6"]]
    assert [item.find("svg") is not None for item in figure.findall(".//ul[@class='legend']/li")] == [True, True]


def test_lines_break_at_gaps() -> None:
    drawn = chart("line", [("A", [1, 2, None, 2, 1])], title="T")
    path = re.search(r'class="line series-1" d="([^"]*)"', drawn)
    assert path is not None
    assert path[1].count("M") == 2


def test_posture_reads_without_colour() -> None:
    drawn = chart("posture", SPANS, title="Posture", labels=["12:00", "12:01"])
    heights = [
        float(height)
        for height in re.findall(r'class="span level-\w+" x="[^"]*" y="[^"]*" width="[^"]*" height="([^"]*)"', drawn)
    ]
    assert heights == sorted(heights)
    assert len(set(heights)) == 3
    assert "everybody: waitlist" in drawn
    rows = [[cell.text for cell in row] for row in parsed(drawn).findall(".//tbody/tr")]
    assert rows[1] == ["everybody", "Careful", "40 s", "60 s"]


def test_words_are_translated() -> None:
    drawn = chart("posture", SPANS, title="T", words=lambda text: f"<{text}>")
    assert "&lt;Careful&gt;" in drawn


def test_nothing_to_draw_is_still_a_chart() -> None:
    for kind in ("line", "area", "bar", "posture"):
        parsed(chart(kind, [], title="Empty"))
        parsed(chart(kind, [("A", [])], title="Empty"))


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="pie"):
        chart("pie", [], title="T")


def test_no_style_that_the_policy_forbids() -> None:
    assert "style=" not in chart("area", [("A", [1, 2])], title="T")


@given(
    st.sampled_from(["line", "area", "bar"]),
    st.lists(st.tuples(st.text(max_size=5), st.lists(st.none() | st.floats(), max_size=6)), max_size=4),
    st.text(max_size=10),
)
def test_any_numbers_and_words_draw(kind: str, series: list[tuple[str, list[float | None]]], title: str) -> None:
    drawn = chart(kind, series, title=title)
    inside = re.findall(r' (?:x|y|width|height)="(-?[\d.]+)"', drawn)
    assert all(-1 <= float(number) <= 101 for number in inside)
    assert "<script" not in drawn
    assert "nan" not in drawn.split("<details")[0].replace(title, "").lower().split("aria")[0]


@given(st.floats(1e-6, 1e15))
def test_ceiling_is_just_above(highest: float) -> None:
    ceiling = nice_ceiling(highest)
    assert highest * (1 - 1e-6) <= ceiling <= highest * 2.6


@pytest.mark.parametrize("highest", [0, -1, float("nan"), float("inf")])
def test_ceiling_of_nothing(highest: float) -> None:
    assert nice_ceiling(highest) == 1
