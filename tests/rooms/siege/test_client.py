"""The siege's HTTP client against servers that send exactly what a test says."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.siege.client import Actor, Call, Client, CutError, Endpoint, LateError, UnreachableError

ACTOR = Actor("203.0.113.9", "test-agent")
GET = Call("GET", "/", timeout_seconds=5)


def answering(*parts: bytes, keep: bool = False):
    """A script that reads a request and sends the parts, each in a write of its own."""

    async def script(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            if not keep:
                return

    return script


async def test_body_with_length(serve_bytes):
    async with serve_bytes(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", b"llo")) as client:
        answer = await client.send(ACTOR, GET)
    assert (answer.status, answer.body) == (200, b"hello")
    assert 0 < answer.first_byte_seconds <= answer.total_seconds


async def test_chunked_body_arrives_piece_by_piece(serve_bytes):
    pieces = []
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serve_bytes(answering(head, b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n")) as client:
        answer = await client.send(ACTOR, GET, pieces.append)
    assert b"".join(pieces) == b"abcde"
    assert answer.pieces == len(pieces) >= 2
    assert answer.body == b""


async def test_body_that_ends_with_the_connection(serve_bytes):
    async with serve_bytes(answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil", b" the end")) as client:
        answer = await client.send(ACTOR, GET)
    assert answer.body == b"until the end"


async def test_answer_without_body(serve_bytes):
    async with serve_bytes(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as client:
        answer = await client.send(ACTOR, GET)
    assert answer.status == 204
    assert answer.first_byte_seconds == answer.total_seconds


async def test_interim_answers_are_passed_over(serve_bytes):
    both = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with serve_bytes(answering(both)) as client:
        answer = await client.send(ACTOR, GET)
    assert (answer.status, answer.body) == (200, b"ok")
    assert "link" not in answer.headers


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n" + b"x" * 4_100_000,
    ],
    ids=["nothing", "short body", "open chunks", "half a header", "not HTTP", "bad chunk", "too large"],
)
async def test_cut_answers_are_errors(serve_bytes, sent):
    async with serve_bytes(answering(sent)) as client:
        with pytest.raises(CutError):
            await client.send(ACTOR, GET)


async def test_slow_answers_are_late(serve_bytes):
    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
        await reader.read()  # until the client goes

    async with serve_bytes(script) as client:
        with pytest.raises(LateError):
            await client.send(ACTOR, Call("GET", "/", timeout_seconds=0.05))


async def test_nobody_listens():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(UnreachableError):
        await Client(Endpoint("127.0.0.1", port, "127.0.0.1")).send(ACTOR, GET)


async def test_connections_are_kept_and_replaced_once(serve_bytes):
    connections = 0

    async def script(reader, writer):
        nonlocal connections
        connections += 1
        for _ in range(2):  # then closes without a word, as servers do with idle connections
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with serve_bytes(script) as client:
        for _ in range(4):
            assert (await client.send(ACTOR, GET)).body == b"ok"
    assert connections == 2


async def test_a_cut_answer_is_not_asked_for_again(serve_bytes):
    requests = 0

    async def script(reader, writer):
        nonlocal requests
        await reader.readuntil(b"\r\n\r\n")
        requests += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\n")
        requests += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        await writer.drain()

    async with serve_bytes(script) as client:
        await client.send(ACTOR, GET)
        with pytest.raises(CutError):
            await client.send(ACTOR, GET)
    assert requests == 2


async def test_connection_close_is_obeyed(serve_bytes):
    async with serve_bytes(
        answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", keep=True)
    ) as client:
        await client.send(ACTOR, GET)
        assert (await client.send(ACTOR, GET)).status == 200


async def test_actors_say_who_they_are_and_keep_cookies(serve_bytes):
    heard = []

    async def script(reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
            heard.append((head.decode(), await reader.readexactly(length)))
            writer.write(
                b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n"
                b"Set-Cookie: gone=x; Max-Age=0\r\nContent-Length: 0\r\n\r\n"
            )

    actor = Actor("198.51.100.7", "agent/1", "zh-CN", bearer="dw_live_x", jar={"gone": "y"})
    async with serve_bytes(script) as client:
        await client.send(actor, Call.json("/api", {"a": 1}))
        await client.send(actor, Call.form("/form", {"ticket": "t", "email": "a b@c"}))
    first, second = heard
    assert "X-Forwarded-For: 198.51.100.7\r\n" in first[0]
    assert "Authorization: Bearer dw_live_x\r\n" in first[0]
    assert "Cookie: gone=y\r\n" in first[0]
    assert first[1] == b'{"a":1}'
    assert "Cookie: a=1; b=2\r\n" in second[0]
    assert second[1] == b"ticket=t&email=a+b%40c"


@given(body=st.binary(max_size=2000), cuts=st.lists(st.integers(1, 400), max_size=8))
async def test_any_split_of_any_chunked_body(body, cuts):
    """However the bytes are cut into chunks and writes, the body comes out whole."""
    chunks, rest = [], body
    for cut in cuts:
        if rest:
            chunks.append(rest[:cut])
            rest = rest[cut:]
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire += b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*chunks, rest] if chunk) + b"0\r\n\r\n"

    async def handle(reader, writer):
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            for start in range(0, len(wire), 97):
                writer.write(wire[start : start + 97])
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client(Endpoint("127.0.0.1", port, "127.0.0.1"))
    try:
        assert (await client.send(ACTOR, GET)).body == body
    finally:
        await client.close()
        server.close()
