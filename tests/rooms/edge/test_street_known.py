"""Heads that were taken before."""

from dataclasses import replace

import pytest

import streets
from doorward.accounts.tokens import new_session_token
from doorward.hall.model import Lane
from streets import get, post

TICKET = b"genuine-ticket_1"


@pytest.fixture
async def site():
    async with streets.serving() as running:
        yield running


class TestKnownHeads:
    """Heads that were taken before are not read again; everything else is asked each time."""

    async def test_a_session_that_is_revoked_is_refused_with_the_very_same_bytes(self, site):
        token = site.book.add()
        client = await site.client()
        request = get("/authorize", credential=token)
        for _ in range(3):
            await client.send(request)
            assert (await client.reply()).status == 200
        assert len(site.street.known.callers) == 1
        site.book.here.clear()
        await client.send(request)
        assert (await client.reply()).status == 401

    async def test_the_allowance_is_asked_each_time(self, site):
        token = site.book.add(Lane.PROBATION)
        client = await site.client()
        for left in (5, 5, 0, 5):
            site.hooks.left = left
            await client.send(get("/authorize", credential=token))
            assert (await client.reply()).status == (200 if left else 429)

    async def test_each_caller_has_its_own_answer(self, site):
        tokens = [site.book.add() for _ in range(20)]
        client = await site.client()
        for _ in range(3):
            for number, token in enumerate(tokens):
                await client.send(get("/authorize", credential=token))
                assert (await client.reply()).header("x-doorward-account") == f"acc_{number}"

    async def test_strangers_leave_nothing_behind(self, site):
        await site.ask(get("/authorize", credential=new_session_token().encode()))
        await site.ask(get("/authorize", credential=b"nonsense"))
        assert not site.street.known.callers

    async def test_heads_that_ask_for_more_are_read_each_time(self, site):
        token = site.book.add()
        for request in (
            get("/authorize?scope=chat", credential=token),
            get("/authorize", "X-Doorward-Scope: chat", credential=token),
            get("/authorize", "Connection: close", credential=token),
        ):
            assert [(await site.ask(request)).status for _ in range(2)] == [200, 200]
        assert not site.street.known.callers

    @pytest.mark.parametrize("body", [b"ticket=%b&email=x", b"email=x&ticket=%b", b'{"email":"ticket","ticket":"%b"}'])
    async def test_a_known_form_with_another_ticket_is_judged_anew(self, site, body):
        client = await site.client()
        for ticket, answer in [
            (b"forged-ticket_12", 403),
            (b"forged-ticket_13", 403),
            (TICKET, 200),
            (b"forged-ticket_14", 403),
        ]:
            await client.send(post("/signup", body % ticket))
            assert (await client.reply()).status == answer
        assert len(site.street.known.forms) == 1

    async def test_a_known_form_in_two_pieces_or_with_another_behind_it(self, site):
        client = await site.client()
        request = post("/signup", b"ticket=forged-ticket_12")
        await client.send(request)
        assert (await client.reply()).status == 403
        await client.send(request[:-5], request[-5:])
        assert (await client.reply()).status == 403
        await client.send(request + get("/after"))
        assert (await client.reply()).status == 403
        assert (await client.reply()).json()["path"] == "/after"

    async def test_missing_and_forged_are_told_apart_also_the_second_time(self, site):
        client = await site.client()
        for body in (b"ticket=forged", b"ticked=forged") * 3:
            await client.send(post("/signup", body))
            code = "gate.ticket.forged" if b"ticket" in body else "gate.ticket.missing"
            assert (await client.reply()).json()["code"] == code

    async def test_shedding_holds_for_known_forms_too(self):
        is_full = False
        async with streets.serving(lambda parts: replace(parts, shed=lambda: is_full)) as site:
            request = post("/signup", b"ticket=forged")
            assert (await site.ask(request)).status == 403
            is_full = True
            assert (await site.ask(request)).status == 503
