"""The way of a sign-up: payment first, one answer for every address, a code that counts once."""

import asyncio

import pytest

from doorward.accounts import tables
from doorward.accounts.errors import BadAddressError, LinkUsedError, WeakPasswordError, WrongCodeError
from doorward.accounts.model import Dearer, Entered, Mailed, Refused, Visitor, Waitlisted
from doorward.hall.model import Action, Lane, Role

PASSWORD = "violet anchor tuesday marmalade"


async def test_with_a_code(room):
    mailed = await room.accounts.signup.begin(room.arrival(), "Ada@Example.com", "")
    assert mailed.by_link is False
    entered = await room.accounts.signup.confirm(mailed.pending_id, await room.code("Ada@example.com"), Visitor())
    assert (entered.account.lane, entered.account.role) == (Lane.EXISTING, Role.MEMBER)
    standing = room.accounts.standing_of(entered.token.encode())
    assert (standing.account_id, standing.credential_id) == (entered.account.account_id, entered.session_id)
    assert room.door.settlements == ["att_1"]


async def test_with_a_link_where_no_proof_was_paid(room):
    mailed = await room.accounts.signup.begin(room.arrival(proof=""), "ada@example.com", "")
    assert mailed.by_link
    token = await room.link("ada@example.com")
    entered = await room.accounts.signup.confirm_link(token, Visitor())
    assert room.accounts.standing_of(entered.token.encode())
    with pytest.raises(LinkUsedError):
        await room.accounts.signup.confirm_link(token, Visitor())


async def test_nothing_costly_before_the_price_is_paid(room):
    room.door.action = Action.CHALLENGE
    outcome = await room.accounts.signup.begin(room.arrival(), "ada@example.com", PASSWORD)
    assert isinstance(outcome, Dearer)
    assert outcome.offer.ticket == "ticket-1"
    assert await room.rows(tables.pending) == 0
    assert await room.letters() == []
    assert room.accounts.hasher._pool._threads == set()  # no hash was ever asked for


async def test_a_typing_mistake_costs_no_proof(room):
    with pytest.raises(BadAddressError):
        await room.accounts.signup.begin(room.arrival(), "ada@", "")
    with pytest.raises(WeakPasswordError):
        await room.accounts.signup.begin(room.arrival(), "ada@example.com", "password1234567")
    assert room.door.arrivals == []


async def test_the_gate_sees_address_and_kind(room):
    await room.accounts.signup.begin(room.arrival(), " Ada@Example.com", PASSWORD)
    arrival = room.door.arrivals[0]
    assert (arrival.email, arrival.has_password, arrival.proof) == ("Ada@example.com", True, "proof")


async def test_refused_and_waitlisted(room):
    room.door.action = Action.REFUSE
    assert isinstance(await room.accounts.signup.begin(room.arrival(), "ada@example.com", ""), Refused)
    room.door.action = Action.WAITLIST
    outcome = await room.accounts.signup.begin(room.arrival(), "ada@example.com", "")
    assert isinstance(outcome, Waitlisted)
    assert outcome.place == room.door.places["ada@example.com"]
    assert await room.rows(tables.pending) == 0


@pytest.mark.parametrize("settled", [Action.PROBATION, Action.WAITLIST, Action.CHALLENGE, Action.REFUSE])
async def test_who_has_confirmed_is_never_turned_away(room, settled):
    room.door.settled = settled
    entered = await room.sign_up()
    assert entered.account.lane is Lane.PROBATION
    assert room.accounts.standing_of(entered.token.encode()).lane is Lane.PROBATION


async def test_known_and_unknown_addresses_get_the_same_answer_and_the_same_work(room):
    await room.sign_up("known@example.com")
    before = await room.rows(tables.pending)
    answers = [
        await room.accounts.signup.begin(room.arrival(), email, PASSWORD)
        for email in ("known@example.com", "unknown@example.com")
    ]
    assert [type(answer) for answer in answers] == [Mailed, Mailed]
    assert answers[0].by_link == answers[1].by_link
    assert len(answers[0].pending_id) == len(answers[1].pending_id)
    assert await room.rows(tables.pending) == before + 2
    assert len(await room.letters("known@example.com")) == 2
    assert len(await room.letters("unknown@example.com")) == 1
    assert "have an account" in (await room.letters("known@example.com"))[-1].subject


async def test_no_code_is_right_for_an_address_that_is_taken(room):
    await room.sign_up("known@example.com")
    mailed = await room.accounts.signup.begin(room.arrival(), "Known+x@Example.com", "")
    letter = (await room.letters())[-1]
    assert letter.recipient == "known@example.com"
    with pytest.raises(WrongCodeError):
        await room.accounts.signup.confirm(mailed.pending_id, "12345678", Visitor())
    assert await room.rows(tables.accounts) == 1


async def test_two_sign_ups_of_one_mailbox_make_one_account(room):
    first = await room.accounts.signup.begin(room.arrival(), "ada@gmail.com", "")
    second = await room.accounts.signup.begin(room.arrival(), "a.d.a+x@googlemail.com", "")
    one = await room.accounts.signup.confirm(first.pending_id, await room.code("ada@gmail.com"), Visitor())
    other = await room.accounts.signup.confirm(second.pending_id, await room.code("a.d.a+x@googlemail.com"), Visitor())
    assert one.account.account_id == other.account.account_id
    assert await room.rows(tables.accounts) == 1


async def test_five_tries_and_not_one_more(room):
    mailed = await room.accounts.signup.begin(room.arrival(), "ada@example.com", "")
    code = await room.code("ada@example.com")
    wrong = f"{(int(code) + 1) % 10**8:08d}"
    for _ in range(5):
        with pytest.raises(WrongCodeError):
            await room.accounts.signup.confirm(mailed.pending_id, wrong, Visitor())
    with pytest.raises(WrongCodeError):
        await room.accounts.signup.confirm(mailed.pending_id, code, Visitor())
    assert await room.rows(tables.accounts) == 0


async def test_a_code_ends(room):
    mailed = await room.accounts.signup.begin(room.arrival(), "ada@example.com", "")
    room.clock.step(901)
    with pytest.raises(WrongCodeError):
        await room.accounts.signup.confirm(mailed.pending_id, await room.code("ada@example.com"), Visitor())


@pytest.mark.parametrize("pending_id", ["", "pen_", "pen_" + "0" * 26, "x" * 1000, "acc_" + "0" * 26, "pé.n", "."])
async def test_a_made_up_name_is_refused_without_a_look_up(room, pending_id):
    await room.database.close()
    with pytest.raises(WrongCodeError):
        await room.accounts.signup.confirm(pending_id, "12345678", Visitor())


async def test_a_made_up_link_is_refused_without_a_look_up(room):
    await room.database.close()
    with pytest.raises(LinkUsedError):
        await room.accounts.signup.confirm_link("dwl_" + "a" * 43, Visitor())


async def test_only_a_few_tries_a_minute_reach_the_database(room):
    mailed = await room.accounts.signup.begin(room.arrival(), "ada@example.com", "")
    for _ in range(10):
        with pytest.raises(WrongCodeError):
            await room.accounts.signup.confirm(mailed.pending_id, "00000000", Visitor())
    await room.database.close()
    with pytest.raises(WrongCodeError):
        await room.accounts.signup.confirm(mailed.pending_id, "00000000", Visitor())
    await room.accounts.signup.resend(mailed.pending_id)


async def test_a_code_is_for_one_purpose(room):
    mailed = await room.accounts.signup.begin(room.arrival(), "ada@example.com", "")
    with pytest.raises(WrongCodeError):
        await room.accounts.login.confirm(mailed.pending_id, await room.code("ada@example.com"), Visitor())


async def test_sent_again_the_newest_code_counts(room):
    mailed = await room.accounts.signup.begin(room.arrival(), "ada@example.com", "")
    first = await room.code("ada@example.com")
    await room.accounts.signup.resend(mailed.pending_id)
    second = await room.code("ada@example.com")
    assert len(await room.letters()) == 2
    if first != second:
        with pytest.raises(WrongCodeError):
            await room.accounts.signup.confirm(mailed.pending_id, first, Visitor())
    assert await room.accounts.signup.confirm(mailed.pending_id, second, Visitor())


async def test_sent_again_too_often_the_last_mailed_code_still_counts(room):
    mailed = await room.accounts.signup.begin(room.arrival(), "ada@example.com", "")
    for _ in range(4):
        await room.accounts.signup.resend(mailed.pending_id)
    assert len(await room.letters()) == 3
    assert await room.accounts.signup.confirm(mailed.pending_id, await room.code("ada@example.com"), Visitor())


async def test_sending_again_what_does_not_wait_is_not_told(room):
    await room.accounts.signup.resend("pen_" + "0" * 26)
    await room.accounts.signup.resend("nonsense")
    assert await room.letters() == []


async def test_fifty_at_once_make_one_account(either):
    mailed = await either.accounts.signup.begin(either.arrival(), "ada@example.com", "")
    code = await either.code("ada@example.com")
    results = await asyncio.gather(
        *(either.accounts.signup.confirm(mailed.pending_id, code, Visitor()) for _ in range(50)), return_exceptions=True
    )
    entered = [result for result in results if isinstance(result, Entered)]
    assert len(entered) == 1
    assert {type(result) for result in results} == {Entered, WrongCodeError}
    assert await either.rows(tables.accounts) == 1


async def test_fifty_uses_of_a_link_make_one_account(either):
    await either.accounts.signup.begin(either.arrival(proof=""), "ada@example.com", "")
    token = await either.link("ada@example.com")
    results = await asyncio.gather(
        *(either.accounts.signup.confirm_link(token, Visitor()) for _ in range(50)), return_exceptions=True
    )
    assert [type(result) for result in results].count(Entered) == 1
    assert await either.rows(tables.accounts) == 1


async def test_many_sign_ups_of_one_mailbox_at_once_make_one_account(either):
    pending = [await either.accounts.signup.begin(either.arrival(), "ada@example.com", "") for _ in range(3)]
    codes = [letter.text.split("\n\n")[1] for letter in await either.letters("ada@example.com")]
    results = await asyncio.gather(
        *(
            either.accounts.signup.confirm(one.pending_id, code, Visitor())
            for one, code in zip(pending, codes, strict=True)
        )
    )
    assert len({result.account.account_id for result in results}) == 1
    assert await either.rows(tables.accounts) == 1


async def test_nothing_readable_of_a_code_is_kept(room):
    await room.accounts.signup.begin(room.arrival(), "ada@example.com", PASSWORD)
    code = await room.code("ada@example.com")
    rows = await room.database.read(lambda c: c.execute(tables.pending.select()).all())
    assert code not in repr(rows)
    assert PASSWORD not in repr(rows)
