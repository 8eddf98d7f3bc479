"""Verdicts: who is admitted, at what price, and why."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.gate.cohorts import PostureIndex
from doorward.gate.decide import decide
from doorward.gate.model import Change, Level, Payment, Posture, Receipt, Row, Signals
from doorward.gate.service import prices_of
from doorward.gate.settings import GateSettings
from doorward.hall.model import Action, Attempt, Lane, Role, Standing

PRICES = prices_of(GateSettings(price_open=10, price_careful=20, price_probation=30))
SIGNALS = Signals(100.0, Attempt.SIGNUP, "a.example", "198.51.100.0/24", "chrome/141/windows", "en", "a3", 12)
STANDING = Standing("acc_1", "ses_1", Lane.EXISTING, Role.MEMBER, frozenset(), 1e12)


def index(level: Level, cohort: str = "mail=a.example", expires_at: float = 200.0) -> PostureIndex:
    change = Change(0.0, cohort, level, "behaves like one program", (), expires_at, "detector")
    return PostureIndex(Posture(7, {cohort: Row(7, change, Level.OPEN, 0.0)}))


postures = st.builds(
    index, st.sampled_from(Level), st.sampled_from(["*", "mail=a.example", "form=0..39", "language=en"])
)
payments = st.builds(Payment, st.sampled_from(Receipt), st.integers(0, 50), st.floats(0, 100))
attempts = st.sampled_from(Attempt)


@given(postures, payments, attempts)
def test_the_posture_never_changes_a_verdict_for_who_belongs(posture, payment, attempt):
    signals = replace(SIGNALS, attempt=attempt)
    verdict = decide(signals, payment, posture, PRICES, STANDING)
    unmoved = decide(signals, payment, PostureIndex(Posture(7)), PRICES, STANDING)
    assert verdict == unmoved
    assert verdict.action is Action.ADMIT


@given(postures, payments)
def test_a_log_in_is_never_put_on_probation_or_in_a_line(posture, payment):
    verdict = decide(replace(SIGNALS, attempt=Attempt.LOGIN), payment, posture, PRICES)
    assert verdict.action in {Action.ADMIT, Action.CHALLENGE, Action.REFUSE}


@given(postures, payments, attempts)
def test_every_verdict_has_a_reason_and_is_the_same_each_time(posture, payment, attempt):
    signals = replace(SIGNALS, attempt=attempt)
    verdict = decide(signals, payment, posture, PRICES)
    assert verdict.reasons[0].code
    assert verdict == decide(signals, payment, posture, PRICES)
    assert verdict.posture_version == 7


@given(postures, payments)
def test_suspicion_never_refuses(posture, payment):
    verdict = decide(SIGNALS, payment, posture, PRICES)
    assert (verdict.action is Action.REFUSE) == (payment.receipt in {Receipt.FORGED, Receipt.SPENT})


@pytest.mark.parametrize(
    ("level", "price", "action", "code"),
    [
        (Level.OPEN, 10, Action.ADMIT, "proof.paid"),
        (Level.CAREFUL, 10, Action.CHALLENGE, "price.higher"),
        (Level.CAREFUL, 20, Action.ADMIT, "cohort.suspected"),
        (Level.PROBATION, 20, Action.CHALLENGE, "price.higher"),
        (Level.PROBATION, 30, Action.PROBATION, "cohort.convicted"),
        (Level.WAITLIST, 30, Action.WAITLIST, "cohort.waitlisted"),
    ],
)
def test_levels(level, price, action, code):
    verdict = decide(SIGNALS, Payment(Receipt.PAID, price), index(level), PRICES)
    assert (verdict.action, verdict.reasons[0].code) == (action, code)


def test_a_challenge_says_what_was_asked_and_why():
    verdict = decide(SIGNALS, Payment(Receipt.PAID, 10), index(Level.CAREFUL), PRICES)
    assert dict(verdict.reasons[0].evidence) == {
        "paid": "10", "price": "20", "cohort": "mail=a.example", "because": "behaves like one program", "set_by": "detector",
    }  # fmt: skip


def test_another_cohort_is_not_concerned_and_an_expired_row_counts_as_open():
    paid = Payment(Receipt.PAID, 10)
    assert decide(replace(SIGNALS, mail="b.example"), paid, index(Level.WAITLIST), PRICES).action is Action.ADMIT
    assert decide(replace(SIGNALS, at=200.0), paid, index(Level.WAITLIST), PRICES).action is Action.ADMIT


@pytest.mark.parametrize(
    ("payment", "action", "code"),
    [
        (Payment(Receipt.FORGED), Action.REFUSE, "proof.forged"),
        (Payment(Receipt.SPENT), Action.REFUSE, "proof.spent"),
        (Payment(Receipt.EXPIRED), Action.CHALLENGE, "ticket.expired"),
        (Payment(Receipt.MOVED), Action.CHALLENGE, "ticket.moved"),
        (Payment(Receipt.INVITED), Action.ADMIT, "waitlist.invited"),
        (Payment(Receipt.NONE), Action.ADMIT, "mail_link.allowed"),
        (Payment(Receipt.NONE, wait_seconds=7.2), Action.CHALLENGE, "mail_link.budget"),
    ],
)
def test_payments(payment, action, code):
    verdict = decide(SIGNALS, payment, PostureIndex(Posture()), PRICES)
    assert (verdict.action, verdict.reasons[0].code) == (action, code)
    assert verdict.mail_link == (code == "mail_link.allowed")
    assert verdict.retry_after_seconds == (7 if code == "mail_link.budget" else None)
