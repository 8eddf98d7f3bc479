"""What waits for a code, as a machine on real rows: whatever is tried when, a code counts at most once, in time."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule

from doorward.accounts import credential_tables, tables  # noqa: F401  # describes the tables
from doorward.accounts.model import Pending, Purpose
from doorward.hall.ids import new_id
from rows import open_rows

LIFETIME = 900.0
TRIES = 5
RIGHT = b"right"


class Machine(RuleBasedStateMachine):
    """A few pendings; the model beside them says what must happen."""

    pendings = Bundle("pendings")

    def __init__(self):
        super().__init__()
        self.directory = TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        url = f"sqlite:///{Path(self.directory.name) / 'rows.db'}"
        self.database = self.loop.run_until_complete(open_rows(url))
        self.now = 1_700_000_000.0
        self.model = {}

    def write(self, work):
        return self.loop.run_until_complete(self.database.write(work))

    def is_open(self, pending_id):
        one = self.model[pending_id]
        return not one["used"] and one["expires_at"] > self.now

    @rule(target=pendings, live=st.booleans())
    def begin(self, live):
        if len(self.model) >= 4:
            return multiple()
        one = Pending(
            new_id("pen"), Purpose.SIGNUP, b"m" * 16, "mbx_1", "a@b.cd", "", "", "", "en", self.now, live=live
        )
        self.write(lambda c: tables.add_pending(c, one, RIGHT, self.now + LIFETIME))
        self.model[one.pending_id] = {"tries": 0, "used": False, "expires_at": self.now + LIFETIME, "secret": RIGHT}
        return one.pending_id

    @rule(pending_id=pendings, uses=st.booleans())
    def try_code(self, pending_id, uses):
        one = self.model[pending_id]
        expected = self.is_open(pending_id) and one["tries"] < TRIES
        found = self.write(lambda c: tables.count_try(c, pending_id, self.now, TRIES))
        assert (found is not None) == expected
        if found is None:
            return
        one["tries"] += 1
        assert found[1] == one["secret"]
        if uses:
            assert self.write(lambda c: tables.use_pending(c, pending_id, self.now))
            one["used"] = True

    @rule(pending_id=pendings)
    def use_twice(self, pending_id):
        expected = self.is_open(pending_id)
        assert self.write(lambda c: tables.use_pending(c, pending_id, self.now)) == expected
        assert not self.write(lambda c: tables.use_pending(c, pending_id, self.now))
        self.model[pending_id]["used"] |= expected

    @rule(pending_id=pendings, secret=st.binary(min_size=1, max_size=4))
    def renew(self, pending_id, secret):
        expected = self.is_open(pending_id)
        times = (self.now, self.now + LIFETIME)
        renewed = self.write(lambda c: tables.renew_pending(c, pending_id, secret, times))
        assert (renewed is not None) == expected
        if expected:
            self.model[pending_id] |= {"secret": secret, "expires_at": times[1]}  # tries are not given back

    @rule(seconds=st.sampled_from([1.0, 60.0, LIFETIME - 1, LIFETIME]))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def purge(self):
        self.write(lambda c: tables.purge_pending(c, self.now - 86_400))

    def teardown(self):
        self.loop.run_until_complete(self.database.close())
        self.loop.close()
        self.directory.cleanup()


TestPending = Machine.TestCase
TestPending.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
