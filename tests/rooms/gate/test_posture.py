"""The state machine of the posture: tightening, holding, reopening, undoing."""

import pytest

from doorward.gate import posture as rules
from doorward.gate.errors import NothingToUndoError, PostureChangeError
from doorward.gate.model import Change, Level, Posture
from doorward.gate.posture import History, Pace, Wish

PACE = Pace(hold=60, dwell=5, memory=3_600, longest=86_400)
COHORT = "mail=a.example"


def change(level=Level.CAREFUL, at=100.0, expires_at=160.0, **more):
    return Change(
        **{
            "at": at,
            "cohort": COHORT,
            "level": level,
            "reason": "because",
            "evidence": (),
            "expires_at": expires_at,
            "set_by": "detector",
        }
        | more
    )


def wish(at=100.0, level=Level.PROBATION, seen_at=None, cohort=COHORT):
    return Wish(at, cohort, level, "behaves like one program", (("members", "9"),), at if seen_at is None else seen_at)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"set_by": ""}, "set_by"),
        ({"expires_at": 100.0}, "expires_in_seconds"),
        ({"expires_at": 0.0}, "expires_in_seconds"),
        ({"expires_at": float("inf")}, "expires_in_seconds"),
        ({"expires_at": float("nan")}, "expires_in_seconds"),
    ],
)
def test_a_change_without_reason_name_or_end_is_impossible(more, field):
    with pytest.raises(PostureChangeError) as caught:
        rules.checked(change(**more), PACE)
    assert caught.value.field == field


def test_versions_grow():
    posture = rules.applied(Posture(), change(), 3)
    with pytest.raises(PostureChangeError):
        rules.applied(posture, change(), 3)


def test_a_wish_becomes_a_change_with_an_end():
    made = rules.judged(Posture(), wish(), None, PACE)
    assert isinstance(made, Change)
    assert (made.level, made.expires_at, made.set_by, made.evidence) == (
        Level.PROBATION,
        160.0,
        "detector",
        (("members", "9"),),
    )


def test_evidence_holds_a_cohort_from_when_it_was_seen():
    posture = rules.applied(Posture(), change(Level.PROBATION), 1)
    assert rules.judged(posture, wish(at=130.0, seen_at=120.0), None, PACE) == 180.0
    assert rules.judged(posture, wish(at=130.0, seen_at=90.0), None, PACE) == 160.0


def test_growing_stricter_is_quick_and_being_looser_is_not_wished():
    history = History(last_tightened_at=100.0, streak=1)
    posture = rules.applied(Posture(), change(Level.CAREFUL), 1)
    made = rules.judged(posture, wish(at=101.0), history, PACE)
    assert isinstance(made, Change)
    held = rules.judged(rules.applied(posture, made, 2), wish(at=102.0, level=Level.CAREFUL), history, PACE)
    assert held == 162.0


def test_after_a_reopening_the_cohort_is_left_alone_for_the_dwell():
    history = History(reopened_at=160.0, last_tightened_at=100.0, streak=1)
    assert rules.judged(Posture(), wish(at=164.0), history, PACE) is None
    assert rules.judged(Posture(), wish(at=165.0), history, PACE) is not None


def test_a_cohort_that_comes_back_is_held_eight_times_longer():
    history = None
    for made in (change(Level.PROBATION, 100.0), change(Level.OPEN, 160.0), change(Level.PROBATION, 200.0)):
        history = rules.remembered(history, made, PACE)
    assert history.streak == 2
    again = rules.judged(Posture(), wish(at=300.0), rules.remembered(history, change(Level.OPEN, 260.0), PACE), PACE)
    assert again.expires_at == 300.0 + 8 * 60
    late = rules.judged(Posture(), wish(at=10_000.0), history, PACE)
    assert late.expires_at == 10_060.0


def test_growing_stricter_within_one_incident_is_not_coming_back():
    history = rules.remembered(None, change(Level.CAREFUL, 100.0), PACE)
    assert rules.remembered(history, change(Level.PROBATION, 101.0), PACE).streak == 1


def test_a_persons_word_stands():
    pinned = rules.applied(Posture(), change(Level.OPEN, expires_at=500.0, set_by="acc_1"), 1)
    assert rules.judged(pinned, wish(at=200.0), None, PACE) is None
    assert rules.judged(pinned, wish(at=500.0), None, PACE) is not None
    careful = rules.applied(Posture(), change(Level.CAREFUL, expires_at=500.0, set_by="acc_1"), 1)
    stricter = rules.judged(careful, wish(at=200.0), None, PACE)
    assert stricter.expires_at == 500.0
    assert rules.judged(careful, wish(at=200.0, level=Level.CAREFUL), None, PACE) is None


def test_what_has_run_out_is_open_and_said_to_be_so():
    posture = rules.applied(Posture(), change(Level.PROBATION), 1)
    assert posture.level(COHORT, 159.9) is Level.PROBATION
    assert posture.level(COHORT, 160.0) is Level.OPEN
    assert rules.lapsed(posture, 159.9) == []
    assert [(made.cohort, made.level) for made in rules.lapsed(posture, 160.0)] == [(COHORT, Level.OPEN)]


def test_undo_takes_back_one_change():
    careful = rules.applied(Posture(), change(Level.CAREFUL, expires_at=500.0), 1)
    before = careful.rows[COHORT]
    both = rules.applied(careful, change(Level.WAITLIST, 110.0, 400.0, set_by="acc_1"), 2)
    undone = rules.applied(both, rules.undoing(both, 2, before, 120.0, "acc_2"), 3)
    assert undone.level(COHORT, 130.0) is Level.CAREFUL
    assert undone.rows[COHORT].change.expires_at == 500.0
    with pytest.raises(NothingToUndoError):
        rules.undoing(undone, 2, before, 130.0, "acc_2")


def test_undoing_the_detector_keeps_it_away_for_the_rest_of_its_time():
    posture = rules.applied(Posture(), change(Level.PROBATION), 1)
    undone = rules.applied(posture, rules.undoing(posture, 1, None, 120.0, "acc_2"), 2)
    assert undone.level(COHORT, 121.0) is Level.OPEN
    assert rules.judged(undone, wish(at=130.0), None, PACE) is None
    assert rules.judged(undone, wish(at=161.0), None, PACE) is not None


def test_too_many_cohorts_concern_everybody():
    posture = Posture()
    for version in range(1, 5):
        posture = rules.applied(posture, change(cohort=f"mail=m{version}.example"), version)
    assert rules.crowded(posture, 110.0, 3)
    assert not rules.crowded(posture, 110.0, 4)
    assert not rules.crowded(posture, 160.0, 3)
