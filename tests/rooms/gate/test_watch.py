"""The watch: an attack on the real gate is seen, held and forgotten; people teach the baseline."""

import asyncio
import random
from dataclasses import replace

import pytest

from doorward.gate import Gate, GateSettings, Level, Lever
from doorward.gate.model import Signals
from doorward.hall.bus import Bus
from doorward.hall.events import AccountCreated, LaneChanged
from doorward.hall.model import Action, Attempt, Lane

from .conftest import opened


@pytest.fixture
def settings() -> GateSettings:
    """Short times, no quarantine."""
    return GateSettings(
        price_open=20, price_careful=20, price_probation=20, hold_seconds=8, dwell_seconds=2, baseline_quarantine_seconds=5
    )  # fmt: skip


def bot(rng: random.Random, at: float) -> Signals:
    """One of a program's attempts."""
    network = f"{rng.randrange(1, 200)}.{rng.randrange(256)}.{rng.randrange(256)}.0/24"
    return Signals(
        at,
        Attempt.SIGNUP,
        "owned.example",
        network,
        "chrome/141/windows",
        "en",
        "a492",
        8 + rng.randrange(2),
        5,
        rng.randrange(3, 7),
    )


async def attack(door, seconds: int, rng: random.Random) -> None:
    """Bots at eight a second, the detector looking once a second."""
    for _ in range(seconds):
        for place in range(8):
            door.gate.watch.observe(bot(rng, door.clock.now() + place / 8))
        door.clock.step(1)
        await door.job("gate.detect")
        await door.job("gate.posture.expire")


async def test_an_attack_is_convicted_held_and_then_forgotten(door):
    await attack(door, 6, random.Random(1))
    rows = list(door.gate.posture().rows.values())
    assert [(row.change.cohort, row.change.level) for row in rows] == [("mail=owned.example", Level.PROBATION)]
    evidence = dict(rows[0].change.evidence)
    assert evidence.keys() >= {"score", "members", "names", "rhythm"}
    quick, jane = door.arrival("x@owned.example"), door.arrival("jane@example.org")
    assert (await door.gate.consider(door.paid(quick, seconds=1))).action is Action.PROBATION
    assert (await door.gate.consider(door.paid(jane, seconds=1))).action is Action.ADMIT
    await attack(door, 12, random.Random(2))
    assert door.gate.posture().rows["mail=owned.example"].version == rows[0].version  # held, not changed again
    for _ in range(12):
        door.clock.step(1)
        await door.job("gate.detect")
        await door.job("gate.posture.expire")
    assert not door.gate.posture().rows
    history = await door.gate.book.history()
    assert [row.change.level for row in history] == [Level.OPEN, Level.PROBATION]


async def test_what_one_node_sees_all_nodes_weigh(door, rows, settings, clock):
    other = await opened(settings, clock, rows, Bus(), "two")
    other.gate = Gate(replace(other.parts, counters=door.parts.counters))
    following = asyncio.create_task(other.gate.watch.follow())
    await asyncio.sleep(0)
    await attack(door, 2, random.Random(3))
    for _ in range(10):
        await asyncio.sleep(0)
    following.cancel()
    assert len(other.gate.watch.window) == 16


async def _account(door, number: int, lane: Lane = Lane.EXISTING) -> str:
    verdict = await door.come(f"p{number}@home.example", f"198.51.{number}.7")
    event = AccountCreated(
        at=door.clock.now(), account_id=f"acc_{number}", lane=lane.value, attempt_id=verdict.attempt_id
    )
    await _publish(door, event)
    return verdict.attempt_id


async def _publish(door, event) -> None:
    outbox = door.parts.outbox
    await door.parts.database.write(lambda connection: outbox.publish(connection, event))
    await outbox.deliver_each()


async def _moved(door, number: int, lane: Lane) -> None:
    event = LaneChanged(
        at=door.clock.now(), account_id=f"acc_{number}", from_lane="", to_lane=lane.value, reason="test"
    )
    await _publish(door, event)


async def _learned(door) -> int:
    door.clock.step(6)
    await door.job("gate.baseline.teach")
    return round(door.gate.watch.baseline.learned)


async def test_accounts_in_good_standing_teach_after_the_quarantine(door):
    await _account(door, 1)
    await door.job("gate.baseline.teach")
    assert door.gate.watch.baseline.learned == 0
    assert await _learned(door) == 1
    assert await _learned(door) == 1


async def test_accounts_on_probation_teach_only_once_promoted(door):
    await _account(door, 1, Lane.PROBATION)
    await _account(door, 2)
    await _moved(door, 2, Lane.PROBATION)
    assert await _learned(door) == 0
    await _moved(door, 1, Lane.EXISTING)
    assert await _learned(door) == 1


async def test_a_tightened_cohort_teaches_nothing(door):
    await _account(door, 1)
    await door.gate.pull(Lever(Level.CAREFUL, "mail=home.example", "test", 600, "acc_9"))
    assert await _learned(door) == 0


async def test_what_was_learned_outlives_the_process(door, rows, settings, clock):
    await _account(door, 1)
    await _learned(door)
    await door.job("gate.baseline.keep")
    again = await opened(settings, clock, rows, Bus(), "two")
    assert round(again.gate.watch.baseline.learned) == 1


async def test_when_too_many_cohorts_attack_everybody_pays_more(rows, clock):
    door = await opened(GateSettings(cohort_limit=2), clock, rows, Bus())
    for number in range(3):
        await door.gate.pull(Lever(Level.PROBATION, f"mail=m{number}.example", "test", 600, "acc_9"))
    await door.job("gate.detect")
    row = door.gate.posture().rows["*"]
    assert (row.change.level, row.change.set_by) == (Level.CAREFUL, "detector")
