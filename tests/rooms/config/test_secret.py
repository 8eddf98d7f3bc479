"""What counts as a weak master secret, and that random ones never do."""

import base64
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.config.secret import EXAMPLE, weakness


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "x" * 31,
        "a" * 64,
        "0123456789abcdef" * 3,
        "changeme" * 5,
        "Replace-Me-With-Something-Random-Please!",
        "ThisIsMySuperSecretKeyThatNobodyKnows123",
        EXAMPLE,
        "passwordpasswordpasswordpassword",
        "12345678901234567890123456789012",
        "qwertyuiopasdfghjklzxcvbnmqwertyuiop",
        "11111111112222222222333333333344444444445",
    ],
)
def test_weak_ones_are_told(secret):
    problem = weakness(secret)
    assert problem
    assert len(secret) < 8 or secret not in problem


@given(st.binary(min_size=16, max_size=32))
def test_judging_never_fails(data):
    assert isinstance(weakness(data.decode("latin-1") * 2), str)


@pytest.mark.parametrize("make", [lambda: secrets.token_hex(32), lambda: secrets.token_urlsafe(32)])
def test_random_ones_pass(make):
    assert [problem for problem in (weakness(make()) for _ in range(12)) if problem] == []


def test_what_openssl_prints_passes():
    assert weakness(base64.b64encode(secrets.token_bytes(48)).decode()) == ""


def test_a_long_passphrase_of_rare_words_passes():
    assert weakness("gneiss oboe thirtyfold quagga lumen axolotl 47") == ""
