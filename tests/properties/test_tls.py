"""TLS under the street, fed by hand: however ciphertext arrives, the street sees the same; no bytes upset it."""

import asyncio
import itertools
import re
from tempfile import TemporaryDirectory

import pytest
import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from doorward.accounts.tokens import kind_of
from doorward.edge.street import StreetParts, street_class
from doorward.edge.tls_transport import over_tls
from doorward.hall.clock import SteppedClock, SystemClock
from doorward.vault.tls import ServedTls
from doorward.vault.tls_settings import TlsSettings
from streets import Book, Doorkeeper, Hooks, Wire, application, get

TOKEN = b"dws_not-one"


@pytest.fixture(scope="module")
def tls() -> ServedTls:
    with TemporaryDirectory() as folder:
        return ServedTls.open(TlsSettings(mode="local"), folder, SystemClock())


class Ends(Wire):
    """A wire whose end can be heard."""

    has_ended = False

    def write_eof(self) -> None:
        super().write_eof()
        self.has_ended = True


def made(tls: ServedTls):
    """A street under TLS on a wire; give it bytes with `data_received`."""
    parts = StreetParts(
        book=Book(), doorkeeper=Doorkeeper(), is_credential=kind_of, allowance=Hooks(), clock=SteppedClock()
    )
    street = street_class(parts)
    street.watch.start = lambda loop: None
    config = uvicorn.Config(application, http=street, lifespan="off", access_log=False, log_config=None)
    config.load()
    line, wire = over_tls(street, tls)(config, uvicorn.server.ServerState(), {}), Ends()
    line.connection_made(wire)
    return line, wire, street


def heard(caller: SSL.Connection, wire: Wire) -> bytes:
    """What the caller reads of what was written to the wire."""
    data, wire.written = wire.written, b""
    if data:
        caller.bio_write(data)
    plain = b""
    try:
        while True:
            plain += caller.recv(65_536)
    except (SSL.WantReadError, SSL.ZeroReturnError):
        return plain


def said(caller: SSL.Connection) -> bytes:
    """What the caller sends."""
    data = b""
    try:
        while True:
            data += caller.bio_read(65_536)
    except SSL.WantReadError:
        return data


async def fed(line, wire: Wire, data: bytes, cuts: list[int]) -> None:
    """Give the line these bytes in pieces."""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        if not wire.is_over:
            line.data_received(data[start:end])
            if start % 2:  # sometimes pieces come faster than handshakes have their turn
                await asyncio.sleep(0)
    await asyncio.sleep(0)


async def shaken(line, wire: Wire, cuts: list[int]) -> SSL.Connection:
    """A caller whose handshake is over."""
    caller = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    caller.set_connect_state()
    for _ in range(10):
        try:
            caller.do_handshake()
        except SSL.WantReadError:
            await fed(line, wire, said(caller), cuts)
            data, wire.written = wire.written, b""
            caller.bio_write(data)
        else:
            await fed(line, wire, said(caller), cuts)
            return caller
    raise AssertionError("the handshake does not end")


CUTS = st.lists(st.integers(0, 100_000), max_size=12)


async def answers(tls: ServedTls, number: int, cuts: list[int], *, per_record: bool) -> list[int]:
    """The statuses of `/authorize` with a bad credential, so many times, however the bytes arrive."""
    line, wire, street = made(tls)
    caller = await shaken(line, wire, cuts)
    requests = [get("/authorize", credential=TOKEN) for _ in range(number)]
    for piece in requests if per_record else [b"".join(requests)]:
        caller.send(piece)
    await fed(line, wire, said(caller), cuts)
    plain = b""
    for _ in range(5):
        await asyncio.sleep(0)
        plain += heard(caller, wire)
    wire.is_over = True
    line.connection_lost(None)
    assert not len(street.watch)
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", plain)]


@given(number=st.integers(1, 40), cuts=CUTS, per_record=st.booleans())
@example(number=1, cuts=[], per_record=True)
@example(number=3, cuts=list(range(0, 400, 3)), per_record=True)
@settings(max_examples=60)
def test_pieces_change_nothing(tls, number, cuts, per_record):
    assert asyncio.run(answers(tls, number, cuts, per_record=per_record)) == [401] * number


async def survives(tls: ServedTls, junk: list[bytes], *, after: bool) -> None:
    line, wire, street = made(tls)
    if after:
        await shaken(line, wire, [])
    for piece in junk:
        if not wire.is_over:
            line.data_received(piece)
            await asyncio.sleep(0)
    line.eof_received()
    assert wire.is_over
    line.connection_lost(None)
    assert not len(street.watch)


@given(junk=st.lists(st.binary(min_size=1, max_size=600), max_size=6), after=st.booleans())
@example(junk=[b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"], after=False)
@example(junk=[b"\x17\x03\x03\x40\x11" + bytes(16_401)], after=True)
def test_no_bytes_upset_it(tls, junk, after):
    asyncio.run(survives(tls, junk, after=after))


async def test_handshakes_take_turns(tls):
    """A hundred at once: two are worked on in each turn of the loop, and an open connection is served in between."""
    line, wire, _ = made(tls)
    caller = await shaken(line, wire, [])
    heard(caller, wire)
    lines = []
    make = over_tls(type(line._street), tls)
    for _ in range(100):
        other, its_wire = make(line._street.config, uvicorn.server.ServerState(), {}), Ends()
        other.connection_made(its_wire)
        visitor = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        visitor.set_connect_state()
        with pytest.raises(SSL.WantReadError):
            visitor.do_handshake()
        other.data_received(said(visitor))
        lines.append((other, its_wire))
    assert not any(its_wire.written for _, its_wire in lines)
    for turn in range(1, 4):
        await asyncio.sleep(0)
        assert len([1 for _, its_wire in lines if its_wire.written]) == 2 * turn
        caller.send(get("/authorize", credential=TOKEN))
        line.data_received(said(caller))
        assert b" 401 " in heard(caller, wire)
    for each, its_wire in [(line, wire), *lines]:
        its_wire.is_over = True
        each.connection_lost(None)


async def test_a_handshake_has_its_largest_size(tls):
    line, wire, _ = made(tls)
    line.data_received(b"\x16\x03\x01" + bytes(140_000))
    assert wire.is_over
    line.connection_lost(None)
