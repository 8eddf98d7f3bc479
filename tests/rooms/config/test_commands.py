"""`doorward config`: exit status, messages, and what machines read."""

import json

import pytest
import typer
from typer.testing import CliRunner

from doorward.config.commands import register

app = typer.Typer()
register(app)
app.command("other")(lambda: None)  # a single command would be no group


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["config", *arguments])


def test_check_passes_on_nothing_at_all(run, tmp_path):
    result = run("check")
    assert (result.exit_code, result.stdout) == (0, "good to start\n")
    assert list(tmp_path.iterdir()) == []


def test_check_reports_all_mistakes_with_lines(run, tmp_path):
    (tmp_path / "doorward.toml").write_text("[server]\nport = 'x'\nhots = 1\n")
    result = run("check")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: doorward.toml:2: server.port: must be a whole number, not a text in quotes (Port to listen on; 0 takes a free one.)",
        "error: doorward.toml:3: server.hots: is no setting (did you mean `server.host`?)",
        "2 to correct",
    ]


def test_check_as_json(run, tmp_path):
    (tmp_path / "other.toml").write_text("[server]\ntrusted_proxies = ['0.0.0.0/0']\nprt = 1\n")
    result = run("check", "--json", "--config", "other.toml")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["ok"]) == (1, False)
    found = [(mistake["key"], mistake["line"], mistake["gravity"]) for mistake in report["mistakes"]]
    assert found == [("server.trusted_proxies", 2, "warning"), ("server.prt", 3, "error")]


def test_warnings_do_not_fail_a_check(run, tmp_path):
    (tmp_path / "doorward.toml").write_text("[server]\ntrusted_proxies = ['0.0.0.0/0']\n")
    result = run("check")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: doorward.toml:2")


def test_show_prints_toml_and_json_without_secrets(run, tmp_path, monkeypatch):
    monkeypatch.setenv("DOORWARD_UPSTREAM_API_KEY", "sk-internal")
    text, values = run("show"), json.loads(run("show", "--json").stdout)
    assert "\n[server]\n" in text.stdout
    assert 'api_key = "(hidden)"' in text.stdout
    assert values["upstream"]["api_key"] == "(hidden)"


def test_show_refuses_what_does_not_load(run, monkeypatch):
    monkeypatch.setenv("DOORWARD_SERVER_PORT", "x")
    result = run("show")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "DOORWARD_SERVER_PORT" in result.stderr


def test_schema_is_json(run):
    assert json.loads(run("schema").stdout)["title"] == "doorward.toml"


def test_explain_for_people_and_machines(run):
    assert "variable DOORWARD_SERVER_PORT" in run("explain", "server.port").stdout
    assert json.loads(run("explain", "server.port", "--json").stdout)[0]["default"] == 8080
    unknown = run("explain", "servr")
    assert (unknown.exit_code, "did you mean `server`" in unknown.stderr) == (1, True)


@pytest.mark.parametrize("command", ["check", "show", "schema", "explain"])
def test_every_command_has_help_with_an_example(run, command):
    text = run(command, "--help").stdout
    assert "Example: doorward config" in text
    assert "--json" in text
