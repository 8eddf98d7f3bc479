"""Bodies through the relay: bit by bit as they were sent, with back-pressure, and counted beside the stream."""

import asyncio
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streets
from doorward.hall.model import Lane
from streets import CHAT, OK, STREAM, Service, ask, chunk, post, read_request


class TestBackPressure:
    async def test_a_caller_who_does_not_read_stops_the_service(self):
        written = 0

        async def floods(reader, writer):
            nonlocal written
            await read_request(reader)
            writer.write(STREAM)
            while True:
                writer.write(chunk(b"x" * 65_536))
                await writer.drain()
                written += 65_536

        async with streets.upstream(floods) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            await client.send(post(CHAT, b"{}", credential=site.book.add()))
            await streets.until(lambda: site.hooks.began)
            before = -1
            while written != before:  # until nothing moves any more
                before = written
                await asyncio.sleep(0.05)
            (connection,) = site.server.server_state.connections
            assert connection.transport.get_write_buffer_size() < 2_000_000
            await site.pass_time(1_000)  # silence of our own making is no fault of the service's
            assert site.hooks.observed == []

    async def test_a_caller_who_takes_nothing_at_all_is_given_up(self):
        async def floods(reader, writer):
            await read_request(reader)
            writer.write(STREAM)
            while True:
                writer.write(chunk(b"x" * 65_536))
                await writer.drain()

        async with streets.upstream(floods) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            await client.send(post(CHAT, b"{}", credential=site.book.add()))
            (connection,) = site.server.server_state.connections
            await streets.until(lambda: connection.flow.write_paused)
            for _ in range(3):
                await site.pass_time(61)
            assert site.street.figures()['street_answers_total{code="answer.stalled"}'] == 1
            await streets.until(lambda: not len(site.street.watch))

    async def test_a_service_that_does_not_read_stops_the_caller(self):
        go = asyncio.Event()

        async def reads_late(reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            await go.wait()
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            text = hashlib.sha256(body).hexdigest().encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + text)

        async with streets.upstream(reads_late) as url, streets.serving(upstream=url) as site:
            client = await site.client()
            body = bytes(range(256)) * 50_000
            sending = asyncio.create_task(client.send(post(CHAT, body, credential=site.book.add())))
            await streets.until(lambda: site.server.server_state.connections)
            (connection,) = site.server.server_state.connections
            await streets.until(lambda: connection.flow.read_paused)
            go.set()
            await sending
            assert (await client.reply()).body.decode() == hashlib.sha256(body).hexdigest()


class TestTokens:
    @pytest.mark.parametrize(
        ("answer", "tokens"),
        [
            (b'{"choices":[{"text":"a"}],"usage":{"prompt_tokens":3,"total_tokens":12}}', 12),
            (b'{"usage": {"total_tokens" : 7}, "more": 1}', 7),
            (b'{"text":"\\"usage\\": {\\"total_tokens\\": 99999}","x":"' + b"y" * 20 + b'"}', (2 + 70) // 4),
            (b'{"usage":null}' + b"z" * 400, 2 // 4 + 414 // 4),
            (b"x" * 10_000 + b'"usage":{"total_tokens":5}', 5),
        ],
    )
    async def test_plain_answers(self, answer, tokens):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer)
        _, site = await ask(Service(head, answer), post(CHAT, b"{}"))
        ((_, counted, ok),) = site.hooks.records
        assert ok
        assert abs(counted - tokens) <= 1

    async def test_streams(self):
        frames = [b'data: {"usage":null}\n\n'] * 3 + [b'data: {"usage":{"total_tokens":42}}\n\n', b"data: [DONE]\n\n"]
        _, site = await ask(Service(STREAM, *map(chunk, frames), b"0\r\n\r\n"), post(CHAT, b"{}"))
        assert site.hooks.records == [("acc_0", 42, True)]

    async def test_a_stream_without_usage_is_estimated_by_its_events(self):
        frames = [b"data: " + b"x" * 192 + b"\n\n"] * 10
        _, site = await ask(Service(STREAM, *map(chunk, frames), b"0\r\n\r\n"), post(CHAT, b"y" * 40))
        assert site.hooks.records == [("acc_0", 10 + 10, True)]

    async def test_a_fault_of_the_service_is_no_good_conduct(self):
        answer = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
        _, site = await ask(Service(answer), post(CHAT, b"{}"))
        assert site.hooks.records[0][2] is False
        assert site.hooks.observed == ["status"]

    async def test_probation_is_told_its_lane(self):
        async with streets.upstream(Service(OK)) as url, streets.serving(upstream=url) as site:
            reply = await site.ask(post(CHAT, b"{}", credential=site.book.add(Lane.PROBATION)))
            assert reply.header("x-doorward-lane") == "probation"


class TestTransparency:
    """Bodies come through bit by bit as they were sent, however they are framed and cut."""

    @settings(max_examples=25)
    @given(
        sent=st.lists(st.binary(min_size=1, max_size=5_000), max_size=5),
        back=st.lists(st.binary(min_size=1, max_size=5_000), max_size=5),
        framing=st.tuples(st.booleans(), st.sampled_from(["length", "chunks", "close"])),
        cuts=st.lists(st.integers(0, 20_000), max_size=6),
    )
    def test_random_bodies(self, sent, back, framing, cuts):
        is_chunked, answer_framing = framing
        asyncio.run(self._round(sent, back, is_chunked, answer_framing, cuts))

    async def _round(self, sent, back, is_chunked, answer_framing, cuts):
        whole = b"".join(back)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Odd: \xe4\r\n"
        if answer_framing == "length":
            answer = head + b"Content-Length: %d\r\n\r\n" % len(whole) + whole
        elif answer_framing == "chunks":
            answer = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(map(chunk, back)) + b"0\r\n\r\n"
        else:
            answer = head + b"Connection: close\r\n\r\n" + whole
        service = Service(*_cut(answer, cuts), closes=answer_framing == "close")
        body = b"".join(sent)
        async with streets.upstream(service) as url, streets.serving(upstream=url) as site:
            request = post(CHAT, body, credential=site.book.add())
            if is_chunked:
                start = request[: len(request) - len(body)].replace(
                    b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"
                )
                request = start + b"".join(map(chunk, sent)) + b"0\r\n\r\n"
            reply = await site.ask(*_cut(request, cuts))
            assert hashlib.sha256(reply.body).digest() == hashlib.sha256(whole).digest()
            assert (reply.is_whole, reply.header("x-odd")) == (True, "\xe4")
            assert hashlib.sha256(service.requests[0][1]).digest() == hashlib.sha256(body).digest()
            assert len(site.hooks.records) == 1

    @pytest.mark.parametrize("framing", ["length", "chunks"])
    async def test_an_answer_that_is_cut_at_any_byte_has_a_defined_end(self, framing):
        body = b'data: {"a":"b"}\n\n'
        if framing == "length":
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 17\r\n\r\n" + body
        else:
            answer = STREAM + chunk(body[:5]) + chunk(body[5:]) + b"0\r\n\r\n"
        where = answer.index(b"\r\n\r\n") + 4
        at = 0

        async def cut_off(reader, writer):
            await read_request(reader)
            writer.write(answer[:at])

        async with streets.upstream(cut_off) as url, streets.serving(upstream=url) as site:
            token = site.book.add()
            for at in range(len(answer)):
                reply = await site.ask(post(CHAT, b"{}", credential=token))
                if at < where:
                    assert (reply.status, reply.json()["error"]["code"]) == (502, "upstream.lost")
                else:
                    assert (reply.status, reply.is_whole) == (200, False)
                    assert reply.body.startswith(answer[where:at]) if framing == "length" else True
                    assert (b"upstream.cut" in reply.body) == (framing == "chunks")
            assert site.hooks.began == len(site.hooks.records) == len(answer)


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts})
    pieces = (data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True))
    return [piece for piece in pieces if piece]
