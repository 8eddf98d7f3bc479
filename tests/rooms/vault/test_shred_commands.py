"""`doorward vault shred`, as an operator types it."""

import json

import pytest
from typer.testing import CliRunner

from doorward.cli import app

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def instance(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOORWARD_SECRET", "a secret for tests that is long enough, surely")
    monkeypatch.setenv("DOORWARD_STORES_DATA_DIRECTORY", str(tmp_path / "data"))


def test_a_person_is_deleted_and_the_receipt_verified(tmp_path):
    assert run(app, ["admin", "link", "--email", "ada@example.com"]).exit_code == 0  # keeps a pending link for her
    said = run(app, ["vault", "shred", "ada@example.com", "--yes", "--json", "--receipt", "ada.json"])
    assert said.exit_code == 0, said.output
    receipt = json.loads(said.stdout)
    assert receipt["cleared_at"] is not None
    assert receipt["destroyed"]["pending"] == 1
    assert receipt["destroyed"]["vault_data_keys"] == 1
    assert (tmp_path / "data" / "shreds.jsonl").exists()
    assert run(app, ["vault", "shred", "--verify", "ada.json"]).exit_code == 0
    key = receipt["public_key"]
    assert run(app, ["vault", "shred", "--verify", "ada.json", "--public-key", key]).exit_code == 0
    text = (tmp_path / "ada.json").read_text()
    (tmp_path / "ada.json").write_text(text.replace('"reason":"operator"', '"reason":"nobody"'))
    refused = run(app, ["vault", "shred", "--verify", "ada.json", "--json"])
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"]["code"] == "vault.receipt"


def test_it_asks_first_and_says_that_nothing_brings_it_back():
    said = run(app, ["vault", "shred", "ada@example.com"], input="n\n")
    assert said.exit_code == 1
    assert "Nobody can undo it" in said.stderr


def test_mistakes_are_told_in_words():
    unknown = run(app, ["vault", "shred", "acc_nobody", "--yes", "--json"])
    assert unknown.exit_code == 1
    assert json.loads(unknown.stdout)["error"]["code"] == "resource.not_found"
    assert run(app, ["vault", "shred"]).exit_code == 2
    assert run(app, ["vault", "shred", "--verify", "nothing.json"]).exit_code == 1


def test_a_damaged_list_stops_every_start(tmp_path):
    run(app, ["admin", "link", "--email", "ada@example.com"])
    run(app, ["vault", "shred", "ada@example.com", "--yes"])
    path = tmp_path / "data" / "shreds.jsonl"
    path.write_bytes(path.read_bytes()[:300])
    refused = run(app, ["admin", "link", "--json"])
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"]["code"] == "vault.shred_list"
    path.unlink()  # what the advice says
    assert run(app, ["admin", "link"]).exit_code == 0
    assert path.read_bytes().count(b"\n") == 2
