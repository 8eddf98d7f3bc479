"""What the siege reads in pages and letters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.siege.forms import form_with, read_forms
from doorward.siege.mailboxes import read_mail

PAGE = """<!doctype html><form method="POST" action="/signup" data-challenge='{"parameters":{"a":"&amp;"}}'>
<input type=hidden name=ticket value="a&quot;b"><input name=email><textarea name=note></textarea>
<input type=checkbox name=news><input type=checkbox name=terms checked value=yes>
<button name=way value=one>1</button><button name=way value=two>2</button></form>
<form action=/language><select name=language></select></form>"""


def test_forms_are_read_as_a_browser_would():
    first, second = read_forms(PAGE.encode())
    assert (first.method, first.action) == ("post", "/signup")
    assert first.fields == {"ticket": 'a"b', "email": "", "note": "", "terms": "yes", "way": "one"}
    assert first.challenge() == {"parameters": {"a": "&"}}
    assert (second.method, second.challenge()) == ("get", {})


def test_fields_keep_their_order_when_filled():
    form = form_with(PAGE.encode(), "email")
    assert form is not None
    assert list(form.filled(email="a@b.example", password="x")) == [
        "ticket",
        "email",
        "note",
        "terms",
        "way",
        "password",
    ]
    assert form_with(PAGE.encode(), "code") is None


@given(st.binary(max_size=500))
def test_any_bytes_can_be_read(page):
    for form in read_forms(page):
        assert isinstance(form.challenge(), dict)


@pytest.mark.parametrize(
    ("text", "code", "link"),
    [
        ("Type this code:\n\n12345678\n\nWithin 15 minutes.", "12345678", ""),
        ("Your code is 1234 5678. Good for 15 minutes, until 2026.", "12345678", ""),
        ("Code: 123456", "123456", ""),
        (
            "Open https://ai.example/signup/link?token=dwl_12345678. It works once.",
            "",
            "/signup/link?token=dwl_12345678",
        ),
        ("See https://ai.example/help/12345678 for help.", "", ""),
        ("You have an account already. Log in at https://ai.example/login", "", ""),
    ],
)
def test_letters(text, code, link):
    mail = read_mail(text)
    assert (mail.code, mail.link) == (code, link)
