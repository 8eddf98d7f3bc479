"""Sessions: they end by time, by lying unused, by their owner's hand, and everywhere."""

import pytest

from doorward.accounts.model import Visitor
from doorward.hall.errors import NotFoundError
from doorward.hall.model import Attempt

DAY = 86_400


@pytest.fixture
def settings():
    return {"session_lifetime_days": 30, "session_idle_days": 14, "sessions_per_account": 3}


async def again(room, label=""):
    """Another log-in of the same person."""
    room.clock.step(1)
    mailed = await room.accounts.login.begin(room.arrival(Attempt.LOGIN), "ada@example.com", "", Visitor())
    return await room.accounts.login.confirm(
        mailed.pending_id, await room.code("ada@example.com"), Visitor(label=label)
    )


def is_good(room, entered):
    room.accounts.book.tick()
    return room.accounts.standing_of(entered.token.encode()) is not None


async def test_they_are_listed_with_device_and_use(room):
    entered = await room.sign_up()
    (session,) = await room.accounts.sessions.of_account(entered.account.account_id)
    assert (session.session_id, session.device) == (entered.session_id, "Firefox")
    assert session.expires_at == session.created_at + 30 * DAY


async def test_one_lies_unused_for_too_long(room):
    entered = await room.sign_up()
    room.clock.step(14 * DAY + 1)
    assert not is_good(room, entered)
    assert await room.accounts.recall(entered.token.encode()) is None


async def test_use_keeps_it_alive_up_to_its_end(room):
    entered = await room.sign_up()
    for _ in range(2):
        room.clock.step(13 * DAY)
        assert is_good(room, entered)
        await room.accounts.book.write_use()
    room.clock.step(3 * DAY)
    assert is_good(room, entered)
    room.clock.step(1 * DAY + 1)
    assert not is_good(room, entered)


async def test_use_on_another_node_keeps_it_alive_here(room):
    entered = await room.sign_up()
    other = room.another()
    await other.load()
    room.clock.step(13 * DAY)
    other.book.tick()
    assert other.standing_of(entered.token.encode())
    await other.book.write_use()
    room.clock.step(2 * DAY)
    assert not is_good(room, entered)  # as far as this node knows
    assert await room.accounts.recall(entered.token.encode())
    assert is_good(room, entered)


async def test_one_is_revoked(room):
    entered = await room.sign_up()
    await room.accounts.sessions.revoke(entered.account.account_id, entered.session_id)
    assert not is_good(room, entered)
    assert await room.accounts.recall(entered.token.encode()) is None
    with pytest.raises(NotFoundError):
        await room.accounts.sessions.revoke(entered.account.account_id, entered.session_id)


async def test_nobody_revokes_another_persons(room):
    entered, eve = await room.sign_up(), await room.sign_up("eve@example.com")
    with pytest.raises(NotFoundError):
        await room.accounts.sessions.revoke(eve.account.account_id, entered.session_id)
    assert is_good(room, entered)


async def test_all_others_are_revoked(room):
    first, second, third = await room.sign_up(), await again(room), await again(room)
    assert await room.accounts.sessions.revoke_others(third.account.account_id, third.session_id) == 2
    assert [is_good(room, one) for one in (first, second, third)] == [False, False, True]


async def test_the_one_unused_longest_gives_way_at_the_limit(room):
    entered = [await room.sign_up(), await again(room), await again(room), await again(room)]
    assert [is_good(room, one) for one in entered] == [False, True, True, True]


async def test_a_revoked_session_ends_on_other_nodes_too(room):
    other = room.another()
    await other.load()
    await other.parts.outbox.mark()
    entered = await room.sign_up()
    await other.parts.outbox.deliver_each()
    assert other.standing_of(entered.token.encode())
    await room.accounts.sessions.revoke(entered.account.account_id, entered.session_id)
    await other.parts.outbox.deliver_each()
    assert other.standing_of(entered.token.encode()) is None


async def test_purging_keeps_what_lives(room):
    gone = await room.sign_up()
    await room.accounts.sessions.revoke(gone.account.account_id, gone.session_id)
    room.clock.step(31 * DAY)
    kept = await room.sign_up("eve@example.com")
    await room.accounts.purge()
    assert is_good(room, kept)
    assert [one.session_id for one in await room.accounts.sessions.of_account(gone.account.account_id)] == []
    assert await room.accounts.recall(kept.token.encode())
