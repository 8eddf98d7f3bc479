"""The forms of credentials: what a leak scanner sees, what is refused without a look-up."""

import re

import pytest

from doorward.accounts import tokens
from doorward.accounts.tokens import Credential


def test_a_session_token_is_256_bits_of_url_safe_text():
    token = tokens.new_session_token()
    assert re.fullmatch(r"dws_[A-Za-z0-9_-]{43}", token)
    assert tokens.kind_of(token.encode()) is Credential.SESSION


def test_a_key_has_a_fixed_form_for_ever():
    assert tokens.key_from(bytes(range(20))) == "dw_live_aaaqeayeaudaocajbifqydiob4ibceqt4gusbz"
    assert tokens.checksum(b"123456789") == "f7iojg"  # the low 30 bits of the check value CBF43926 of CRC-32
    assert tokens.kind_of(tokens.new_key().encode()) is Credential.KEY


def test_no_two_are_alike():
    assert len({tokens.new_key() for _ in range(200)} | {tokens.new_session_token() for _ in range(200)}) == 400


def test_a_key_of_another_length_cannot_be_made():
    with pytest.raises(ValueError, match="20 random bytes"):
        tokens.key_from(b"short")


@pytest.mark.parametrize("index", range(8, 46))
def test_every_wrong_letter_of_a_key_shows(index):
    key = tokens.key_from(bytes(range(20)))
    wrong = key[:index] + ("b" if key[index] == "a" else "a") + key[index + 1 :]
    assert tokens.kind_of(wrong.encode()) is None


@pytest.mark.parametrize(
    "credential", [b"", b"dws_", b"dw_live_", b"dws_" + b"a" * 42, b"dws_" + b"a" * 44, b"\xff" * 47, b"a" * 10_000]
)
def test_what_is_no_credential(credential):
    assert tokens.kind_of(credential) is None


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("12345678", "12345678"),
        (" 1234 5678\n", "12345678"),
        ("1234-5678", "12345678"),
        ("1234567", ""),
        ("123456789", ""),
        ("1234567x", ""),
        ("１２３４５６７８", ""),
        ("", ""),
        ("1" * 10_000, ""),
    ],
)
def test_codes_as_people_type_them(typed, code):
    assert tokens.code_from(typed) == code


def test_a_code_has_eight_digits_also_when_it_begins_with_zeros(monkeypatch):
    monkeypatch.setattr(tokens.secrets, "randbelow", lambda most: 42)
    assert tokens.new_code() == "00000042"


def test_the_hint_gives_little_away():
    key = tokens.new_key()
    assert key.startswith(tokens.hint_of(key))
    assert len(tokens.hint_of(key)) == len("dw_live_") + 4
