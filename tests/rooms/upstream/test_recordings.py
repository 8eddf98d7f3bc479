"""Recording: off by default, beside the relay, redacted, sealed, for a while, and gone with the person."""

import json
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text as sql

import streets
from doorward.hall.bus import Bus
from doorward.hall.errors import NotFoundError, ShreddedError
from doorward.hall.events import RecordingOpened
from doorward.hall.model import Lane, Role, Standing
from doorward.stores.errors import StoreUnavailableError
from doorward.stores.outbox import Outbox
from doorward.upstream import recording_tables as tables
from doorward.upstream.heads import RelayRequest
from doorward.upstream.recording import Exchanged, Recorder, RecordingRules
from doorward.upstream.recordings import Recordings, recorder_of
from doorward.upstream.settings import UpstreamSettings
from doorward.upstream.transcript import Body
from doorward.vault.shred import Shredding
from rows import vault_of
from streets import CHAT, Service, chunk, post

ON = UpstreamSettings(recording="on")
JSON = "application/json"


def exchanged(prompt: str = "Hello", account: str = "acc_1", answer: str = "Hi") -> Exchanged:
    question = json.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]}).encode()
    said = json.dumps({"choices": [{"message": {"role": "assistant", "content": answer}}]}).encode()
    return Exchanged(
        account_id=account,
        request_id="req_1",
        path=CHAT,
        status=200,
        outcome="ok",
        prompt=Body(question, len(question), JSON),
        answer=Body(said, len(said), JSON),
    )


def request(account: str = "acc_1", method: bytes = b"POST", *lines: bytes) -> RelayRequest:
    standing = Standing(account, "ses_1", Lane.EXISTING, Role.MEMBER, frozenset({"*"}), 4e9)
    return RelayRequest(
        method=method, target=b"/v1/chat/completions?user=li@example.cn", lines=[*lines], length=-1, minor=b"1",
        standing=standing, request_id=b"req_1",
    )  # fmt: skip


def recorder(**rules: object) -> Recorder:
    return Recorder(RecordingRules(**{"body_bytes": 1_000, "memory_bytes": 10_000} | rules))


class TestTheTape:
    def test_it_keeps_the_beginning_of_both_sides_and_knows_how_long_they_were(self):
        kept = recorder(body_bytes=5)
        tape = kept.begin(request("acc_1", b"POST", b"Content-Type: application/json"))
        tape.prompt(b"abc")
        tape.prompt(b"defg")
        tape.head(200, [(b"Content-Type", b"text/plain"), (b"content-encoding", b"gzip")])
        tape.answer([b"12", b"3456"])
        assert kept.held_bytes == 10
        tape.end("ok")
        (one,) = kept.take(9)
        assert (one.prompt.data, one.prompt.size_bytes, one.prompt.content_type) == (b"abcde", 7, JSON)
        assert (one.answer.data, one.answer.size_bytes, one.answer.is_cut) == (b"12345", 6, True)
        assert (one.answer.content_type, one.answer.encoding, one.path) == ("text/plain", "gzip", CHAT)
        kept.settle([one])
        assert kept.held_bytes == 0

    def test_past_the_memory_an_exchange_is_dropped_whole_and_counted(self):
        kept = recorder(memory_bytes=10)
        first, second = kept.begin(request()), kept.begin(request())
        first.prompt(b"x" * 9)
        second.prompt(b"y" * 9)
        second.answer([b"z"])
        assert kept.held_bytes == 9
        for tape in (first, second):
            tape.end("ok")
        assert [each.prompt.data for each in kept.take(9)] == [b"x" * 9]
        assert kept.figures()["upstream_recordings_dropped_total"] == 1

    def test_with_full_memory_no_tape_is_begun(self):
        kept = recorder(memory_bytes=3)
        kept.begin(request()).prompt(b"abc")
        assert kept.begin(request()) is None
        assert kept.figures()["upstream_recordings_dropped_total"] == 1

    def test_a_share_of_none_records_nothing_and_so_do_requests_without_a_body(self):
        assert recorder(share=0.0).begin(request()) is None
        assert recorder().begin(request("acc_1", b"GET")) is None

    def test_who_is_forgotten_is_dropped_while_it_runs_and_while_it_waits(self):
        kept = recorder()
        done, running, other = kept.begin(request()), kept.begin(request()), kept.begin(request("acc_2"))
        done.prompt(b"a")
        done.end("ok")
        running.prompt(b"b")
        other.prompt(b"c")
        kept.forget("acc_1")
        running.prompt(b"more")
        for tape in (running, other):
            tape.end("ok")
        assert [each.account_id for each in kept.take(9)] == ["acc_2"]
        assert kept.held_bytes == 1

    def test_names_in_a_path_are_not_kept(self):
        named = request()
        named.target = b"/v1/files/li%40example.cn"
        kept = recorder()
        kept.begin(named).end("ok")
        assert kept.take(1)[0].path == "/v1/files"


@asynccontextmanager
async def recorded(service: Service, **rules: object):
    """A street whose relay records into what is handed over."""
    async with streets.upstream(service) as url, streets.serving(upstream=url) as site:
        kept = recorder(**rules)
        site.street.parts.relay.recorder = kept
        yield site, kept


async def test_the_relay_changes_no_byte_and_the_copy_is_the_same():
    streamed = b"data: {}\n\n"
    service = Service(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
                      chunk(streamed), chunk(streamed), b"0\r\n\r\n")  # fmt: skip
    async with recorded(service) as (site, kept):
        body = b'{"messages": [{"role": "user", "content": "hi"}]}'
        reply = await site.ask(post(CHAT, body, "Content-Type: application/json", credential=site.book.add()))
        assert (reply.status, reply.body) == (200, streamed * 2)
        assert service.requests[0][1] == body
        await streets.until(lambda: kept.figures()["upstream_recordings_waiting"])
        (one,) = kept.take(9)
    assert (one.prompt.data, one.answer.data, one.status, one.outcome) == (body, streamed * 2, 200, "ok")


@pytest.fixture
def bus():
    return Bus()


@pytest.fixture
def build(database, clock, bus):
    def build(**settings: object) -> Recordings:
        wanted = UpstreamSettings(**{"recording": "on"} | settings)
        return Recordings(wanted, clock, database, Outbox(database, bus, clock, "node-1"), recorder_of(wanted))

    return build


async def written(recordings: Recordings, *each: Exchanged) -> list[str]:
    """Write these exchanges; their ids, the newest first."""
    recordings.recorder.give_back(list(each))
    recordings.recorder.held_bytes += sum(one.size_bytes for one in each)
    await recordings.write()
    return [facts.recording_id for facts in await recordings.listed()]


class TestTheRows:
    async def test_what_was_said_comes_back_redacted_and_its_reading_is_on_record(self, build, database):
        recordings = build()
        (recording_id,) = await written(recordings, exchanged("I am li@example.cn", answer="Call +49 89 1234567"))
        found = await recordings.read(recording_id, "root")
        assert (found.prompt, found.answer) == ("user: I am [mail]", "assistant: Call [phone]")
        assert found.facts.rules
        assert "example" not in repr(found)
        facts = await database.read(lambda c: c.execute(sql("SELECT name, payload FROM outbox_events")).all())
        assert [fact.name for fact in facts] == [RecordingOpened.name]
        assert recordings.recorder.held_bytes == 0

    async def test_where_the_operator_wants_it_nothing_is_taken_out(self, build):
        recordings = build(recording_redacts=False)
        (recording_id,) = await written(recordings, exchanged("I am li@example.cn"))
        found = await recordings.read(recording_id, "root")
        assert (found.prompt, found.facts.rules) == ("user: I am li@example.cn", "")

    async def test_no_word_lies_in_the_rows_in_clear(self, build, database):
        recordings = build(recording_redacts=False)
        await written(recordings, exchanged("canary in the coal mine", answer="goldfinch in the garden"))
        (row,) = await database.read(lambda c: c.execute(sql("SELECT * FROM upstream_recordings")).all())
        everything = b"".join(
            bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for value in row
        )
        assert b"canary" not in everything
        assert b"goldfinch" not in everything

    async def test_a_recording_lives_for_its_hours(self, build, clock):
        recordings = build(recording_hours=2)
        await written(recordings, exchanged())
        clock.step(2 * 3_600 - 1)
        await recordings.expire()
        assert len(await recordings.listed()) == 1
        clock.step(1)
        await recordings.expire()
        assert await recordings.listed() == []

    async def test_listing_by_account_and_deleting(self, build):
        recordings = build()
        await written(recordings, exchanged(account="acc_1"), exchanged(account="acc_2"), exchanged(account="acc_2"))
        (of_first,) = await recordings.listed("acc_1")
        await recordings.delete(of_first.recording_id)
        with pytest.raises(NotFoundError):
            await recordings.delete(of_first.recording_id)
        with pytest.raises(NotFoundError):
            await recordings.read(of_first.recording_id, "root")
        assert await recordings.delete_of("acc_2") == 2
        await written(recordings, exchanged())
        assert await recordings.delete_all() == 1

    async def test_with_the_person_the_rows_go_and_what_was_under_way_is_not_written(self, build, database, clock):
        vault = vault_of(database)
        recordings = build()
        await written(recordings, exchanged(), exchanged(account="acc_2"))
        shredding = Shredding(vault, database, recordings.outbox, clock, None)
        shredding.forgets = [tables.forget]
        await database.write(lambda c: shredding.shred(c, ["acc_1"], "person"))
        assert [facts.account_id for facts in await recordings.listed()] == ["acc_2"]
        await written(recordings, exchanged(), exchanged(account="acc_2"))
        assert [facts.account_id for facts in await recordings.listed()] == ["acc_2", "acc_2"]

    async def test_an_old_copy_of_a_row_says_nothing_once_the_key_is_gone(self, build, database, clock):
        recordings = build()
        (recording_id,) = await written(recordings, exchanged())
        shredding = Shredding(vault_of(database), database, recordings.outbox, clock, None)
        await database.write(lambda c: shredding.shred(c, ["acc_1"], "person"))
        assert await recordings.listed()
        with pytest.raises(ShreddedError):
            await recordings.read(recording_id, "root")

    async def test_while_the_database_is_away_it_waits(self, build, database, monkeypatch):
        recordings = build()

        async def away(_work):
            raise StoreUnavailableError

        with monkeypatch.context() as patched:
            patched.setattr(database, "write", away)
            with pytest.raises(StoreUnavailableError):
                await written(recordings, exchanged())
        await recordings.write()
        assert len(await recordings.listed()) == 1
        assert recordings.recorder.held_bytes == 0

    async def test_with_recording_off_there_is_no_recorder_and_what_is_there_still_expires(self, build, clock):
        await written(build(recording_hours=1), exchanged())
        off = build(recording="off")
        assert off.recorder is None
        assert [job.name for job in off.jobs()] == ["upstream.recordings.expire"]
        clock.step(3_601)
        await off.expire()
        assert await off.listed() == []
