"""The street on real sockets: /authorize, the first look, the application, time and room."""

import asyncio
import json
from dataclasses import replace

import pytest

import streets
from doorward.accounts.tokens import new_session_token
from doorward.hall.model import Lane
from streets import get, post, with_limits, with_proxies

TICKET = b"genuine-ticket_1"


@pytest.fixture
async def site():
    async with streets.serving() as running:
        yield running


class TestAuthorize:
    async def test_a_session_passes_with_its_identity(self, site):
        token = site.book.add(scopes=("models", "chat"))
        reply = await site.ask(get("/authorize", credential=token))
        assert (reply.status, reply.body) == (200, b"")
        names = ("account", "lane", "role", "scopes", "reason")
        assert [reply.header(f"x-doorward-{name}") for name in names] == [
            "acc_0", "existing", "member", "chat models", "standing.good",
        ]  # fmt: skip
        assert reply.header("date").endswith(" GMT")

    @pytest.mark.parametrize("path", ["/authorize", "/authorize/v1/chat/completions", "/authorize?x=1"])
    @pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
    async def test_every_proxy_may_ask_in_its_own_way(self, site, path, method):
        token = site.book.add()
        request = get(path, f"Cookie: lang=en; doorward={token.decode()}; a=b").replace(b"GET", method.encode())
        assert (await site.ask(request)).status == 200

    async def test_an_announced_body_that_never_comes_delays_nothing(self, site):
        token = site.book.add()
        client = await site.client()
        await client.send(get("/authorize", "Content-Length: 300", credential=token))
        reply = await client.reply()
        assert (reply.status, reply.header("connection")) == (200, "close")
        assert await client.is_closed()

    async def test_neighbours_of_the_path_are_not_it(self, site):
        token = site.book.add()
        assert (await site.ask(get("/authorized", credential=token))).json()["path"] == "/authorized"

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("X: y", "credential.missing"),
            ("Authorization: Basic dXNlcjpwdw==", "credential.missing"),
            ("Cookie: xdoorward=dws_" + "a" * 43, "credential.missing"),
            ("Authorization: Bearer dws_short", "credential.malformed"),
            ("Authorization: Bearer dw_live_" + "a" * 38, "credential.malformed"),
            ("Authorization: Bearer dws_" + "a" * 43, "credential.unknown"),
        ],
    )
    async def test_who_does_not_belong_gets_401_and_the_reason(self, site, line, reason):
        reply = await site.ask(get("/authorize", line))
        assert (reply.status, reply.header("x-doorward-reason")) == (401, reason)
        assert reply.header("www-authenticate").startswith('Bearer realm="doorward"')

    async def test_malformed_credentials_are_never_looked_up(self, site):
        await site.ask(get("/authorize", "Authorization: Bearer dws_short"))
        assert site.book.recalled == []

    @pytest.mark.parametrize(
        ("path", "line", "status"),
        [
            ("/authorize?scope=chat", "X: y", 200),
            ("/authorize?a=b&scope=chat%20models", "X: y", 200),
            ("/authorize?scope=admin", "X: y", 403),
            ("/authorize", "X-Doorward-Scope: chat, admin", 403),
            ("/authorize", "x-doorward-scope: models", 200),
            ("/authorize?scope=%0d%0a", "X: y", 403),
        ],
    )
    async def test_a_scope_that_is_asked_for_must_be_there(self, site, path, line, status):
        token = site.book.add(scopes=("chat", "models"))
        reply = await site.ask(get(path, line, credential=token))
        assert reply.status == status
        assert reply.header("x-doorward-reason") == ("standing.good" if status == 200 else "scope.missing")

    async def test_the_star_scope_covers_all(self, site):
        token = site.book.add(scopes=("*",))
        assert (await site.ask(get("/authorize?scope=anything", credential=token))).status == 200

    async def test_a_used_up_allowance_is_429_until_midnight_utc(self, site):
        token = site.book.add(Lane.PROBATION)
        assert (await site.ask(get("/authorize", credential=token))).status == 200
        site.hooks.left = 0
        reply = await site.ask(get("/authorize", credential=token))
        assert (reply.status, reply.header("x-doorward-reason")) == (429, "allowance.used_up")
        assert (site.clock.now() + int(reply.header("retry-after"))) % 86_400 == 0

    async def test_the_existing_lane_has_no_allowance_to_ask(self, site):
        token = site.book.add()
        site.hooks.left = 0
        assert (await site.ask(get("/authorize", credential=token))).status == 200

    async def test_what_the_snapshot_lacks_is_looked_up_once(self, site):
        token = site.book.add(away=True)
        client = await site.client()
        await client.send(get("/authorize", credential=token) + get("/after"))
        assert (await client.reply()).header("x-doorward-account") == "acc_0"
        assert (await client.reply()).json()["path"] == "/after"
        assert site.book.recalled == [token]

    async def test_an_absent_database_is_503_not_401(self, site):
        site.book.is_down = True
        reply = await site.ask(get("/authorize", credential=new_session_token().encode()))
        assert (reply.status, reply.header("retry-after")) == (503, "1")

    async def test_look_ups_are_bounded(self):
        async with streets.serving(with_limits(max_recalls=2)) as site:
            site.book.gate.clear()
            waiting = [await site.client() for _ in range(3)]
            for client in waiting:
                await client.send(get("/authorize", credential=new_session_token().encode()))
            assert (await waiting[2].reply()).status == 503
            site.book.gate.set()
            assert [(await client.reply()).status for client in waiting[:2]] == [401, 401]

    async def test_somebody_who_leaves_while_being_looked_up_is_forgotten(self, site):
        site.book.gate.clear()
        client = await site.client()
        await client.send(get("/authorize", credential=site.book.add(away=True)))
        await streets.until(lambda: site.book.recalled)
        await client.close()
        await streets.until(lambda: not len(site.street.watch))
        site.book.gate.set()
        assert (await site.ask(get("/"))).status == 200


class TestFirstLook:
    @pytest.mark.parametrize("path", ["/signup", "/api/v1/signup", "/login", "/api/v1/login"])
    async def test_no_ticket_no_entrance(self, site, path):
        client = await site.client()
        await client.send(post(path, b"email=a%40example.com"), get("/after"))
        reply = await client.reply()
        assert (reply.status, reply.json()["code"]) == (403, "gate.ticket.missing")
        assert reply.header("content-type") == "application/problem+json"
        assert (await client.reply()).json()["path"] == "/after"

    @pytest.mark.parametrize(
        "body", [b"ticket=forged&email=x", b"email=x&ticket=forged", b'{"email":"x", "ticket" : "forged"}']
    )
    async def test_a_forged_ticket_is_told_from_a_missing_one(self, site, body):
        assert (await site.ask(post("/signup", body))).json()["code"] == "gate.ticket.forged"

    @pytest.mark.parametrize(
        "body",
        [
            b"ticket=" + TICKET + b"&email=x",
            b"email=x&ticket=" + TICKET,
            b'{"ticket":"' + TICKET + b'","email":"x"}',
            b'{\n  "email": "x",\n  "ticket": "' + TICKET + b'"\n}',
        ],
    )
    async def test_a_genuine_ticket_takes_the_whole_body_in(self, site, body):
        request = post("/api/v1/signup", body)
        seen = (await site.ask(request[:-7], request[-7:])).json()
        assert (seen["path"], seen["size"]) == ("/api/v1/signup", len(body))

    async def test_the_header_works_without_a_body(self, site):
        ticket = f"Doorward-Ticket: {TICKET.decode()}"
        assert (await site.ask(post("/signup", b"", ticket))).json()["size"] == 0
        assert (await site.ask(post("/signup", b"", "Doorward-Ticket: no"))).json()["code"] == "gate.ticket.forged"

    async def test_people_get_a_page_in_both_languages_with_the_way_back(self, site):
        for path in ("/signup", "/login"):
            reply = await site.ask(post(path, b"", "Accept: text/html,application/xhtml+xml"))
            assert (reply.status, reply.header("content-type")) == (403, "text/html; charset=utf-8")
            text = reply.body.decode()
            assert f'href="{path}"' in text
            assert 'lang="zh-Hans"' in text
            assert "gate.ticket.missing" in text

    async def test_a_known_device_stands_in_for_the_ticket_at_login_only(self, site):
        for line in ("Doorward-Device: abc", "Cookie: a=b; doorward_device=abc", "Cookie: __Host-doorward_device=abc"):
            assert (await site.ask(post("/login", b"x", line))).json()["path"] == "/login"
            assert (await site.ask(post("/signup", b"x", line))).status == 403
        assert (await site.ask(post("/login", b"x", "Cookie: doorward_device="))).status == 403

    async def test_a_device_that_is_none_of_ours_is_none(self):
        async with streets.serving(lambda parts: replace(parts, is_device=lambda token: token == b"ours")) as site:
            assert (await site.ask(post("/login", b"x", "Doorward-Device: abc"))).status == 403
            assert (await site.ask(post("/login", b"x", "Doorward-Device: ours"))).status == 200

    async def test_other_methods_and_paths_need_none(self, site):
        assert (await site.ask(get("/signup"))).status == 200
        assert (await site.ask(post("/signup/confirm", b"code=1"))).status == 200

    async def test_a_large_form_is_413(self, site):
        assert (await site.ask(post("/signup", b"x" * 16_385)[:500])).status == 413

    async def test_shedding_asks_strangers_to_wait_and_nobody_else(self):
        async with streets.serving(lambda parts: replace(parts, shed=lambda: True)) as site:
            reply = await site.ask(post("/signup", b"ticket=" + TICKET))
            assert (reply.status, reply.json()["code"]) == (503, "service.busy")
            assert int(reply.header("retry-after")) > 0
            assert (await site.ask(get("/authorize", credential=site.book.add()))).status == 200
            assert (await site.ask(post("/login", b"x", "Doorward-Device: abc"))).status == 200

    async def test_refusals_are_counted(self, site):
        await site.ask(post("/signup", b""))
        await site.ask(post("/signup", b"ticket=no"))
        figures = site.street.figures()
        assert figures['street_answers_total{code="gate.ticket.missing"}'] == 1
        assert figures['street_answers_total{code="gate.ticket.forged"}'] == 1


class TestApplication:
    async def test_requests_arrive_as_they_were_sent(self, site):
        seen = (await site.ask(post("/a%20b/c?x=%20&y", b"body", "X-Odd:  spaced \t", "Accept: */*"))).json()
        assert (seen["method"], seen["path"], seen["query"], seen["size"]) == ("POST", "/a b/c", "x=%20&y", 4)
        assert ["x-odd", "spaced"] in seen["headers"]
        assert seen["http_version"] == "1.1"

    async def test_chunked_bodies_arrive_whole(self, site):
        head = get("/echo", "Transfer-Encoding: chunked").replace(b"GET", b"POST")
        seen = (await site.ask(head + b"3\r\nabc\r\n", b"00A\r\n0123456789\r\n0\r\n\r\n")).json()
        assert seen["size"] == 13

    async def test_large_bodies_flow_with_back_pressure(self):
        async with streets.serving(with_limits(max_body_bytes=4_000_000)) as site:
            assert (await site.ask(post("/echo", bytes(3_000_000)))).json()["size"] == 3_000_000

    async def test_pipelined_requests_are_answered_in_order(self, site):
        token = site.book.add()
        client = await site.client()
        paths = [f"/{number}" for number in range(40)]
        requests = [get("/authorize", credential=token) + get(path) + post(path, b"abc") for path in paths]
        await client.send(b"".join(requests))
        for path in paths:
            assert (await client.reply()).header("x-doorward-account") == "acc_0"
            assert (await client.reply()).json()["path"] == path
            assert (await client.reply()).json()["size"] == 3

    async def test_many_fast_answers_in_one_go(self, site):
        client = await site.client()
        await client.send(get("/authorize") * 500)
        assert {(await client.reply()).status for _ in range(500)} == {401}

    async def test_an_upgrade_is_ignored(self, site):
        lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: a")
        assert (await site.ask(get("/chat", *lines))).status == 200

    async def test_http_1_0_closes_after_its_answer(self, site):
        client = await site.client()
        await client.send(b"GET /old HTTP/1.0\r\n\r\n")
        reply = await client.reply()
        assert (reply.status, reply.header("connection")) == (200, "close")
        assert await client.is_closed()

    async def test_expect_continue_is_answered_when_the_body_is_wanted(self, site):
        for path in ("/echo", "/signup"):
            client = await site.client()
            body = b"ticket=" + TICKET
            await client.send(post(path, body, "Expect: 100-continue")[: -len(body)])
            line = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), streets.PATIENCE_SECONDS)
            assert line == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(body)
            assert (await client.reply()).json()["size"] == len(body)

    async def test_an_answer_before_the_body_ends_the_connection(self, site):
        client = await site.client()
        await client.send(post("/early", b"x" * 1000)[:-500])
        assert (await client.reply()).status == 200
        assert await client.is_closed()

    async def test_each_request_has_its_own_id(self, site):
        ids = {(await site.ask(get("/", "X-Request-Id: forged"))).json()["request_id"] for _ in range(3)}
        assert len(ids) == 3
        assert "forged" not in ids

    async def test_a_full_application_still_takes_people_who_belong(self):
        async with streets.serving(with_limits(max_running_requests=1)) as site:
            token = site.book.add()
            busy = await site.client()
            await busy.send(get("/stream"))
            await asyncio.wait_for(busy.reader.readuntil(b"\r\n\r\n"), streets.PATIENCE_SECONDS)
            reply = await site.ask(get("/page"))
            assert (reply.status, reply.json()["code"]) == (503, "service.busy")
            assert (await site.ask(get("/page", credential=token))).status == 200


class TestWhoIsAsking:
    FORWARDED = ("X-Forwarded-For: 192.0.2.7, 198.51.100.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: ai.test")

    async def test_a_spoof_changes_nothing(self, site):
        seen = (await site.ask(get("/", *self.FORWARDED, "X-Request-Id: mine", "Forwarded: for=1.2.3.4"))).json()
        assert (seen["client"][0], seen["scheme"]) == ("127.0.0.1", "http")
        assert [name for name, _ in seen["headers"]] == ["host"]
        assert ["host", "ai.example.com"] in seen["headers"]

    async def test_a_trusted_proxy_is_believed(self):
        async with streets.serving(with_proxies("127.0.0.0/8")) as site:
            seen = (await site.ask(get("/", *self.FORWARDED, "X-Request-Id: mine-1"))).json()
            assert (seen["client"], seen["scheme"]) == (["198.51.100.9", 0], "https")
            assert ["host", "ai.test"] in seen["headers"]
            assert seen["request_id"] == "mine-1"

    async def test_what_a_trusted_proxy_says_is_still_checked(self):
        async with streets.serving(with_proxies("127.0.0.1")) as site:
            lines = (
                "X-Forwarded-For: unknown",
                "X-Forwarded-Proto: gopher",
                "X-Forwarded-Host: a b",
                "X-Request-Id: é",
            )
            seen = (await site.ask(get("/", *lines))).json()
            assert (seen["client"][0], seen["scheme"]) == ("127.0.0.1", "http")
            assert ["host", "ai.example.com"] in seen["headers"]
            assert seen["request_id"] != "é"


def test_the_lanes_of_people_who_belong_are_given_nothing_of_the_gate():
    """By construction: whoever answers `/authorize` has the book, the allowances and a clock."""
    from doorward.edge.street_authorize import Judge
    from doorward.edge.street_parts import StreetParts

    class Poison:
        def __getattr__(self, name):
            raise AssertionError(f"the gate was asked for {name}")

    class Nobody:
        def standing_of(self, credential):
            return None

    judge = Judge(StreetParts(book=Nobody(), doorkeeper=Poison(), is_credential=bool))
    assert "doorkeeper" not in json.dumps(sorted(vars(judge)))
    assert not [value for value in vars(judge).values() if isinstance(value, Poison | StreetParts)]
