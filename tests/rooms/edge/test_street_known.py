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


class TestKnownCalls:
    """Calls to the AI service whose head differs in the digits of its length only."""

    @pytest.fixture
    async def called(self):
        """A site with a service behind it that answers with the length of what it got, and what it got."""
        seen = []

        async def service(reader, writer):
            while True:
                head, body = await streets.read_request(reader)
                seen.append((head, body))
                text = b"%d" % len(body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))

        async with streets.upstream(service) as url, streets.serving(upstream=url) as site:
            yield site, seen

    @pytest.mark.parametrize("order", ["length first", "credential first", "cookie"])
    async def test_each_call_has_its_own_body_and_id(self, called, order):
        site, seen = called
        tokens = [site.book.add() for _ in range(2)]
        clients = [await site.client() for _ in tokens]
        sizes = [5, 10, 1, 1_000, 100_000, 7]
        for size in sizes:
            for client, token in zip(clients, tokens, strict=True):
                body = bytes(range(256)) * 400
                lines = [f"Content-Length: {size}", f"Authorization: Bearer {token.decode()}", "X-Kept: a"]
                if order == "cookie":
                    lines[1] = f"Cookie: doorward={token.decode()}"
                if order == "credential first":
                    lines.reverse()
                await client.send(get("/v1/chat", *lines).replace(b"GET", b"POST") + body[:size])
                assert (await client.reply()).body == b"%d" % size
                assert seen[-1][1] == body[:size]
        assert len(site.street.calls) == 2
        heads = [head for head, _ in seen]
        ids = [head.lower().partition(b"x-request-id: ")[2] for head in heads]
        assert len(set(ids)) == len(heads)
        for head in heads:
            assert b"\r\nX-Kept: a\r\n" in head
            assert head.lower().count(b"\r\ncontent-length: ") == head.lower().count(b"\r\nauthorization: ") == 1
            assert b"dws_" not in head
        accounts = [account for account, _, _ in site.hooks.records]
        assert accounts == ["acc_0", "acc_1"] * len(sizes)

    async def test_in_pieces_and_with_another_behind_it(self, called):
        site, seen = called
        token = site.book.add()
        client = await site.client()
        request = post("/v1/chat", b"abcdefgh", credential=token)
        second = post("/v1/chat", b"xyz", credential=token)
        for pieces in (
            [request],
            [request[:-8], request[-8:]],
            [request[:-3], request[-3:] + second],
            [request + second],
        ):
            await client.send(*pieces)
            for _ in range(b"".join(pieces).count(b"POST")):
                assert (await client.reply()).status == 200
        assert [body for _, body in seen] == [b"abcdefgh"] * 3 + [b"xyz", b"abcdefgh", b"xyz"]

    async def test_a_revoked_key_a_denial_and_a_size_hold_for_known_heads(self, called):
        site, _ = called
        token = site.book.add()
        client = await site.client()
        await client.send(post("/v1/chat", b"abc", credential=token))
        assert (await client.reply()).status == 200
        site.hooks.denial = streets.Denial(429, "upstream.rate", "Wait.", 3)
        assert (await site.ask(post("/v1/chat", b"abcd", credential=token))).status == 429
        site.hooks.denial = None
        large = post("/v1/chat", b"", credential=token).replace(b"Content-Length: 0", b"Content-Length: 99999999")
        assert (await site.ask(large)).status == 413
        site.book.here.clear()
        assert (await site.ask(post("/v1/chat", b"abc", credential=token))).status == 401

    async def test_what_looks_alike_but_is_not_is_read_anew(self, called):
        site, seen = called
        token = site.book.add()
        assert (await site.ask(post("/v1/chat", b"abc", credential=token))).status == 200
        twin = post("/v1/chat", b"abc", credential=token)
        for status, request in (
            (400, twin.replace(b"Content-Length: 3", b"Content-Length: 3\r\nContent-Length: 3")),
            (400, twin.replace(b"Content-Length: 3", b"Content-Length: +3")),
            (400, twin.replace(b"Content-Length: 3", b"Content-Length: 3\r\nTransfer-Encoding: chunked")),
            (200, twin.replace(b"Content-Length: 3", b"Content-Length:   03")),
            (401, twin.replace(token, token[:-1] + b"!")),
        ):
            assert (await site.ask(request)).status == status
        assert len(seen) == 2
