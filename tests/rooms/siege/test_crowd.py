"""Who comes: by seed, within the margins, and in the shape that was asked for."""

from ipaddress import ip_address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.siege.crowd import Crowd, arrival_times, log_normal, published_margins
from doorward.siege.scenario import load_scenario


def crowd(seed: int, names: int = 0, scenario: str = "deepseek-2025-01") -> Crowd:
    loaded = load_scenario(scenario)
    margins = published_margins(loaded, Random(f"{seed}/margins"))
    return Crowd(loaded, margins, Random(seed), Random(names))


def seen(newcomer):
    actor = newcomer.actor
    domain = newcomer.email.partition("@")[2]
    return (actor.address, actor.user_agent, actor.languages, domain, newcomer.form_seconds, newcomer.way)


def test_the_same_seed_draws_the_same_crowd():
    first, second, other = crowd(7), crowd(7, names=9), crowd(8)
    ones = [seen(first.person()) for _ in range(50)]
    assert ones == [seen(second.person()) for _ in range(50)]
    assert ones != [seen(other.person()) for _ in range(50)]


def test_only_names_differ_between_two_runs_of_a_seed():
    first, second = crowd(7, names=1), crowd(7, names=2)
    pairs = [(first.person().email, second.person().email) for _ in range(30)]
    assert all(a.partition("@")[2] == b.partition("@")[2] for a, b in pairs)
    assert sum(a == b for a, b in pairs) <= 1


def test_people_and_bots_are_as_the_scenario_says():
    drawn = crowd(3)
    people = [drawn.person() for _ in range(800)]
    bots = [drawn.bot() for _ in range(800)]
    emails = [newcomer.email for newcomer in people + bots]
    assert len(set(emails)) == len(emails)
    assert all(email.endswith(".example") and email == email.lower() for email in emails)
    assert len({email.partition("@")[2] for email in (bot.email for bot in bots)}) == 3
    assert len({person.email.partition("@")[2] for person in people}) > 12
    assert all(ip_address(newcomer.actor.address).is_global for newcomer in people + bots)
    assert 0.2 < sum(person.way != "api" for person in people) / 800 < 0.4
    spread = sorted(bot.form_seconds for bot in bots)
    assert spread[790] / spread[10] < 1.6 < sorted(p.form_seconds for p in people)[790] / spread[10]


def test_the_botnet_has_its_addresses():
    margins = published_margins(load_scenario("deepseek-2025-01"), Random(1))
    assert len(set(margins.bot_addresses)) == 10_000
    assert len({address.rpartition(".")[0] for address in margins.bot_addresses}) == 5_000


def test_a_scenario_without_a_botnet_has_no_bots():
    with pytest.raises(ValueError, match="no botnet"):
        crowd(1, scenario="calm-surge").bot()


@given(
    st.integers(),
    st.floats(0, 100),
    st.floats(0.1, 100),
    st.floats(0, 20),
    st.lists(st.floats(0, 3), min_size=1, max_size=30),
)
def test_arrivals_lie_in_their_stretch_in_order(seed, start, length, rate, shape):
    times = arrival_times(Random(seed), start, start + length, rate, shape)
    assert times == sorted(times)
    assert all(start <= moment < start + length for moment in times)


def test_arrivals_follow_the_shape():
    times = arrival_times(Random(1), 0, 1000, 5, [0.0, 2.0, 1.0, 1.0])
    quarters = [sum(250 * n <= moment < 250 * (n + 1) for moment in times) for n in range(4)]
    assert quarters[0] == 0
    assert quarters[1] == pytest.approx(2500, rel=0.1)
    assert quarters[2] == pytest.approx(1250, rel=0.15)


@given(st.floats(0.01, 100), st.floats(0, 2), st.integers())
def test_times_are_positive(median, sigma, seed):
    assert log_normal(Random(seed), median, sigma) > 0
