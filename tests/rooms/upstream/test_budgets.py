"""Allowances: what is held back and given back, how requests are spaced, and that no use is lost or counted twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from doorward.hall.model import Lane
from doorward.upstream.budgets import DAY_SECONDS, Budgets, Delta, Limits, ShortageKind, day_of

NOON = 20_000 * DAY_SECONDS + DAY_SECONDS / 2.0


def budgets(**limits: int | None) -> Budgets:
    """Probation limited as said; the existing lane not at all."""
    return Budgets({Lane.PROBATION: Limits(**limits), Lane.EXISTING: Limits()})


def begin(of: Budgets, now: float = NOON, account: str = "a") -> ShortageKind | None:
    shortage = of.begin(account, Lane.PROBATION, now)
    return shortage.kind if shortage else None


class TestAllowance:
    def test_use_lowers_what_is_left(self):
        some = budgets(tokens_per_day=1_000)
        assert begin(some) is None
        some.settle("a", Lane.PROBATION, NOON, (300, True))
        assert some.left("a", Lane.PROBATION, NOON) == 700
        assert some.left("b", Lane.PROBATION, NOON) == 1_000

    def test_running_requests_hold_some_back(self):
        some = budgets(tokens_per_day=1_000, reserved_tokens=400)
        assert [begin(some) for _ in range(4)] == [None, None, None, ShortageKind.ALLOWANCE]
        some.settle("a", Lane.PROBATION, NOON, (10, True))
        assert begin(some) is None

    def test_a_shortage_that_may_pass_soon_says_so(self):
        some = budgets(tokens_per_day=1_000, reserved_tokens=1_000)
        begin(some)
        assert some.begin("a", Lane.PROBATION, NOON).retry_after_seconds == 2

    def test_what_is_spent_comes_back_at_midnight(self):
        some = budgets(tokens_per_day=100)
        begin(some)
        some.settle("a", Lane.PROBATION, NOON, (500, True))
        shortage = some.begin("a", Lane.PROBATION, NOON + 0.5)
        assert (shortage.kind, shortage.retry_after_seconds) == (ShortageKind.ALLOWANCE, DAY_SECONDS // 2)
        assert begin(some, NOON + shortage.retry_after_seconds) is None

    def test_a_request_across_midnight_is_paid_on_the_new_day(self):
        some = budgets(tokens_per_day=100)
        late, early = NOON + DAY_SECONDS / 2 - 1, NOON + DAY_SECONDS / 2 + 1
        begin(some, late)
        some.settle("a", Lane.PROBATION, early, (60, True))
        assert some.left("a", Lane.PROBATION, early) == 40
        assert set(some.pending) == {("a", day_of(early))}

    def test_an_allowance_of_nothing_lets_nothing_begin(self):
        assert begin(budgets(tokens_per_day=0)) is ShortageKind.ALLOWANCE

    def test_without_a_cap_nothing_is_ever_short(self):
        some = budgets()
        for _ in range(100):
            assert some.begin("a", Lane.EXISTING, NOON) is None
            some.settle("a", Lane.EXISTING, NOON, (10**9, True))
        assert some.left("a", Lane.EXISTING, NOON) is None

    def test_promotion_lifts_the_cap_at_once(self):
        some = budgets(tokens_per_day=10)
        begin(some)
        some.settle("a", Lane.PROBATION, NOON, (10, True))
        assert some.begin("a", Lane.PROBATION, NOON) is not None
        assert some.begin("a", Lane.EXISTING, NOON) is None


class TestConcurrencyAndRate:
    def test_requests_at_once_are_limited_per_account(self):
        some = budgets(requests_at_once=2)
        assert [begin(some) for _ in range(3)] == [None, None, ShortageKind.CONCURRENCY]
        assert begin(some, account="b") is None
        some.settle("a", Lane.PROBATION, NOON, (0, False))
        assert begin(some) is None

    def test_a_quarter_comes_at_once_then_one_after_the_other(self):
        some = budgets(requests_per_minute=20)
        assert [begin(some) for _ in range(6)] == [None] * 5 + [ShortageKind.RATE]
        assert some.begin("a", Lane.PROBATION, NOON + 1).retry_after_seconds == 2
        assert begin(some, NOON + 3) is None
        assert begin(some, NOON + 3) is ShortageKind.RATE

    def test_the_time_told_is_enough(self):
        some = budgets(requests_per_minute=7)
        now = NOON
        for _ in range(50):
            shortage = some.begin("a", Lane.PROBATION, now)
            if shortage:
                now += shortage.retry_after_seconds
                assert begin(some, now) is None

    @given(st.lists(st.floats(0, 10), max_size=200), st.integers(1, 120))
    def test_no_minute_has_more_than_its_requests_and_the_burst(self, gaps, per_minute):
        some, now, begun = budgets(requests_per_minute=per_minute), NOON, []
        for gap in gaps:
            now += gap
            if begin(some, now) is None:
                begun.append(now)
        most = per_minute + max(1, per_minute // 4)
        assert all(sum(start <= at < start + 60 for at in begun) <= most for start in begun)

    def test_a_refused_request_costs_nothing(self):
        some = budgets(requests_at_once=1, requests_per_minute=60, tokens_per_day=1_000, reserved_tokens=10)
        begin(some)
        before = (some.accounts["a"].next_request_at, some.left("a", Lane.PROBATION, NOON))
        assert begin(some) is ShortageKind.CONCURRENCY
        assert (some.accounts["a"].next_request_at, some.left("a", Lane.PROBATION, NOON)) == before
        assert some.pending["a", day_of(NOON)].requests_refused == 1


class TestRows:
    def test_totals_of_the_rows_replace_belief_and_keep_what_waits(self):
        some = budgets(tokens_per_day=1_000)
        begin(some)
        some.settle("a", Lane.PROBATION, NOON, (100, True))
        (taken,) = some.take_pending(10)
        begin(some)
        some.settle("a", Lane.PROBATION, NOON, (7, True))
        # Another process had written 500 of the same account.
        some.correct([Delta("a", day_of(NOON), Lane.PROBATION, tokens=taken.tokens + 500)])
        assert some.left("a", Lane.PROBATION, NOON) == 1_000 - 607

    def test_totals_of_another_day_change_nothing(self):
        some = budgets(tokens_per_day=1_000)
        begin(some)
        some.correct([Delta("a", day_of(NOON) - 1, Lane.PROBATION, tokens=900)])
        assert some.left("a", Lane.PROBATION, NOON) == 1_000

    def test_only_idle_accounts_of_other_days_are_forgotten(self):
        some = budgets()
        begin(some, account="idle")
        some.settle("idle", Lane.PROBATION, NOON, (1, True))
        begin(some, account="running")
        tomorrow = NOON + DAY_SECONDS
        begin(some, tomorrow, account="today")
        some.forget(tomorrow)
        assert set(some.accounts) == {"running", "today"}
        assert ("idle", day_of(NOON)) in some.pending  # use that is not written yet is never forgotten


class Ledgers(RuleBasedStateMachine):
    """Two processes share rows: however writes fail and interleave, the rows end up with exactly what was used."""

    running = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.nodes = [budgets(tokens_per_day=10_000, requests_at_once=3, reserved_tokens=50) for _ in range(2)]
        self.rows: dict[tuple[str, int], int] = {}
        self.used: dict[tuple[str, int], int] = {}
        self.begun = [0, 0]

    @rule(target=running, node=st.sampled_from([0, 1]), account=st.sampled_from("ab"))
    def start(self, node, account):
        if self.nodes[node].begin(account, Lane.PROBATION, self.now) is None:
            self.begun[node] += 1
            return (node, account)
        return (node, "")

    @rule(request=consumes(running), tokens=st.integers(0, 4_000))
    def end(self, request, tokens):
        node, account = request
        if account:
            self.nodes[node].settle(account, Lane.PROBATION, self.now, (tokens, True))
            key = (account, day_of(self.now))
            self.used[key] = self.used.get(key, 0) + tokens
            self.begun[node] -= 1

    @rule(node=st.sampled_from([0, 1]), fails=st.booleans())
    def write(self, node, fails):
        deltas = self.nodes[node].take_pending(1)
        if fails:
            self.nodes[node].give_back(deltas)
            return
        for delta in deltas:
            key = (delta.account_id, delta.day)
            self.rows[key] = self.rows.get(key, 0) + delta.tokens
        totals = [Delta(d.account_id, d.day, d.lane, self.rows[d.account_id, d.day]) for d in deltas]
        self.nodes[node].correct(totals)

    @rule(seconds=st.floats(0, DAY_SECONDS / 3))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def forget(self):
        for node in self.nodes:
            node.forget(self.now)

    @invariant()
    def nothing_is_lost_or_counted_twice(self):
        waiting: dict[tuple[str, int], int] = {}
        for node in self.nodes:
            for key, delta in node.pending.items():
                waiting[key] = waiting.get(key, 0) + delta.tokens
        for key in self.used:
            assert self.rows.get(key, 0) + waiting.get(key, 0) == self.used[key]

    @invariant()
    def running_requests_are_known(self):
        assert [node.running() for node in self.nodes] == self.begun

    @precondition(lambda self: not any(node.pending for node in self.nodes))
    @invariant()
    def what_is_left_is_never_more_than_the_rows_allow_on_the_last_writer(self):
        for node in self.nodes:
            for name, account in node.accounts.items():
                left = node.left(name, Lane.PROBATION, self.now)
                assert 0 <= left <= 10_000 - 50 * account.running


TestLedgers = Ledgers.TestCase


@pytest.mark.parametrize(("now", "day"), [(0.0, 0), (86_399.999, 0), (86_400.0, 1), (1_795_478_400.0, 20_781)])
def test_days_are_utc(now, day):
    assert day_of(now) == day
