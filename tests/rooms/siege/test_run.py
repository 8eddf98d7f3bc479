"""A whole siege of a few seconds against the small target, its screen, and the command."""

import asyncio
import io
import json
import re
import socket
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from doorward.siege import demo
from doorward.siege.client import Actor, Client, UnreachableError
from doorward.siege.commands import COMMANDS
from doorward.siege.judging import findings
from doorward.siege.model import Phase
from doorward.siege.ownership import NotOurTargetError, resolve
from doorward.siege.run import Plan, lay_siege
from doorward.siege.scenario import load_scenario
from doorward.siege.scoring import score
from doorward.siege.screen import Screen, frame, line, sparkline, verdict_table
from doorward.siege.target import Target
from doorward.siege.watch import NoPostureError

from .conftest import ADMIN_KEY


class Quiet:
    """An onlooker who remembers what there is to see."""

    def __init__(self):
        self.words, self.ground, self.posture = [], None, None
        self.began = asyncio.Event()

    def preparing(self, what):
        self.words.append(what)

    def started(self, ground, watch):
        self.ground, self.posture = ground, watch
        self.began.set()


def plan(door, seconds: float = 4.0, **changes) -> Plan:
    return replace(Plan(door.url, load_scenario("smoke"), seconds, 3, ADMIN_KEY), **changes)


@pytest.mark.slow
async def test_a_siege_counts_what_happened(door):
    onlooker = Quiet()

    async def tighten_for_a_while():
        await onlooker.began.wait()
        await onlooker.ground.until(onlooker.ground.record.span(Phase.ATTACK).start_s + 0.3)
        door.tighten("mail=inboxlane.example", "open", "probation")
        await asyncio.sleep(0.8)
        door.tighten("mail=inboxlane.example", "probation", "open")

    lever = asyncio.create_task(tighten_for_a_while())
    record = await lay_siege(plan(door), onlooker)
    await lever
    result = score(record)
    assert result.people.attempted > 0
    assert result.people.lost == 0, [signup for signup in record.signups if signup.outcome == "lost"]
    assert result.existing.requests == result.existing.ok > 10
    assert result.existing.challenged == 0
    assert result.bots.attempted > 3
    assert result.bots.admitted > 0
    assert result.stuffing.attempts > 0
    assert (result.stuffing.takeovers, result.stuffing.owners_refused) == (0, 0)
    assert result.first_action_s is not None
    assert 0 <= result.first_action_s < 3
    assert result.reopened_after_s is not None
    assert {key.partition("/")[0] for key in record.tallies} >= {"forged proofs", "stolen keys", "newcomers' chats"}
    assert len({address for _, _, address in door.seen}) > 20
    assert record.lags
    text = Console(width=100, file=io.StringIO(), record=True)
    text.print(frame(onlooker.ground, onlooker.posture))
    text.print(verdict_table(findings(result, True)))
    shown = text.export_text()
    assert "existing users" in shown
    assert "fell short" in shown  # this target holds nobody
    assert re.search(r"people in \d+, lost 0; bots admitted \d+", line(onlooker.ground, onlooker.posture))


@pytest.mark.slow
async def test_what_existing_users_suffer_is_seen(door):
    onlooker = Quiet()

    async def fail():
        await onlooker.began.wait()
        door.chat_status = 428

    failing = asyncio.create_task(fail())
    record = await lay_siege(plan(door, 2.0), onlooker)
    await failing
    result = score(record)
    assert result.existing.challenged == result.existing.requests > 0
    assert result.existing.ok == 0


async def test_a_siege_needs_an_admin_key_a_target_and_the_right_to_it(door):
    with pytest.raises(NoPostureError, match="admin-key"):
        await lay_siege(plan(door, admin_key="dw_live_wrong"), Quiet())
    with pytest.raises(NotOurTargetError):
        await lay_siege(plan(door, target="http://192.0.2.1"), Quiet())
    with pytest.raises(UnreachableError):
        await lay_siege(plan(door, target="http://127.0.0.1:9"), Quiet())


def test_a_plan_does_not_show_its_key():
    shown = repr(Plan("http://127.0.0.1", load_scenario("smoke"), 4, 3, ADMIN_KEY))
    assert ADMIN_KEY not in shown
    assert "smoke" in shown


async def test_lines_where_there_is_no_terminal():
    out = io.StringIO()
    async with Screen(Console(file=out, force_terminal=False)) as screen:
        screen.preparing("settling 4 existing users")
    assert "settling 4 existing users" in out.getvalue()


@pytest.mark.parametrize(
    ("values", "top", "shown"), [([0.0, 5.0, 10.0, 99.0, None], 10, "▁▅██ "), ([], 10, ""), ([1.0], 0, "")]
)
def test_sparklines(values, top, shown):
    assert sparkline(values, top) == shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "http://192.0.2.1"], "not this machine"),
        (["--target", "http://127.0.0.1:9", "--scenario", "nope"], "there are: calm-surge"),
        (["--target", "http://127.0.0.1:9", "--data", "/nowhere"], "web-clients.log"),
        (["--target", "http://127.0.0.1:9"], "no connection"),
        (["--target", "gopher://127.0.0.1"], "not of the form"),
    ],
)
def test_the_command_says_why_it_cannot_run(options, words):
    done = CliRunner().invoke(COMMANDS, ["siege", *options])
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())


@pytest.mark.slow
async def test_the_command_writes_result_and_report(door, tmp_path):
    """The target serves in this loop, so the command runs in a thread."""
    options = ["siege", "--target", door.url, "--scenario", "smoke", "--seconds", "2", "--admin-key", ADMIN_KEY]
    options += ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html"), "--strict"]
    done = await asyncio.to_thread(CliRunner().invoke, COMMANDS, options)
    result = json.loads((tmp_path / "r.json").read_text())
    assert done.exit_code == 1, done.output  # strict, and this target holds nobody
    assert result["scenario"] == "smoke"
    assert result["existing"]["ok"] > 0
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert "fell short" in done.output


def test_the_demo_says_why_its_server_did_not_start(monkeypatch):
    monkeypatch.setattr(demo, "SERVE", ("-c", "import sys; sys.exit('no room at the inn')"))
    with pytest.raises(demo.DemoError, match="no room at the inn"):
        demo.run_demo(lambda url, key: pytest.fail("it attacked nothing"), lambda text: None)


def test_the_demo_does_not_wait_for_ever_and_leaves_nothing(monkeypatch, tmp_path):
    mark = tmp_path / "pid"
    monkeypatch.setattr(demo, "READY_WITHIN_SECONDS", 0.3)
    waiting = f"import os, pathlib, time; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(60)"
    monkeypatch.setattr(demo, "SERVE", ("-c", waiting))
    with pytest.raises(demo.DemoError, match="not ready in time"):
        demo.run_demo(lambda url, key: pytest.fail("it attacked nothing"), lambda text: None)
    if mark.exists():
        import os

        with pytest.raises(ProcessLookupError):
            os.kill(int(mark.read_text()), 0)


@pytest.mark.slow
def test_the_demo_brings_up_a_whole_doorward_and_takes_it_down(tmp_path):
    """A real server; the siege itself is tried in the other tests and in `make demo`."""
    found = {}

    async def look(url: str, key: str) -> None:
        endpoint, is_loopback = await resolve(url)
        assert is_loopback
        client = Client(endpoint)
        admin = Actor("127.0.0.1", "test", bearer=key)
        found["letters"] = await Target(client).get(admin, "/api/v1/admin/letters?after=0")
        found["history"] = await Target(client).get(admin, "/api/v1/admin/posture/history")
        found["endpoint"] = endpoint
        await client.close()

    demo.run_demo(lambda url, key: asyncio.run(look(url, key)), lambda text: None)
    assert (found["letters"].status, found["letters"].data["letters"]) == (200, [])
    assert (found["history"].status, found["history"].data["history"]) == (200, [])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", found["endpoint"].port), timeout=2)
