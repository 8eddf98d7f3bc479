"""Whole attacks and surges in simulated time against the gate's pure parts.

The worlds are invented (`worlds`), by the same hand as the detector: they show that it does what it says on such
worlds, not how often it is right in the field. The seeds here are not those it was tried on while it was written.
"""

import pytest

from doorward.gate.model import Level

from .storm import Report, Storm
from .worlds import Bots, People, World

CALM = People(2.0)
LENGTH = 150.0  # with 60 s of calm, 40 s of whatever comes, and calm again


def play(surge: People, *bots: Bots, seed: int, calm: People = CALM, known: int = 400) -> Report:
    """Play a world in which the attack and the surge come together."""
    world = World(calm, surge, bots, surge_start=60, surge_stop=100, length=LENGTH, calm_history=known)
    return Storm().play(world, seed)


def bots(rate: float, **more: object) -> Bots:
    """A program that comes at the same time as the surge."""
    return Bots(rate, start=60, stop=100, **more)


@pytest.mark.parametrize("known", [0, 30, 400])
def test_a_surge_of_people_tightens_nothing(known):
    report = play(People(38.0), seed=901, calm=People(1.0), known=known)
    assert report.people > 1_000
    assert report.changes == []


@pytest.mark.parametrize(
    "surge",
    [
        People(18.0, press_share=0.7),
        People(18.0, new_domain_share=0.5),
        People(18.0, new_country_share=0.5),
        People(12.0, form_median=9.0, form_sigma=0.5),
    ],
    ids=["press link into one app", "new mail domain", "new country", "a form that is filled in faster"],
)
def test_what_is_only_new_makes_dearer_at_most(surge):
    report = play(surge, seed=902)
    assert report.first(Level.PROBATION) is None
    assert report.people_on_probation == 0


@pytest.mark.parametrize(("times", "within_s", "let_in"), [(10, 3, 40), (3, 5, 40), (1, 10, 40)])
def test_a_programs_cohorts_are_convicted_soon_and_people_are_spared(times, within_s, let_in):
    report = play(People(6.0), bots(6.0 * times), seed=903)
    assert report.first(Level.PROBATION) <= within_s
    assert report.bots_admitted <= let_in
    assert report.people_hit <= 0.01


def test_few_bots_among_many_people_are_convicted_too():
    report = play(People(20.0), bots(6.0), seed=904)
    assert report.first(Level.PROBATION) <= 10
    assert report.people_hit <= 0.01
    assert report.bots_admitted / report.bots <= 0.2


def test_bots_that_share_peoples_mail_domains_are_told_apart():
    report = play(People(6.0), bots(24.0, shares_domains=True), seed=905)
    assert report.first(Level.PROBATION) <= 10
    assert report.people_hit <= 0.01
    assert report.bots_admitted / report.bots <= 0.1


def test_a_cold_start_is_enough_when_people_are_quicker_than_the_prior_thinks():
    quick = {"form_median": 4.5, "form_sigma": 0.45}
    program = bots(18.0, form_median=1.6, form_sigma=0.08)
    report = play(People(2.0, **quick), program, seed=906, calm=People(0.5, **quick), known=7)
    assert report.first(Level.PROBATION) <= 10
    assert report.people_hit <= 0.01
    assert report.bots_admitted / report.bots <= 0.05


def test_it_reopens_by_itself_once_nothing_comes_any_more():
    report = play(People(6.0), bots(20.0), seed=907)
    levels = {cohort: level for _, cohort, level in report.changes}
    assert set(levels.values()) == {Level.OPEN}
    assert max(at for at, _, _ in report.changes) <= 40 + 60 + 2  # the attack, the hold, a tick


def test_an_attack_that_switches_on_and_off_moves_the_door_once_per_incident():
    world = World(
        People(1.0), CALM, (Bots(8.0, start=30, stop=480, period=150),), surge_start=30, surge_stop=60, length=500
    )
    report = Storm().play(world, 908)
    per_cohort = {}
    for _, cohort, level in report.changes:
        per_cohort[cohort] = per_cohort.get(cohort, 0) + (level is Level.PROBATION)
    assert report.first(Level.PROBATION) is not None
    assert max(per_cohort.values()) <= 2  # the second time it is held eight times longer
    assert report.people_hit <= 0.01
