"""The gate's rows, the same on each kind of database."""

import asyncio

import pytest

from doorward.gate import Level, Lever
from doorward.gate.errors import InvitationUsedError
from doorward.gate.model import Signals
from doorward.hall.bus import Bus
from doorward.hall.model import Action, Attempt

from .conftest import opened


@pytest.fixture
async def either(settings, clock, database):
    """A gate, once on each kind of database."""
    return await opened(settings, clock, database, Bus())


async def test_posture_and_attempts(either, settings, clock, database):
    verdict = await either.come()
    rows = await asyncio.gather(
        *(either.gate.pull(Lever(Level.CAREFUL, f"mail=m{n}.example", "test", 600, "acc_1")) for n in range(4))
    )
    assert sorted(row.version for row in rows) == [1, 2, 3, 4]
    await either.gate.undo(rows[0].version, "acc_2")
    again = await opened(settings, clock, database, Bus(), "two")
    assert again.gate.posture().version == 5
    levels = {cohort: row.change.level for cohort, row in again.gate.posture().rows.items()}
    assert sorted(levels.values()) == [Level.CAREFUL] * 3 + [Level.OPEN]
    assert (await again.gate.settle(verdict.attempt_id)).action is Action.ADMIT
    assert [row.version for row in await again.gate.book.history(2)] == [5, 4]


async def test_places_and_invitations(either):
    places = [await either.gate.take_place(either.arrival(f"p{number}@example.org")) for number in range(3)]
    assert [place.position for place in places] == [1, 2, 3]
    assert await either.gate.take_place(either.arrival("p1@example.org")) == places[1]
    await either.job("gate.waitlist.invite")
    letters = await either.parts.postbox.sink(recipient="p1@example.org")
    token = letters[0].text.split("/welcome/")[1].split()[0]
    uses = await asyncio.gather(*(either.gate.redeem(token) for _ in range(4)), return_exceptions=True)
    assert uses.count("p1@example.org") == 1
    assert sum(isinstance(use, InvitationUsedError) for use in uses) == 3


async def test_the_baseline_and_what_is_swept(either, settings, clock, database):
    await either.come()
    signals = Signals(1.0, Attempt.SIGNUP, "home.example", "198.51.100.0/24", "none", "en", "a3", 9)
    either.gate.watch.baseline.learn(signals)
    await either.job("gate.baseline.keep")
    either.gate.watch.baseline.learn(signals)
    await either.job("gate.baseline.keep")
    again = await opened(settings, clock, database, Bus(), "two")
    assert round(again.gate.watch.baseline.learned) == 2
    clock.step(8 * 86_400)
    await either.job("gate.sweep")
    await either.job("gate.summarise")
