"""What is asked of a rotation is done, also if another kind of rotation had been left."""

from doorward.hall.bus import Bus
from doorward.stores import durable
from doorward.stores.outbox import Outbox
from doorward.vault.rotate import Rotation
from doorward.vault.rotations import Rotations
from rows import open_rows, vault_of


async def test_new_data_keys_are_made_after_an_interrupted_rotation_without_them(sqlite_url, clock, monkeypatch):
    database = await open_rows(sqlite_url)
    outbox = Outbox(database, Bus(), clock, "node_1")
    rotation = Rotation(vault_of(database), database, outbox, clock)
    left = {"done": True, "with_data_keys": False}
    answers = [left, {"done": True, "with_data_keys": True}]
    monkeypatch.setattr(durable, "run", lambda *_: answers.pop(0))
    state = await Rotations(rotation, database, outbox, clock, every_days=0).run(with_data_keys=True)
    assert state["with_data_keys"]
    assert answers == []
    await database.close()
