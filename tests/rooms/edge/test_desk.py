"""The desk: arrivals as the street saw them, pages in the visitor's language, letters."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from doorward.edge.desk import FrontDesk, canonical_address, site_of
from doorward.edge.problems import Problems
from doorward.edge.static_files import StaticFiles
from doorward.edge.stationery import Letters
from doorward.edge.templates import Templates, day, moment, prose
from doorward.edge.view import HouseView
from doorward.hall.model import Attempt


@pytest.fixture
def desk(house: HouseView) -> FrontDesk:
    return FrontDesk(house, Templates(StaticFiles().url), Problems(house.front))


def request(headers: dict[str, str], client: tuple[str, int] | None = ("203.0.113.9", 1)) -> Request:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    state = {"request_id": "req_1"}
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": pairs,
            "client": client,
            "state": state,
        }
    )


def test_arrival_is_what_the_street_saw(desk: FrontDesk, house: HouseView) -> None:
    headers = {
        "user-agent": "A" * 2000,
        "accept-language": "zh-CN",
        "sec-ch-ua": '"Chromium"',
        "referer": "https://news.example/private?token=1",
        "x-forwarded-for": "192.0.2.1",
    }
    arrival = desk.arrival(request(headers), Attempt.SIGNUP)
    assert arrival.at == house.clock.now()
    assert arrival.address == "203.0.113.9"
    assert len(arrival.user_agent) == 512
    assert arrival.language == "zh_Hans"
    assert arrival.referrer == "https://news.example"
    assert arrival.request_id == "req_1"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", ""),
        ("unix", ""),
    ],
)
def test_addresses_have_one_form(text: str, canonical: str) -> None:
    assert canonical_address(text) == canonical


@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_any_referrer_is_cut_to_its_site(referrer: str) -> None:
    site = site_of(referrer)
    assert site == "" or site.count("/") == 2
    assert "?" not in site


def test_moments() -> None:
    assert moment(0) == '<time datetime="1970-01-01T00:00:00+00:00">1970-01-01 00:00 UTC</time>'
    assert day(86_400) == '<time datetime="1970-01-02">1970-01-02</time>'


def test_prose_escapes_and_marks_code() -> None:
    assert prose("Send `<a>` & wait") == "Send <code>&lt;a&gt;</code> &amp; wait"


def test_letters(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code.txt").write_text("Your code: {{ code }}\n\nHello {{ name }},\nit is {{ code }}.\n")
    (tmp_path / "code.html").write_text("<p lang={{ language_tag }}>{{ name }}: {{ code }}</p>")
    monkeypatch.setattr("doorward.edge.templates.DIRECTORY", tmp_path)
    letter = Letters(Templates(StaticFiles().url)).letter("code", "a@b.example", "zh_Hans", code="1\r\n2", name="<b>")
    assert letter.recipient == "a@b.example"
    assert letter.subject == "Your code: 1"
    assert "\n" not in letter.subject
    assert "Hello <b>," in letter.text
    assert letter.html == "<p lang=zh-Hans>&lt;b&gt;: 1\r\n2</p>"


def test_letters_without_html(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain.txt").write_text("Subject\n\nText")
    monkeypatch.setattr("doorward.edge.templates.DIRECTORY", tmp_path)
    letter = Letters(Templates(StaticFiles().url)).letter("plain", "a@b.example", "xx")
    assert (letter.subject, letter.text, letter.html) == ("Subject", "Text\n", "")
