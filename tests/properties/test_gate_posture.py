"""The posture as a machine that Hypothesis drives: people pull levers, a detector wishes, time passes."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from doorward.gate import posture as rules
from doorward.gate.errors import NothingToUndoError
from doorward.gate.model import Change, Level, Posture, Row
from doorward.gate.posture import DETECTOR, History, Pace, Wish

PACE = Pace(hold=60, dwell=5, memory=3_600, longest=7_200)
COHORTS = st.sampled_from(["*", "mail=a.example", "client=none&form=3..4"])
STRICT = st.sampled_from([Level.CAREFUL, Level.PROBATION])


class PostureMachine(RuleBasedStateMachine):
    """What `book` does, without the database."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 1_000.0
        self.posture = Posture()
        self.version = 0
        self.histories: dict[str, History] = {}
        self.past: list[Row] = []
        self.wished_at: dict[str, float] = {}

    def _apply(self, change: Change) -> None:
        if change.level is not Level.OPEN:
            rules.checked(change, PACE)
        held = self.posture.rows.get(change.cohort)
        before = held.change.level if held is not None else Level.OPEN
        self.version += 1
        self.posture = rules.applied(self.posture, change, self.version)
        self.histories[change.cohort] = rules.remembered(self.histories.get(change.cohort), change, PACE)
        self.past.append(Row(self.version, change, before, change.at))

    @rule(seconds=st.floats(0.1, 200))
    def time_passes(self, seconds):
        self.at += seconds
        for change in rules.lapsed(self.posture, self.at):
            self._apply(change)

    @rule(cohort=COHORTS, level=STRICT, age=st.floats(0, 20))
    def the_detector_wishes(self, cohort, level, age):
        self.wished_at[cohort] = self.at
        wish = Wish(self.at, cohort, level, "evidence", (), self.at - age)
        verdict = rules.judged(self.posture, wish, self.histories.get(cohort), PACE)
        before = self.posture.level(cohort, self.at)
        if isinstance(verdict, float):
            assert before.rank >= level.rank or before is Level.OPEN
            self.posture = rules.renewed(self.posture, cohort, verdict)
            assert self.posture.level(cohort, self.at) is before
        elif verdict is not None:
            assert verdict.level.rank > before.rank
            self._apply(verdict)

    @rule(cohort=COHORTS, level=st.sampled_from(Level), seconds=st.floats(1, 600))
    def somebody_pulls_the_lever(self, cohort, level, seconds):
        self._apply(Change(self.at, cohort, level, "by hand", (), self.at + seconds, "acc_1"))
        assert self.posture.level(cohort, self.at) is level

    @precondition(lambda self: self.posture.rows)
    @rule(data=st.data())
    def somebody_undoes(self, data):
        row = data.draw(st.sampled_from(sorted(self.posture.rows.values(), key=lambda row: row.version)))
        earlier = [past for past in self.past if past.change.cohort == row.change.cohort and past.version < row.version]
        before = earlier[-1] if earlier else None
        try:
            change = rules.undoing(self.posture, row.version, before, self.at, "acc_2")
        except NothingToUndoError:
            assert row.change.expires_at <= self.at
            return
        self._apply(change)
        is_left = before is not None and before.change.expires_at > self.at
        assert self.posture.level(row.change.cohort, self.at) is (before.change.level if is_left else Level.OPEN)

    @invariant()
    def every_row_ends(self):
        for row in self.posture.rows.values():
            assert row.change.expires_at <= row.change.at + 8 * PACE.longest
            assert row.change.expires_at < float("inf")
            assert row.change.reason

    @invariant()
    def without_new_evidence_it_is_open_again(self):
        later = self.at + PACE.longest + 1
        assert all(self.posture.level(cohort, later) is Level.OPEN for cohort in self.posture.rows)

    @invariant()
    def the_detector_does_not_flap(self):
        """Between a reopening of its own and its next tightening of the same cohort lies the dwell at least."""
        reopened: dict[str, float] = {}
        for row in self.past:
            change = row.change
            if change.level is Level.OPEN:
                reopened[change.cohort] = change.at
            elif change.set_by == DETECTOR and row.from_level is Level.OPEN:
                assert change.at - reopened.get(change.cohort, float("-inf")) >= PACE.dwell

    @invariant()
    def versions_grow(self):
        versions = [row.version for row in self.past]
        assert versions == sorted(set(versions))
        assert self.posture.version == self.version


TestPosture = PostureMachine.TestCase
