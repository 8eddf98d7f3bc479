"""The watch: keeps the window of attempts, has `detect` look at it every second, and feeds the baseline.

1. Paid sign-up attempts of this node and, by messages of the counters, of all others stand in one window.
2. Four times a second the fast window is looked at, every fifth second the slow one, in a thread, so that nobody who
   is served waits for it, and never for more than a tenth of one processor's time; proposals go to the posture's book.
3. An account that came to be outside of probation teaches the baseline after its quarantine, unless it was put on
   probation meanwhile or its cohort is tightened by then. One that is promoted from probation teaches at once.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import replace
from time import perf_counter
from typing import Final

import msgspec
import structlog

from doorward.gate import posture as rules
from doorward.gate import tables
from doorward.gate.act import Recorder
from doorward.gate.baseline import Baseline, packaged_prior
from doorward.gate.book import PostureBook
from doorward.gate.cohorts import KEY_LIMIT, key_of, load_rules, parse_key
from doorward.gate.detect import Thresholds, Window, detect
from doorward.gate.model import EVERYBODY, Cohort, Level, Proposal, Signals
from doorward.gate.parts import GateParts
from doorward.gate.posture import Wish
from doorward.hall.errors import UnavailableError
from doorward.hall.events import AccountCreated, LaneChanged
from doorward.hall.ids import new_id
from doorward.hall.model import Lane

CHANNEL: Final = "gate.observed"
_BASELINE: Final = "people"
LOOK_EVERY_SECONDS: Final = 0.25
_SLOW_EVERY_SECONDS: Final = 5.0
_SHARE_OF_PROCESSOR: Final = 0.1
_MOST_PUPILS: Final = 5_000
_FIRST_LESSONS: Final = 500.0
_DAY_SECONDS: Final = 86_400
_log = structlog.get_logger("doorward.gate")


class _Observed(msgspec.Struct, frozen=True):
    node: str
    signals: list[Signals]


class Watch:
    """Looks out for attacks."""

    def __init__(self, parts: GateParts, book: PostureBook, recorder: Recorder) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._book = book
        self._recorder = recorder
        self._rules = load_rules()
        self.baseline = Baseline(packaged_prior(), self._rules.tails)
        self._node = new_id("nod")
        self._window: deque[Signals] = deque(maxlen=parts.settings.window_attempts)
        self._unsent: deque[Signals] = deque(maxlen=parts.settings.window_attempts)
        self._pupils: OrderedDict[str, tuple[float, str]] = OrderedDict()  # account -> when due (0: never), attempt
        self._lessons = _FIRST_LESSONS
        self._taught_at = self._faded_at = parts.clock.now()
        self._next_look_at = self._slow_look_at = 0.0
        self._convicted: dict[str, Cohort] = {}
        self._learning = asyncio.Lock()  # a look runs in a thread: nobody teaches meanwhile

    def hear(self) -> None:
        """Hear of accounts."""
        self._parts.bus.on_each_node(AccountCreated, self._created)
        self._parts.bus.on_each_node(LaneChanged, self._moved)

    async def load(self) -> None:
        """Take back the baseline that was kept."""
        payload = await self._parts.database.read(lambda connection: tables.read_baseline(connection, _BASELINE))
        if payload is not None:
            try:
                self.baseline.restore(payload)
            except msgspec.DecodeError:
                _log.warning("baseline_unreadable", advice="starting from the packaged prior")

    @property
    def window(self) -> tuple[Signals, ...]:
        """What is in the window, the oldest first."""
        return tuple(self._window)

    def observe(self, signals: Signals) -> None:
        """Take in one paid attempt."""
        self._window.append(signals)
        self._unsent.append(signals)

    async def tick(self) -> None:
        """Look once, unless the last look took so long that it is too early."""
        await self._tell()
        at = self._parts.clock.now()
        if at < self._next_look_at:
            return
        began = perf_counter()
        await self._look_and_wish(at)
        self._next_look_at = at + (perf_counter() - began) / _SHARE_OF_PROCESSOR

    async def _look_and_wish(self, at: float) -> None:
        self._forget_lapsed(at)
        proposals = await self._look(at, self._settings.fast_window_seconds)
        if at - self._slow_look_at >= _SLOW_EVERY_SECONDS:
            self._slow_look_at = at
            named = {key_of(proposal.cohort) for proposal in proposals}
            slow = await self._look(at, self._settings.slow_window_seconds)
            proposals += [proposal for proposal in slow if self._is_news(proposal, named)]
        wishes = [_wish(proposal, at) for proposal in proposals if len(key_of(proposal.cohort)) <= KEY_LIMIT]
        if rules.crowded(self._book.current, at, self._settings.cohort_limit):
            evidence = (("cohorts", str(len(self._book.current.rows))),)
            wishes.append(
                Wish(at, EVERYBODY, Level.CAREFUL, "more cohorts attack than can be told apart", evidence, at)
            )
        await self._book.wish(wishes)

    def _forget_lapsed(self, at: float) -> None:
        """What convicted a cohort is not evidence a second time, once the cohort has been reopened."""
        convicted = {
            key: parse_key(key)
            for key, row in self._book.current.rows.items()
            if row.change.expires_at > at and row.change.level.rank >= Level.PROBATION.rank and key != EVERYBODY
        }
        lapsed = [cohort for key, cohort in self._convicted.items() if key not in convicted]
        self._convicted = convicted
        if lapsed:
            kept = [signals for signals in self._window if not any(cohort.holds(signals) for cohort in lapsed)]
            self._window = deque(kept, maxlen=self._settings.window_attempts)

    def _is_news(self, proposal: Proposal, named: set[str]) -> bool:
        """The slow window finds what the fast one does not; renewing is left to the fast one."""
        key = key_of(proposal.cohort)
        return key not in named and key not in self._book.current.rows

    async def _look(self, at: float, seconds: float) -> list[Proposal]:
        attempts = [signals for signals in self._window if at - seconds < signals.at <= at]
        if not attempts:
            return []
        in_force = {
            key: (parse_key(key), row.change.level)
            for key, row in self._book.current.rows.items()
            if row.change.expires_at > at and row.change.level is not Level.OPEN and key != EVERYBODY
        }
        bars = Thresholds(
            suspicion=self._settings.suspicion_nats,
            conviction=self._settings.conviction_nats,
            renewal=self._settings.renewal_share,
            people=self._settings.people_share_limit,
        )
        fresh_after = at - self._settings.hold_seconds
        window = Window(attempts, in_force, self.baseline, self._rules, bars, fresh_after)
        async with self._learning:
            return await asyncio.to_thread(detect, window)

    async def _tell(self) -> None:
        """Tell the other nodes what was observed here since the last look."""
        if not self._unsent:
            return
        message = msgspec.json.encode(_Observed(self._node, list(self._unsent)))
        self._unsent.clear()
        try:
            await self._parts.counters.publish(CHANNEL, message)
        except UnavailableError as error:  # each node then goes on with what it sees itself
            _log.warning("observations_not_shared", code=error.code)

    async def follow(self) -> None:
        """Take in what other nodes observe; runs until cancelled."""
        async for message in self._parts.counters.subscribe(CHANNEL):
            observed = msgspec.json.decode(message, type=_Observed)
            if observed.node != self._node:
                self._window.extend(observed.signals)

    async def _created(self, event: AccountCreated) -> None:
        due = event.at + self._settings.baseline_quarantine_seconds if event.lane == Lane.EXISTING else 0.0
        self._pupils[event.account_id] = (due, event.attempt_id)
        if len(self._pupils) > _MOST_PUPILS:
            self._pupils.popitem(last=False)

    async def _moved(self, event: LaneChanged) -> None:
        if event.account_id in self._pupils:
            _, attempt_id = self._pupils[event.account_id]
            self._pupils[event.account_id] = (event.at if event.to_lane == Lane.EXISTING else 0.0, attempt_id)

    async def teach(self) -> None:
        """Let those teach whose quarantine is over, within the pace."""
        at = self._parts.clock.now()
        gained = (at - self._taught_at) * self._settings.baseline_learned_per_hour / 3_600
        self._lessons, self._taught_at = min(_FIRST_LESSONS, self._lessons + gained), at
        due = [account for account, (when, _) in self._pupils.items() if 0 < when <= at][: int(self._lessons)]
        for account in due:
            _, attempt_id = self._pupils.pop(account)
            recalled = await self._recorder.recall(attempt_id)
            if recalled is not None and self._book.index.strictest(replace(recalled[0], at=at)) is None:
                async with self._learning:
                    self.baseline.learn(recalled[0])
                self._lessons -= 1

    async def keep(self) -> None:
        """Let the baseline age, and save it."""
        at = self._parts.clock.now()
        async with self._learning:
            self.baseline.fade(at - self._faded_at, self._settings.baseline_half_life_days * _DAY_SECONDS)
        self._faded_at = at
        payload = self.baseline.dump()
        await self._parts.database.write(lambda connection: tables.save_baseline(connection, _BASELINE, payload, at))


def _wish(proposal: Proposal, at: float) -> Wish:
    evidence = (("score", f"{proposal.score:.1f} nats"), *proposal.evidence)
    return Wish(at, key_of(proposal.cohort), proposal.level, proposal.reason, evidence, proposal.seen_at)
