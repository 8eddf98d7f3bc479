"""Evidence in nats: programs stand out, people do not, and doubt keeps it modest."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.gate import evidence
from doorward.gate.baseline import Baseline, packaged_prior

PEOPLE = Baseline(packaged_prior(), {}).times("form")


def _times(seed, n, middle, sigma):
    rng = random.Random(seed)
    return evidence.tally([max(0, min(39, round(rng.gauss(middle, sigma)))) for _ in range(n)])


@pytest.mark.parametrize("middle", [5, 15, 25])
def test_people_faster_or_slower_than_usual_are_not_narrow(middle):
    worst = max(
        evidence.narrowness(_times(seed, n, middle, 2.0), PEOPLE).nats for seed in range(20) for n in (8, 40, 400)
    )
    assert worst < 5


@pytest.mark.parametrize("middle", [5, 15, 25])
def test_a_program_is_narrow_wherever_it_lies(middle):
    clusters = [evidence.narrowness(_times(seed, 25, middle, 0.4), PEOPLE) for seed in range(20)]
    assert min(cluster.nats for cluster in clusters) > 5
    assert all(cluster.lowest <= middle <= cluster.highest and cluster.share > 0.9 for cluster in clusters)


def test_natural_differences_saturate_instead_of_adding_up():
    few, many = (evidence.narrowness(_times(1, n, 15, 1.6), PEOPLE).nats for n in (300, 30_000))
    assert many < few + 10
    assert evidence.surplus(20_000, 100_000, 0.15) < 5


def test_a_spike_is_found_among_people():
    mixed = _times(2, 100, 15, 2.0) + _times(3, 60, 4, 0.4)
    cluster = evidence.spike(mixed, PEOPLE)
    assert cluster.nats > 10
    assert cluster.lowest <= 4 <= cluster.highest
    assert cluster.expected < 0.01
    assert evidence.spike(_times(4, 160, 15, 2.0), PEOPLE).nats < 5


def test_where_people_lie_is_not_believed_while_nobody_is_known():
    quick_people = _times(5, 200, 9, 1.3)
    assert evidence.spike(quick_people, PEOPLE, doubt=1.0).nats < 5
    assert evidence.spike(quick_people, PEOPLE, doubt=0.0).nats > 5


def test_clockwork_is_rhythm_and_chance_and_bursts_are_not():
    rng = random.Random(6)
    clockwork = [second + rng.uniform(-0.1, 0.1) for second in range(20)]
    chance, at = [], 0.0
    for _ in range(200):
        at += rng.expovariate(1.0)
        chance.append(at)
    bursts = [burst * 10 + rng.uniform(0, 0.01) for burst in range(10) for _ in range(20)]
    assert evidence.rhythm(clockwork)[0] > 10
    assert evidence.rhythm(chance)[0] < 3
    assert evidence.rhythm(bursts)[0] == 0
    assert evidence.rhythm([1.0, 2.0]) == (0.0, 1.0)


def test_names_of_one_pattern():
    people = {"a3": 0.1, "a391": 0.15}
    assert evidence.sameness({"a492": 20}, people)[0] > 10
    assert evidence.sameness({"a3": 3, "a391": 4, "a4": 5, "93": 4, "a2.a3": 4}, people)[0] < 3


@given(st.integers(0, 500), st.integers(1, 500), st.floats(0, 1))
def test_a_surplus_is_never_evidence_for_too_few(inside, total, share):
    inside = min(inside, total)
    nats = evidence.surplus(inside, total, share)
    assert math.isfinite(nats)
    if inside <= share * total:
        assert nats == 0


@given(st.dictionaries(st.integers(0, 39), st.integers(1, 50), min_size=1))
def test_any_histogram_can_be_weighed(counts):
    for cluster in (evidence.narrowness(counts, PEOPLE), evidence.spike(counts, PEOPLE)):
        assert math.isfinite(cluster.nats)
        assert 0 <= cluster.share <= 1
