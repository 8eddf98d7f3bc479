"""The plain listener beside TLS, on real sockets."""

import asyncio
import contextlib
import socket

import hypothesis
import pytest
from hypothesis import strategies as st

import streets
from doorward.edge.addresses import TrustedProxies
from doorward.edge.redirect import LIMITS, Redirect
from doorward.hall.errors import UnavailableError

ORIGIN = "https://ai.example.com"
TOKEN = "ktdJLl1Fq8c4LZGRhUa2uINOqko8pNFF"
ANSWER = f"{TOKEN}.2J8tDjzDgqfVflNmqEQZ9FRf6H8SQg_jGy-Xmd-I6y8"
PATH = f"/.well-known/acme-challenge/{TOKEN}"


class Rows:
    """What an order wrote, and how often it was looked up."""

    def __init__(self) -> None:
        self.tokens = {TOKEN: ANSWER}
        self.looks = 0
        self.are_away = False

    async def look(self, limit: int) -> dict[str, str]:
        self.looks += 1
        await asyncio.sleep(0)
        if self.are_away:
            raise UnavailableError
        return dict(list(self.tokens.items())[:limit])


class Listener:
    """A running listener."""

    def __init__(self, redirect: Redirect, rows: Rows, port: int) -> None:
        self.redirect, self.rows, self.port = redirect, rows, port
        self.streams: list[asyncio.StreamWriter] = []

    async def client(self) -> streets.Client:
        """A connection to it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.streams.append(writer)
        return streets.Client(reader, writer)

    async def ask(self, request: bytes) -> streets.Reply:
        """The answer to one request; the connection ends with it."""
        client = await self.client()
        await client.send(request)
        reply = await client.reply(is_head=request.startswith(b"HEAD"))
        assert reply.header("connection") == "close"
        assert await client.reader.read() == b""
        return reply

    def count(self, code: str) -> float:
        """How often an answer was given."""
        return self.redirect.figures().get(f'redirect_answers_total{{code="{code}"}}', 0)


@contextlib.asynccontextmanager
async def listening():
    """A listener on a port of its own."""
    rows, bound = Rows(), socket.create_server(("127.0.0.1", 0))
    redirect = await Redirect.open(bound, ORIGIN, rows.look, TrustedProxies(()))
    listener = Listener(redirect, rows, bound.getsockname()[1])
    try:
        yield listener
    finally:
        for stream in listener.streams:
            stream.close()
        await redirect.close()


@pytest.fixture
async def plain():
    async with listening() as running:
        yield running


def request(path: str, *lines: str, method: str = "GET", host: str = "ai.example.com") -> bytes:
    """One request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")


class TestRedirect:
    @pytest.mark.parametrize("path", ["/", "/signup?next=/console", "//evil.example/x", "/a%0d%0ab", "/%E4%BD%A0"])
    async def test_everything_goes_to_the_public_origin(self, plain, path):
        reply = await plain.ask(request(path))
        assert (reply.status, reply.header("location"), reply.body) == (308, ORIGIN + path, b"")

    @pytest.mark.parametrize("host", ["evil.example", "ai.example.com:8080", "[::1]", "127.0.0.1"])
    async def test_the_host_header_decides_nothing(self, plain, host):
        reply = await plain.ask(request("/x", f"X-Forwarded-Host: {host}", host=host))
        assert reply.header("location") == f"{ORIGIN}/x"

    async def test_a_form_keeps_its_method_and_its_body_is_thrown_away(self, plain):
        body = b"x" * 100_000
        head = request("/signup", f"Content-Length: {len(body)}", method="POST")
        assert (await plain.ask(head + body)).status == 308

    async def test_head_has_no_body(self, plain):
        reply = await plain.ask(request(PATH, method="HEAD"))
        assert (reply.status, reply.header("content-length")) == (200, str(len(ANSWER)))

    async def test_its_answers_are_hardened_and_say_nothing_of_hsts(self, plain):
        reply = await plain.ask(request("/"))
        assert reply.header("x-content-type-options") == "nosniff"
        assert reply.header("content-security-policy") == "default-src 'none'; frame-ancestors 'none'"
        assert reply.header("strict-transport-security") is None
        assert reply.header("server") is None
        assert reply.header("date")

    @pytest.mark.parametrize("path", ["/v1/models", "/", PATH])
    async def test_a_key_in_clear_is_refused(self, plain, path):
        reply = await plain.ask(request(path, "Authorization: Bearer dw_live_x"))
        assert (reply.status, reply.json()["code"]) == (403, "request.not_encrypted")
        assert reply.header("location") is None


class TestChallenge:
    async def test_a_token_is_answered(self, plain):
        reply = await plain.ask(request(PATH))
        assert (reply.status, reply.body) == (200, ANSWER.encode())
        assert reply.header("content-type") == "application/octet-stream"

    @pytest.mark.parametrize("token", ["other", "", "a/b", "a%2Fb", "x" * 257, "ä", "a.b"])
    async def test_others_are_not_found(self, plain, token):
        reply = await plain.ask(request(f"/.well-known/acme-challenge/{token}"))
        assert reply.status in (404, 400)
        assert reply.header("location") is None

    async def test_only_get_and_head(self, plain):
        reply = await plain.ask(request(PATH, "Content-Length: 0", method="POST"))
        assert (reply.status, reply.header("allow")) == (405, "GET, HEAD")

    async def test_many_who_ask_are_one_look(self, plain):
        asks = [plain.ask(request(f"/.well-known/acme-challenge/token{number}")) for number in range(50)]
        assert {reply.status for reply in await asyncio.gather(*asks)} == {404}
        assert plain.rows.looks == 1

    async def test_rows_that_are_away_are_told(self, plain):
        plain.rows.are_away = True
        reply = await plain.ask(request(PATH))
        assert (reply.status, reply.header("retry-after")) == (503, "5")

    async def test_a_token_that_is_known_needs_no_rows(self, plain):
        await plain.ask(request(PATH))
        plain.rows.are_away = True
        assert (await plain.ask(request(PATH))).status == 200


class TestBadInput:
    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS on the wrong port
            (b"get / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"GET http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\nHost: a\n\n", 400),
            (b"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
            (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9_000, 431),
            (b"GET /" + b"a" * 8_300 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        ],
        ids=range(12),
    )
    async def test_malformed_heads_are_refused(self, plain, data, status):
        reply = await plain.ask(data)
        assert reply.status == status
        assert reply.header("location") is None

    async def test_a_head_in_pieces_is_one_head(self, plain):
        client = await plain.client()
        await client.send(*[bytes([byte]) for byte in request("/x")])
        assert (await client.reply()).status == 308

    async def test_pipelined_requests_get_one_answer(self, plain):
        assert (await plain.ask(request("/a") * 3)).header("location") == f"{ORIGIN}/a"
        assert plain.count("redirect") == 1

    async def test_slow_and_silent_callers_are_given_up(self, plain):
        slow, silent = await plain.client(), await plain.client()
        await slow.send(b"GET / HT")
        await streets.until(lambda: len(plain.redirect.watch) == 2)
        await asyncio.sleep(0.01)
        plain.redirect.watch.advance(LIMITS.header_timeout_seconds + 1)
        for client in (slow, silent):
            assert (await client.reply()).status == 408

    async def test_who_stays_after_the_answer_is_closed(self, plain):
        client = await plain.client()
        await client.send(request("/"))
        await client.reply()
        plain.redirect.watch.advance(LIMITS.linger_seconds + 1)
        await streets.until(lambda: not len(plain.redirect.watch))

    async def test_one_address_has_so_many_connections(self, plain):
        clients = [await plain.client() for _ in range(LIMITS.max_connections_per_address)]
        await streets.until(lambda: len(plain.redirect.watch) == len(clients))
        assert (await plain.ask(request("/"))).status == 503

    @hypothesis.given(
        st.lists(
            st.one_of(st.binary(max_size=200), st.sampled_from([request("/a"), b"\r\n\r\n", b"GET / "])), max_size=4
        )
    )
    @hypothesis.settings(max_examples=60)
    def test_any_bytes_get_an_answer_of_ours_or_none(self, pieces):
        async def whole() -> bytes:
            async with listening() as plain:
                client = await plain.client()
                with contextlib.suppress(ConnectionError):
                    await client.send(*pieces)
                    client.writer.write_eof()
                    return await asyncio.wait_for(client.reader.read(), streets.PATIENCE_SECONDS)
                return b""

        said = asyncio.run(whole())
        assert said == b"" or said.split(b"\r\n")[0].split(b" ", 2)[1] in (b"308", b"400", b"404", b"414", b"431")
        assert all(
            line == f"location: {ORIGIN}/a".encode() or not line.startswith(b"location:")
            for line in said.split(b"\r\n")
        )
