"""Verdict → Outcome: what is written down of an arrival, and the counts per second that everybody else is told.

Only arrivals that paid (or used the mail-link budget) and were let further leave a row. Everything else is a number
in the current second: a flood makes numbers grow, not rows.
"""

from collections import Counter, OrderedDict, deque
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from doorward.gate import tables
from doorward.gate.model import Payment, Receipt, Signals
from doorward.hall.events import ArrivalsSummarised
from doorward.hall.ids import new_id
from doorward.hall.model import Action, Arrival, Attempt, Verdict
from doorward.stores.outbox import Outbox
from doorward.stores.sql import Database

_RECENT: Final = 10_000
_LIVE_SECONDS: Final = 120
_LET_FURTHER: Final = frozenset({Action.ADMIT, Action.PROBATION, Action.WAITLIST})
_PAID: Final = frozenset({Receipt.PAID, Receipt.NONE, Receipt.INVITED})


class Recorder:
    """Carries verdicts out and keeps count."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._recent: OrderedDict[str, tuple[Signals, Payment, Action]] = OrderedDict()
        self._seconds: deque[tuple[int, Counter[str]]] = deque(maxlen=_LIVE_SECONDS)
        self._unsent: deque[tuple[int, Counter[str]]] = deque(maxlen=_LIVE_SECONDS)
        self.totals: Counter[str] = Counter()

    async def carry_out(self, arrival: Arrival, signals: Signals, payment: Payment, verdict: Verdict) -> Verdict:
        """Record the attempt if it was let further, count it, and name it in the verdict.

        Raises:
            StoreUnavailableError: the database is away; nothing was recorded or counted.
        """
        if verdict.action in _LET_FURTHER and payment.receipt in _PAID:
            attempt_id = new_id("att", arrival.at)
            if arrival.attempt is Attempt.SIGNUP:
                name = tables.AttemptName(attempt_id, arrival.mailbox or arrival.email)
                await self._database.write(lambda connection: _add(connection, name, signals, payment, verdict))
            self._keep(attempt_id, (signals, payment, verdict.action))
            verdict = replace(verdict, attempt_id=attempt_id)
        self.count(arrival.at, arrival.attempt, verdict)
        return verdict

    def count(self, at: float, attempt: Attempt, verdict: Verdict) -> None:
        """Count one verdict in its second."""
        key = f"{attempt.value}/{verdict.action.value}/{verdict.reasons[0].code}"
        self.totals[key] += 1
        second = int(at)
        for seconds in (self._seconds, self._unsent):
            if not seconds or seconds[-1][0] < second:
                seconds.append((second, Counter()))
            seconds[-1][1][key] += 1

    async def recall(self, attempt_id: str) -> tuple[Signals, Payment, Action] | None:
        """What is known of an attempt, from memory or the rows.

        Raises:
            StoreUnavailableError: not in memory, and the database is away.
        """
        if (found := self._recent.get(attempt_id)) is not None:
            return found
        row = await self._database.read(lambda connection: tables.read_attempt(connection, attempt_id))
        return None if row is None else (row[0], row[1], Action(row[2]))

    def _keep(self, attempt_id: str, entry: tuple[Signals, Payment, Action]) -> None:
        self._recent[attempt_id] = entry
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    async def summarise(self, at: float) -> None:
        """Publish the counts of the seconds that are over, one fact each.

        Raises:
            StoreUnavailableError: the database is away; the counts are kept for two minutes.
        """
        over = [entry for entry in self._unsent if entry[0] < int(at)]
        if not over:
            return
        events = [ArrivalsSummarised(at=at, second=second, counts=dict(counts)) for second, counts in over]
        await self._database.write(lambda connection: self._outbox.publish(connection, *events))
        for entry in over:
            if self._unsent and self._unsent[0] is entry:
                self._unsent.popleft()

    def live(self, at: float, seconds: int = 60) -> list[dict[str, object]]:
        """The counts of the last seconds, oldest first, quiet seconds included."""
        known = dict(self._seconds)
        return [
            {"second": second, "counts": dict(known.get(second, {}))}
            for second in range(int(at) - seconds + 1, int(at) + 1)
        ]


def _add(
    connection: Connection, name: tables.AttemptName, signals: Signals, payment: Payment, verdict: Verdict
) -> None:
    tables.add_attempt(
        connection,
        name,
        signals,
        payment,
        action=verdict.action.value,
        reason=verdict.reasons[0].code,
        posture_version=verdict.posture_version,
    )
