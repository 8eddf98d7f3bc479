"""The corpus of requests, good and bad, on a real socket: as a whole, and split anywhere."""

import asyncio
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streets

CORPUS = tomllib.loads((Path(__file__).parent / "street_corpus.toml").read_text(encoding="utf-8"))


def as_bytes(text: str) -> bytes:
    r"""The bytes of a corpus entry's text: `\r`, `\n`, `\t` and `\xNN` mean one byte each."""
    plain = {"r": "\r", "n": "\n", "t": "\t"}

    def one(match: re.Match) -> str:
        return plain[match[0][1]] if match[0][1] in plain else chr(bytes.fromhex(match[0][2:])[0])

    return re.sub(r"\\(?:[rnt](?![a-z]{4})|x[0-9a-f]{2})", one, text).encode("latin-1")


def request_of(entry: dict) -> bytes:
    """The whole request."""
    middle = b"a" * entry.get("fill", 0) + as_bytes(entry.get("repeat", "")) * entry.get("times", 0)
    return as_bytes(entry["bytes"]) + middle + as_bytes(entry.get("then", ""))


@pytest.fixture(scope="module")
def street_line():
    """Feeds pieces to a street without a socket; gives the statuses that it answers with."""
    with asyncio.Runner() as runner:
        yield lambda pieces, **how: runner.run(streets.statuses_of(pieces, **how))


@pytest.fixture
async def site():
    async with streets.serving() as running:
        yield running


@pytest.mark.parametrize("name", CORPUS["good"])
async def test_good_requests_are_taken_and_the_connection_lives(site, name):
    client = await site.client()
    request = request_of(CORPUS["good"][name])
    await client.send(request)
    assert (await client.reply()).status == 200
    if b"HTTP/1.1" in request:
        await client.send(streets.get("/authorize"))
        assert (await client.reply()).status == 401


@pytest.mark.parametrize("name", CORPUS["bad"])
async def test_bad_requests_are_refused_and_the_connection_ends(site, name):
    entry = CORPUS["bad"][name]
    client = await site.client()
    await client.send(request_of(entry))
    reply = await client.reply()
    assert reply.status == entry["status"]
    if reply.status >= 400:
        assert reply.header("content-type") == "application/problem+json"
        assert reply.header("connection") == "close"
    if entry.get("closes", True):
        if reply.status < 400:
            assert (await client.reply()).status == 400
        assert await client.is_closed()


@pytest.mark.parametrize("name", [*CORPUS["good"], *CORPUS["bad"]])
@settings(max_examples=6)
@given(data=st.data())
def test_the_answer_does_not_depend_on_how_bytes_arrive(street_line, name, data):
    entry = CORPUS["good"].get(name) or CORPUS["bad"][name]
    request = request_of(entry)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(request)), max_size=8)))
    expected = street_line([request])
    assert expected[0] == entry.get("status", 200)
    pieces = [request[start:end] for start, end in zip([0, *cuts], [*cuts, len(request)], strict=True)]
    assert street_line(pieces) == expected


@pytest.mark.parametrize("name", CORPUS["bad"])
def test_byte_by_byte(street_line, name):
    entry = CORPUS["bad"][name]
    request = request_of(entry)
    if len(request) < 2_000:
        assert street_line([request[at : at + 1] for at in range(len(request))])[0] == entry["status"]


@settings(max_examples=300)
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [b"GET ", b"POST ", b"/v1/x", b"/", b" HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b"\r\n\r\n"]
            ),
            st.sampled_from(
                [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n"]
            ),
            st.sampled_from([b"Authorization: Bearer x\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n"]),
        ),
        max_size=20,
    )
)
def test_whatever_bytes_come_each_line_ends(street_line, pieces):
    """No exception leaves the protocol, and time closes every connection that does nothing."""
    statuses = street_line(pieces, ends=True)
    assert all(200 <= status < 600 for status in statuses)
