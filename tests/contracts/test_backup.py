"""A backup is whole or not there; a restore takes nothing away that cannot be had back. On both databases."""

import asyncio
import json
import sqlite3
import stat
import subprocess
import sys

import pytest
import typer
from sqlalchemy import text
from typer.testing import CliRunner

from doorward.stores import pg_tools
from doorward.stores.backup import backup, restore
from doorward.stores.commands import register
from doorward.stores.errors import SchemaTooNewError, StoreSetupError, StoreUnavailableError
from doorward.stores.settings import StoresSettings
from doorward.stores.sql import Database
from doorward.stores.upgrade import newest_revision, upgrade


async def put(url: str, *event_ids: str) -> None:
    database = Database.open(url)
    statement = text(
        "INSERT INTO outbox_events (transaction_id, event_id, name, at, payload) VALUES (0, :id, 'x', 1.0, '{}')"
    )
    await database.write(lambda connection: connection.execute(statement, [{"id": name} for name in event_ids]))
    await database.close()


async def kept(url: str) -> list[str]:
    database = Database.open(url)
    statement = text("SELECT event_id FROM outbox_events ORDER BY position")
    found = await database.read(lambda connection: list(connection.execute(statement).scalars()))
    await database.close()
    return found


@pytest.fixture
async def url(database_url):
    upgrade(database_url)
    await put(database_url, "one", "two")
    return database_url


async def test_there_and_back_again_and_undone(url, tmp_path):
    target = tmp_path / "backup"
    made = backup(url, target)
    assert made.revision == newest_revision()
    assert made.size_bytes == target.stat().st_size > 0
    await put(url, "three")
    done = restore(url, target)
    assert done.revision == newest_revision()
    assert await kept(url) == ["one", "two"]
    restore(url, tmp_path / done.undo)
    assert await kept(url) == ["one", "two", "three"]


async def test_a_restored_database_can_be_used(url, tmp_path):
    backup(url, tmp_path / "backup")
    restore(url, tmp_path / "backup")
    assert not upgrade(url).is_change
    await put(url, "three")
    assert await kept(url) == ["one", "two", "three"]


async def test_a_backup_is_private_and_leaves_nothing_beside_it(url, tmp_path):
    folder = tmp_path / "backups"
    backup(url, folder / "backup")
    assert [path.name for path in folder.iterdir()] == ["backup"]
    assert stat.S_IMODE((folder / "backup").stat().st_mode) == 0o600


async def test_a_backup_overwrites_only_when_told(url, tmp_path):
    target = tmp_path / "backup"
    target.write_text("precious")
    with pytest.raises(StoreSetupError, match="--force"):
        backup(url, target)
    assert target.read_text() == "precious"
    backup(url, target, overwrites=True)
    assert restore(url, target).revision == newest_revision()


async def test_a_backup_that_fails_leaves_the_old_one(url, tmp_path):
    target = tmp_path / "backup"
    backup(url, target)
    before = target.read_bytes()
    wrong = "sqlite:////nowhere/at/all.db" if url.startswith("sqlite") else "postgresql://nobody@127.0.0.1:1/nothing"
    with pytest.raises(StoreSetupError):
        backup(wrong, target, overwrites=True)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.glob(".*")] == []


async def test_a_backup_can_be_made_while_people_sign_up(url, tmp_path):
    database = Database.open(url)
    statement = text(
        "INSERT INTO outbox_events (transaction_id, event_id, name, at, payload) VALUES (0, :id, 'x', 1.0, '{}')"
    )
    acknowledged: list[int] = []

    async def sign_up() -> None:
        number = 0
        while not made.done():
            number += 1
            await database.write(lambda connection, n=number: connection.execute(statement, {"id": f"n-{n}"}))
            acknowledged.append(number)

    made = asyncio.ensure_future(asyncio.to_thread(backup, url, tmp_path / "backup"))
    await asyncio.gather(sign_up(), made)
    await database.close()
    restore(url, tmp_path / "backup")
    copied = [name for name in await kept(url) if name.startswith("n-")]
    assert copied == [f"n-{number}" for number in range(1, len(copied) + 1)]  # as of one moment: no gaps
    assert len(copied) <= len(acknowledged)


async def test_a_restore_is_refused_while_a_server_runs(url, tmp_path):
    backup(url, tmp_path / "backup")
    database = Database.open(url)
    await database.ping()
    with pytest.raises(StoreUnavailableError, match=r"in use|is running"):
        restore(url, tmp_path / "backup")
    await database.close()
    assert restore(url, tmp_path / "backup").revision


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"SQLite format 3\x00" + b"\x00" * 5000, b"PGDMP" + b"\x01" * 500]
)
async def test_what_is_no_backup_changes_nothing(url, tmp_path, content):
    source = tmp_path / "source"
    source.write_bytes(content)
    with pytest.raises(StoreSetupError):
        restore(url, source)
    with pytest.raises(StoreSetupError):
        restore(url, tmp_path / "absent")
    assert await kept(url) == ["one", "two"]


async def test_a_backup_cut_off_in_the_middle_changes_nothing(url, tmp_path):
    source = tmp_path / "source"
    backup(url, source)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(StoreSetupError):
        restore(url, source)
    assert await kept(url) == ["one", "two"]


async def test_a_newer_programs_backup_is_refused(url, tmp_path):
    database = Database.open(url)
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    older = text(f"UPDATE alembic_version SET version_num = '{newest_revision()}'")
    await database.write(lambda connection: connection.execute(newer))
    backup(url, tmp_path / "backup")
    await database.write(lambda connection: connection.execute(older))
    await database.close()
    with pytest.raises(SchemaTooNewError):
        restore(url, tmp_path / "backup")
    assert await kept(url) == ["one", "two"]


async def test_a_damaged_database_is_replaced_and_kept(sqlite_url, tmp_path):
    upgrade(sqlite_url)
    await put(sqlite_url, "one")
    backup(sqlite_url, tmp_path / "backup")
    file = tmp_path / "doorward.db"
    file.write_bytes(b"\xff" * 8192)
    done = restore(sqlite_url, tmp_path / "backup")
    assert await kept(sqlite_url) == ["one"]
    assert (tmp_path / done.undo).read_bytes() == b"\xff" * 8192


async def test_a_restore_into_nothing_needs_no_undo(sqlite_url, tmp_path):
    upgrade(sqlite_url)
    await put(sqlite_url, "one")
    backup(sqlite_url, tmp_path / "backup")
    elsewhere = f"sqlite:///{tmp_path}/new/place.db"
    assert restore(elsewhere, tmp_path / "backup").undo == ""
    assert await kept(elsewhere) == ["one"]


async def test_a_program_that_ignores_our_lock_is_noticed_too(sqlite_url, tmp_path):
    upgrade(sqlite_url)
    backup(sqlite_url, tmp_path / "backup")
    reader = sqlite3.connect(tmp_path / "doorward.db", isolation_level=None)
    await put(sqlite_url, "one")
    reader.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="in use"):
        restore(sqlite_url, tmp_path / "backup")
    reader.close()


async def test_a_database_that_is_being_restored_cannot_be_opened(sqlite_url, tmp_path):
    from doorward.stores.sqlite import hold_in_use, release

    upgrade(sqlite_url)
    use = hold_in_use(tmp_path / "doorward.db", is_alone=True)
    with pytest.raises(StoreUnavailableError, match="being restored"):
        Database.open(sqlite_url)
    release(use)
    await Database.open(sqlite_url).close()


def test_missing_tools_are_named_with_the_way_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setattr(pg_tools, "_DEBIAN", "nowhere/*")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreSetupError, match="apt install postgresql-client"):
        backup("postgresql://nobody@127.0.0.1:1/nothing", tmp_path / "backup")


def test_a_password_is_on_no_command_line(monkeypatch, tmp_path):
    seen = []

    def run(command, **options):
        seen.append((command, options["env"].get("PGPASSWORD")))
        return subprocess.CompletedProcess(command, 1, b"", b"no")

    monkeypatch.setattr(pg_tools.subprocess, "run", run)
    with pytest.raises(StoreSetupError) as caught:
        backup("postgresql://door:hunter2@127.0.0.1:1/nothing", tmp_path / "backup")
    ((command, password),) = seen
    assert password == "hunter2"
    assert "hunter2" not in " ".join(command) + caught.value.message


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def doorward(url):
    app = typer.Typer()
    register(app, lambda config: StoresSettings(database=url))

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["db", *arguments])
        return result.exit_code, result.output

    return run


async def test_the_commands_speak_json(doorward, url, tmp_path):
    target = tmp_path / "backup"
    code, output = doorward("upgrade", "--json")
    assert (code, json.loads(output)) == (
        0,
        {"ok": True, "changed": False, "before": newest_revision(), "after": newest_revision()},
    )
    code, output = doorward("backup", str(target), "--json")
    made = json.loads(output)
    assert (code, made["ok"], made["path"], made["size_bytes"]) == (0, True, str(target), target.stat().st_size)
    code, output = doorward("backup", str(target), "--json")
    assert code == 1
    assert json.loads(output)["error"]["code"] == "store.setup"
    assert doorward("backup", str(target), "--force", "--json")[0] == 0
    code, output = doorward("restore", str(target), "--json")
    assert (code, json.loads(output)["revision"]) == (0, newest_revision())


async def test_the_commands_speak_to_people(doorward, tmp_path):
    assert doorward("upgrade") == (0, f"up to date ({newest_revision()})\n")
    code, output = doorward("backup", str(tmp_path / "backup"))
    assert code == 0
    assert "sha256" in output
    code, output = doorward("restore", str(tmp_path / "backup"))
    assert code == 0
    assert "undo: doorward db restore" in output
    code, output = doorward("restore", str(tmp_path / "absent"))
    assert code == 1
    assert "is not a file" in output


@pytest.mark.parametrize("command", ["upgrade", "backup", "restore"])
def test_every_command_has_an_example(command, sqlite_url):
    app = typer.Typer()
    register(app, lambda config: StoresSettings(database=sqlite_url))
    result = CliRunner().invoke(app, ["db", command, "--help"])
    assert f"doorward db {command}" in result.output
    assert "--json" in result.output


KILLED = """
import sys
from pathlib import Path
from doorward.stores import backup as room
room._flush = lambda path: sys.stdout.write("copied\\n") and sys.stdout.flush() or sys.stdin.read()
room.backup(sys.argv[1], Path(sys.argv[2]), overwrites=True)
"""


async def test_a_backup_killed_half_way_leaves_the_old_one(sqlite_url, tmp_path):
    upgrade(sqlite_url)
    target = tmp_path / "backup"
    target.write_text("the old one")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, sqlite_url, str(target),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert await child.stdout.readline() == b"copied\n"
    child.kill()
    await child.wait()
    child.stdin.close()
    assert target.read_text() == "the old one"
    assert len(list(tmp_path.glob(".backup.*"))) == 1
    backup(sqlite_url, target, overwrites=True)
    assert list(tmp_path.glob(".backup.*")) == []  # what the dead one left behind is gone too
