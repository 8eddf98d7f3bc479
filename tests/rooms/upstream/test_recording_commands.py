"""`doorward recordings` as an operator types it: listed without words, shown on record, deleted by id, account or all."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from typer.testing import CliRunner

from doorward.hall.bus import Bus
from doorward.stores.outbox import Outbox
from doorward.upstream.recording import Exchanged
from doorward.upstream.recording_commands import recordings_app
from doorward.upstream.recordings import Recordings, recorder_of
from doorward.upstream.settings import UpstreamSettings
from doorward.upstream.transcript import Body
from rows import open_rows

ON = UpstreamSettings(recording="on")
ACCOUNTS = ("acc_" + "a" * 26, "acc_" + "b" * 26)


def exchanged(account: str, words: str) -> Exchanged:
    question = json.dumps({"model": "m", "messages": [{"role": "user", "content": words}]}).encode()
    said = json.dumps({"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}).encode()
    return Exchanged(
        account_id=account, request_id="req_1", path="/v1/chat/completions", status=200, outcome="ok",
        prompt=Body(question, len(question), "application/json"), answer=Body(said, len(said), "application/json"),
    )  # fmt: skip


@pytest.fixture
def opened(sqlite_url, clock):
    @asynccontextmanager
    async def opened():
        database = await open_rows(sqlite_url, clock)
        try:
            yield Recordings(ON, clock, database, Outbox(database, Bus(), clock, "node_1"), recorder_of(ON))
        finally:
            await database.close()

    async def fill() -> None:
        async with opened() as recordings:
            each = [exchanged(account, f"secret words of {account}") for account in ACCOUNTS]
            recordings.recorder.give_back(each)
            recordings.recorder.held_bytes += sum(one.size_bytes for one in each)
            await recordings.write()

    asyncio.run(fill())
    return opened


@pytest.fixture
def run(opened):
    return lambda *words: CliRunner().invoke(recordings_app(opened), list(words))


def listed(run, *words: str) -> list[dict[str, object]]:
    return json.loads(run("list", "--json", *words).stdout)["recordings"]


def test_a_list_says_whose_and_when_and_no_word(run):
    assert {one["account_id"] for one in listed(run)} == set(ACCOUNTS)
    assert len(listed(run, "--account", ACCOUNTS[0])) == 1
    for words in (("list",), ("list", "--json")):
        assert "secret words" not in run(*words).output


def test_one_is_shown_with_a_warning(run):
    (one,) = listed(run, "--account", ACCOUNTS[0])
    done = run("show", str(one["recording_id"]))
    assert done.exit_code == 0
    assert f"secret words of {ACCOUNTS[0]}" in done.stdout
    assert "on record" in done.output
    as_json = run("show", str(one["recording_id"]), "--json")
    assert ACCOUNTS[0] in json.loads(as_json.stdout)["prompt"]


def test_one_that_is_not_there_is_an_error_with_advice(run):
    done = run("show", "rec_" + "0" * 26)
    assert done.exit_code == 1
    assert done.output


def test_they_are_deleted_one_by_one_by_account_and_all(run):
    first = next(str(one["recording_id"]) for one in listed(run) if one["account_id"] == ACCOUNTS[0])
    assert json.loads(run("delete", first, "--json").stdout) == {"deleted": 1}
    assert [one["account_id"] for one in listed(run)] == [ACCOUNTS[1]]
    assert "1 deleted" in run("delete", "--account", ACCOUNTS[1]).stdout
    assert "0 deleted" in run("delete", "--all").stdout
    assert listed(run) == []


def test_what_to_delete_must_be_said_exactly_once(run):
    for words in ((), ("--all", "--account", ACCOUNTS[0])):
        assert run("delete", *words).exit_code == 1
    assert len(listed(run)) == 2
