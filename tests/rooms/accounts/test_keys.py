"""API keys: shown once, stored as a digest, never more than their scopes say."""

from math import inf

import pytest

from doorward.accounts import credential_tables
from doorward.accounts.errors import TooManyKeysError
from doorward.accounts.model import Visitor
from doorward.hall.errors import InvalidInputError, NotAllowedError, NotFoundError
from doorward.hall.model import Lane, Role

DAY = 86_400


@pytest.fixture
def settings():
    return {"keys_per_account": 3}


@pytest.fixture
async def owner(room):
    return (await room.sign_up()).account


@pytest.fixture
async def admin(room):
    url, _ = await room.accounts.welcome.admin_link("admin@localhost")
    return (await room.accounts.welcome.accept(url.rpartition("/")[2], Visitor(), "en")).account


def make(room, account, name="ci", scopes=("chat", "models"), days=None):
    return room.accounts.keys.create(account.account_id, account.role, name, scopes, days)


async def test_made_shown_once_and_good_at_once(room, owner):
    key, text = await make(room, owner)
    standing = room.accounts.standing_of(text.encode())
    assert (standing.account_id, standing.credential_id, standing.lane) == (
        owner.account_id,
        key.key_id,
        Lane.EXISTING,
    )
    assert (standing.scopes, standing.role, standing.expires_at) == ({"chat", "models"}, Role.MEMBER, inf)
    assert await room.accounts.keys.of_account(owner.account_id) == [key]
    rows = await room.database.read(lambda c: c.execute(credential_tables.api_keys.select()).all())
    assert text not in repr(rows)


async def test_it_ends_on_its_day(room, owner):
    _, text = await make(room, owner, days=1)
    room.clock.step(DAY - 1)
    room.accounts.book.tick()
    assert room.accounts.standing_of(text.encode())
    room.clock.step(2)
    room.accounts.book.tick()
    assert room.accounts.standing_of(text.encode()) is None
    assert await room.accounts.keys.of_account(owner.account_id) == []


async def test_revoked_at_once_and_everywhere(room, owner):
    other = room.another()
    await other.parts.outbox.mark()
    key, text = await make(room, owner)
    await other.parts.outbox.deliver_each()
    assert other.standing_of(text.encode())
    await room.accounts.keys.revoke(key.key_id, owner.account_id)
    await other.parts.outbox.deliver_each()
    for accounts in (room.accounts, other):
        assert accounts.standing_of(text.encode()) is None
        assert await accounts.recall(text.encode()) is None
    with pytest.raises(NotFoundError):
        await room.accounts.keys.revoke(key.key_id, owner.account_id)


async def test_nobody_revokes_another_persons_but_the_operator(room, owner):
    key, text = await make(room, owner)
    eve = (await room.sign_up("eve@example.com")).account
    with pytest.raises(NotFoundError):
        await room.accounts.keys.revoke(key.key_id, eve.account_id)
    assert room.accounts.standing_of(text.encode())
    await room.accounts.keys.revoke(key.key_id, "")
    assert room.accounts.standing_of(text.encode()) is None


async def test_an_account_has_so_many_and_no_more(room, owner):
    for _ in range(3):
        key, _ = await make(room, owner)
    with pytest.raises(TooManyKeysError):
        await make(room, owner)
    await room.accounts.keys.revoke(key.key_id, owner.account_id)
    await make(room, owner)


@pytest.mark.parametrize("scopes", [(), ("chat", "everything"), ("CHAT",)])
async def test_scopes_that_there_are_not(room, owner, scopes):
    with pytest.raises(InvalidInputError):
        await make(room, owner, scopes=scopes)


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\x00b"])
async def test_names_that_cannot_be(room, owner, name):
    with pytest.raises(InvalidInputError):
        await make(room, owner, name=name)


@pytest.mark.parametrize("days", [0, -1, 3651])
async def test_times_that_cannot_be(room, owner, days):
    with pytest.raises(InvalidInputError):
        await make(room, owner, days=days)


async def test_a_member_makes_no_admin_key(room, owner):
    with pytest.raises(NotAllowedError):
        await make(room, owner, scopes=("admin",))


async def test_an_administrators_key_is_an_administrator_only_with_the_scope(room, admin):
    _, plain = await make(room, admin, scopes=("*",))
    _, full = await make(room, admin, scopes=("*", "admin"))
    assert room.accounts.standing_of(plain.encode()).role is Role.MEMBER
    assert room.accounts.standing_of(full.encode()).role is Role.ADMIN


async def test_last_use_is_written_after_a_while(room, owner):
    key, text = await make(room, owner)
    room.clock.step(60)
    room.accounts.standing_of(text.encode())
    assert (await room.accounts.keys.of_account(owner.account_id))[0].last_used_at is None
    await room.accounts.book.write_use()
    (listed,) = await room.accounts.keys.of_account(owner.account_id)
    assert (listed.key_id, listed.last_used_at) == (key.key_id, room.clock.now())
