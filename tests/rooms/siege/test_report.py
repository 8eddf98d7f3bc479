"""The page: self-contained, well-formed, honest, and safe against what a target may send."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.siege.model import ChatRecord, LagRecord, Outcome, PostureChange, RunRecord, Side, SignupRecord
from doorward.siege.picture import bands_of, draw, moments
from doorward.siege.report import render, write_report
from doorward.siege.scenario import load_scenario
from doorward.siege.scoring import score

NOW = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
VOID = {"meta", "input", "br", "link", "img", "hr"}
SVG_VOID = {"path", "rect", "circle"}


def run(name: str = "deepseek-2025-01", reason: str = "in lockstep") -> RunRecord:
    scenario = load_scenario(name)
    record = RunRecord(name, 7, 60.0, scenario.spans(60), data_sources=("surge/x.csv",))
    for n in range(120):
        record.signups.append(SignupRecord(Side.PERSON, n / 2, n / 2 + 1, Outcome.ADMITTED, 0.4))
        record.chats.append(ChatRecord(n / 2, n != 60, False, 10 + n % 5))
    record.signups += [SignupRecord(Side.BOT, 20 + n / 10, 21 + n / 10, Outcome.REFUSED) for n in range(200)]
    record.signups += [SignupRecord(Side.BOT, 20, 21, Outcome.ADMITTED)]
    record.posture.append(PostureChange(22.0, "mail=inboxlane.example", "open", "probation", reason))
    record.posture.append(PostureChange(51.0, "mail=inboxlane.example", "probation", "open", "expired"))
    record.lags.append(LagRecord(1.0, 0.7))
    record.tallies["forged proofs/http-403"] = 9
    return record


def page(name: str = "deepseek-2025-01", **options) -> str:
    record = run(name, **options)
    return render(load_scenario(name), record, score(record), NOW)


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.mistakes: list[str] = []
        self.urls: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.urls += [value or "" for name, value in attrs if name in {"src", "href", "action", "srcset", "xlink:href"}]
        self.mistakes += [name for name, _ in attrs if name.startswith("on")]

    def handle_startendtag(self, tag, attrs):
        if tag not in VOID | SVG_VOID:
            self.mistakes.append(f"<{tag}/>")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(f"</{tag}>")

    def handle_data(self, data):
        self.texts.append(data)


def read(text: str) -> _Tags:
    tags = _Tags()
    tags.feed(text)
    tags.close()
    return tags


@pytest.mark.parametrize("name", ["deepseek-2025-01", "calm-surge"])
def test_the_page_is_whole_and_needs_nothing_else(name):
    text = page(name)
    tags = read(text)
    assert tags.mistakes == []
    assert tags.open == []
    assert tags.urls == []
    assert "<script" not in text
    assert not re.search(r"url\(|@import|http-equiv=\"refresh", text)
    assert "default-src 'none'" in text


def test_the_page_says_what_it_is_and_how_it_went():
    text = page()
    assert "simulation" in text
    assert "模拟" in text
    assert "mastodon-user-data" in text
    assert "surge/x.csv" in text
    assert "in lockstep" in text
    assert "fell short" in text  # one chat of 120 failed
    assert text.count('class="verdict met"') >= 5
    assert text.count("<svg") == 2
    assert text.count('class="dot-failed"') == 2  # one chat failed: a mark in each of the two pictures


def test_an_empty_run_renders():
    scenario = load_scenario("smoke")
    record = RunRecord("smoke", 1, 5.0, scenario.spans(5))
    tags = read(render(scenario, record, score(record), NOW))
    assert (tags.mistakes, tags.open) == ([], [])


@settings(max_examples=30)
@given(st.text(max_size=60))
def test_what_the_target_says_is_shown_as_text(words):
    tags = read(page(reason=f"</p><script>alert(1)</script>{words}"))
    assert tags.mistakes == []
    assert any("<script>alert(1)</script>" in text for text in tags.texts)


def test_the_report_is_written(tmp_path):
    record = run()
    write_report(tmp_path / "report.html", load_scenario("deepseek-2025-01"), record, score(record))
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@given(
    st.lists(
        st.builds(
            SignupRecord,
            side=st.sampled_from(Side),
            began_s=st.just(0.0),
            ended_s=st.floats(0, 95),
            outcome=st.sampled_from(Outcome),
        )
    ),
    st.lists(
        st.builds(
            ChatRecord,
            at_s=st.floats(0, 90),
            is_ok=st.booleans(),
            was_challenged=st.just(False),
            first_byte_ms=st.floats(0, 1e5),
        )
    ),
    st.sampled_from([400.0, 960.0]),
)
def test_pictures_stay_in_their_frame_and_lose_nobody(signups, chats, width):
    record = RunRecord("smoke", 1, 60.0, load_scenario("smoke").spans(60), signups=signups, chats=chats)
    stretch = moments(record)
    counted = [
        (m.people_in, m.people_waiting, m.people_lost, m.bots_in, m.bots_probation, m.bots_held) for m in stretch
    ]
    assert sum(map(sum, counted)) == len(signups)
    picture = draw(record, width)
    for bar in picture.bars:
        assert picture.left - 0.1 <= bar.x <= bar.x + bar.width <= picture.right + 2
        assert picture.door_y - 107 <= bar.y <= bar.y + bar.height <= picture.door_y + 107
    for x, y, _ in picture.dots:
        assert picture.left <= x <= picture.right
        assert picture.latency_top - 0.1 <= y <= picture.latency_bottom
    assert sum(state == "failed" for _, _, state in picture.dots) == sum(not chat.is_ok for chat in chats)


def test_bands_run_from_tightening_to_reopening_or_to_the_end():
    posture = [
        PostureChange(10, "a", "open", "careful", ""),
        PostureChange(14, "a", "careful", "probation", ""),
        PostureChange(20, "a", "probation", "open", ""),
        PostureChange(12, "*", "open", "careful", ""),
    ]
    assert bands_of(posture, 60) == {
        "a": [(10, 14, "careful"), (14, 20, "probation")],
        "*": [(12, 60, "careful")],
    }
