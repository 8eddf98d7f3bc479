"""Arrivals become small codes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.gate.model import UNKNOWN_BIN
from doorward.gate.sense import BINS, client_of, form_bin, form_seconds_of, language_of, network_of, sense, shape_of
from doorward.hall.model import Arrival, Attempt


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.0/24"),
        ("2001:db8:1:2::9", "2001:db8:1::/48"),
        ("::ffff:198.51.100.7", "198.51.100.0/24"),
        ("", "unknown"),
        ("not an address", "unknown"),
    ],
)
def test_networks(address, network):
    assert network_of(address) == network


WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "


@pytest.mark.parametrize(
    ("agent", "hints", "client"),
    [
        (WINDOWS + "Chrome/141.0.0.0 Safari/537.36", "", "chrome/141/windows"),
        (WINDOWS + "Chrome/141.0.0.0 Safari/537.36 Edg/141.0.1.2", "", "edge/141/windows"),
        (WINDOWS + "HeadlessChrome/131.0.0.0 Safari/537.36", "", "headless/131/windows"),
        (
            WINDOWS + "Chrome/140.0.0.0 Safari/537.36",
            '"Chromium";v="142", "Google Chrome";v="142"',
            "chrome/142/windows",
        ),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:134.0) Gecko/20100101 Firefox/134.0", "", "firefox/134/linux"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 Mobile/15E148 Safari/604.1",
            "",
            "safari/18/ios",
        ),
        ("python-requests/2.32.3", "", "python-requests/2/other"),
        ("", "", "none"),
        ("💥", "", "none"),
    ],
)
def test_clients(agent, hints, client):
    assert client_of(agent, hints) == client


@pytest.mark.parametrize(
    ("sent", "tag"), [("de-CH,de;q=0.9", "de"), ("ZH", "zh"), ("*", "none"), ("", "none"), ("x" * 99, "none")]
)
def test_languages(sent, tag):
    assert language_of(sent) == tag


def test_shapes_hide_the_name_and_keep_its_pattern():
    assert shape_of("jane.doe84") == shape_of("mary.poe11") != shape_of("janedoe84")
    assert shape_of("qkzjwvbx123") == shape_of("abcdefgh987")


@given(st.text(max_size=80))
def test_shapes_are_bounded(local):
    assert len(shape_of(local)) <= 24


@given(st.floats(min_value=0.2, max_value=3_600))
def test_form_times_are_bins_of_half_an_octave(seconds):
    code = form_bin(seconds)
    assert 0 <= code < BINS
    assert form_seconds_of(code) <= seconds * 1.000001
    assert form_seconds_of(code + 1) > seconds * 0.999999


@given(
    st.text(max_size=600),
    st.text(max_size=600),
    st.text(max_size=100),
    st.floats(allow_nan=True),
    st.integers(0, 10**9),
)
def test_whatever_was_sent_can_be_sensed(agent, languages, email, milliseconds, counter):
    arrival = Arrival("r", 1.0, Attempt.SIGNUP, agent[:40], user_agent=agent, languages=languages, email=email)
    signals = sense(arrival, milliseconds, (milliseconds, counter))
    assert all(UNKNOWN_BIN <= code < BINS for code in (signals.form, signals.solver, signals.spent))


def test_the_solver_is_judged_by_its_speed_not_by_its_luck():
    arrival = Arrival("r", 1.0, Attempt.SIGNUP, "198.51.100.7")
    lucky, unlucky = sense(arrival, 5.0, (1.0, 10)), sense(arrival, 5.0, (19.0, 190))
    assert lucky.solver == unlucky.solver
    assert lucky.spent < unlucky.spent


def test_a_log_in_has_no_form_time():
    arrival = Arrival("r", 1.0, Attempt.LOGIN, "198.51.100.7")
    assert sense(arrival, 1.5).form == UNKNOWN_BIN
