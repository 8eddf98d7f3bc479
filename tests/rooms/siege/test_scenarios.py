"""Scenario files: the packaged ones, a corpus of good and bad, and the phases of any run."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.siege.model import Phase
from doorward.siege.scenario import ScenarioError, load_scenario, parse_scenario, scenario_names

CORPUS = Path(__file__).parent / "corpus"


def test_the_packaged_scenarios_are_right():
    assert set(scenario_names()) >= {"deepseek-2025-01", "calm-surge", "smoke"}
    for name in scenario_names():
        scenario = load_scenario(name)
        assert scenario.name == name
        assert all("@" in source.source or "http" in source.source for source in scenario.sources)


def test_the_attack_is_ten_times_the_people():
    scenario = load_scenario("deepseek-2025-01")
    assert scenario.botnet is not None
    assert scenario.botnet.per_second == pytest.approx(10 * scenario.people.surge_per_second)
    assert scenario.botnet.addresses == 10_000


@pytest.mark.parametrize("path", sorted((CORPUS / "good").glob("*.toml")), ids=lambda path: path.stem)
def test_good_files_load(path):
    assert load_scenario(str(path)).phases.calm > 0


@pytest.mark.parametrize("path", sorted((CORPUS / "bad").glob("*.toml")), ids=lambda path: path.stem)
def test_bad_files_are_refused_with_the_reason_in_their_first_line(path):
    expected = path.read_text().partition("\n")[0].removeprefix("# ")
    with pytest.raises(ScenarioError, match=expected) as caught:
        load_scenario(str(path))
    assert path.name in str(caught.value)


def test_unknown_names_say_which_there_are():
    with pytest.raises(ScenarioError, match="calm-surge"):
        load_scenario("nope")
    with pytest.raises(ScenarioError, match="cannot read"):
        load_scenario("/nowhere/x.toml")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_scenario_or_an_error(content):
    with pytest.raises(ScenarioError):
        parse_scenario(content, "x")


@given(st.sampled_from(["deepseek-2025-01", "calm-surge", "smoke"]), st.floats(2, 3600))
def test_phases_fill_the_run_in_their_order(name, seconds):
    spans = load_scenario(name).spans(seconds)
    assert spans[0].start_s == 0
    assert spans[-1].end_s == pytest.approx(seconds)
    for earlier, later in pairwise(spans):
        assert earlier.end_s == pytest.approx(later.start_s)
    assert [span.phase for span in spans] == [phase for phase in Phase if phase in {span.phase for span in spans}]
