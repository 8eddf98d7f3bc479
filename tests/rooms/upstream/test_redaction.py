"""Redaction: finds what is written in a known form, leaves the rest, and no text makes it slow."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.upstream import redaction

REDACT = redaction.packaged()
CORPUS = Path(__file__).parent / "redaction"


def lines_of(name: str) -> list[str]:
    lines = (CORPUS / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("# ")]


FOUND = [tuple(line.split("\t")) for line in lines_of("found.txt")]


@pytest.mark.parametrize(("text", "kept"), FOUND)
def test_what_is_found_is_named_and_nothing_else_is_touched(text, kept):
    assert REDACT(text) == kept


@pytest.mark.parametrize("text", lines_of("kept.txt"))
def test_what_names_nobody_stays(text):
    assert REDACT(text) == text


def test_a_private_key_over_many_lines_goes_as_a_whole():
    key = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMHcCAQEE\nabc=\n-----END EC PRIVATE KEY-----"
    assert REDACT(f"see:\n{key}\nend") == "see:\n[private key]\nend"


PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from([piece for text, _ in FOUND for piece in (text, *text.split())]),
    st.text(alphabet="0123456789 -.:/+()@[]", max_size=24),
    st.sampled_from(["[mail]", "[key]", "sk-", "dw_live_", "://", "@", "?token=", "-----BEGIN PRIVATE KEY-----"]),
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_to_redact_twice_is_to_redact_once_and_a_text_hardly_grows(text):
    once = REDACT(text)
    assert REDACT(once) == once
    assert len(once) <= 2 * len(text) + len(redaction.NOT_AT_REST)


# A private key without its end is taken to go on.
WHOLE = [pair for pair in FOUND if "-----BEGIN" not in pair[0] or "-----END" in pair[0]]


@given(st.sampled_from(WHOLE), st.text(alphabet="ab \n,;", max_size=20), st.text(alphabet="ab \n,;", max_size=20))
def test_a_find_is_found_wherever_it_stands(pair, before, after):
    text, kept = pair
    assert REDACT(f"{before}\n {text} \n{after}") == f"{before}\n {kept} \n{after}"


class TestRules:
    """A rule that a text could make slow is not loaded: that is what keeps the time linear."""

    @pytest.mark.parametrize(
        "pattern",
        ["a+", "a*b", "a{1,5}", "(?:a{1,5}){2}", "a+?", "(?:x|a{2,3})b", "(?=a{1,9})b", "(?<=x)a?", "(?>a+)"],
    )
    def test_an_ordinary_repeat_is_refused(self, pattern):
        with pytest.raises(redaction.BadRuleError, match="not possessive"):
            redaction.parse(f"version = '1'\n[[rule]]\nname = 'mail'\npattern = '{pattern}'")

    @pytest.mark.parametrize("pattern", ["a++", "a{1,90000}+"])
    def test_a_rule_that_looks_too_far_is_refused(self, pattern):
        with pytest.raises(redaction.BadRuleError, match="too far"):
            redaction.parse(f"version = '1'\n[[rule]]\nname = 'mail'\npattern = '{pattern}'")

    def test_no_regular_expression_is_refused(self):
        with pytest.raises(redaction.BadRuleError, match="no regular expression"):
            redaction.parse("version = '1'\n[[rule]]\nname = 'mail'\npattern = '(a'")

    def test_the_packaged_rules_pass(self):
        assert len(REDACT.finders) > 10
        assert REDACT.version
