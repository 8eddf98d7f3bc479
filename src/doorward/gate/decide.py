"""(Signals, Payment, Posture) → Verdict. Pure: every verdict can be replayed from recorded values and explained.

1. A caller with a standing never stands at the gate: the answer is to admit, whatever the posture.
2. An invitation of the wait-list is a promise: it admits, once.
3. What was not paid, or not paid with ours, costs nothing to turn away. Forged and spent are refused; what a person
   can cause without guilt (a form left open, another network, no JavaScript) is asked to pay again.
4. The strictest row in force among the arrival's cohorts gives the level. A log-in only ever pays its price.
5. Less paid than the level asks: a dearer challenge. The mail-link way is bounded by its budget instead.
6. Otherwise open and careful admit, probation gives an account on probation, wait-list a place in line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from doorward.gate.cohorts import PostureIndex
from doorward.gate.model import Level, Payment, Receipt, Row, Signals
from doorward.hall.model import Action, Attempt, Reason, Standing, Verdict

POLICY_VERSION: Final = "2026-11"
_REASON_OF_LEVEL: Final = {
    Level.CAREFUL: "cohort.suspected",
    Level.PROBATION: "cohort.convicted",
    Level.WAITLIST: "cohort.waitlisted",
}
_UNPAID: Final = {
    Receipt.FORGED: (Action.REFUSE, "proof.forged"),
    Receipt.SPENT: (Action.REFUSE, "proof.spent"),
    Receipt.EXPIRED: (Action.CHALLENGE, "ticket.expired"),
    Receipt.MOVED: (Action.CHALLENGE, "ticket.moved"),
}


@dataclass(frozen=True, slots=True)
class Prices:
    """What each level costs: the upper bound of the counter to be found."""

    by_level: Mapping[Level, int]

    def at(self, level: Level) -> int:
        """The price at a level."""
        return self.by_level[level]


def decide(
    signals: Signals, payment: Payment, posture: PostureIndex, prices: Prices, standing: Standing | None = None
) -> Verdict:
    """The verdict on one arrival."""
    version = posture.posture.version
    if standing is not None:  # 1
        return _verdict(Action.ADMIT, "standing.good", (), version)
    if payment.receipt is Receipt.INVITED:  # 2
        return _verdict(Action.ADMIT, "waitlist.invited", (), version)
    if payment.receipt in _UNPAID:  # 3
        action, code = _UNPAID[payment.receipt]
        return _verdict(action, code, (), version)
    if payment.receipt is Receipt.NONE and payment.wait_seconds > 0:
        evidence = (("wait_seconds", f"{payment.wait_seconds:.0f}"),)
        return _verdict(Action.CHALLENGE, "mail_link.budget", evidence, version, payment.wait_seconds)
    row = posture.strictest(signals)  # 4
    level = row.change.level if row is not None else Level.OPEN
    price = prices.at(level)
    if payment.receipt is Receipt.PAID and payment.price < price:  # 5
        return _verdict(Action.CHALLENGE, "price.higher", _shown(row, paid=payment.price, price=price), version)
    return _by_level(signals, payment, level, row, version)  # 6


def _by_level(signals: Signals, payment: Payment, level: Level, row: Row | None, version: int) -> Verdict:
    link = payment.receipt is Receipt.NONE
    if level is Level.OPEN or row is None:
        return _verdict(Action.ADMIT, "mail_link.allowed" if link else "proof.paid", (), version, link=link)
    if signals.attempt is Attempt.LOGIN or level is Level.CAREFUL:
        return _verdict(Action.ADMIT, _REASON_OF_LEVEL[Level.CAREFUL], _shown(row), version, link=link)
    action = Action.PROBATION if level is Level.PROBATION else Action.WAITLIST
    return _verdict(action, _REASON_OF_LEVEL[level], _shown(row), version, link=link)


def _verdict(
    action: Action,
    code: str,
    evidence: tuple[tuple[str, str], ...],
    version: int,
    wait_seconds: float = 0.0,
    *,
    link: bool = False,
) -> Verdict:
    retry = max(1, round(wait_seconds)) if wait_seconds > 0 else None
    reasons = (Reason(code, evidence),)
    return Verdict(action, reasons, POLICY_VERSION, version, mail_link=link, retry_after_seconds=retry)


def _shown(row: Row | None, **numbers: int) -> tuple[tuple[str, str], ...]:
    """The evidence that a person is shown: what was paid and asked, the cohort and why it is where it is."""
    shown = [(name, str(number)) for name, number in numbers.items()]
    if row is not None:
        shown += [("cohort", row.change.cohort), ("because", row.change.reason), ("set_by", row.change.set_by)]
    return tuple(shown)
