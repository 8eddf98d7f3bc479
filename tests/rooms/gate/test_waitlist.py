"""The wait-list: a place, its page, an invitation, once."""

import asyncio
from dataclasses import replace

import pytest

from doorward.gate import Level, Lever
from doorward.gate.errors import InvitationUsedError, PlaceNotFoundError
from doorward.hall.model import Action


async def _invitation(door, email):
    letters = await door.parts.postbox.sink(recipient=email)
    assert len(letters) == 1
    return letters[0].text.split("https://door.example/welcome/")[1].split()[0]


async def test_places_are_in_order_and_kept(door):
    first = await door.gate.take_place(door.arrival("a@example.org"))
    second = await door.gate.take_place(door.arrival("b@example.org"))
    assert (first.position, second.position) == (1, 2)
    assert await door.gate.take_place(door.arrival("a@example.org")) == first
    assert await door.gate.line.place(second.token) == ("waiting", 2)
    assert await door.gate.line.waiting() == 2


async def test_one_mailbox_has_one_place(door):
    plain = await door.gate.take_place(door.arrival("ada@example.org", mailbox="ada@example.org"))
    tagged = await door.gate.take_place(door.arrival("ada+again@example.org", mailbox="ada@example.org"))
    assert tagged == plain


@pytest.mark.parametrize("token", ["", "plc_", "plc_00000000000000000000000000.00", "x" * 500, "💥"])
async def test_no_place_by_that_name(door, token):
    with pytest.raises(PlaceNotFoundError):
        await door.gate.line.place(token)


async def test_a_token_of_a_place_is_no_invitation(door):
    place = await door.gate.take_place(door.arrival("a@example.org"))
    await door.job("gate.waitlist.invite")
    assert await door.gate.line.place(place.token) == ("invited", 0)
    with pytest.raises(InvitationUsedError):
        await door.gate.redeem(place.token)


async def test_an_invitation_lets_in_once(door):
    await door.gate.take_place(door.arrival("a@example.org"))
    await door.job("gate.waitlist.invite")
    token = await _invitation(door, "a@example.org")
    assert await door.gate.invited_email(token) == "a@example.org"
    uses = await asyncio.gather(*(door.gate.redeem(token) for _ in range(5)), return_exceptions=True)
    assert [use for use in uses if use == "a@example.org"] == ["a@example.org"]
    assert sum(isinstance(use, InvitationUsedError) for use in uses) == 4


async def test_the_gate_admits_who_brings_an_invitation(door):
    await door.gate.take_place(door.arrival("a@example.org"))
    await door.gate.take_place(door.arrival("b@example.org"))
    await door.job("gate.waitlist.invite")
    token = await _invitation(door, "a@example.org")
    await door.gate.pull(Lever(Level.WAITLIST, "*", "test", 600, "acc_1"))
    other = await door.gate.consider(replace(door.arrival("c@example.org"), invitation=token))
    assert (other.action, other.reasons[0].code) == (Action.REFUSE, "proof.forged")
    verdict = await door.gate.consider(replace(door.arrival("a@example.org"), invitation=token))
    assert (verdict.action, verdict.reasons[0].code) == (Action.ADMIT, "waitlist.invited")
    assert (await door.gate.settle(verdict.attempt_id)).action is Action.ADMIT
    again = await door.gate.consider(replace(door.arrival("a@example.org"), invitation=token))
    assert (again.action, again.reasons[0].code) == (Action.REFUSE, "proof.spent")


async def test_an_invitation_ends(door):
    await door.gate.take_place(door.arrival("a@example.org"))
    await door.job("gate.waitlist.invite")
    token = await _invitation(door, "a@example.org")
    door.clock.step(7 * 86_400 + 1)
    with pytest.raises(InvitationUsedError):
        await door.gate.redeem(token)


async def test_invitations_are_paced_and_in_order(door):
    for number in range(12):
        await door.gate.take_place(door.arrival(f"p{number:02d}@example.org"))
    await door.job("gate.waitlist.invite")  # 30 a minute, looked at every 10 s: five at a time
    invited = [letter.recipient for letter in await door.parts.postbox.sink()]
    assert invited == [f"p{number:02d}@example.org" for number in range(5)]
    await door.job("gate.waitlist.invite")
    assert len(await door.parts.postbox.sink()) == 10


async def test_nobody_is_invited_while_the_line_is_what_the_door_asks_for(door):
    await door.gate.take_place(door.arrival("a@example.org"))
    await door.gate.take_place(door.arrival("b@elsewhere.example"))
    await door.gate.pull(Lever(Level.WAITLIST, "mail=example.org", "test", 60, "acc_1"))
    await door.job("gate.waitlist.invite")
    assert [letter.recipient for letter in await door.parts.postbox.sink()] == ["b@elsewhere.example"]
    await door.gate.pull(Lever(Level.WAITLIST, "*", "test", 60, "acc_1"))
    await door.job("gate.waitlist.invite")
    assert len(await door.parts.postbox.sink()) == 1
    door.clock.step(61)
    await door.job("gate.waitlist.invite")
    assert len(await door.parts.postbox.sink()) == 2


async def test_a_place_ends_after_its_time(door):
    place = await door.gate.take_place(door.arrival("a@example.org"))
    door.clock.step(31 * 86_400)
    await door.job("gate.sweep")
    with pytest.raises(PlaceNotFoundError):
        await door.gate.line.place(place.token)
