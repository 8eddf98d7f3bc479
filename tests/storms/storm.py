"""Plays a world against the gate's pure parts, second by second, and counts what became of whom."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from doorward.gate import posture as rules
from doorward.gate.baseline import Baseline, packaged_prior
from doorward.gate.cohorts import PostureIndex, Rules, key_of, load_rules, parse_key
from doorward.gate.decide import decide
from doorward.gate.detect import Thresholds, Window, detect
from doorward.gate.model import Change, Cohort, Level, Payment, Posture, Proposal, Receipt
from doorward.gate.posture import History, Wish
from doorward.gate.service import pace_of, prices_of
from doorward.gate.settings import GateSettings
from doorward.hall.model import Action

from .worlds import START, Comer, World

SLOW_EVERY = 5


@dataclass
class Report:
    """What became of everybody; times are seconds since the bots' start."""

    changes: list[tuple[float, str, Level]] = field(default_factory=list)
    people: int = 0
    people_priced: int = 0
    people_on_probation: int = 0
    bots: int = 0
    bots_admitted: int = 0
    bots_admitted_first: int = 0  # before the first conviction

    def first(self, level: Level) -> float | None:
        """When a cohort first came to this level."""
        return next((at for at, _, to in self.changes if to is level), None)

    def tightened(self) -> int:
        """How many changes were not reopenings."""
        return sum(level is not Level.OPEN for _, _, level in self.changes)

    @property
    def people_hit(self) -> float:
        """Share of people who got an account on probation."""
        return self.people_on_probation / max(1, self.people)


@dataclass
class Storm:
    """A gate in simulated time."""

    settings: GateSettings = field(default_factory=GateSettings)
    posture: Posture = field(default_factory=Posture)
    histories: dict[str, History] = field(default_factory=dict)
    version: int = 0
    cohort_rules: Rules = field(default_factory=load_rules)

    def play(self, world: World, seed: int) -> Report:
        """Play a world to its end."""
        baseline = Baseline(packaged_prior(), self.cohort_rules.tails)
        for signals in world.history(seed):
            baseline.learn(signals)
        comers, report = deque(world.comers(seed)), Report()
        window: deque[Comer] = deque(maxlen=self.settings.window_attempts)
        waiting: list[tuple[float, Comer, Action]] = []
        origin = START + min((bots.start for bots in world.bots), default=world.surge_start)
        for second in range(int(world.length) + 90):
            at = START + second + 1
            while comers and comers[0].signals.at <= at:
                comer = comers.popleft()
                window.append(comer)
                action = self._decide(comer, comer.signals.at, report)
                waiting.append((comer.signals.at + comer.confirm_seconds, comer, action))
            for due, comer, action in [entry for entry in waiting if entry[0] <= at]:
                self._settle(comer, due, action, report)
            waiting = [entry for entry in waiting if entry[0] > at]
            self._tick(at, second, window, baseline, report, origin)
        return report

    def _decide(self, comer: Comer, at: float, report: Report) -> Action:
        prices = prices_of(self.settings)
        index = PostureIndex(self.posture)
        verdict = decide(comer.signals, Payment(Receipt.PAID, self.settings.price_open), index, prices)
        if verdict.action is Action.CHALLENGE:
            if not comer.is_bot:
                report.people_priced += 1
            verdict = decide(comer.signals, Payment(Receipt.PAID, 4_000), index, prices)
        return verdict.action

    def _settle(self, comer: Comer, at: float, first: Action, report: Report) -> None:
        paid = Payment(Receipt.PAID, 4_000)
        again = decide(replace(comer.signals, at=at), paid, PostureIndex(self.posture), prices_of(self.settings))
        is_admitted = (first, again.action) == (Action.ADMIT, Action.ADMIT)
        if comer.is_bot:
            report.bots += 1
            report.bots_admitted += is_admitted
            report.bots_admitted_first += is_admitted and report.first(Level.PROBATION) is None
        else:
            report.people += 1
            report.people_on_probation += not is_admitted

    def _tick(
        self, at: float, second: int, window: deque[Comer], baseline: Baseline, report: Report, origin: float
    ) -> None:
        for change in rules.lapsed(self.posture, at):
            row = self.posture.rows[change.cohort]
            if row.change.level is Level.PROBATION:
                cohort = parse_key(change.cohort)
                kept = [comer for comer in window if not cohort.holds(comer.signals)]
                window.clear()
                window.extend(kept)
            self._apply(change, report, origin)
        proposals = self._look(at, self.settings.fast_window_seconds, window, baseline)
        if second % SLOW_EVERY == 0:
            named = {key_of(proposal.cohort) for proposal in proposals} | set(self.posture.rows)
            slow = self._look(at, self.settings.slow_window_seconds, window, baseline)
            proposals += [proposal for proposal in slow if key_of(proposal.cohort) not in named]
        pace = pace_of(self.settings)
        for proposal in proposals:
            key = key_of(proposal.cohort)
            wish = Wish(at, key, proposal.level, proposal.reason, proposal.evidence, proposal.seen_at)
            verdict = rules.judged(self.posture, wish, self.histories.get(key), pace)
            if isinstance(verdict, float):
                self.posture = rules.renewed(self.posture, key, verdict)
            elif verdict is not None:
                self._apply(rules.checked(verdict, pace), report, origin)

    def _look(self, at: float, seconds: float, window: deque[Comer], baseline: Baseline) -> list[Proposal]:
        attempts = [comer.signals for comer in window if at - seconds < comer.signals.at <= at]
        return detect(
            Window(
                attempts,
                in_force(self.posture, at),
                baseline,
                self.cohort_rules,
                bars_of(self.settings),
                at - self.settings.hold_seconds,
            )
        )

    def _apply(self, change: Change, report: Report, origin: float) -> None:
        self.version += 1
        self.posture = rules.applied(self.posture, change, self.version)
        self.histories[change.cohort] = rules.remembered(
            self.histories.get(change.cohort), change, pace_of(self.settings)
        )
        report.changes.append((change.at - origin, change.cohort, change.level))


def in_force(posture: Posture, at: float) -> Mapping[str, tuple[Cohort, Level]]:
    """The cohorts that are tightened."""
    return {
        key: (parse_key(key), row.change.level)
        for key, row in posture.rows.items()
        if row.change.expires_at > at and row.change.level is not Level.OPEN
    }


def bars_of(settings: GateSettings) -> Thresholds:
    """The detector's thresholds."""
    return Thresholds(
        settings.suspicion_nats, settings.conviction_nats, settings.renewal_share, settings.people_share_limit
    )
