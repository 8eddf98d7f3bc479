"""The way of a sign-up and a log-in, against the small target."""

import asyncio
from dataclasses import replace

import pytest

from doorward.siege.client import Actor
from doorward.siege.crowd import Newcomer
from doorward.siege.login import LogIn
from doorward.siege.mailboxes import Mailboxes, NoSinkError
from doorward.siege.model import Outcome
from doorward.siege.proofs import SolverPool
from doorward.siege.signup import Means, SignUp
from doorward.siege.target import Target

from .conftest import ADMIN_KEY


@pytest.fixture
async def means(client):
    """What a visitor signs up with, at the small target."""
    target = Target(client)
    mailboxes = Mailboxes(target, Actor("127.0.0.1", "siege", bearer=ADMIN_KEY))
    await mailboxes.skip_old()
    pool = SolverPool(1, 10)
    await pool.start()
    watching = asyncio.create_task(mailboxes.watch())
    yield Means(target, mailboxes, pool, patience_seconds=3)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await pool.stop()


def visitor(email: str, way: str = "api", **changes) -> Newcomer:
    actor = Actor("203.0.113.5", "agent")
    return replace(Newcomer(actor, email, "", 0.01, 0.01, 100.0, way), **changes)


@pytest.mark.parametrize("way", ["api", "page", "no-script"])
async def test_people_get_in(door, means, way):
    ending = await SignUp(visitor("anna@mail.example", way), means).run()
    assert ending.outcome is Outcome.ADMITTED, ending
    assert ending.delay_s is not None
    assert ending.delay_s < 3
    assert {address for method, _, address in door.seen if method == "POST"} <= {"203.0.113.5"}


@pytest.mark.parametrize("way", ["api", "page"])
@pytest.mark.parametrize(
    ("domain", "outcome"),
    [
        ("probation.example", Outcome.PROBATION),
        ("wait.example", Outcome.WAITLISTED),
        ("refuse.example", Outcome.REFUSED),
        ("busy.example", Outcome.ADMITTED),
        ("dear.example", Outcome.ADMITTED),
    ],
)
async def test_what_the_target_says_is_understood(door, means, way, domain, outcome):
    ending = await SignUp(visitor(f"anna@{domain}", way), means).run()
    assert ending.outcome is outcome, ending
    assert door.paid.get("anna@dear.example", 3) == 3


async def test_without_mail_a_person_is_lost(means):
    ending = await SignUp(visitor("anna@silent.example"), replace(means, patience_seconds=0.3)).run()
    assert (ending.outcome, ending.why) == (Outcome.LOST, "no-mail")


async def test_a_price_that_is_not_paid_is_a_refusal_by_price(door, means):
    no_room = SolverPool(1, queue_limit=0)
    ending = await SignUp(visitor("bot@mail.example"), replace(means, solvers=no_room)).run()
    assert (ending.outcome, ending.why) == (Outcome.REFUSED, "price")


async def test_a_page_visitor_whose_device_is_too_slow_uses_the_mail_link(door, means):
    slow = visitor("anna@mail.example", "page", device_us=60_000_000.0)
    ending = await SignUp(slow, replace(means, patience_seconds=10)).run()
    assert ending.outcome is Outcome.ADMITTED
    assert "/signup/link" in door.letters[-1]["text"]


async def test_owners_come_in_on_their_device_and_strangers_do_not(door, means):
    owner = visitor("owner@mail.example", password="moss-kite-fern-0042")
    assert (await SignUp(owner, means).run()).outcome is Outcome.ADMITTED
    log_in = LogIn(means.target, means.solvers, means.mailboxes)
    assert await log_in.run(owner.actor, owner.email, owner.password) == ""
    stranger = Actor("198.51.100.1", "agent")
    stuffing = LogIn(means.target, means.solvers, None)
    assert await stuffing.run(stranger, owner.email, owner.password) == "code-by-mail"
    assert await stuffing.run(stranger, owner.email, "wrong-password-0000") == "accounts.login.wrong"
    new_device = Actor("203.0.113.5", "another")
    assert await log_in.run(new_device, owner.email, owner.password) == ""


async def test_the_sink_needs_an_admin_key(client):
    with pytest.raises(NoSinkError, match="admin-key"):
        await Mailboxes(Target(client), Actor("127.0.0.1", "x")).skip_old()


async def test_more_letters_than_a_page_holds_all_arrive(door, means):
    for number in range(250):
        door.mail(f"p{number}@mail.example", f"Code:\n\n{number:08d}\n")
    mail = await means.mailboxes.next_mail("p249@mail.example", 3)
    assert mail.code == "00000249"
    assert (await means.mailboxes.next_mail("p3@mail.example", 1)).code == "00000003"
