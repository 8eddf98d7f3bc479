"""The book of standings: from memory, bounded, and good while the database is away."""

import pytest

from doorward.accounts import tokens
from doorward.accounts.errors import RecallBudgetError
from doorward.hall.model import Lane
from doorward.stores.errors import StoreUnavailableError


@pytest.fixture
def settings():
    return {"snapshot_limit": 1000, "recalls_per_second": 3}


async def test_filled_at_start(room):
    entered = await room.sign_up()
    other = room.another()
    assert other.standing_of(entered.token.encode()) is None
    await other.load()
    assert other.standing_of(entered.token.encode()) == room.accounts.standing_of(entered.token.encode())


async def test_it_answers_while_the_database_is_away(room):
    entered = await room.sign_up()
    await room.database.close()
    assert room.accounts.standing_of(entered.token.encode()).account_id == entered.account.account_id
    with pytest.raises(StoreUnavailableError):
        await room.accounts.recall(tokens.new_session_token().encode())


async def test_use_is_not_forgotten_while_the_database_is_away(room):
    entered = await room.sign_up()
    room.accounts.standing_of(entered.token.encode())
    used = set(room.accounts.book._used)
    await room.database.close()
    with pytest.raises(StoreUnavailableError):
        await room.accounts.book.write_use()
    assert used
    assert room.accounts.book._used == used


async def test_recalled_from_the_database(room):
    entered = await room.sign_up()
    other = room.another()
    standing = await other.recall(entered.token.encode())
    assert standing.account_id == entered.account.account_id
    assert other.standing_of(entered.token.encode()) == standing


@pytest.mark.parametrize("credential", [b"", b"dws_short", b"dw_live_" + b"a" * 38, b"x" * 5000])
async def test_what_is_no_credential_is_not_looked_up(room, credential):
    assert room.accounts.standing_of(credential) is None
    assert await room.accounts.recall(credential) is None
    assert room.accounts.book.recalled == 0


async def test_guessing_has_a_budget(room):
    for _ in range(3):
        assert await room.accounts.recall(tokens.new_key().encode()) is None
    with pytest.raises(RecallBudgetError):
        await room.accounts.recall(tokens.new_key().encode())
    room.clock.step(1)
    assert await room.accounts.recall(tokens.new_key().encode()) is None


async def test_a_wrong_one_is_looked_up_once_in_a_while(room):
    wrong = tokens.new_key().encode()
    for _ in range(10):
        assert await room.accounts.recall(wrong) is None
    assert room.accounts.book.recalled == 1
    room.clock.step(31)
    assert await room.accounts.recall(wrong) is None
    assert room.accounts.book.recalled == 2


async def test_what_was_made_elsewhere_after_a_wrong_guess_is_found_by_its_fact(room):
    other = room.another()
    await other.parts.outbox.mark()
    entered = await room.sign_up()
    await other.parts.outbox.deliver_each()
    assert other.standing_of(entered.token.encode())
    assert other.book.recalled == 0


async def test_it_is_bounded_and_who_left_comes_back(room):
    entered = await room.sign_up()
    standing = room.accounts.standing_of(entered.token.encode())
    for number in range(1000):
        room.accounts.book.put(number.to_bytes(32, "big"), type(standing)("acc_x", f"ses_{number}", *_rest(standing)))
    assert len(room.accounts.book) == 1000
    assert room.accounts.standing_of(entered.token.encode()) is None
    assert await room.accounts.recall(entered.token.encode())
    assert len(room.accounts.book) == 1000


def _rest(standing):
    return standing.lane, standing.role, standing.scopes, standing.expires_at


async def test_a_slow_read_brings_no_revoked_session_back(room):
    entered = await room.sign_up()
    digest = tokens.digest_of(entered.token.encode())
    read_before = room.accounts.standing_of(entered.token.encode())
    await room.accounts.sessions.revoke(entered.account.account_id, entered.session_id)
    room.accounts.book.put(digest, read_before)
    assert room.accounts.standing_of(entered.token.encode()) is None


async def test_pruning_strikes_out_what_has_ended(room):
    await room.sign_up()
    room.clock.step(40 * 86_400)
    room.accounts.book.tick()
    assert len(room.accounts.book) == 1
    room.accounts.book.prune()
    assert len(room.accounts.book) == 0


async def test_a_changed_lane_shows_at_once_and_everywhere(room):
    room.door.settled = "probation"
    entered = await room.sign_up()
    other = room.another()
    await other.load()
    await other.parts.outbox.mark()
    assert room.accounts.standing_of(entered.token.encode()).lane is Lane.PROBATION
    assert await room.accounts.move_lane([entered.account.account_id], Lane.EXISTING, "test") == 1
    assert await room.accounts.move_lane([entered.account.account_id, "acc_none"], Lane.EXISTING, "test") == 0
    assert room.accounts.standing_of(entered.token.encode()).lane is Lane.EXISTING
    await other.parts.outbox.deliver_each()
    assert other.standing_of(entered.token.encode()).lane is Lane.EXISTING
