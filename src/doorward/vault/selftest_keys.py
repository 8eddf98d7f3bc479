"""The self-test's checks of keys: rotated while everything stays readable, and destroyed for good."""

import time
from collections.abc import AsyncIterator
from typing import Final

from sqlalchemy import Connection

from doorward.hall.bus import Bus
from doorward.hall.errors import ShreddedError
from doorward.hall.model import Cell
from doorward.stores.outbox import Outbox
from doorward.stores.postbox_tables import letters
from doorward.vault import rotate_tables as rows
from doorward.vault.rotate import Pace, Rotation
from doorward.vault.selftest_ground import PEOPLE, Check, Ground, refuses, subject_of, text_of
from doorward.vault.selftest_tables import envelope_of, wrapped_key_of
from doorward.vault.tables import count_keys

_PACE: Final = Pace(keys=1, people=1, share=0.9)  # so that there are states in between
_EVERYBODY: Final = [text_of(number) for number in range(PEOPLE)]


async def rotation(ground: Ground) -> AsyncIterator[Check]:
    """A new key-encryption key and new data keys; the clock is stepped over the wait."""
    former = await ground.database.read(lambda c: envelope_of(c, subject_of(0)))
    work = Rotation(
        ground.vault, ground.database, Outbox(ground.database, Bus(), ground.clock, "selftest"), ground.clock, _PACE
    )
    state, looks, readable, began = Rotation.first(with_data_keys=True), 0, 0, time.perf_counter()
    while not state.get("done"):
        if state["stage"] == "wait":
            ground.clock.step(max(0.0, state["until"] - ground.clock.now()))
        state = await work.step(state)
        looks += 1
        readable += await ground.texts() == _EVERYBODY
    seconds = time.perf_counter() - began
    yield Check("rotated: everything opens at every step", readable == looks, f"{readable} of {looks} steps")
    wrapped = await ground.database.read(count_keys)
    is_new = set(wrapped) == {state["version"]} and not await ground.database.read(
        lambda c: rows.has_older_keks(c, state["version"])
    )
    figure = f"{state['rewrapped']} data keys under version {state['version']}, {seconds:.1f} s with the next"
    yield Check("rotated: the former key-encryption key is destroyed", is_new, figure)
    left = await ground.database.read(lambda c: rows.subjects_with_versions(c, after="", limit=PEOPLE))
    is_dead = await ground.database.read(lambda c: _is_dead(ground, c, former))
    is_met = not left and is_dead and state["people"] >= PEOPLE and not state["kept"]
    figure = f"{state['people']} people, {state['cells']} values"
    yield Check("rotated: the former data keys are destroyed", is_met, figure)


async def shredding(ground: Ground) -> AsyncIterator[Check]:
    """A person without a letter is shredded: no key is left, none is made anew, and no byte of it lies anywhere."""
    cell = Cell("selftest", "value", "row_1")
    subject = "acc_shredded"
    envelope = await ground.database.write(lambda c: ground.vault.key_for(c, subject).seal(cell, "of somebody"))
    wrapped = await ground.database.read(lambda c: wrapped_key_of(c, subject))
    was_there = wrapped in ground.all_bytes()
    await ground.database.write(lambda c: ground.shredding.shred(c, [subject], "operator"))
    left = await ground.database.read(lambda c: len(ground.vault.keys_of(c, [subject])))
    is_final = True
    try:
        await ground.database.write(lambda c: ground.vault.key_for(c, subject).unseal(cell, envelope))
        is_final = False
    except ShreddedError:
        ground.clock.step(1)
    yield Check("shredded: no key is left, and none is made anew", left == 0 and is_final)
    cleared = await ground.shredding.clear()
    is_gone = was_there and cleared == 1 and wrapped not in ground.all_bytes()
    yield Check("shredded: the key's bytes are in no file", is_gone, f"{len(ground.all_bytes()):,} bytes")


def _is_dead(ground: Ground, connection: Connection, envelope: bytes) -> bool:
    key = ground.vault.keys_of(connection, [subject_of(0)])[subject_of(0)]
    return refuses(lambda: key.unseal(Cell(letters.name, "text", f"ltr_{0:026}"), envelope))
