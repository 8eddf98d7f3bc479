"""Names of cohorts, and the corpus of good and bad rules."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.gate.cohorts import PostureIndex, key_of, load_rules, parse_key, parse_rules
from doorward.gate.errors import CohortSyntaxError, RulesError
from doorward.gate.model import Change, Cohort, Feature, Level, Posture, Row, Signals
from doorward.hall.model import Attempt

FOLDER = Path(__file__).parent / "rules"
VALUES = (
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=8)
    .map(str.lower)
    .map(str.strip)
    .filter(lambda t: t and t == t.lower())
)
RANGES = st.tuples(st.integers(0, 39), st.integers(0, 39)).map(sorted).map(lambda pair: tuple(map(str, pair)))
TERMS = st.fixed_dictionaries(
    {},
    optional={
        feature: RANGES if feature in (Feature.FORM, Feature.SOLVER) else VALUES.map(lambda value: (value, value))
        for feature in Feature
    },
)


@given(TERMS)
def test_a_key_says_its_cohort(terms):
    cohort = Cohort(tuple((feature, *bounds) for feature, bounds in terms.items()))
    again = parse_key(key_of(cohort))
    assert set(again.terms) == set(cohort.terms)
    assert key_of(again) == key_of(cohort)


@given(st.text(max_size=60))
def test_any_text_is_a_cohort_or_is_said_not_to_be_one(text):
    try:
        cohort = parse_key(text)
    except CohortSyntaxError:
        return
    assert parse_key(key_of(cohort)) == cohort


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mail",
        "mail=",
        "colour=red",
        "form=a..b",
        "form=9..3",
        "form=1..",
        "mail=a&mail=b",
        "mail=a&&",
        "x" * 500,
        "form=99999999999999999999",
    ],
)
def test_what_is_no_cohort(text):
    with pytest.raises(CohortSyntaxError):
        parse_key(text)


def _signals(**more):
    return Signals(
        **{
            "at": 100.0,
            "attempt": Attempt.SIGNUP,
            "mail": "a.example",
            "network": "198.51.100.0/24",
            "client": "chrome/141/windows",
            "language": "en",
            "shape": "a3",
            "form": 8,
        }
        | more
    )


def _row(version, cohort, level, expires_at=200.0):
    return Row(version, Change(0.0, cohort, level, "because", (), expires_at, "detector"), Level.OPEN, 0.0)


def _index(*rows):
    return PostureIndex(Posture(len(rows), {row.change.cohort: row for row in rows}))


def test_the_strictest_row_that_holds_is_found():
    index = _index(
        _row(1, "*", Level.CAREFUL),
        _row(2, "mail=a.example&form=7..9", Level.PROBATION),
        _row(3, "form=0..3", Level.WAITLIST),
    )
    assert index.strictest(_signals()).change.level is Level.PROBATION
    assert index.strictest(_signals(form=3)).change.level is Level.WAITLIST
    assert index.strictest(_signals(mail="b.example")).change.level is Level.CAREFUL
    assert index.strictest(_signals(at=200.0)) is None


@pytest.mark.parametrize("path", sorted((FOLDER / "good").glob("*.toml")), ids=lambda path: path.stem)
def test_good_rules_are_read(path):
    rules = load_rules(path)
    assert rules.combinations
    assert rules == parse_rules(path.read_text())


@pytest.mark.parametrize("path", sorted((FOLDER / "bad").glob("*.toml")), ids=lambda path: path.stem)
def test_bad_rules_are_refused_with_their_reason(path):
    expected = path.read_text().splitlines()[0].removeprefix("# ")
    with pytest.raises(RulesError, match=expected):
        load_rules(path)


def test_the_packaged_rules_are_good_and_never_close_the_door():
    rules = load_rules()
    assert all(combination.strictest is not Level.WAITLIST for combination in rules.combinations)
    assert any(combination.features == (Feature.MAIL,) for combination in rules.combinations)
