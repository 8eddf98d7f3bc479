"""A backup is whole or not there; a restore takes nothing away that cannot be had back. On both databases."""

import asyncio
import sqlite3
import stat

import psycopg
import pytest
from sqlalchemy import text

import servers
from doorward.hall.ids import new_id
from doorward.stores import copies, pg_tools
from doorward.stores.errors import NothingToCopyError, StoreSetupError, StoreUnavailableError
from doorward.stores.sql import Database, parse_url
from doorward.stores.upgrade import newest_revision, upgrade
from doorward.vault.backups.errors import (
    BackupDamagedError,
    BackupError,
    BackupForeignError,
    BackupTooNewError,
    DrillFailedError,
)
from doorward.vault.backups.making import Source, make
from doorward.vault.backups.recipients import RingRecipient
from doorward.vault.backups.restoring import Care, drill, restore, verify
from doorward.vault.ring import Ring

PUT = text("INSERT INTO outbox_events (transaction_id, event_id, name, at, payload) VALUES (0, :id, 'x', 1.0, '{}')")


async def put(url: str, *event_ids: str) -> None:
    database = Database.open(url)
    await database.write(lambda connection: connection.execute(PUT, [{"id": name} for name in event_ids]))
    await database.close()


async def kept(url: str) -> list[str]:
    database = Database.open(url)
    statement = text("SELECT event_id FROM outbox_events ORDER BY position")
    found = await database.read(lambda connection: list(connection.execute(statement).scalars()))
    await database.close()
    return found


class Place:
    """A database and its ring, and the directory of its backups."""

    def __init__(self, url, folder):
        self.url = url
        self.folder = folder
        self.file = folder / "monday.dwbackup"
        self.ring = Ring.fresh()
        self.key = RingRecipient(self.ring)
        self.source = Source(url, self.ring.ring_id, self.key)

    def make(self, **options):
        return make(self.source, self.file, 1_000.0, **options)

    def restore(self, file=None, replays=lambda connection: None):
        return restore(self.source, file or self.file, self.key, Care(replays, self.folder / "undo.dwbackup"), 2_000.0)

    def drill(self):
        return drill(self.file, self.key, self.url)


@pytest.fixture
async def place(database_url, tmp_path):
    upgrade(database_url)
    await put(database_url, "one", "two")
    return Place(database_url, tmp_path)


@pytest.fixture
def sqlite_place(sqlite_url, tmp_path):
    upgrade(sqlite_url)
    return Place(sqlite_url, tmp_path)


async def test_there_and_back_again_and_undone(place):
    made = place.make()
    assert made.revision == newest_revision()
    assert made.size_bytes == place.file.stat().st_size > 0
    await put(place.url, "three")
    done = place.restore()
    assert (done.revision, done.made_at) == (newest_revision(), 1_000.0)
    assert await kept(place.url) == ["one", "two"]
    place.restore(place.folder / done.undo)
    assert await kept(place.url) == ["one", "two", "three"]


async def test_a_restored_database_can_be_used(place):
    place.make()
    place.restore()
    assert not upgrade(place.url).is_change
    await put(place.url, "three")
    assert await kept(place.url) == ["one", "two", "three"]


async def test_a_backup_is_private_and_leaves_nothing_beside_it(place):
    place.file = place.folder / "backups" / "monday.dwbackup"
    place.make()
    assert [path.name for path in place.file.parent.iterdir()] == ["monday.dwbackup"]
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600


async def test_a_backup_overwrites_only_when_told(place):
    place.file.write_text("precious")
    with pytest.raises(BackupError, match="--force"):
        place.make()
    assert place.file.read_text() == "precious"
    place.make(overwrites=True)
    assert place.restore().revision == newest_revision()


async def test_a_backup_that_fails_leaves_the_old_one(place):
    place.make()
    before = place.file.read_bytes()
    is_sqlite = place.url.startswith("sqlite")
    wrong = "sqlite:////nowhere/at/all.db" if is_sqlite else "postgresql://nobody@127.0.0.1:1/nothing"
    with pytest.raises((StoreSetupError, StoreUnavailableError)):
        make(Source(wrong, place.ring.ring_id, place.key), place.file, 1.0, overwrites=True)
    assert place.file.read_bytes() == before
    assert [path.name for path in place.folder.glob(".*")] == []


async def test_a_backup_is_of_one_moment_while_others_write(place):
    """Money moves between two rows all the time: in the backup, as in every moment, there is none more or less."""
    database = Database.open(place.url)
    begin = text("UPDATE outbox_events SET at = 500")
    take = text("UPDATE outbox_events SET at = at - :some WHERE event_id = 'one'")
    give = text("UPDATE outbox_events SET at = at + :some WHERE event_id = 'two'")
    await database.write(lambda connection: connection.execute(begin))
    moves = 0

    def move(connection) -> None:
        connection.execute(take, {"some": 7})
        connection.execute(give, {"some": 7})

    async def keep_moving() -> None:
        nonlocal moves
        while not made.done():
            await database.write(move)
            await database.write(lambda connection, name=f"n-{moves}": connection.execute(PUT, {"id": name}))
            moves += 1

    made = asyncio.ensure_future(asyncio.to_thread(place.make))
    await asyncio.gather(keep_moving(), made)
    await database.close()
    place.restore()
    database = Database.open(place.url)
    found = text("SELECT event_id, at FROM outbox_events WHERE event_id IN ('one', 'two')")
    money = await database.read(lambda connection: dict(connection.execute(found).all()))
    await database.close()
    assert sum(money.values()) == 1_000
    arrived = [name for name in await kept(place.url) if name.startswith("n-")]
    assert arrived == [f"n-{number}" for number in range(len(arrived))]
    done = (money["two"] - 500) / 7
    assert done in {len(arrived), len(arrived) + 1}
    assert len(arrived) <= moves


async def test_a_drill_brings_all_rows_back_and_changes_none(place):
    place.make()
    await put(place.url, "three")
    done = place.drill()
    assert (done.rows >= 2, done.tables > 10) == (True, True)
    assert await kept(place.url) == ["one", "two", "three"]
    assert [path.name for path in place.folder.iterdir() if "drill" in path.name] == []


async def test_a_drill_finds_rows_that_are_not_what_they_were(place, monkeypatch):
    """The manifest is told lies: as if rows had been lost or changed between the database and the file."""
    told = copies.prints_of_file if place.url.startswith("sqlite") else pg_tools.prints

    def lying(subject):
        prints = told(subject)
        number, digest = prints["outbox_events"]
        return prints | {"outbox_events": (number + 1, digest), "no_such_table": (0, "")}

    with monkeypatch.context() as patch:
        patch.setattr(copies, "prints_of_file", lying)
        patch.setattr(pg_tools, "prints", lying)
        place.make()
    assert verify(place.file, place.key).manifest.tables["outbox_events"].rows == 3
    with pytest.raises(DrillFailedError, match="no_such_table, outbox_events"):
        place.drill()


async def test_a_restore_is_refused_while_a_server_runs(place):
    place.make()
    database = Database.open(place.url)
    await database.ping()
    with pytest.raises(StoreUnavailableError, match=r"in use|is running"):
        place.restore()
    await database.close()
    assert place.restore().revision


@pytest.mark.parametrize("content", [b"", b"nonsense", b"SQLite format 3\x00" + b"\x00" * 5000, b"doorward-backup\n"])
async def test_what_is_no_backup_changes_nothing(place, content):
    place.file.write_bytes(content)
    with pytest.raises(BackupError):
        place.restore()
    with pytest.raises(BackupError):
        place.restore(place.folder / "absent")
    assert await kept(place.url) == ["one", "two"]


async def test_a_backup_cut_off_in_the_middle_changes_nothing(place):
    place.make()
    place.file.write_bytes(place.file.read_bytes()[: place.file.stat().st_size // 2])
    with pytest.raises(BackupDamagedError):
        place.restore()
    assert await kept(place.url) == ["one", "two"]


async def test_another_instances_backup_is_refused(place):
    place.make()
    stranger = Ring.fresh()
    with pytest.raises(BackupForeignError):
        restore(
            Source(place.url, stranger.ring_id, place.key), place.file, RingRecipient(stranger),
            Care(lambda connection: None, place.folder / "undo"), 1.0,
        )  # fmt: skip
    with pytest.raises(BackupForeignError):  # who can open it, but has another ring: nobody could read the rows
        restore(
            Source(place.url, stranger.ring_id, place.key), place.file, place.key,
            Care(lambda connection: None, place.folder / "undo"), 1.0,
        )  # fmt: skip
    assert await kept(place.url) == ["one", "two"]


async def test_a_newer_programs_backup_is_refused(place):
    database = Database.open(place.url)
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    older = text(f"UPDATE alembic_version SET version_num = '{newest_revision()}'")
    await database.write(lambda connection: connection.execute(newer))
    place.make()
    await database.write(lambda connection: connection.execute(older))
    await database.close()
    with pytest.raises(BackupTooNewError):
        place.restore()
    assert await kept(place.url) == ["one", "two"]


async def test_an_older_programs_backup_comes_back_with_its_tables_only(place):
    """Tables of later revisions are gone, so that the upgrade can make them; nobody is shredded in old tables."""
    upgraded = newest_revision()
    database = Database.open(place.url)
    later = text("CREATE TABLE of_a_later_revision (event_id INTEGER PRIMARY KEY)")
    older = text("UPDATE alembic_version SET version_num = '0005'")
    await database.write(lambda connection: connection.execute(older))
    place.make()
    await database.write(lambda connection: connection.execute(later))
    await database.close()
    done = place.restore(replays=lambda connection: pytest.fail("tables may be missing"))
    assert done.revision == "0005" != upgraded
    database = Database.open(place.url)
    with pytest.raises(Exception, match="of_a_later_revision"):
        await database.read(lambda connection: connection.execute(text("SELECT * FROM of_a_later_revision")))
    await database.close()


async def test_shreds_are_replayed_before_the_rows_are_there(place):
    place.make()
    gone = text("DELETE FROM outbox_events WHERE event_id = 'one'")
    place.restore(replays=lambda connection: connection.execute(gone))
    assert await kept(place.url) == ["two"]


async def test_a_damaged_database_is_replaced_and_kept(sqlite_place):
    place = sqlite_place
    await put(place.url, "one")
    place.make()
    file = place.folder / "doorward.db"
    file.write_bytes(b"\xff" * 8192)
    done = place.restore()
    assert await kept(place.url) == ["one"]
    assert (place.folder / done.undo).read_bytes() == b"\xff" * 8192
    assert done.undo.endswith("doorward.db.damaged")


async def test_a_restore_into_nothing_needs_no_undo(sqlite_place):
    place = sqlite_place
    await put(place.url, "one")
    place.make()
    elsewhere = Place(f"sqlite:///{place.folder}/new/place.db", place.folder)
    elsewhere.source = Source(elsewhere.url, place.ring.ring_id, place.key)
    elsewhere.key = place.key
    assert elsewhere.restore().undo == ""
    assert await kept(elsewhere.url) == ["one"]


async def test_a_restore_into_an_empty_database_needs_no_undo(postgresql_server, postgresql_url, tmp_path):
    upgrade(postgresql_url)
    await put(postgresql_url, "one")
    place = Place(postgresql_url, tmp_path)
    place.make()
    with servers.postgresql_database(postgresql_server) as elsewhere:
        empty = Source(elsewhere, place.ring.ring_id, place.key)
        with pytest.raises(NothingToCopyError):
            make(empty, tmp_path / "nothing.dwbackup", 1.0)
        care = Care(lambda connection: None, tmp_path / "undo.dwbackup")
        assert restore(empty, place.file, place.key, care, 2.0).undo == ""
        assert await kept(elsewhere) == ["one"]


async def test_without_its_undo_nothing_is_changed(place, monkeypatch):
    """pg_dump refuses (it is older than the server, say) and psql would not."""
    place.make()
    if place.url.startswith("sqlite"):
        pytest.skip("a SQLite file that cannot be copied is set aside")
    await put(place.url, "three")
    program = pg_tools._program
    monkeypatch.setattr(pg_tools, "_program", lambda name: "/bin/false" if name == "pg_dump" else program(name))
    with pytest.raises(StoreSetupError, match="pg_dump refused"):
        place.restore()
    assert await kept(place.url) == ["one", "two", "three"]


@pytest.mark.parametrize("lines", [0, 20, 500, 700])
async def test_a_tool_that_dies_in_the_middle_of_a_restore_changes_nothing(
    postgresql_url, tmp_path, monkeypatch, lines
):
    """pg_restore is killed after so many lines, also between tables and within the rows of one."""
    upgrade(postgresql_url)
    names = [f"n-{number}" for number in range(1_000)]
    await put(postgresql_url, *names)
    place = Place(postgresql_url, tmp_path)
    place.make()
    await put(postgresql_url, "three")
    program, dying = pg_tools._program, tmp_path / "dying"
    dying.write_text(f'#!/bin/sh\n{program("pg_restore")} "$@" | head -n {lines}\nkill -9 $$\n')
    dying.chmod(0o700)
    monkeypatch.setattr(pg_tools, "_program", lambda name: str(dying) if name == "pg_restore" else program(name))
    with pytest.raises(StoreSetupError, match="pg_restore refused"):
        place.restore()
    assert await kept(postgresql_url) == [*names, "three"]


async def test_what_psql_refuses_is_told_in_its_words(postgresql_url, tmp_path, monkeypatch):
    upgrade(postgresql_url)
    await put(postgresql_url, "one")
    place = Place(postgresql_url, tmp_path)
    place.make()
    monkeypatch.setattr(pg_tools, "_DROP_ALL", "SELECT nonsense")
    with pytest.raises(StoreSetupError, match=r'psql refused: .*"nonsense"'):
        place.restore()
    assert await kept(postgresql_url) == ["one"]


async def test_databases_that_killed_drills_left_are_dropped(postgresql_url, tmp_path):
    """Nobody's old ones go; one that is held by somebody stays, and so does one that is just being made."""
    upgrade(postgresql_url)
    place = Place(postgresql_url, tmp_path)
    place.make()
    left, held, young = new_id("drill", 1_000_000_000.0), new_id("drill", 1_000_000_001.0), new_id("drill")
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        for name in (left, held, young):
            server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        elsewhere = parse_url(postgresql_url).set(database=held).render_as_string(hide_password=False)
        try:
            with psycopg.connect(elsewhere):
                place.drill()
            found = "SELECT datname FROM pg_database WHERE datname LIKE 'drill%' ORDER BY 1"
            assert [name for (name,) in server.execute(found)] == [held, young]
        finally:
            for name in (left, held, young):
                server.execute(f'DROP DATABASE IF EXISTS "{name}"')


async def test_a_backup_of_the_other_kind_of_database_is_refused(sqlite_place, postgresql_url):
    sqlite_place.make()
    with pytest.raises(BackupError, match="a backup of sqlite"):
        restore(
            Source(postgresql_url, sqlite_place.ring.ring_id, sqlite_place.key), sqlite_place.file, sqlite_place.key,
            Care(lambda connection: None, sqlite_place.folder / "undo"), 1.0,
        )  # fmt: skip
    with pytest.raises(BackupError, match="a backup of sqlite"):
        drill(sqlite_place.file, sqlite_place.key, postgresql_url)


async def test_a_program_that_ignores_our_lock_is_noticed_too(sqlite_place):
    place = sqlite_place
    place.make()
    reader = sqlite3.connect(place.folder / "doorward.db", isolation_level=None)
    await put(place.url, "one")
    reader.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="in use"):
        place.restore()
    reader.close()


async def test_a_database_that_is_being_restored_cannot_be_opened(sqlite_place):
    with copies.loading_sqlite(parse_url(sqlite_place.url)), pytest.raises(StoreUnavailableError, match="restored"):
        Database.open(sqlite_place.url)
    await Database.open(sqlite_place.url).close()


def test_missing_tools_are_named_with_the_way_to_get_them(monkeypatch, tmp_path, postgresql_url):
    upgrade(postgresql_url)
    monkeypatch.setattr(pg_tools, "_DEBIAN", "nowhere/*")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreSetupError, match="apt install postgresql-client"):
        Place(postgresql_url, tmp_path).make()
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_on_no_command_line(monkeypatch, tmp_path):
    seen = []

    def popen(command, **options):
        seen.append((command, options["env"].get("PGPASSWORD")))
        raise FileNotFoundError(2, "no such program")

    monkeypatch.setattr(pg_tools.subprocess, "Popen", popen)
    monkeypatch.setattr(pg_tools, "refuse_if_used", lambda url: None)
    with pytest.raises(FileNotFoundError) as caught:
        pg_tools.restore(parse_url("postgresql://door:hunter2@127.0.0.1:1/nothing"), [])
    ((command, password),) = seen
    assert password == "hunter2"
    assert "hunter2" not in " ".join(command) + str(caught.value)
