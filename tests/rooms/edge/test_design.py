"""The tokens keep WCAG 2.2 AA contrast in both appearances, and both ways of being dark are the same."""

import re

import pytest

from doorward.edge.languages import CONSOLE

CSS = (CONSOLE / "static" / "style.css").read_text()


def tokens(selector: str) -> dict[str, str]:
    block = re.search(re.escape(selector) + r" \{(.*?)\n\s*\}", CSS, re.DOTALL)
    assert block is not None
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block[1]))


LIGHT = tokens(":root")
DARK = tokens(':root[data-theme="dark"]')


def luminance(colour: str) -> float:
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


TEXT = [
    *((word, ground) for word in ("ink", "quiet", "link", "brass") for ground in ("ground", "surface", "sunken")),
    ("ink", "scene-wall"),
    ("quiet", "scene-wall"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    *((tone, f"{tone}-soft") for tone in ("good", "warning", "bad", "info")),
    *(("ink", f"{tone}-soft") for tone in ("good", "warning", "bad", "info", "accent")),
    *(("link", f"{tone}-soft") for tone in ("good", "warning", "bad", "info")),
    *((f"level-{level}", f"level-{level}-soft") for level in ("open", "careful", "probation", "waitlist")),
    ("bad", "surface"),
    ("accent", "ground"),
]
MARKS = [
    ("edge", "surface"),
    ("edge", "ground"),
    ("brass", "ground"),
    *((f"series-{number}", "surface") for number in range(1, 6)),
    *((f"level-{level}", "surface") for level in ("open", "careful", "probation", "waitlist")),
]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("word", "ground"), TEXT)
def test_text_can_be_read(theme: dict[str, str], word: str, ground: str) -> None:
    assert contrast(theme[word], theme[ground]) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("mark", "ground"), MARKS)
def test_marks_can_be_seen(theme: dict[str, str], mark: str, ground: str) -> None:
    assert contrast(theme[mark], theme[ground]) >= 3


def test_dark_by_choice_and_by_device_are_the_same() -> None:
    assert tokens(':root:not([data-theme="light"])') == DARK
    assert set(DARK) == set(LIGHT)


def test_every_colour_stands_in_a_token() -> None:
    rules = CSS.split("/* 2. Ground")[1]
    assert set(re.findall(r"#[0-9a-f]{3,8}\b", rules)) <= {"#1f7a6c"}, "only the mark keeps its own colour"
    assert set(re.findall(r"var\(--([\w-]+)\)", rules)) <= set(re.findall(r"--([\w-]+):", CSS))
