"""One-time links: for the first administrator, and for those whose turn on the wait-list has come."""

import asyncio

import pytest

from doorward.accounts import tables
from doorward.accounts.errors import BadAddressError, LinkUsedError
from doorward.accounts.model import Entered, Visitor
from doorward.hall.errors import NotFoundError
from doorward.hall.model import Lane, Role


async def token_for(room, email="admin@localhost"):
    url, _ = await room.accounts.welcome.admin_link(email)
    assert url.startswith("http://127.0.0.1:8080/welcome/dwl_")
    return url.rpartition("/")[2]


async def test_an_admin_link_makes_an_administrator_once(room):
    token = await token_for(room)
    entered = await room.accounts.welcome.accept(token, Visitor(), "en")
    assert (entered.account.role, entered.account.lane) == (Role.ADMIN, Lane.EXISTING)
    assert room.accounts.standing_of(entered.token.encode()).role is Role.ADMIN
    with pytest.raises(LinkUsedError):
        await room.accounts.welcome.accept(token, Visitor(), "en")


async def test_an_admin_link_ends_after_a_quarter_of_an_hour(room):
    token = await token_for(room)
    room.clock.step(901)
    with pytest.raises(LinkUsedError):
        await room.accounts.welcome.accept(token, Visitor(), "en")


async def test_a_member_becomes_an_administrator_in_all_their_sessions(room):
    room.door.settled = "probation"
    member = await room.sign_up("ada@example.com")
    entered = await room.accounts.welcome.accept(await token_for(room, "Ada@example.com"), Visitor(), "en")
    assert entered.account.account_id == member.account.account_id
    for one in (member, entered):
        standing = room.accounts.standing_of(one.token.encode())
        assert (standing.role, standing.lane) == (Role.ADMIN, Lane.EXISTING)


async def test_another_link_lets_the_same_administrator_in(room):
    first = await room.accounts.welcome.accept(await token_for(room), Visitor(), "en")
    second = await room.accounts.welcome.accept(await token_for(room), Visitor(), "en")
    assert first.account.account_id == second.account.account_id


async def test_no_link_for_what_is_no_address(room):
    with pytest.raises(BadAddressError):
        await room.accounts.welcome.admin_link("nobody")


@pytest.mark.parametrize("token", ["", "dwl_" + "a" * 43, "x" * 600])
async def test_links_that_are_not_ours(room, token):
    with pytest.raises(LinkUsedError):
        await room.accounts.welcome.accept(token, Visitor(), "en")


async def test_a_sign_up_link_is_no_admin_link(room):
    await room.accounts.signup.begin(room.arrival(proof=""), "eve@example.com", "")
    with pytest.raises(LinkUsedError):
        await room.accounts.welcome.accept(await room.link("eve@example.com"), Visitor(), "en")


async def test_an_invitation_begins_on_probation(room):
    room.door.invitations["invited.token"] = "ada@example.com"
    entered = await room.accounts.welcome.accept("invited.token", Visitor(), "zh_Hans")
    assert (entered.account.lane, entered.account.role) == (Lane.PROBATION, Role.MEMBER)
    assert (entered.account.email, entered.account.language) == ("ada@example.com", "zh_Hans")
    with pytest.raises(NotFoundError):
        await room.accounts.welcome.accept("invited.token", Visitor(), "en")


async def test_fifty_uses_at_once_let_one_in(either):
    token = await token_for(either)
    results = await asyncio.gather(
        *(either.accounts.welcome.accept(token, Visitor(), "en") for _ in range(50)), return_exceptions=True
    )
    assert [type(result) for result in results].count(Entered) == 1
    assert {type(result) for result in results} == {Entered, LinkUsedError}
    assert await either.rows(tables.accounts) == 1
