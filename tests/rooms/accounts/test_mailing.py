"""Nobody's mailbox is a target: three letters in the first hour, then one a day, five ever; and the brake."""

import asyncio

import pytest

from doorward.accounts.allowance import Brake, next_brake
from doorward.accounts.model import Mailed, Waitlisted
from doorward.accounts.settings import AccountsSettings

HOUR, DAY = 3600, 86_400


async def ask(room, email="ada@example.com"):
    await room.accounts.signup.begin(room.arrival(), email, "")
    return len(await room.letters())


async def test_three_in_the_first_hour_then_one_a_day_five_ever(room):
    assert [await ask(room) for _ in range(5)] == [1, 2, 3, 3, 3]
    room.clock.step(HOUR)
    assert [await ask(room) for _ in range(3)] == [4, 4, 4]
    room.clock.step(DAY - 1)
    assert await ask(room) == 4
    room.clock.step(1)
    assert [await ask(room) for _ in range(3)] == [5, 5, 5]
    room.clock.step(400 * DAY)
    assert await ask(room) == 5


async def test_other_spellings_of_the_address_share_its_allowance(room):
    for email in ("ada@gmail.com", "a.da@gmail.com", "ada+1@gmail.com", "ADA@googlemail.com"):
        total = await ask(room, email)
    assert total == 3


async def test_letters_beyond_the_allowance_change_nothing_in_the_answer(room):
    kinds = {type(await room.accounts.signup.begin(room.arrival(), "ada@example.com", "")) for _ in range(6)}
    assert kinds == {Mailed}


async def test_at_one_moment_no_more_than_three(either):
    await asyncio.gather(*(either.accounts.signup.begin(either.arrival(), "ada@example.com", "") for _ in range(20)))
    assert len(await either.letters("ada@example.com")) <= 3


async def test_a_confirmed_address_gets_at_most_ten_a_day(room):
    await room.sign_up()
    for _ in range(15):
        total = await ask(room)
    assert total == 10
    room.clock.step(DAY)
    assert await ask(room) == 11


class TestBrake:
    """Many letters that nobody confirms: an attack on other people's mailboxes."""

    @pytest.fixture
    def settings(self):
        return {"brake_minimum_letters": 10, "braked_letters_per_minute": 2}

    async def test_it_closes_waits_and_opens(self, room):
        for number in range(12):
            await ask(room, f"victim{number}@example.com")
        await room.accounts.mailing.look()
        assert not room.accounts.mailing.brake.on  # too young to have been read
        room.clock.step(240)
        await room.accounts.mailing.look()
        assert room.accounts.mailing.brake.on
        kinds = [
            type(await room.accounts.signup.begin(room.arrival(), f"next{number}@example.com", ""))
            for number in range(4)
        ]
        assert kinds == [Mailed, Mailed, Waitlisted, Waitlisted]
        assert set(room.door.places) == {"next2@example.com", "next3@example.com"}
        room.clock.step(1200)
        await room.accounts.mailing.look()
        assert not room.accounts.mailing.brake.on

    async def test_people_who_confirm_keep_it_open(self, room):
        for number in range(12):
            await room.sign_up(f"person{number}@example.com")
        room.clock.step(240)
        await room.accounts.mailing.look()
        assert not room.accounts.mailing.brake.on


def test_the_brake_has_two_thresholds():
    settings = AccountsSettings(brake_minimum_letters=100, brake_unconfirmed_share=0.7)
    calm = Brake(usual=0.3)
    assert not next_brake(calm, 99, 0, settings).on
    assert not next_brake(calm, 100, 31, settings).on
    closed = next_brake(calm, 100, 30, settings)
    assert closed.on
    assert next_brake(closed, 100, 40, settings).on
    assert not next_brake(closed, 100, 41, settings).on


def test_what_is_usual_is_learned_only_while_calm():
    settings = AccountsSettings(brake_minimum_letters=100, brake_unconfirmed_share=0.7)
    brake = Brake(usual=0.3)
    for _ in range(200):
        brake = next_brake(brake, 1000, 500, settings)
    assert 0.49 < brake.usual <= 0.5
    assert next_brake(next_brake(brake, 1000, 0, settings), 1000, 0, settings).usual == brake.usual
