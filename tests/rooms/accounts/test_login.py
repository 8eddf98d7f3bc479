"""The way of a log-in: an owner's device is never hindered, a stranger's never let in by a password alone."""

import asyncio

import pytest

from doorward.accounts import tables
from doorward.accounts.errors import LinkUsedError, TooManyTriesError, WrongCodeError, WrongLoginError
from doorward.accounts.model import Dearer, Entered, Mailed, Refused, Visitor
from doorward.hall.model import Action, Attempt

PASSWORD = "violet anchor tuesday marmalade"


@pytest.fixture
async def owner(room):
    """Somebody with a password, and the device that they signed up on."""
    return await room.sign_up("ada@example.com", PASSWORD)


def begin(room, password="", *, email="ada@example.com", device="", proof="proof"):
    arrival = room.arrival(Attempt.LOGIN, proof)
    return room.accounts.login.begin(arrival, email, password, Visitor(device=device))


async def test_a_known_device_needs_only_the_password(room, owner):
    room.door.action = Action.REFUSE  # whatever the gate would say
    entered = await begin(room, PASSWORD, device=owner.device)
    assert isinstance(entered, Entered)
    assert room.accounts.standing_of(entered.token.encode()).account_id == owner.account.account_id
    assert [arrival.attempt for arrival in room.door.arrivals] == [Attempt.SIGNUP]


async def test_a_stranger_with_the_password_still_needs_the_code(room, owner):
    mailed = await begin(room, PASSWORD)
    assert isinstance(mailed, Mailed)
    entered = await room.accounts.login.confirm(mailed.pending_id, await room.code("ada@example.com"), Visitor())
    assert entered.account == owner.account
    again = await begin(room, PASSWORD, device=entered.device)
    assert isinstance(again, Entered)


async def test_a_stranger_pays_before_any_hash(room, owner, monkeypatch):
    room.door.action = Action.CHALLENGE
    hashed = []
    monkeypatch.setattr(room.accounts.hasher, "verify", lambda *_, **__: hashed.append(1))
    assert isinstance(await begin(room, PASSWORD), Dearer)
    room.door.action = Action.REFUSE
    assert isinstance(await begin(room, PASSWORD), Refused)
    room.door.action = Action.WAITLIST  # no log-in is put in a line
    assert isinstance(await begin(room, PASSWORD), Dearer)
    assert hashed == []


async def test_wrong_password_unknown_address_and_no_password_are_one_answer(room, owner):
    await room.sign_up("codes@example.com")
    messages = set()
    for email in ("ada@example.com", "nobody@example.com", "codes@example.com"):
        with pytest.raises(WrongLoginError) as caught:
            await begin(room, "some other password", email=email)
        messages.add((caught.value.message, caught.value.status, caught.value.code, caught.value.field))
    assert len(messages) == 1


async def test_a_full_budget_of_guesses_answers_like_a_wrong_password_and_spares_the_owner(room, owner):
    for _ in range(room.parts.settings.guesses_per_hour):
        with pytest.raises(WrongLoginError):
            await begin(room, "some other password")
    with pytest.raises(WrongLoginError):
        await begin(room, PASSWORD)  # right, but too many were tried
    assert isinstance(await begin(room, PASSWORD, device=owner.device), Entered)
    room.clock.step(3600)
    assert isinstance(await begin(room, PASSWORD), Mailed)


async def test_a_known_device_has_a_budget_of_its_own(room, owner):
    for _ in range(room.parts.settings.device_tries_per_hour):
        with pytest.raises(WrongLoginError):
            await begin(room, "some other password", device=owner.device)
    with pytest.raises(TooManyTriesError) as caught:
        await begin(room, PASSWORD, device=owner.device)
    assert caught.value.retry_after_seconds > 0


async def test_a_device_is_known_to_one_account_only(room, owner):
    await room.sign_up("eve@example.com", PASSWORD)
    assert isinstance(await begin(room, PASSWORD, email="eve@example.com", device=owner.device), Mailed)


@pytest.mark.parametrize("spoil", [lambda d: d[:-1] + "!", lambda d: d + "a", lambda d: d.upper(), lambda d: d[:30]])
async def test_a_forged_device_is_a_stranger(room, owner, spoil):
    assert isinstance(await begin(room, PASSWORD, device=spoil(owner.device)), Mailed)


async def test_a_device_is_a_stranger_after_400_days(room, owner):
    room.clock.step(400 * 86_400 + 1)
    assert isinstance(await begin(room, PASSWORD, device=owner.device), Mailed)


async def test_a_device_is_a_stranger_when_its_session_was_revoked(room, owner):
    await room.accounts.sessions.revoke(owner.account.account_id, owner.session_id)
    assert isinstance(await begin(room, PASSWORD, device=owner.device), Mailed)


async def test_a_device_stays_known_after_logging_out(room, owner):
    await room.accounts.sessions.revoke(owner.account.account_id, owner.session_id, forget_device=False)
    assert isinstance(await begin(room, PASSWORD, device=owner.device), Entered)


async def test_without_password_a_code_is_mailed(room, owner):
    for device in ("", owner.device):
        mailed = await begin(room, device=device)
        entered = await room.accounts.login.confirm(mailed.pending_id, await room.code("ada@example.com"), Visitor())
        assert entered.account == owner.account


async def test_without_proof_a_link_is_mailed_and_no_hash_made(room, owner, monkeypatch):
    monkeypatch.setattr(room.accounts.hasher, "verify", None)
    mailed = await begin(room, PASSWORD, proof="")
    assert mailed.by_link
    token = await room.link("ada@example.com")
    assert (await room.accounts.login.confirm_link(token, Visitor())).account == owner.account
    with pytest.raises(LinkUsedError):
        await room.accounts.login.confirm_link(token, Visitor())


async def test_an_address_without_account_gets_a_letter_that_says_so(room, owner):
    before = await room.rows(tables.pending)
    mailed = await begin(room, email="nobody@example.com")
    assert isinstance(mailed, Mailed)
    assert "no account" in (await room.letters("nobody@example.com"))[0].subject
    assert await room.rows(tables.pending) == before + 1
    with pytest.raises(WrongCodeError):
        await room.accounts.login.confirm(mailed.pending_id, "12345678", Visitor())


async def test_letters_to_addresses_without_account_are_few_a_minute(room):
    for number in range(40):
        await begin(room, email=f"nobody{number}@example.com")
    assert len(await room.letters()) == 20


async def test_strangers_cannot_use_up_the_owners_letters(room, owner):
    for _ in range(30):
        await begin(room)
    assert len(await room.letters("ada@example.com")) == room.parts.settings.confirmed_letters_per_day
    await begin(room, device=owner.device)
    await begin(room, PASSWORD)
    assert len(await room.letters("ada@example.com")) == room.parts.settings.confirmed_letters_per_day + 2


async def test_a_known_device_cannot_bomb_its_own_mailbox_either(room, owner):
    for _ in range(8):
        await begin(room, device=owner.device)
    assert len(await room.letters("ada@example.com")) == 1 + 5


async def test_the_session_that_came_along_is_replaced(room, owner):
    arrival = room.arrival(Attempt.LOGIN)
    visitor = Visitor(device=owner.device, replaces=owner.session_id)
    entered = await room.accounts.login.begin(arrival, "ada@example.com", PASSWORD, visitor)
    assert room.accounts.standing_of(owner.token.encode()) is None
    assert room.accounts.standing_of(entered.token.encode())
    assert len(await room.accounts.sessions.of_account(owner.account.account_id)) == 1


async def test_a_hash_with_older_parameters_is_renewed_at_log_in(room, owner, monkeypatch):
    known = await room.accounts.login._account_of(room.parts.sealer.index("accounts.mailbox", "ada@example.com"))
    monkeypatch.setattr(room.accounts.hasher, "is_outdated", lambda stored: stored == known.password_hash)
    assert isinstance(await begin(room, PASSWORD, device=owner.device), Entered)
    renewed = await room.accounts.login._account_of(room.parts.sealer.index("accounts.mailbox", "ada@example.com"))
    assert renewed.password_hash != known.password_hash
    assert await room.accounts.hasher.verify(PASSWORD, renewed.password_hash)


async def test_fifty_at_once_with_one_code_begin_one_session(either):
    owner = await either.sign_up()
    mailed = await begin(either)
    code = await either.code("ada@example.com")
    results = await asyncio.gather(
        *(either.accounts.login.confirm(mailed.pending_id, code, Visitor()) for _ in range(50)), return_exceptions=True
    )
    assert [type(result) for result in results].count(Entered) == 1
    assert len(await either.accounts.sessions.of_account(owner.account.account_id)) == 2
