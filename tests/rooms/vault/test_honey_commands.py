"""`doorward vault honey`, as an operator types it."""

import json

import pytest
from typer.testing import CliRunner

from doorward.accounts.tokens import kind_of
from doorward.cli import app

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def instance(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOORWARD_SECRET", "a secret for tests that is long enough, surely")
    monkeypatch.setenv("DOORWARD_STORES_DATA_DIRECTORY", str(tmp_path / "data"))


def told(*words: str) -> dict:
    said = run(app, ["vault", "honey", *words, "--json"])
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


def test_honey_is_planted_listed_and_removed():
    account = told("plant", "account", "--email", "Ada@example.com", "--note", "old  CRM")
    assert account["email"] == "Ada@example.com"
    key = told("plant", "key")
    assert kind_of(key["key"].encode()) == "key"
    row = told("plant", "row")
    assert row["email"] == ""
    records = told("list")["records"]
    assert [(one["honey_id"], one["kind"]) for one in records] == [
        (account["honey_id"], "account"), (key["honey_id"], "key"), (row["honey_id"], "row"),
    ]  # fmt: skip
    assert records[0]["note"] == "old CRM"
    assert key["key"] not in json.dumps(records)
    assert account["honey_id"] in run(app, ["vault", "honey", "list"]).stdout
    for one in records:
        told("remove", one["honey_id"])
    assert told("list")["records"] == []


def test_people_are_told_where_to_leave_it():
    said = run(app, ["vault", "honey", "plant", "key"]).stdout
    assert said.startswith("dw_live_")
    assert "a repository, a wiki page, a CI variable" in said
    assert "example.org" not in run(app, ["vault", "honey", "plant", "row"]).stdout


def test_mistakes_are_told_in_words():
    taken = run(app, ["vault", "honey", "plant", "account", "--email", "ada@example.com"])
    assert taken.exit_code == 0, taken.output
    for words, code in (
        (("plant", "account", "--email", "ada@example.com"), "resource.conflict"),
        (("plant", "account", "--email", "nobody"), "accounts.email.invalid"),
        (("plant", "key", "--note", "n" * 81), "input.invalid"),
        (("remove", "hny_nothing"), "resource.not_found"),
    ):
        said = run(app, ["vault", "honey", *words, "--json"])
        assert said.exit_code == 1, said.output
        assert json.loads(said.stdout)["error"]["code"] == code
    assert run(app, ["vault", "honey", "plant", "bees"]).exit_code == 2
    assert run(app, ["vault", "honey", "plant", "row", "--email", "ada@example.com"]).exit_code == 2
