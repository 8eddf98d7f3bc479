"""NIST SP 800-63B-4: length, no composition rules, and a check against what is tried first."""

import pytest

from doorward.accounts.errors import WeakPasswordError
from doorward.accounts.passwords import check, common_words

CONTEXT = ("annabel.lee@example.com", "Doorward")


@pytest.mark.parametrize(
    "password",
    [
        "violet anchor tuesday marmalade",
        "correcthorsebatterystaple",
        "dragon839201748",
        "8$3)a92!kkPq0z-LmT",
        "我的密码很长很长而且没有人知道它",
        " leading and trailing spaces ",
        "zzzzzzzzzzzzzzzv kqpxw",
        "x" * 7 + "ßøŁ" + "日本語" * 2 + "q!",
        "k" * 128 + "-2-" + "m" * 125,
    ],
)
def test_accepted(password):
    assert check(password, minimum=15, context=CONTEXT)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("violet anchor", "short"),
        ("a" * 257, "256"),
        ("password1234567", "tried first"),
        ("Password Password", "tried first"),
        ("iloveyouiloveyou", "tried first"),
        ("123456789012345", "tried first"),
        ("987654321098765", "tried first"),
        ("abcdefghijklmnopq", "tried first"),
        ("qwertyuiopasdfghjkl", "tried first"),
        ("qwerty-12345-abcdef", "tried first"),
        ("aaaaaaaaaaaaaaaa", "tried first"),
        ("abcabcabcabcabcabc", "tried first"),
        ("international business", "tried first"),
        ("annabel.lee@example.com", "address"),
        ("annabel-annabel-lee", "address"),
        ("Doorward-annabel-24", "address"),
        ("doorward doorward", "address"),
    ],
)
def test_refused(password, why):
    with pytest.raises(WeakPasswordError, match=why) as caught:
        check(password, minimum=15, context=CONTEXT)
    assert caught.value.field == "password"


def test_one_letter_typed_in_two_ways_is_one_password():
    composed, decomposed = "caf\u00e9 violet anchor", "cafe\u0301 violet anchor"
    assert check(composed, minimum=15) == check(decomposed, minimum=15)


def test_length_counts_code_points_after_normalisation():
    with pytest.raises(WeakPasswordError):
        check("e\u0301" * 14, minimum=15)


def test_the_list_is_large_and_offline():
    assert len(common_words()) >= 30_000
    assert {"123456", "password", "letmein"} <= common_words()
