"""The allowance of letters as a machine: whatever is asked when, no mailbox gets more than was promised."""

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from doorward.accounts.allowance import DAY, HOUR, after_letter
from doorward.accounts.settings import AccountsSettings

LIMITS = AccountsSettings()


class Allowance(RuleBasedStateMachine):
    """One mailbox: letters are asked for, time goes by, its owner may confirm."""

    def __init__(self):
        super().__init__()
        self.now = 1_700_000_000.0
        self.history = None
        self.sent = []
        self.sent_unconfirmed = []
        self.confirmed = False

    @rule(times=st.integers(1, 8))
    def ask(self, times):
        for _ in range(times):
            after = after_letter(self.history, self.now, LIMITS, confirmed=self.confirmed)
            if after is not None:
                self.history = after
                self.sent.append(self.now)
                if not self.confirmed:
                    self.sent_unconfirmed.append(self.now)

    @rule(seconds=st.sampled_from([1, 60, 1800, HOUR - 1, HOUR, DAY - 1, DAY, 3 * DAY]) | st.floats(0, 10 * DAY))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: self.sent)
    @rule()
    def confirm(self):
        self.confirmed = True

    @invariant()
    def a_first_letter_always_goes(self):
        if self.history is None:
            assert after_letter(None, self.now, LIMITS, confirmed=self.confirmed) is not None

    @invariant()
    def five_ever_to_an_unconfirmed_address(self):
        assert len(self.sent_unconfirmed) <= 5

    @invariant()
    def three_in_the_first_hour(self):
        if self.sent_unconfirmed:
            first = self.sent[0]
            assert len([at for at in self.sent_unconfirmed if at - first < HOUR]) <= 3

    @invariant()
    def then_one_a_day(self):
        later = [at for at in self.sent_unconfirmed if at - self.sent[0] >= HOUR]
        assert all(second - one >= DAY for one, second in pairwise(later))

    @invariant()
    def ten_a_day_and_twenty_around_midnight_at_most(self):
        for start in self.sent:
            assert len([at for at in self.sent if start <= at < start + DAY]) <= 2 * 10

    @invariant()
    def the_history_counts_right(self):
        if self.history is not None:
            assert self.history.sent == len(self.sent)
            assert self.history.last_at == self.sent[-1]
            assert self.history.first_at == self.sent[0]


TestAllowance = Allowance.TestCase
TestAllowance.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
