"""The gate: answers `Doorkeeper` and `WaitList` to the rest of the house.

What happens while a store is away (HOUSE.md): the posture is served from memory and expires by itself; offers and the
first look at tickets need no store; a sign-up that was paid for cannot be recorded, so the verdict is the wait-list
with `store.away` and a time to come back, and if the line cannot take it either, the error is a 503 with that time.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import structlog

from doorward.gate import tables
from doorward.gate.act import Recorder
from doorward.gate.book import Lever, PostureBook
from doorward.gate.challenge import ProofWork, TicketDesk
from doorward.gate.decide import POLICY_VERSION, Prices, decide
from doorward.gate.model import UNKNOWN_BIN, Level, Payment, Posture, Receipt, Row, Signals, Ticket
from doorward.gate.parts import GateParts
from doorward.gate.picture import row_values
from doorward.gate.posture import Pace
from doorward.gate.sense import sense
from doorward.gate.settings import GateSettings
from doorward.gate.till import Till
from doorward.gate.waitlist import INVITE_EVERY_SECONDS, WaitingLine
from doorward.gate.watch import LOOK_EVERY_SECONDS, Watch
from doorward.hall.errors import UnavailableError
from doorward.hall.jobs import Job
from doorward.hall.model import Action, Arrival, Attempt, Offer, Place, Reason, Verdict

_AWAY_SECONDS: Final = 30
_DAY_SECONDS: Final = 86_400
_log = structlog.get_logger("doorward.gate")


class Gate:
    """Who may sign up now, and at what price."""

    def __init__(self, parts: GateParts) -> None:
        settings = parts.settings
        self._parts = parts
        self._desk = TicketDesk(parts.keys, settings.ticket_lifetime_seconds, settings.proof_iterations)
        self._prices = prices_of(settings)
        self.book = PostureBook(parts.database, parts.counters, parts.outbox, parts.clock, pace_of(settings))
        self.line = WaitingLine(parts, self.book)
        self._recorder = Recorder(parts.database, parts.outbox)
        self.watch = Watch(parts, self.book, self._recorder)
        self._till = Till(parts, self._desk, self.line)
        self.vitals: Callable[[], Mapping[str, float]] = dict
        """How those who belong are served (`existing_p50_ms`, `existing_p99_ms`); the house sets it."""
        self.book.hear(parts.bus)
        self.watch.hear()

    async def load(self) -> None:
        """Read the posture and the baseline; the gate serves without them if the database is away."""
        try:
            await self.book.load()
            await self.watch.load()
        except UnavailableError as error:
            _log.warning("gate_loaded_empty", code=error.code)

    def posture(self) -> Posture:
        """The snapshot that is served."""
        return self.book.current

    def now(self) -> float:
        """The time by the gate's clock, in Unix seconds."""
        return self._parts.clock.now()

    # Doorkeeper

    def offer(self, arrival: Arrival) -> Offer:
        """Mint a ticket and a challenge at the price of the arrival's cohorts. Writes nothing."""
        signals = self._till.signals_of(arrival)
        row = self.book.index.strictest(signals)
        price = self._prices.at(row.change.level if row is not None else Level.OPEN)
        ticket = self._desk.mint(arrival.attempt, arrival.at, price, signals.network, signals.form)
        lifetime = self._parts.settings.ticket_lifetime_seconds
        return Offer(ticket, self._desk.challenge(ticket, price), arrival.at + lifetime)

    def is_genuine(self, ticket: bytes) -> bool:
        """Whether the ticket is ours and not too old: one keyed hash."""
        read = self._desk.read(ticket)
        return read is not None and self._desk.is_current(read, self._parts.clock.now())

    async def consider(self, arrival: Arrival) -> Verdict:
        """Check ticket and proof, spend them, and decide."""
        ticket = self._desk.read(arrival.ticket)
        try:
            payment, work = await self._till.take(arrival, ticket)
            signals = _signals(arrival, ticket, work)
            verdict = decide(signals, payment, self.book.index, self._prices)
            if _has_paid(payment):
                if _is_first_try(ticket, signals):
                    self.watch.observe(signals)
                if ticket is not None and verdict.action is Action.CHALLENGE:
                    self._till.remember(ticket, signals)
            return await self._recorder.carry_out(arrival, signals, payment, verdict)
        except UnavailableError as error:
            _log.warning("gate_store_away", code=error.code, request_id=arrival.request_id)
            return self._away(arrival)

    async def settle(self, attempt_id: str) -> Verdict:
        """Decide once more when the visitor confirms; never kinder than the first time, never a challenge.

        Raises:
            StoreUnavailableError: the attempt is not in memory and the database is away.
        """
        at = self._parts.clock.now()
        recalled = await self._recorder.recall(attempt_id)
        if recalled is None:
            return _on_probation(self.book.current.version, "attempt.unknown", attempt_id)
        signals, payment, first = recalled
        paid = replace(payment, price=max(payment.price, *self._prices.by_level.values()))
        verdict = decide(replace(signals, at=at), paid, self.book.index, self._prices)
        if payment.receipt is not Receipt.INVITED and (verdict.action, first) != (Action.ADMIT, Action.ADMIT):
            code = verdict.reasons[0].code if verdict.action is not Action.ADMIT else "cohort.convicted"
            verdict = replace(verdict, action=Action.PROBATION, reasons=(Reason(code, verdict.reasons[0].evidence),))
        return replace(verdict, attempt_id=attempt_id)

    # WaitList

    async def take_place(self, arrival: Arrival) -> Place:
        """A durable place for the arrival's address.

        Raises:
            StoreUnavailableError: the database is away.
        """
        return await self.line.take_place(arrival)

    async def invited_email(self, token: str) -> str:
        """The address of an unused invitation, without using it. Raises InvitationUsedError."""
        return await self.line.invited_email(token)

    async def redeem(self, token: str) -> str:
        """Use an invitation once; the address it was mailed to. Raises InvitationUsedError."""
        return await self.line.redeem(token)

    # The lever

    async def pull(self, lever: Lever) -> Row:
        """Set the posture of a cohort by hand. Raises PostureChangeError, CohortSyntaxError."""
        return await self.book.pull(lever)

    async def undo(self, version: int, set_by: str) -> Row:
        """Take back one change. Raises NothingToUndoError."""
        return await self.book.undo(version, set_by)

    def live(self) -> dict[str, object]:
        """What the live page shows, as JSON values."""
        at = self._parts.clock.now()
        return {
            "at": at,
            "seconds": self._recorder.live(at),
            "posture": [row_values(row) for row in self.book.current.rows.values() if row.change.expires_at > at],
            "version": self.book.current.version,
            "learned": round(self.watch.baseline.learned),
        }

    def figures(self) -> dict[str, float]:
        """Numbers for the metrics page."""
        at = self._parts.clock.now()
        tight = [row.change.level for row in self.book.current.rows.values() if row.change.expires_at > at]
        figures = {f'gate_cohorts{{level="{level.value}"}}': float(tight.count(level)) for level in Level if level.rank}
        figures["gate_posture_version"] = float(self.book.current.version)
        figures["gate_baseline_learned"] = self.watch.baseline.learned
        for key, count in self._recorder.totals.items():
            figures[f"gate_verdicts_total:{key}"] = float(count)
        return figures

    def jobs(self) -> list[Job]:
        """The gate's own work."""
        return [
            Job("gate.detect", LOOK_EVERY_SECONDS, self.watch.tick, on_each_node=True),
            Job("gate.posture.follow", 1.0, self.book.follow, on_each_node=True),
            Job("gate.observed.follow", 1.0, self.watch.follow, on_each_node=True),
            Job("gate.summarise", 1.0, self._summarise, on_each_node=True),
            Job("gate.baseline.teach", 1.0, self.watch.teach, on_each_node=True),
            Job("gate.posture.expire", 1.0, self.book.expire),
            Job("gate.baseline.keep", 60.0, self.watch.keep),
            Job("gate.waitlist.invite", INVITE_EVERY_SECONDS, self._invite),
            Job("gate.sweep", 3_600.0, self._sweep),
        ]

    async def _summarise(self) -> None:
        await self._recorder.summarise(self._parts.clock.now())

    async def _invite(self) -> None:
        await self.line.invite()

    async def _sweep(self) -> None:
        at, settings = self._parts.clock.now(), self._parts.settings
        attempts_before = at - settings.attempt_lifetime_days * _DAY_SECONDS
        places_before = at - settings.place_lifetime_days * _DAY_SECONDS
        await self._parts.database.write(lambda connection: tables.sweep(connection, attempts_before, places_before))

    def _away(self, arrival: Arrival) -> Verdict:
        reason = Reason("store.away", (("wait_seconds", str(_AWAY_SECONDS)),))
        version = self.book.current.version
        verdict = Verdict(Action.WAITLIST, (reason,), POLICY_VERSION, version, retry_after_seconds=_AWAY_SECONDS)
        self._recorder.count(arrival.at, arrival.attempt, verdict)
        return verdict


def _signals(arrival: Arrival, ticket: Ticket | None, work: ProofWork | None) -> Signals:
    """The arrival's signals; a carried form time wins over the age of a ticket that replaced another."""
    seconds = None if ticket is None else max(0.0, arrival.at - ticket.issued_at)
    signals = sense(arrival, seconds, None if work is None else (work.milliseconds, work.counter))
    if ticket is not None and ticket.carried_form != UNKNOWN_BIN:
        return replace(signals, form=ticket.carried_form)
    return signals


def _has_paid(payment: Payment) -> bool:
    """A proof, or a place in the mail-link budget."""
    return payment.receipt is Receipt.PAID or (payment.receipt is Receipt.NONE and payment.wait_seconds == 0)


def _is_first_try(ticket: Ticket | None, signals: Signals) -> bool:
    """What the detector looks at: sign-ups, and each visitor's first try only."""
    return signals.attempt is Attempt.SIGNUP and ticket is not None and ticket.carried_form == UNKNOWN_BIN


def _on_probation(version: int, code: str, attempt_id: str) -> Verdict:
    return Verdict(Action.PROBATION, (Reason(code),), POLICY_VERSION, version, attempt_id=attempt_id)


def prices_of(settings: GateSettings) -> Prices:
    """The price of each level; the wait-list costs what probation costs."""
    dear = max(settings.price_open, settings.price_careful, settings.price_probation)
    return Prices(
        {
            Level.OPEN: settings.price_open,
            Level.CAREFUL: max(settings.price_open, settings.price_careful),
            Level.PROBATION: dear,
            Level.WAITLIST: dear,
        }
    )


def pace_of(settings: GateSettings) -> Pace:
    """The posture's times."""
    return Pace(
        hold=settings.hold_seconds,
        dwell=settings.dwell_seconds,
        memory=settings.incident_memory_seconds,
        longest=settings.longest_hold_seconds,
    )
