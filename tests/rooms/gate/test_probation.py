"""Out of probation by good behaviour."""

from dataclasses import replace

import pytest

from doorward.gate import Caretaker, GateSettings
from doorward.gate.probation import deserves_promotion
from doorward.hall.model import Conduct, Lane

GOOD = Conduct("acc_1", 0.0, requests_ok=20, requests_refused=1, active_days=3)
SETTINGS = GateSettings()


@pytest.mark.parametrize(
    ("conduct", "at", "promoted"),
    [
        (GOOD, 90_000.0, True),
        (GOOD, 86_399.0, False),
        (replace(GOOD, requests_ok=4), 90_000.0, False),
        (replace(GOOD, requests_ok=0, requests_refused=0, active_days=0), 9e9, False),
        (replace(GOOD, active_days=1), 90_000.0, False),
        (replace(GOOD, requests_refused=6), 90_000.0, False),
    ],
)
def test_who_deserves_it(conduct, at, promoted):
    assert deserves_promotion(conduct, at, SETTINGS) is promoted


class Accounts:
    def __init__(self, conducts):
        self.conducts = {conduct.account_id: conduct for conduct in conducts}
        self.moved = []

    async def probationers(self, created_before, limit):
        return [one.account_id for one in self.conducts.values() if one.created_at < created_before][:limit]

    async def conduct_of(self, account_ids):
        return [self.conducts[account_id] for account_id in account_ids]

    async def move_lane(self, account_ids, lane, reason):
        self.moved += [(account_id, lane, reason) for account_id in account_ids]
        return len(account_ids)


async def test_the_caretaker_promotes_only_them(clock):
    now = clock.now()
    accounts = Accounts(
        [
            replace(GOOD, account_id="good", created_at=now - 90_000),
            replace(GOOD, account_id="young", created_at=now - 60),
            replace(GOOD, account_id="idle", created_at=now - 90_000, requests_ok=0),
        ]
    )
    await Caretaker(SETTINGS, clock, accounts).jobs()[0].work()
    assert accounts.moved == [("good", Lane.EXISTING, "good behaviour on probation")]
    accounts.conducts.clear()
    assert await Caretaker(SETTINGS, clock, accounts).promote() == 0
