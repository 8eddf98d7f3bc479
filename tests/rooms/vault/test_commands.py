"""`doorward vault …` as an operator types it, with servers that run, wait and lock."""

import json
import os
import secrets
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from tests.acceptance.running import environment, running
from typer.testing import CliRunner

from doorward.cli import app

run = CliRunner().invoke
GOOD = "seven purple walrus engines at dawn"


@pytest.fixture(autouse=True)
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DOORWARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOORWARD_SECRET", secrets.token_urlsafe(48))
    monkeypatch.setenv("DOORWARD_STORES_DATA_DIRECTORY", "data")


def told(*words: str, given: str = "", status: int = 0) -> dict:
    done = run(app, ["vault", *words, "--json"], input=given)
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def test_a_ring_is_made_shown_and_changed():
    made = told("init")
    assert made["ring"] in made["recovery_sheet"]
    assert told("init", status=1)["error"]["code"] == "vault.file_there"
    status = told("status")
    assert [one["kind"] for one in status["locks"]] == ["key-file", "recovery"]
    assert {one["rights"] for one in status["files"]} == {"-rw-------"}
    assert any("beside the database" in text for text in status["warnings"])
    assert status["database"]["problem"] == "not made yet"
    changed = told("rekey", "--recovery", given=made["recovery_sheet"])
    assert changed["locks"] == ["key-file", "recovery"]
    Path("new").write_text(GOOD)
    assert told("rekey", "--to", "passphrase", "--new-secret-file", "new")["locks"] == ["passphrase", "recovery"]
    warnings = " ".join(told("status")["warnings"])
    assert "no such lock" in warnings
    assert "delete it: data/keyring.key" in warnings
    assert told("rekey", "--new-recovery", status=1)["error"]["code"] == "vault.wrong_key"


def test_the_keys_in_the_database_are_counted():
    assert run(app, ["admin", "link"]).exit_code == 0
    status = told("status")
    assert status["database"]["ring_id"] == status["ring"]
    [kek] = status["database"]["keks"]
    assert kek["version"] == 1
    assert kek["data_keys"] >= 1
    assert any("no recovery sheet" in text for text in status["warnings"])
    text = run(app, ["vault", "status"]).stdout
    assert f"version 1, active, wraps {kek['data_keys']} data keys" in text
    assert "rotation" not in text


def test_a_rotation_that_is_not_at_its_end_is_shown_with_what_is_left():
    assert run(app, ["admin", "link"]).exit_code == 0
    number = told("status")["database"]["keks"][0]["data_keys"]
    with closing(sqlite3.connect("data/doorward.db")) as rows:  # as one leaves it that was killed at its beginning
        rows.execute("INSERT INTO vault_keks SELECT 2, sealed, 'active', created_at FROM vault_keks")
        rows.execute("UPDATE vault_keks SET state = 'deactivated' WHERE version = 1")
        rows.commit()
    database = told("status")["database"]
    assert (database["is_rotating"], database["left"]) == (True, number)
    assert f"{number} data keys are still wrapped by an older key" in run(app, ["vault", "status"]).stdout
    with closing(sqlite3.connect("data/doorward.db")) as rows:
        rows.execute("INSERT INTO vault_data_keys SELECT subject, 2, 2, wrapped, created_at FROM vault_data_keys")
        rows.commit()
    assert told("status")["database"]["former"] == number
    assert f"{number} former data keys are kept" in run(app, ["vault", "status"]).stdout


def test_mistakes_are_told_in_words():
    assert told("status", status=1)["error"]["code"] == "vault.key_ring"
    assert told("unlock", status=1)["error"]["code"] == "resource.not_found"
    told("init")
    assert told("rekey", "--recovery", given="1: ABCD", status=1)["error"]["code"] == "vault.recovery_sheet"
    assert told("rekey", "--to", "cloud", status=1)["error"]["code"] == "vault.key_ring"
    assert told("rekey", "--to", "passphrase", "--new-secret-file", "nowhere", status=1)["ok"] is False


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A server whose passphrase is not at hand."""
    monkeypatch.setenv("DOORWARD_VAULT_UNLOCK", "passphrase")
    (tmp_path / "first").write_text(GOOD)
    monkeypatch.setenv("DOORWARD_VAULT_PASSPHRASE_FILE", "first")
    (tmp_path / "sheet").write_text(told("init")["recovery_sheet"])
    monkeypatch.delenv("DOORWARD_VAULT_PASSPHRASE_FILE")
    ours = {name: value for name, value in os.environ.items() if name.startswith("DOORWARD_")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["doorward", "serve", "--port", "0", "--json"], cwd=tmp_path, env=environment(**ours),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        while "vault_waits_locked" not in (tmp_path / "log").read_text():
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("with_sheet", [False, True])
def test_a_server_waits_until_the_right_passphrase_or_sheet_is_brought(tmp_path, waiting, with_sheet):
    (path,) = Path("data").glob("vault.*.sock")
    assert path.stat().st_mode & 0o777 == 0o600
    assert not Path("data/doorward.db").exists()
    assert told("status")["servers"] == [{"ok": True, "state": "waiting"}]
    assert "does not open" in told("unlock", given="wrong\n", status=1)["error"]["message"]
    assert not Path("data/doorward.db").exists()
    if with_sheet:
        told("unlock", "--recovery", given=Path("sheet").read_text())
    else:
        told("unlock", given=f"{GOOD}\n")
    url = json.loads(waiting.stdout.readline())["url"]
    assert requests.get(f"{url}/readyz", timeout=30).json()["parts"]["vault"] == "ok"
    assert told("status")["servers"][0]["state"] == "open"
    assert told("lock")["servers"][0]["state"] == "locked"
    assert told("unlock", given="wrong\n", status=1)["ok"] is False
    assert told("unlock", given=f"{GOOD}\n")["servers"][0]["state"] == "open"
    assert GOOD not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_first_start_without_a_terminal_prints_no_sheet_but_says_how_to_get_one(tmp_path):
    with running(tmp_path, "serve", DOORWARD_STORES_DATA_DIRECTORY="data") as url:
        assert url
        told("status")
    log = (tmp_path / "serve.log").read_text()
    assert "vault rekey --new-recovery" in log
    assert "RECOVERY SHEET" not in log
    assert list(Path("data").glob("vault.*.sock")) == []


@pytest.mark.slow
def test_a_first_start_on_a_terminal_prints_the_sheet_once(tmp_path):
    import pty

    handle, inner = pty.openpty()
    ours = {name: value for name, value in os.environ.items() if name.startswith("DOORWARD_")}
    process = subprocess.Popen(
        ["doorward", "serve", "--port", "0"], cwd=tmp_path, env=environment(**ours),
        stdin=inner, stdout=inner, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(inner)
    try:
        shown = b""
        while b"keeps the door" not in shown:
            shown += os.read(handle, 65_536)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        os.close(handle)
    assert shown.count(b"RECOVERY SHEET") == 1
    assert [one["kind"] for one in told("status")["locks"]] == ["key-file", "recovery"]
    sheet = shown.decode().replace("\r\n", "\n")
    assert told("rekey", "--recovery", given=sheet[: sheet.index("This sheet is not")])["ok"] is True
