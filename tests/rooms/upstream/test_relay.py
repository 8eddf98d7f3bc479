"""The relay on real sockets, with a service behind it that is played by hand."""

import asyncio
import json
import ssl

import pytest

import streets
from doorward.upstream.exchange import RelayLimits
from doorward.upstream.pool import Origin, PoolLimits
from doorward.upstream.relay import Denial
from streets import CHAT, OK, STREAM, Service, ask, chunk, get, hangs, post, read_request


class TestHeads:
    async def test_the_service_sees_the_request_without_what_is_ours(self):
        service = Service(OK)
        lines = (
            "Cookie: doorward=x", "X-Forwarded-For: 1.2.3.4", "X-Doorward-Account: acc_9", "Connection: x-hop, keep-alive",
            "X-Hop: 1", "X-Custom: kept  as it is", "TE: trailers", "Doorward-Device: d", "Content-Type: application/json",
        )  # fmt: skip
        reply, _ = await ask(service, post(CHAT + "?a=b", b"{}", *lines))
        head, body = service.requests[0]
        lower = head.lower()
        assert head.startswith(b"POST /v1/chat/completions?a=b HTTP/1.1\r\nhost: 127.0.0.1:")
        assert (reply.status, reply.body, body) == (200, b"{}", b"{}")
        assert b"\r\nX-Custom: kept  as it is\r\n" in head
        assert b"\r\nauthorization: bearer sk-upstream\r\n" in lower
        assert b"\r\nx-request-id: req_" in lower
        for name in (
            b"cookie",
            b"x-forwarded",
            b"x-doorward",
            b"x-hop",
            b"connection",
            b"te",
            b"doorward-device",
            b"dw",
        ):
            assert b"\r\n" + name not in lower

    async def test_the_base_path_replaces_v1(self):
        service = Service(OK)
        async with streets.upstream(service) as url, streets.serving(upstream=url[:-2] + "openai/") as site:
            await site.ask(get("/v1/models", credential=site.book.add()))
            assert service.requests[0][0].startswith(b"GET /openai/models HTTP/1.1\r\n")

    async def test_the_caller_sees_the_answer_without_what_is_between_the_service_and_us(self):
        head = (
            b"HTTP/1.1 418 Whatever\r\nX-Rate: 1\r\nx-rate: 2\r\nServer: vllm\r\nSet-Cookie: doorward=stolen\r\n"
            b"Connection: X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nX-Request-Id: theirs\r\n"
            b"Content-Length: 3\r\n\r\nabc"
        )
        reply, _ = await ask(Service(head), get("/v1/models"))
        names = [name.lower() for name, _ in reply.headers]
        assert (reply.status, reply.body) == (418, b"abc")
        assert [value for name, value in reply.headers if name.lower() == "x-rate"] == ["1", "2"]
        assert reply.header("server") == "vllm"
        assert reply.header("x-doorward-lane") == "existing"
        assert reply.header("x-request-id").startswith("req_")
        assert not {"set-cookie", "connection", "keep-alive"} & set(names)

    async def test_interim_answers_are_passed_over(self):
        reply, _ = await ask(Service(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", OK), get("/v1/models"))
        assert (reply.status, reply.body, reply.header("link")) == (200, b"{}", None)

    @pytest.mark.parametrize("status", [204, 304])
    async def test_answers_without_a_body(self, status):
        service = Service(b"HTTP/1.1 %d X\r\nETag: a\r\n\r\n" % status)
        async with streets.upstream(service) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            token = site.book.add()
            for _ in range(2):
                await client.send(get("/v1/models", credential=token))
                assert (await client.reply()).status == status
            assert service.connections == 1

    async def test_head_has_a_length_and_no_body(self):
        async with streets.upstream(Service(OK[:-2])) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            request = get("/v1/models", credential=site.book.add()).replace(b"GET", b"HEAD")
            for _ in range(2):
                await client.send(request)
                reply = await client.reply(is_head=True)
                assert (reply.status, reply.header("content-length")) == (200, "2")

    async def test_http_1_0_callers_get_a_body_that_ends_with_the_connection(self):
        service = Service(STREAM, chunk(b"data: 1\n\n"), b"0\r\n\r\n")
        reply, _ = await ask(service, get("/v1/models").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (reply.status, reply.body, reply.header("transfer-encoding")) == (200, b"data: 1\n\n", None)
        assert reply.header("connection") == "close"


class TestWhoMayPass:
    @pytest.mark.parametrize("line", ["X: y", "Authorization: Bearer dw_live_" + "a" * 38])
    async def test_strangers_get_401_in_the_shape_of_openai(self, line):
        service = Service(OK)
        async with streets.upstream(service) as url, streets.serving(upstream=url) as site:
            reply = await site.ask(post(CHAT, b"{}", line))
            assert reply.status == 401
            assert reply.json()["error"]["type"] == "authentication_error"
            assert reply.json()["error"]["code"] == "auth.required"
            assert service.requests == []

    async def test_a_key_without_the_scope_is_403(self):
        async with streets.upstream(Service(OK)) as url, streets.serving(upstream=url) as site:
            reply = await site.ask(post(CHAT, b"{}", credential=site.book.add(scopes=("models",))))
            assert (reply.status, reply.json()["error"]["code"]) == (403, "auth.forbidden")
            assert site.hooks.records == []

    async def test_a_denial_is_told_with_its_wait(self):
        async with streets.upstream(Service(OK)) as url, streets.serving(upstream=url) as site:
            site.hooks.denial = Denial(429, "upstream.allowance.used_up", "Used up.", 60)
            client = await site.client()
            for _ in range(2):
                await client.send(get("/v1/models", credential=site.book.add()))
                reply = await client.reply()
                assert (reply.status, reply.header("retry-after")) == (429, "60")
                assert reply.json()["error"] == {
                    "message": "Used up.", "type": "rate_limit_error", "param": None, "code": "upstream.allowance.used_up",
                }  # fmt: skip
            assert site.hooks.records == []

    async def test_a_session_that_the_snapshot_lacks_is_looked_up_and_served(self):
        async with streets.upstream(Service(OK)) as url, streets.serving(upstream=url) as site:
            request = post(CHAT, b"{}", credential=site.book.add(away=True))
            assert (await site.ask(request)).status == 200
            assert (await site.ask(request[:-1], request[-1:])).status == 200

    async def test_without_a_relay_the_application_answers(self):
        async with streets.serving() as site:
            assert (await site.ask(get("/v1/models"))).json()["path"] == "/v1/models"


class TestPool:
    async def test_a_connection_is_used_again(self):
        service = Service(OK)
        async with streets.upstream(service) as url, streets.serving(upstream=url) as site:
            client, token = await site.client(), site.book.add()
            for number in range(5):
                await client.send(post(CHAT, b"%d" % number, credential=token))
                assert (await client.reply()).body == b"{}"
            assert service.connections == 1
            assert [body for _, body in service.requests] == [b"0", b"1", b"2", b"3", b"4"]

    async def test_an_idle_connection_is_given_up_before_the_service_closes_it(self):
        service = Service(OK)
        async with streets.upstream(service) as url, streets.serving(upstream=url) as site:
            token = site.book.add()
            await site.ask(get("/v1/models", credential=token))
            await site.pass_time(5)
            await asyncio.wait_for(service.left.wait(), streets.PATIENCE_SECONDS)
            assert site.relay.figures()["upstream_connections"] == 0
            assert (await site.ask(get("/v1/models", credential=token))).status == 200
            assert service.connections == 2

    async def test_one_that_the_service_has_closed_is_not_used(self):
        service = Service(OK, closes=True)
        async with streets.upstream(service) as url, streets.serving(upstream=url) as site:
            token = site.book.add()
            for _ in range(4):
                assert (await site.ask(post(CHAT, b"{}", credential=token))).status == 200
                await asyncio.wait_for(service.left.wait(), streets.PATIENCE_SECONDS)
                service.left.clear()
                await site.pass_time(2)

    async def test_a_harmless_request_on_a_stale_connection_is_sent_again(self):
        requests = []

        async def once_then_dies(reader, writer):
            requests.append(await read_request(reader))
            writer.write(OK)
            requests.append(await read_request(reader))

        async with streets.upstream(once_then_dies) as url, streets.serving(upstream=url) as site:
            token = site.book.add()
            assert (await site.ask(get("/v1/models", credential=token))).status == 200
            assert (await site.ask(get("/v1/models", credential=token))).status == 200
            assert len(requests) == 3
            reply = await site.ask(post(CHAT, b"{}", credential=token))
            assert (reply.status, len(requests)) == (502, 4)  # a POST may have been worked on: never sent twice
            assert site.hooks.began == len(site.hooks.records) == 3

    async def test_past_the_limit_requests_wait_and_past_the_line_they_are_refused(self):
        go = asyncio.Event()
        limits = RelayLimits(pool=PoolLimits(max_connections=1, max_waiting=1))

        async def waits(reader, writer):
            while True:
                await read_request(reader)
                await go.wait()
                writer.write(OK)

        async with streets.upstream(waits) as url, streets.serving(upstream=url, limits=limits) as site:
            token = site.book.add()
            clients = [await site.client() for _ in range(3)]
            for client in clients:
                await client.send(get("/v1/models", credential=token))
            reply = await clients[2].reply()
            assert (reply.status, reply.json()["error"]["code"]) == (503, "upstream.busy")
            assert int(reply.header("retry-after")) > 0
            go.set()
            assert [(await client.reply()).status for client in clients[:2]] == [200, 200]
            assert site.relay.figures()["upstream_connections"] == 1

    async def test_who_waits_and_leaves_takes_nobodys_place(self):
        go = asyncio.Event()
        limits = RelayLimits(pool=PoolLimits(max_connections=1, max_waiting=2))

        async def waits(reader, writer):
            while True:
                await read_request(reader)
                await go.wait()
                writer.write(OK)

        async with streets.upstream(waits) as url, streets.serving(upstream=url, limits=limits) as site:
            token = site.book.add()
            first, second, third = [await site.client() for _ in range(3)]
            for client in (first, second, third):
                await client.send(get("/v1/models", credential=token))
            await streets.until(lambda: site.hooks.began == 3)
            await second.close()
            await streets.until(lambda: site.hooks.records)
            go.set()
            assert [(await client.reply()).status for client in (first, third)] == [200, 200]

    async def test_bytes_that_nobody_asked_for_close_the_connection(self):
        service = Service(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        async with streets.upstream(service) as url, streets.serving(upstream=url) as site:
            token = site.book.add()
            for _ in range(3):
                assert (await site.ask(get("/v1/models", credential=token))).body == b"{}"
            assert service.connections == 3

    @pytest.mark.parametrize("url", ["ftp://a/v1", "http:///v1", "http://u:p@a/v1", "http://a/v1?x=1", "a.example/v1"])
    def test_an_address_that_is_none_is_told(self, url):
        with pytest.raises(ValueError, match="upstream"):
            Origin.parse(url)


class TestFaults:
    async def test_nobody_there_is_503_with_a_wait(self):
        async with streets.serving(upstream="http://127.0.0.1:9/v1") as site:
            client, token = await site.client(), site.book.add()
            for _ in range(2):
                await client.send(post(CHAT, b"{}", credential=token))
                reply = await client.reply()
                assert (reply.status, reply.json()["error"]["code"]) == (503, "upstream.away")
                assert int(reply.header("retry-after")) > 0
            assert site.hooks.observed == ["connect", "connect"]
            assert [ok for _, _, ok in site.hooks.records] == [False, False]

    async def test_the_service_leaves_before_its_first_byte(self):
        async def leaves(reader, writer):
            await read_request(reader)

        reply, site = await ask(leaves, post(CHAT, b"{}"))
        assert (reply.status, reply.json()["error"]["code"]) == (502, "upstream.lost")
        assert int(reply.header("retry-after")) > 0
        assert site.hooks.observed == ["cut"]

    async def test_the_service_never_answers(self):
        async with streets.upstream(hangs) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            await client.send(post(CHAT, b"{}", credential=site.book.add()))
            await streets.until(lambda: site.relay.figures()["upstream_connections"])
            await site.pass_time(121)
            reply = await client.reply()
            assert (reply.status, reply.json()["error"]["code"]) == (504, "upstream.timeout")
            assert site.hooks.observed == ["timeout"]

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"Content-Length: 0\r\n\r\n",
        ],
    )
    async def test_what_is_no_http_is_502(self, answer):
        reply, site = await ask(Service(answer, closes=True), post(CHAT, b"{}"))
        assert (reply.status, reply.json()["error"]["code"]) == (502, "upstream.broken")
        assert site.hooks.observed == ["broken"]

    async def test_a_stream_that_is_cut_says_so_and_never_ends_cleanly(self):
        service = Service(STREAM, chunk(b'data: {"a":1}\n\nda'), closes=True)
        reply, site = await ask(service, post(CHAT, b"{}"))
        assert not reply.is_whole
        assert reply.body.startswith(b'data: {"a":1}\n\nda\n\ndata: ')
        assert json.loads(reply.body.split(b"data: ")[-1])["error"]["code"] == "upstream.cut"
        assert site.hooks.observed == ["cut"]
        assert [ok for _, _, ok in site.hooks.records] == [False]

    async def test_a_stream_that_falls_silent_is_ended(self):
        async def falls_silent(reader, writer):
            await read_request(reader)
            writer.write(STREAM + chunk(b"data: 1\n\n"))
            await reader.read()

        async with streets.upstream(falls_silent) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            await client.send(post(CHAT, b"{}", credential=site.book.add()))
            await asyncio.wait_for(client.reader.readuntil(b"data: 1\n\n"), streets.PATIENCE_SECONDS)
            await site.pass_time(59)
            assert site.relay.figures()["relay_exchanges_running"] == 1
            await site.pass_time(2)
            rest = await asyncio.wait_for(client.reader.read(), streets.PATIENCE_SECONDS)
            assert b'"code":"upstream.stalled"' in rest
            assert not rest.endswith(b"0\r\n\r\n")

    @pytest.mark.parametrize("version", [b"1.0", b"1.1"])
    async def test_other_bodies_that_are_cut_are_cut(self, version):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        for answer in (
            head + b"Content-Length: 9\r\n\r\n{}",
            head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"{}"),
        ):
            reply, _ = await ask(Service(answer, closes=True), get("/v1/models").replace(b"1.1", version))
            assert not reply.is_whole
            assert b"error" not in reply.body

    async def test_a_body_that_ends_with_the_connection_is_whole(self):
        reply, site = await ask(Service(b"HTTP/1.0 200 OK\r\n\r\n", b"abc", closes=True), get("/v1/models"))
        assert (reply.status, reply.body, reply.is_whole) == (200, b"abc", True)
        assert [ok for _, _, ok in site.hooks.records] == [True]

    async def test_the_caller_who_leaves_takes_the_service_along(self):
        service = Service(STREAM, *[chunk(b"data: 1\n\n")] * 3)
        async with streets.upstream(service) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            await client.send(post(CHAT, b"{}", credential=site.book.add()))
            await asyncio.wait_for(client.reader.readuntil(b"data: 1\n\n"), streets.PATIENCE_SECONDS)
            await client.close()
            await asyncio.wait_for(service.left.wait(), streets.PATIENCE_SECONDS)
            assert site.relay.figures()['relay_exchanges_total{outcome="gone"}'] == 1
            assert len(site.hooks.records) == 1

    @pytest.mark.parametrize(
        ("rest", "status", "code"), [(b"zz\r\n", 400, "request.framing"), (b"", 408, "request.timeout")]
    )
    async def test_a_request_that_breaks_off_is_refused_in_the_shape_of_openai(self, rest, status, code):
        head = get(CHAT, "Transfer-Encoding: chunked").replace(b"GET", b"POST")
        async with streets.upstream(hangs) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            token = site.book.add()
            await client.send(
                head.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer " + token + b"\r\n\r\n") + b"3\r\nabc\r\n"
            )
            await streets.until(lambda: site.hooks.began)
            await client.send(rest or b"1")
            await site.pass_time(0 if rest else 31)
            reply = await client.reply()
            assert (reply.status, reply.json()["error"]["code"]) == (status, code)
            assert await client.is_closed()
            assert len(site.hooks.records) == 1

    async def test_too_large_a_request_is_413(self):
        change = streets.with_limits(max_relay_body_bytes=10)
        async with streets.upstream(hangs) as url, streets.serving(change, upstream=url) as site:
            reply = await site.ask(post(CHAT, b"x" * 11, credential=site.book.add()))
            assert (reply.status, reply.json()["error"]["code"]) == (413, "input.too_large")

    async def test_an_answer_before_the_whole_request_ends_both_connections(self):
        async def impatient(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK.replace(b"200 OK", b"413 No"))
            await reader.read()

        async with streets.upstream(impatient) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            await client.send(post(CHAT, b"x" * 1_000, credential=site.book.add())[:-500])
            reply = await client.reply()
            assert (reply.status, reply.header("connection")) == (413, "close")
            assert await client.is_closed()
            assert site.relay.figures()["upstream_connections"] == 0


class TestDrain:
    async def test_running_streams_finish_then_are_told(self):
        async def slow(reader, writer):
            await read_request(reader)
            writer.write(STREAM + chunk(b"data: 1\n\n"))
            await reader.read()

        async with streets.upstream(slow) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            await client.send(post(CHAT, b"{}", credential=site.book.add()))
            await asyncio.wait_for(client.reader.readuntil(b"data: 1\n\n"), streets.PATIENCE_SECONDS)
            for connection in list(site.server.server_state.connections):
                connection.shutdown()
            await site.pass_time(29)
            assert len(site.server.server_state.connections) == 1
            await site.pass_time(2)
            rest = await asyncio.wait_for(client.reader.read(), streets.PATIENCE_SECONDS)
            assert b'"code":"service.restarting"' in rest
            assert not rest.endswith(b"0\r\n\r\n")

    async def test_an_answer_that_begins_while_draining_closes_its_connection(self):
        go = asyncio.Event()

        async def waits(reader, writer):
            await read_request(reader)
            await go.wait()
            writer.write(OK)
            await reader.read()

        async with streets.upstream(waits) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            await client.send(post(CHAT, b"{}", credential=site.book.add()))
            await streets.until(lambda: site.hooks.began)
            for connection in list(site.server.server_state.connections):
                connection.shutdown()
            go.set()
            reply = await client.reply()
            assert (reply.status, reply.body, reply.header("connection")) == (200, b"{}", "close")
            assert await client.is_closed()


def test_tls_is_what_the_address_says():
    assert Origin.parse("http://a/v1").tls is None
    origin = Origin.parse("https://a.example/v1/")
    assert (origin.port, origin.base_path, origin.authority) == (443, b"/v1", b"a.example")
    assert origin.tls.verify_mode is ssl.CERT_REQUIRED
    assert origin.tls.check_hostname
