"""The grammar of the wire against llhttp, and against every way of cutting its bytes."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.edge.wire import CHUNKED, ChunkReader, Head, WireFault, early_fault, read_head

TOKEN = st.text("!#$%&'*+-.^_`|~019AZaz", min_size=1, max_size=12)
VALUE = st.text([chr(code) for code in (*range(0x20, 0x7F), 9, 0xE4, 0xFF)], max_size=20)
OTHERS = st.lists(st.tuples(TOKEN, VALUE), max_size=6).map(
    lambda fields: [(name, value) for name, value in fields if name.lower() not in SPECIAL]
)
SPECIAL = {"host", "content-length", "transfer-encoding", "authorization", "connection", "upgrade"}
TARGET = st.text([chr(code) for code in range(0x21, 0x7F) if chr(code) not in "#%."], max_size=30).map("/{}".format)
METHOD = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
FRAMING = st.sampled_from([[], [("Content-Length", "5")], [("transfer-encoding", "chunked")]])


class Seen:
    """What llhttp makes of a request."""

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.is_whole = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_whole = True


def head_of(method: str, target: str, fields: list[tuple[str, str]]) -> bytes:
    """A head in bytes."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}:{value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@given(METHOD, TARGET, OTHERS, FRAMING, st.integers(0, 7))
def test_what_we_take_llhttp_reads_alike(method, target, others, framing, place):
    fields = list(others)
    fields[place:place] = [("Host", " example.com"), *framing]
    raw = head_of(method, target, fields)
    head = read_head(raw)
    seen = Seen()
    parser = httptools.HttpRequestParser(seen)
    body = {5: b"hello", CHUNKED: b"5\r\nhello\r\n0\r\n\r\n"}.get(head.length, b"")
    parser.feed_data(raw + body)
    assert seen.is_whole
    assert (parser.get_method(), seen.url) == (head.method, head.target)
    assert [(name, value.strip(b" \t")) for name, value in seen.fields] == head.fields()
    assert (seen.body == b"hello") == (head.length != 0)
    assert head.keep_alive == parser.should_keep_alive()
    for name, _ in head.fields():
        assert head.value(b"\r\n" + name.lower() + b":") == head.values(name.lower())[0]


def taken(data: bytes) -> Head | None:
    """The head if it is taken; no other error than a fault may come."""
    try:
        return read_head(data)
    except WireFault:
        return None


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(raw):
    for data in (raw, b"GET / HTTP/1.1\r\nHost: a\r\n" + raw + b"\r\n\r\n"):
        head = taken(data)
        if head is not None:
            assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
            assert head.target.startswith(b"/")


@given(st.binary(max_size=120), st.lists(st.integers(0, 120), max_size=6))
def test_early_faults_come_early_and_alike(raw, cuts):
    data = b"GET / HTTP/1.1\r\n" + raw
    whole = early_fault(data, 0, 100)
    found, before = None, 0
    for end in sorted({min(cut, len(data)) for cut in cuts} | {len(data)}):
        if end and found is None:
            found = early_fault(data[:end], before, 100)
            before = end
    assert (found and found.code) == (whole and whole.code)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.binary(max_size=20), st.data())
def test_chunks_come_out_as_they_went_in(chunks, following, data):
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n" + following
    cuts = sorted(data.draw(st.lists(st.integers(0, len(framed)), max_size=10)))
    reader, body, rest = ChunkReader(), b"", b""
    for start, end in zip([0, *cuts], [*cuts, len(framed)], strict=True):
        if reader.is_done:
            rest += framed[start:end]
        else:
            piece, left = reader.feed(framed[start:end])
            assert reader.is_done or not left
            body, rest = body + piece, rest + left
    assert reader.is_done
    assert (body, rest) == (b"".join(chunks), following)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_any_bytes_as_chunks_are_judged_alike_however_they_arrive(raw, cuts):
    def outcome(pieces: list[bytes]) -> tuple[bytes, bool]:
        reader, body = ChunkReader(), b""
        for piece in pieces:
            if not reader.is_done:
                body += reader.feed(piece)[0]
        return body, reader.is_done

    places = sorted({min(cut, len(raw)) for cut in cuts})
    pieces = [raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True)]
    try:
        expected = outcome([raw])
    except WireFault as fault:
        with pytest.raises(WireFault, match=fault.code):
            outcome(pieces)
    else:
        assert outcome(pieces) == expected
