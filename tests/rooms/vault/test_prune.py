"""Keys of mailboxes that came to nothing go; keys that seal something stay."""

import pytest

from doorward.hall.model import Letter
from doorward.stores.postbox import Postbox
from doorward.stores.settings import MailSettings
from doorward.vault.prune import KeyPruning
from doorward.vault.tables import keys_of
from rows import open_rows, vault_of

DAY = 86_400.0


@pytest.fixture
async def rows(database_url, clock):
    database = await open_rows(database_url, clock)
    yield database
    await database.close()


async def subjects_left(database, subjects):
    return sorted(key.subject for key in await database.read(lambda c: keys_of(c, subjects)))


async def test_only_old_keys_of_mailboxes_without_rows_go(rows, clock):
    vault = vault_of(rows)
    subjects = [f"mbx_{n}" for n in range(5)] + ["acc_1", "own_gate"]
    await rows.write(lambda c: [vault.key_for(c, subject) for subject in subjects])
    postbox = Postbox(rows, clock, MailSettings())
    letter = Letter("ada@example.org", "hello", "hello")
    await rows.write(lambda c: postbox.enqueue(c, letter, "mbx_3"))
    clock.step(DAY)
    await rows.write(lambda c: vault.key_for(c, "mbx_young"))
    pruning = KeyPruning(vault.data_keys, rows, clock)
    assert await pruning.prune() == 0
    clock.step(1.5 * DAY)
    assert await pruning.prune() == 4
    assert await subjects_left(rows, [*subjects, "mbx_young"]) == ["acc_1", "mbx_3", "mbx_young", "own_gate"]
    found = await postbox.sink()
    assert [one.recipient for one in found] == ["ada@example.org"]


async def test_a_mailbox_that_comes_back_gets_a_new_key(rows, clock):
    vault = vault_of(rows)
    await rows.write(lambda c: vault.key_for(c, "mbx_1"))
    clock.step(3 * DAY)
    assert await KeyPruning(vault.data_keys, rows, clock).prune() == 1
    await rows.write(lambda c: vault.key_for(c, "mbx_1"))
    assert await subjects_left(rows, ["mbx_1"]) == ["mbx_1"]
