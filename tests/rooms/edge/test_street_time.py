"""Time, room and the end of a server, on real sockets."""

import asyncio

import pytest

import streets
from streets import get, post, with_limits, with_proxies

TICKET = b"genuine-ticket_1"


@pytest.fixture
async def site():
    async with streets.serving() as running:
        yield running


class TestTime:
    async def test_slow_headers_are_408(self, site):
        client = await site.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        await site.pass_time(9)
        await client.send(b"a")
        await site.pass_time(2)
        reply = await client.reply()
        assert (reply.status, reply.json()["code"], reply.header("connection")) == (408, "request.timeout", "close")
        assert await client.is_closed()

    async def test_a_silent_connection_is_closed(self, site):
        client = await site.client()
        await streets.until(lambda: len(site.street.watch))
        await site.pass_time(29)
        assert len(site.street.watch) == 1
        await site.pass_time(2)
        assert await client.is_closed()

    async def test_an_idle_connection_stays_between_requests_and_then_goes(self, site):
        client = await site.client()
        await client.send(get("/authorize"))
        await client.reply()
        await site.pass_time(70)
        await client.send(get("/authorize"))
        assert (await client.reply()).status == 401
        await site.pass_time(76)
        assert await client.is_closed()

    @pytest.mark.parametrize("path", ["/echo", "/signup"])
    async def test_a_slow_body_is_408(self, site, path):
        client = await site.client()
        await client.send(post(path, b"x" * 100)[:-50])
        await site.pass_time(31)
        assert (await client.reply()).status == 408
        assert await client.is_closed()

    async def test_a_body_that_keeps_the_pace_may_take_its_time(self):
        async with streets.serving(with_limits(max_body_bytes=1_000_000, body_bytes_per_second=1_000)) as site:
            client = await site.client()
            request = post("/echo", b"x" * 100_000)
            head = request[:-100_000]
            await client.send(head + b"x" * 50_000)
            await site.pass_time(60)
            await client.send(b"x" * 50_000)
            assert (await client.reply()).json()["size"] == 100_000

    async def test_a_running_answer_is_never_cut_by_time(self, site):
        client = await site.client()
        await client.send(get("/stream"))
        await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), streets.PATIENCE_SECONDS)
        await site.pass_time(100_000)
        assert len(site.street.watch) == 1
        assert not site.server.server_state.tasks.copy().pop().done()

    async def test_the_last_answer_can_be_read_but_not_waited_on_for_ever(self, site):
        client = await site.client()
        await client.send(b"BROKEN\r\n\r\n")
        assert (await client.reply()).status == 400
        await client.send(b"more that nobody reads")
        assert len(site.street.watch) == 1
        await site.pass_time(3)
        await streets.until(lambda: not len(site.street.watch))


class TestRoom:
    async def test_the_longest_idle_make_room(self):
        async with streets.serving(with_limits(max_connections=2)) as site:
            first, second = await site.client(), await site.client()
            await first.send(get("/authorize"))
            await first.reply()
            await site.pass_time(5)
            await second.send(get("/authorize"))
            await second.reply()
            assert (await site.ask(get("/authorize"))).status == 401
            assert await first.is_closed()
            await second.send(get("/authorize"))
            assert (await second.reply()).status == 401
            assert site.street.figures()["street_connections_evicted_total"] == 1

    async def test_when_all_are_busy_newcomers_are_told_so(self):
        async with streets.serving(with_limits(max_connections=1)) as site:
            busy = await site.client()
            await busy.send(get("/stream"))
            await asyncio.wait_for(busy.reader.readuntil(b"\r\n\r\n"), streets.PATIENCE_SECONDS)
            reply = await (await site.client()).reply()
            assert (reply.status, reply.header("connection")) == (503, "close")
            assert int(reply.header("retry-after")) > 0

    async def test_one_address_has_its_share_and_a_trusted_proxy_has_all(self):
        limits = with_limits(max_connections_per_address=1)
        async with streets.serving(limits) as site:
            await site.ask(get("/"))
            assert (await (await site.client()).reply()).status == 503
        async with streets.serving(lambda parts: with_proxies("127.0.0.1")(limits(parts))) as site:
            assert [(await site.ask(get("/"))).status for _ in range(3)] == [200, 200, 200]


class TestShutdown:
    async def test_idle_connections_close_and_running_answers_finish(self, site):
        idle, busy = await site.client(), await site.client()
        await idle.send(get("/authorize"))
        await idle.reply()
        request = post("/echo", b"x" * 10)
        await busy.send(request[:-5])
        await streets.until(lambda: site.server.server_state.tasks)
        for connection in list(site.server.server_state.connections):
            connection.shutdown()
        assert await idle.is_closed()
        await busy.send(request[-5:])
        reply = await busy.reply()
        assert (reply.json()["size"], reply.header("connection")) == (10, "close")
        assert await busy.is_closed()

    async def test_what_does_not_finish_in_time_is_ended(self, site):
        busy = await site.client()
        await busy.send(get("/stream"))
        await asyncio.wait_for(busy.reader.readuntil(b"\r\n\r\n"), streets.PATIENCE_SECONDS)
        for connection in list(site.server.server_state.connections):
            connection.shutdown()
        await site.pass_time(29)
        assert len(site.street.watch) == 1
        await site.pass_time(2)
        await streets.until(lambda: not site.server.server_state.tasks)
