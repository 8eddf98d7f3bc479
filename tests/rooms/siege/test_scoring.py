"""From records to the result: counted, never invented."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.siege.judging import findings
from doorward.siege.model import (
    ChatRecord,
    LoginRecord,
    Outcome,
    PostureChange,
    RunRecord,
    Side,
    SignupRecord,
)
from doorward.siege.scenario import load_scenario
from doorward.siege.scoring import (
    Result,
    first_action,
    is_tightening,
    quantile,
    reopened_after,
    result_schema,
    score,
)

LEVELS = st.sampled_from(["open", "careful", "probation", "waitlist"])
MOMENTS = st.floats(0, 90)
SIGNUPS = st.builds(
    SignupRecord,
    side=st.sampled_from(Side),
    began_s=MOMENTS,
    ended_s=MOMENTS,
    outcome=st.sampled_from(Outcome),
    delay_s=st.none() | st.floats(0, 30),
)
CHATS = st.builds(
    ChatRecord, at_s=MOMENTS, is_ok=st.booleans(), was_challenged=st.booleans(), first_byte_ms=st.floats(0, 9000)
)
LOGINS = st.builds(LoginRecord, at_s=MOMENTS, is_owner=st.booleans(), got_in=st.booleans())
CHANGES = st.builds(
    PostureChange,
    at_s=MOMENTS,
    cohort=st.sampled_from(["a", "b", "*"]),
    from_level=LEVELS,
    to_level=LEVELS,
    reason=st.text(),
)


def record(**parts) -> RunRecord:
    return RunRecord("deepseek-2025-01", 7, 60.0, load_scenario("deepseek-2025-01").spans(60), **parts)


RECORDS = st.builds(
    record, signups=st.lists(SIGNUPS), chats=st.lists(CHATS), logins=st.lists(LOGINS), posture=st.lists(CHANGES)
)


@given(RECORDS)
def test_everybody_is_counted_once(run):
    result = score(run)
    people, bots, existing = result.people, result.bots, result.existing
    assert people.attempted == people.admitted + people.probation + people.waitlisted + people.lost
    assert people.refused <= people.lost
    assert bots.attempted == bots.admitted + bots.probation + bots.waitlisted + bots.refused
    assert people.attempted + bots.attempted == len(run.signups)
    assert existing.ok + sum(not chat.is_ok for chat in run.chats) == existing.requests
    assert result.stuffing.takeovers <= result.stuffing.attempts
    assert len(result.posture) == len(run.posture)


@given(RECORDS)
def test_the_result_is_the_agreed_json(run):
    value = json.loads(msgspec.json.encode(score(run)))
    assert list(value) == [
        "scenario", "seed", "seconds", "people", "bots", "existing", "stuffing", "posture", "first_action_s",
        "reopened_after_s",
    ]  # fmt: skip
    assert set(value["people"]) == {
        "attempted", "admitted", "probation", "waitlisted", "refused", "lost", "delay_p50_s", "delay_p95_s",
    }  # fmt: skip
    assert set(value["bots"]) == {"attempted", "admitted", "probation", "waitlisted", "refused"}
    assert set(value["existing"]) == {
        "requests", "ok", "challenged", "p50_ms", "p99_ms", "quiet_p50_ms", "quiet_p99_ms",
    }  # fmt: skip
    assert set(value["stuffing"]) == {"attempts", "takeovers", "owners_refused"}
    assert all(set(change) == {"t_s", "cohort", "from", "to", "reason"} for change in value["posture"])
    assert msgspec.convert(value, Result) == score(run)
    assert set(result_schema()["$defs"]["Result"]["required"]) == set(value)


@given(RECORDS)
def test_every_run_can_be_judged(run):
    for has_attack in (True, False):
        judged = findings(score(run), has_attack)
        assert len(judged) >= 5
        assert all(finding.what and finding.target and finding.got for finding in judged)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_quantiles_are_values_of_the_sample(values, share):
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert quantile([], share) is None


def change(at_s: float, cohort: str, before: str, after: str) -> PostureChange:
    return PostureChange(at_s, cohort, before, after, "why")


def test_the_first_action_is_the_first_tightening_in_the_attack():
    posture = [
        change(5, "a", "open", "careful"),
        change(9, "a", "careful", "open"),
        change(23.5, "b", "open", "careful"),
        change(22, "a", "probation", "careful"),
    ]
    assert first_action(posture, 20) == 3.5
    assert first_action(posture[:2], 20) is None


@pytest.mark.parametrize(
    ("posture", "after"),
    [
        ([], None),
        ([change(25, "a", "open", "probation")], None),
        ([change(25, "a", "open", "probation"), change(50, "a", "probation", "open")], 5.0),
        ([change(25, "a", "open", "probation"), change(40, "a", "probation", "open")], 0.0),
        (
            [
                change(25, "a", "open", "probation"),
                change(26, "b", "open", "careful"),
                change(46, "b", "careful", "open"),
                change(52, "a", "probation", "open"),
            ],
            7.0,
        ),
        (
            [
                change(25, "a", "open", "probation"),
                change(46, "a", "probation", "open"),
                change(48, "a", "open", "careful"),
                change(53, "a", "careful", "open"),
            ],
            8.0,
        ),
        (
            [
                change(25, "a", "open", "probation"),
                change(46, "a", "probation", "open"),
                change(50, "b", "open", "careful"),
            ],
            None,
        ),
    ],
    ids=["never tightened", "still tight", "reopened", "before the end", "two cohorts", "flapped", "another is tight"],
)
def test_reopened_means_all_and_for_good(posture, after):
    assert reopened_after(posture, 45) == after
    assert reopened_after(posture[::-1], 45) == after


def test_an_unknown_level_counts_as_strict():
    assert is_tightening(change(1, "a", "open", "sealed"))
    assert not is_tightening(change(1, "a", "sealed", "open"))


def good_run() -> RunRecord:
    signups = [SignupRecord(Side.PERSON, 1, 2, Outcome.ADMITTED, 0.5)] * 19
    signups += [SignupRecord(Side.PERSON, 1, 2, Outcome.WAITLISTED)]
    signups += [SignupRecord(Side.BOT, 21, 22, Outcome.REFUSED)] * 95 + [
        SignupRecord(Side.BOT, 21, 22, Outcome.ADMITTED)
    ] * 5
    chats = [ChatRecord(n / 20, True, False, 10.0) for n in range(1000)] + [ChatRecord(30, True, False, 900.0)] * 5
    posture = [change(22, "a", "open", "probation"), change(50, "a", "probation", "open")]
    return record(signups=signups, chats=chats, logins=[LoginRecord(30, False, False)], posture=posture)


def test_a_run_at_the_limits_meets_every_target():
    result = score(good_run())
    assert [finding.what for finding in findings(result, True) if finding.is_met is not True] == []
    assert (result.existing.quiet_p99_ms, result.existing.p50_ms) == (10.0, 10.0)
    assert result.existing.p99_ms == 10.0
    assert (result.people.delay_p50_s, result.first_action_s, result.reopened_after_s) == (0.5, 2.8, 5.0)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda run: run.chats.extend([ChatRecord(30, False, False, 5.0)] * 2), "existing users served"),
        (lambda run: run.chats.append(ChatRecord(30, True, True, 5.0)), "existing users challenged"),
        (lambda run: run.signups.append(SignupRecord(Side.PERSON, 1, 2, Outcome.WAITLISTED)), "people in"),
        (lambda run: run.signups.append(SignupRecord(Side.PERSON, 1, 2, Outcome.REFUSED)), "people lost"),
        (lambda run: run.signups.append(SignupRecord(Side.PERSON, 1, 2, Outcome.LOST)), "people lost"),
        (lambda run: run.signups.append(SignupRecord(Side.BOT, 1, 2, Outcome.ADMITTED)), "bots admitted"),
        (lambda run: run.posture.clear(), "first action"),
        (lambda run: run.posture.pop(), "reopened by itself"),
        (lambda run: run.logins.append(LoginRecord(30, False, True)), "stuffed log-ins that got in"),
        (lambda run: run.logins.append(LoginRecord(30, True, False)), "owners kept out"),
    ],
)
def test_one_step_beyond_falls_short(spoil, what):
    run = good_run()
    spoil(run)
    assert what in {finding.what for finding in findings(score(run), True) if finding.is_met is False}


def test_a_surge_of_people_must_tighten_nothing():
    run = good_run()
    assert "tightened without an attack" in {f.what for f in findings(score(run), False) if f.is_met is False}
    run.posture.clear()
    assert [f.what for f in findings(score(run), False) if f.is_met is False] == []


def test_what_was_not_tried_is_not_called_met():
    assert {f.is_met for f in findings(score(record()), True) if f.what in {"people in", "bots admitted"}} == {None}
