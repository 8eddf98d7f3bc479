"""`doorward vault selftest` runs without a configuration, and every promise holds."""

import json

from typer.testing import CliRunner

from acceptance.running import shell
from doorward.cli import app
from doorward.vault import selftest_keys
from doorward.vault.rotate import Rotation
from doorward.vault.shred import Shredding

CHECKS = [
    "sealed and opened",
    "moved to another cell: refused",
    "one bit changed: refused",
    "cut short: refused",
    "with another person's key: refused",
    "with another key ring: refused",
    "while the vault is locked: refused",
    "rotated: everything opens at every step",
    "rotated: the former key-encryption key is destroyed",
    "rotated: the former data keys are destroyed",
    "shredded: no key is left, and none is made anew",
    "shredded: the key's bytes are in no file",
    "honey: a key that was shown is told of",
    "honey: a row that was opened is told of",
    "backed up, and brought back into a scratch database",
    "a backup with one bit changed: refused",
    "a backup of another key ring: refused",
    "restored: everybody else's rows open",
    "restored: who was shredded meanwhile stays so",
    "no text in any file",
]


def test_the_selftest_finds_every_promise_kept(tmp_path):
    said = json.loads(shell("doorward vault selftest --json", tmp_path))
    assert [check["name"] for check in said["checks"]] == CHECKS
    assert [check for check in said["checks"] if not check["is_met"]] == []
    assert said["ok"] is True
    assert list(tmp_path.iterdir()) == []


def test_it_prints_a_table_with_a_line_for_each_check(tmp_path):
    said = shell("COLUMNS=160 doorward vault selftest", tmp_path)
    lines = [line.split("│")[1:4] for line in said.splitlines() if line.startswith("│")]
    assert [line[0].strip() for line in lines] == CHECKS
    assert {line[1].strip() for line in lines} == {"ok"}


def test_a_promise_that_is_broken_fails_the_command(monkeypatch):
    async def clears_nothing(self):
        return 1

    monkeypatch.setattr(Shredding, "clear", clears_nothing)
    done = CliRunner().invoke(app, ["vault", "selftest", "--json"])
    failed = [check["name"] for check in json.loads(done.stdout)["checks"] if not check["is_met"]]
    assert done.exit_code == 1
    assert "shredded: the key's bytes are in no file" in failed
    assert "restored: who was shredded meanwhile stays so" in failed


def test_a_rotation_that_loses_a_key_fails_the_command(monkeypatch):
    reseal = Rotation._reseal_people

    def drops(self, connection, subjects):
        number = reseal(self, connection, subjects)
        selftest_keys.rows.drop_versions(connection, subjects[0], 10**4)
        return number

    monkeypatch.setattr(Rotation, "_reseal_people", drops)
    done = CliRunner().invoke(app, ["vault", "selftest", "--json"])
    failed = [check["name"] for check in json.loads(done.stdout)["checks"] if not check["is_met"]]
    assert done.exit_code == 1
    assert "rotation: went to the end" in failed
