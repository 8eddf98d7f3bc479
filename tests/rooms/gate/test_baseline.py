"""The baseline: learned, bounded, kept."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.gate.baseline import Baseline, packaged_prior
from doorward.gate.cohorts import load_rules
from doorward.gate.model import Feature, Signals
from doorward.hall.model import Attempt

TAILS = load_rules().tails


def person(mail="gmail.com", form=15, shape="a3", client="chrome/141/windows"):
    return Signals(1.0, Attempt.SIGNUP, mail, "198.51.100.0/24", client, "en", shape, form, 8, 9)


def fresh():
    return Baseline(packaged_prior(), TAILS)


def test_before_anybody_came_the_prior_speaks():
    baseline = fresh()
    assert baseline.share(Feature.MAIL, "gmail.com") == pytest.approx(0.36)
    assert baseline.share(Feature.MAIL, "owned.example") == TAILS[Feature.MAIL]
    assert baseline.share(Feature.CLIENT, "chrome/141/windows") == 1.0  # nobody has shown that it is rare
    assert sum(baseline.times("form")) == pytest.approx(1)
    assert baseline.doubt == 1


def test_it_learns_who_people_are_and_how_they_behave():
    baseline = fresh()
    for place in range(400):
        baseline.learn(person("home.example" if place % 2 else "gmail.com", form=6 + place % 5))
    assert 0.4 < baseline.share(Feature.MAIL, "home.example") < 0.5
    assert baseline.share(Feature.CLIENT, "python-requests/2/other") < 0.01
    form = baseline.times("form")
    assert max(range(len(form)), key=form.__getitem__) in range(6, 11)
    assert baseline.doubt < 0.05


def test_a_few_people_move_the_prior_to_their_pace_and_keep_its_spread():
    baseline = fresh()
    for _ in range(10):
        baseline.learn(person(form=6))
    form = baseline.times("form")
    assert sum(form[15:]) < 0.01
    assert sum(form[3:5]) > 0.1


@settings(max_examples=5)
@given(st.integers(0, 2**32))
def test_memory_is_bounded_whatever_keys_are_invented(seed):
    baseline = fresh()
    for _ in range(200):
        baseline.learn(person("home.example"))
    for number in range(3_000):
        baseline.learn(person(f"m{seed}-{number}.example", shape=f"s{number}", client=f"c/{number}/x"))
    assert len(baseline.dump()) < 200_000
    assert baseline.share(Feature.MAIL, "home.example") > 0.05


def test_what_was_learned_fades():
    baseline = fresh()
    for _ in range(100):
        baseline.learn(person("home.example"))
    before = baseline.share(Feature.MAIL, "home.example")
    baseline.fade(86_400, 86_400)
    assert baseline.learned == pytest.approx(50)
    assert baseline.share(Feature.MAIL, "home.example") < before


def test_it_is_kept():
    baseline, other = fresh(), fresh()
    for place in range(50):
        baseline.learn(person(f"m{place % 7}.example", form=place % 12))
    other.restore(baseline.dump())
    assert other.dump() == baseline.dump()
    assert other.times("form") == baseline.times("form")
    with pytest.raises(msgspec.DecodeError):
        other.restore(b"[]")
