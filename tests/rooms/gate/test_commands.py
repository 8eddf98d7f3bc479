"""`doorward posture …`."""

import json
from contextlib import asynccontextmanager

import pytest
import typer
from typer.testing import CliRunner

from doorward.gate import GateSettings
from doorward.gate.commands import posture_app
from doorward.hall.bus import Bus
from rows import open_rows

from .conftest import opened


@pytest.fixture
def run(sqlite_url, clock):
    """Runs a command line; each opens the rows anew, as a process does."""

    @asynccontextmanager
    async def opener():
        database = await open_rows(sqlite_url)
        yield (await opened(GateSettings(), clock, database, Bus())).gate
        await database.close()

    app = typer.Typer()
    app.add_typer(posture_app(opener), name="posture")
    return lambda *line: CliRunner().invoke(app, ["posture", *line])


def told(result):
    """The JSON that a command printed; what it logged stands before it (`logs` sends that elsewhere)."""
    return json.loads(result.stdout.splitlines()[-1])


SET = ("set", "careful", "--cohort", "mail=example.org", "--reason", "odd sign-ups", "--minutes", "30")


def test_a_posture_is_set_shown_undone_and_remembered(run, clock):
    assert "open for everybody" in run("show").stdout
    made = told(run(*SET, "--json"))["posture"][0]
    assert (made["to"], made["expires_at"], made["set_by"]) == ("careful", clock.now() + 1800, "operator")
    assert told(run("show", "--json")) == {"version": 1, "posture": [made]}
    assert "careful" in run("show").stdout
    assert told(run("undo", "1", "--json"))["posture"][0]["undoes"] == 1
    history = told(run("history", "--json"))["history"]
    assert [row["version"] for row in history] == [2, 1]
    assert len(told(run("history", "--limit", "1", "--json"))["history"]) == 1


@pytest.mark.parametrize(
    "line",
    [
        ("set", "careful", "--minutes", "30"),
        ("set", "careful", "--reason", "why"),
        ("set", "shut", "--reason", "why", "--minutes", "30"),
        ("set", "careful", "--reason", "why", "--minutes", "0"),
    ],
)
def test_a_change_needs_a_level_a_reason_and_an_end(run, line):
    assert run(*line).exit_code == 2


def test_what_is_wrong_is_said_in_words(run):
    refused = run("set", "careful", "--cohort", "colour=red", "--reason", "why", "--minutes", "30")
    assert refused.exit_code == 1
    assert "is not feature=value" in refused.stderr
    assert run("undo", "7").exit_code == 1


@pytest.mark.parametrize("command", ["show", "set", "undo", "history"])
def test_help_has_an_example(run, command):
    assert "Example: doorward posture" in run(command, "--help").stdout
