"""The visitor's own choice first, then what the browser prefers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.edge.languages import LANGUAGES, catalog, negotiate, tag_of


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh_Hans"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("de-DE,de;q=0.9,zh-Hans;q=0.4,en;q=0.3", "zh_Hans"),
        ("zh;q=0, en;q=0.1", "en"),
        ("zh;q=0.5,en;q=0.5", "zh_Hans"),
        ("fr, *;q=0.5", "en"),
        ("zh;q=nan,en;q=0.2", "en"),
        ("zh;q=7", "en"),
        ("ZH-tw", "zh_Hans"),
    ],
)
def test_negotiation(header: str, language: str) -> None:
    assert negotiate(header) == language


def test_a_choice_wins_over_the_header() -> None:
    assert negotiate("en", chosen="zh_Hans") == "zh_Hans"


def test_a_foreign_choice_is_nothing() -> None:
    assert negotiate("en", chosen="../../etc") == "en"


@given(st.text(max_size=2000))
def test_any_header_gives_a_language(header: str) -> None:
    assert negotiate(header) in LANGUAGES


def test_tags_and_catalogs() -> None:
    assert tag_of("zh_Hans") == "zh-Hans"
    assert catalog("en").gettext("Sign up") == "Sign up"
    assert catalog("zh_Hans").gettext("Sign up") == "注册"
    assert catalog("xx").gettext("Sign up") == "Sign up"
