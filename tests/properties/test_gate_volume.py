"""Evidence, not volume: however many people like those of the baseline come, nothing is tightened."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.gate.baseline import Baseline, packaged_prior
from doorward.gate.cohorts import load_rules
from doorward.gate.detect import Thresholds, Window, detect, growth
from doorward.gate.model import Signals
from doorward.hall.model import Attempt

RULES = load_rules()
BARS = Thresholds(suspicion=9, conviction=16, renewal=0.5, people=0.01)
MAILS = {"gmail.com": 40, "qq.com": 20, "outlook.com": 15, "home.example": 15, "uni.example": 10}
CLIENTS = {"chrome/141/windows": 40, "safari/18/ios": 30, "chrome/141/android": 30}
LANGUAGES = {"en": 60, "zh": 30, "de": 10}
SHAPES = ["a3", "a4", "a2.a3", "a391", "a492", "a3.a391", "94", "a2_a3", "a5", "a391a2"]


def person(rng: random.Random, at: float, pace: float) -> Signals:
    """Somebody like the others."""
    pick = lambda weights: rng.choices(list(weights), list(weights.values()))[0]  # noqa: E731
    network = f"{rng.randrange(1, 200)}.{rng.randrange(256)}.{rng.randrange(256)}.0/24"
    times = [max(0, min(39, round(rng.gauss(middle, 2.0)))) for middle in (pace, 8, 9)]
    return Signals(at, Attempt.SIGNUP, pick(MAILS), network, pick(CLIENTS), pick(LANGUAGES), rng.choice(SHAPES), *times)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    known=st.integers(0, 500),
    came=st.integers(1, 1_500),
    pace=st.floats(6, 24),
    seconds=st.floats(0.5, 20),
)
def test_a_change_of_volume_alone_tightens_nothing(seed, known, came, pace, seconds):
    rng = random.Random(seed)
    baseline = Baseline(packaged_prior(), RULES.tails)
    for _ in range(known):
        baseline.learn(person(rng, 0.0, pace))
    attempts = [
        person(rng, 1_000 + seconds * place / came, pace) for place in sorted(rng.random() * came for _ in range(came))
    ]
    assert detect(Window(attempts, {}, baseline, RULES, BARS, fresh_after=0.0)) == []


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), factor=st.integers(2, 12))
def test_the_same_people_twice_or_ten_times_are_the_same_share_of_people(seed, factor):
    rng = random.Random(seed)
    baseline = Baseline(packaged_prior(), RULES.tails)
    people = [person(rng, 1_000.0, 15) for _ in range(200)]
    for signals in people:
        baseline.learn(signals)
    assert growth(people * factor, baseline) == growth(people, baseline)
    assert growth(people, baseline) > 0.7
