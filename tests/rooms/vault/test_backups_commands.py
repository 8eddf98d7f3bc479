"""`doorward backup`, `restore` and `verify`, as an operator types them."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from doorward.cli import app

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def instance(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOORWARD_SECRET", "a secret for tests that is long enough, surely")
    monkeypatch.setenv("DOORWARD_STORES_DATA_DIRECTORY", str(tmp_path / "data"))


def told(*arguments: str) -> dict[str, object]:
    """What a command that succeeds says in JSON."""
    done = run(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def code_of(*arguments: str) -> str:
    """The code of the error that a command ends with."""
    done = run(app, [*arguments, "--json"])
    assert done.exit_code == 1, done.output
    return json.loads(done.stdout)["error"]["code"]


@pytest.fixture
def used():
    """An instance that has been opened once, with somebody in it."""
    assert run(app, ["admin", "link", "--email", "ada@example.com"]).exit_code == 0


@pytest.mark.usefixtures("used")
def test_there_and_back_and_undone(tmp_path):
    made = told("backup")
    assert Path(made["path"]).parent == tmp_path / "data" / "backups"
    seen = told("verify", made["path"])
    assert (seen["database"], seen["opened_by"], seen["size_bytes"]) == ("sqlite", "ring", made["size_bytes"])
    assert seen["tables"]["pending"] == 1
    assert told("verify", made["path"], "--drill")["drill"]["tables"] == len(seen["tables"])
    done = told("restore", made["path"])
    assert Path(done["undo"]).name.startswith("before-restore-")
    assert told("restore", done["undo"])["revision"] == seen["revision"]
    assert told("vault", "status")["database"]["problem"] == ""


@pytest.mark.usefixtures("used")
def test_people_read_sentences():
    done = run(app, ["backup", "monday.dwbackup"])
    assert done.exit_code == 0
    assert "the key ring opens it" in done.stdout
    assert "is whole" in run(app, ["verify", "monday.dwbackup"]).stdout
    assert "all the same" in run(app, ["verify", "--drill", "monday.dwbackup"]).stdout
    done = run(app, ["restore", "monday.dwbackup"])
    assert "Undo: doorward restore" in done.stdout


@pytest.mark.usefixtures("used")
def test_it_overwrites_only_when_told(tmp_path):
    (tmp_path / "monday.dwbackup").write_text("precious")
    assert code_of("backup", "monday.dwbackup") == "vault.backup"
    assert (tmp_path / "monday.dwbackup").read_text() == "precious"
    assert told("backup", "monday.dwbackup", "--force")["path"] == "monday.dwbackup"


@pytest.mark.usefixtures("used")
def test_a_new_machine_needs_the_ring_and_the_backup(tmp_path, monkeypatch):
    told("backup", "monday.dwbackup")
    new = tmp_path / "new"
    monkeypatch.setenv("DOORWARD_STORES_DATA_DIRECTORY", str(new))
    assert code_of("restore", "monday.dwbackup") == "vault.ring_missing"
    assert not new.exists()
    new.mkdir()
    for name in ("keyring.json", "keyring.key"):
        shutil.copy2(tmp_path / "data" / name, new / name)
    done = told("restore", "monday.dwbackup")
    assert done["undo"] == ""
    assert told("vault", "status")["database"]["problem"] == ""
    assert told("backup")["rows_bytes"] > 0


@pytest.mark.usefixtures("used")
def test_another_instance_refuses_it(tmp_path, monkeypatch):
    told("backup", "monday.dwbackup")
    monkeypatch.setenv("DOORWARD_STORES_DATA_DIRECTORY", str(tmp_path / "other"))
    assert run(app, ["admin", "link", "--email", "bob@example.com"]).exit_code == 0
    before = (tmp_path / "other" / "doorward.db").read_bytes()
    assert code_of("restore", "monday.dwbackup") == "vault.backup_foreign"
    assert code_of("verify", "monday.dwbackup") == "vault.backup_foreign"
    assert (tmp_path / "other" / "doorward.db").read_bytes() == before


@pytest.mark.usefixtures("used")
def test_who_was_shredded_stays_so(tmp_path):
    told("backup", "monday.dwbackup")
    told("vault", "shred", "ada@example.com", "--yes")
    told("restore", "monday.dwbackup")
    told("backup", "tuesday.dwbackup")
    assert told("verify", "monday.dwbackup")["tables"]["pending"] == 1
    assert told("verify", "tuesday.dwbackup")["tables"]["pending"] == 0


@pytest.mark.usefixtures("used")
def test_a_damaged_shred_list_is_found_before_anything_is_changed(tmp_path):
    told("backup", "monday.dwbackup")
    told("vault", "shred", "ada@example.com", "--yes")
    path, rows = tmp_path / "data" / "shreds.jsonl", tmp_path / "data" / "doorward.db"
    path.write_bytes(path.read_bytes()[:300])
    before = rows.read_bytes()
    assert code_of("restore", "monday.dwbackup") == "vault.shred_list"
    assert rows.read_bytes() == before


@pytest.mark.usefixtures("used")
def test_a_changed_bit_is_named(tmp_path):
    told("backup", "monday.dwbackup")
    content = bytearray((tmp_path / "monday.dwbackup").read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / "monday.dwbackup").write_bytes(content)
    assert code_of("verify", "monday.dwbackup") == "vault.backup_damaged"
    assert code_of("restore", "monday.dwbackup") == "vault.backup_damaged"


@pytest.mark.usefixtures("used")
def test_age_recipients_open_it_without_the_ring(tmp_path, monkeypatch):
    age = pytest.importorskip("pyrage").x25519
    identity = age.Identity.generate()
    monkeypatch.setenv("DOORWARD_BACKUP_RECIPIENTS", json.dumps([str(identity.to_public())]))
    (tmp_path / "identity.txt").write_text(f"# public key: {identity.to_public()}\n{identity}\n")
    assert told("backup", "monday.dwbackup")["opened_by"] == "age"
    assert code_of("verify", "monday.dwbackup") == "vault.backup_foreign"
    assert told("verify", "monday.dwbackup", "--identity", "identity.txt", "--drill")["opened_by"] == "age"
    done = told("restore", "monday.dwbackup", "--identity", "identity.txt")
    assert told("restore", done["undo"])["revision"]  # the undo is for the ring, which is at hand
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("DOORWARD_STORES_DATA_DIRECTORY", str(tmp_path / "nothing"))
        assert told("verify", "monday.dwbackup", "--identity", "identity.txt")["tables"]["pending"] == 1
    assert code_of("verify", "monday.dwbackup", "--identity", "absent.txt") == "vault.backup"


def test_an_instance_that_was_never_opened_has_nothing(tmp_path, monkeypatch):
    assert code_of("backup") == "vault.ring_missing"
    assert not (tmp_path / "data").exists()
    monkeypatch.setenv("DOORWARD_STORES_DATABASE", "sqlite://")
    assert code_of("backup") == "vault.backup"


def test_files_that_are_none_are_named(tmp_path):
    assert run(app, ["vault", "init"]).exit_code == 0
    assert code_of("verify", "absent.dwbackup") == "vault.backup"
    (tmp_path / "notes.txt").write_text("dear diary")
    assert code_of("restore", "notes.txt") == "vault.backup"
