"""What goes wrong with a backup leaves nothing half-written, and no value in clear."""

import asyncio
import errno
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from doorward.accounts import tables as accounts
from doorward.accounts.model import Account
from doorward.hall.model import Lane, Role
from doorward.stores.sql import Database
from doorward.stores.upgrade import upgrade
from doorward.vault.backups.errors import BackupDamagedError, BackupError
from doorward.vault.backups.making import Source, make
from doorward.vault.backups.recipients import RingRecipient
from doorward.vault.backups.restoring import Care, head_of, restore, verify
from doorward.vault.ring import Ring
from rows import open_rows, vault_of

RING = Ring.fresh()
KEY = RingRecipient(RING)

CHILD = """
import resource, sys
from pathlib import Path
from doorward.vault.backups import making
from doorward.hall.errors import DoorwardError
from doorward.vault.backups.recipients import RingRecipient
from doorward.vault.ring import Ring
ring = Ring.fresh()
source = making.Source(sys.argv[1], ring.ring_id, RingRecipient(ring))
def tell(done, total):
    if sys.argv[3] == "wait":
        print("copying", flush=True)
        sys.stdin.read()
if sys.argv[3] != "wait":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    making.make(source, Path(sys.argv[2]), 1.0, overwrites=True, tell=tell)
except DoorwardError as error:
    print(error.message)
"""


async def fill(url: str, number: int) -> None:
    upgrade(url)
    database = Database.open(url)
    put = text(
        "INSERT INTO outbox_events (transaction_id, event_id, name, at, payload) VALUES (0, :id, :noise, 1.0, '{}')"
    )
    noise = random.Random(1)
    rows = [{"id": f"n{n}", "noise": noise.randbytes(200).hex()} for n in range(number)]
    await database.write(lambda connection: connection.execute(put, rows))
    await database.close()


async def child(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )


@pytest.mark.parametrize("limit", [1_000, 100_000, 400_000])
async def test_a_full_disk_leaves_nothing(database_url, tmp_path, limit):
    await fill(database_url, 5_000)
    target = tmp_path / "backups" / "monday.dwbackup"
    target.parent.mkdir()
    target.write_text("the old one")
    done = await child(database_url, str(target), str(limit))
    output, _ = await done.communicate()
    assert b"no room" in output or b"cannot be copied: disk I/O error" in output  # what SQLite makes of such a limit
    assert done.returncode == 0
    assert [path.name for path in target.parent.iterdir()] == ["monday.dwbackup"]
    assert target.read_text() == "the old one"


@pytest.fixture
def tiny(tmp_path):
    """A file system of one megabyte, where tests may mount one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_file_system_without_room_is_named_and_left_as_it_was(database_url, tiny):
    await fill(database_url, 10_000)
    with pytest.raises(BackupError, match="There is no room"):
        make(Source(database_url, RING.ring_id, KEY), tiny / "monday.dwbackup", 1.0)
    assert list(tiny.iterdir()) == []


async def test_a_full_disk_leaves_the_rows_as_they_are(sqlite_url, tmp_path, monkeypatch):
    await fill(sqlite_url, 10)
    source = Source(sqlite_url, RING.ring_id, KEY)
    make(source, tmp_path / "monday.dwbackup", 1.0)
    before = (tmp_path / "doorward.db").read_bytes()

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("doorward.vault.backups.restoring._fill", full)
    with pytest.raises(BackupError, match="There is no room"):
        restore(source, tmp_path / "monday.dwbackup", KEY, Care(lambda connection: None, tmp_path / "undo"), 2.0)
    assert (tmp_path / "doorward.db").read_bytes() == before
    assert list(tmp_path.glob(".*")) == []


async def test_what_a_killed_backup_left_is_taken_away_by_the_next(database_url, tmp_path):
    await fill(database_url, 100)
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "monday.dwbackup").write_text("the old one")
    killed = await child(database_url, str(folder / "monday.dwbackup"), "wait")
    assert await killed.stdout.readline() == b"copying\n"
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    assert (folder / "monday.dwbackup").read_text() == "the old one"
    assert list(folder.glob(".*")) != []
    make(Source(database_url, RING.ring_id, KEY), folder / "tuesday.dwbackup", 1.0)
    assert sorted(path.name for path in folder.iterdir()) == ["monday.dwbackup", "tuesday.dwbackup"]


async def test_what_another_process_is_writing_is_left_alone(database_url, tmp_path):
    await fill(database_url, 100)
    other = await child(database_url, str(tmp_path / "monday.dwbackup"), "wait")
    assert await other.stdout.readline() == b"copying\n"
    make(Source(database_url, RING.ring_id, KEY), tmp_path / "tuesday.dwbackup", 1.0)
    await other.communicate(b"")
    assert other.returncode == 0
    assert verify(tmp_path / "tuesday.dwbackup", KEY).size_bytes
    assert sorted(path.name for path in tmp_path.glob("*.dwbackup")) == ["monday.dwbackup", "tuesday.dwbackup"]


async def test_only_files_of_our_kind_are_taken_away(sqlite_url, tmp_path):
    await fill(sqlite_url, 1)
    ours, others = tmp_path / f".m.dwbackup.{'0' * 16}.unfinished-wal", tmp_path / ".thesis.unfinished"
    for path in (ours, others):
        path.write_text("half")
    make(Source(sqlite_url, RING.ring_id, KEY), tmp_path / "monday.dwbackup", 1.0)
    assert (ours.exists(), others.exists()) == (False, True)


async def test_without_locks_for_directories_nothing_is_taken_away(sqlite_url, tmp_path, monkeypatch):
    await fill(sqlite_url, 1)
    left = tmp_path / f".m.dwbackup.{'0' * 16}.unfinished"
    left.write_text("half")

    def refuses(*_arguments):
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("doorward.stores.copies.fcntl.flock", refuses)
    make(Source(sqlite_url, RING.ring_id, KEY), tmp_path / "monday.dwbackup", 1.0)
    assert left.exists()
    assert verify(tmp_path / "monday.dwbackup", KEY).size_bytes


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    url = f"sqlite:///{folder}/doorward.db"
    upgrade(url)
    make(Source(url, RING.ring_id, KEY), folder / "small.dwbackup", 1.0)
    return folder / "small.dwbackup"


@given(place=st.integers(0, 1 << 20), bit=st.integers(0, 7), cuts=st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_bit_or_a_cut_of_a_real_one_is_found(small, tmp_path, place, bit, cuts):
    content = bytearray(small.read_bytes())
    place %= len(content)
    if cuts:
        del content[place:]
    else:
        content[place] ^= 1 << bit
    changed = tmp_path / "changed.dwbackup"
    changed.write_bytes(content)
    with pytest.raises(BackupError):
        verify(changed, KEY)


def test_a_kept_manifest_of_other_rows_is_found(small, tmp_path):
    """Whoever has the ring could write a backup whose rows are not what it says; that is damaged too."""
    from doorward.vault.backups import container

    file = tmp_path / "odd.dwbackup"
    with file.open("wb") as opened:
        head = head_of(small)
        writer = container.Writer(opened, head, KEY)
        writer.write(container.BODY, b"not what zstd writes")
        writer.finish(container.Manifest(body_bytes=1, tables={}))
    with pytest.raises(BackupDamagedError):
        verify(file, KEY)
    with file.open("wb") as opened:
        writer = container.Writer(opened, head, KEY)
        writer.finish(container.Manifest(body_bytes=1, tables={}))
    with pytest.raises(BackupDamagedError):
        verify(file, KEY)


async def test_nothing_of_the_rows_lies_in_the_file_in_clear(database_url, tmp_path, clock):
    """Not what is sealed in the rows, nor what is not: ids, times and names of tables."""
    upgrade(database_url)
    database = await open_rows(database_url, clock)
    canary = "canary-7f3a9c@example.com"
    account = Account("acc_canary_of_a_row", canary, Lane.EXISTING, Role.MEMBER, clock.now())
    index = vault_of(database).index("accounts.mailbox", canary)
    await database.write(lambda connection: accounts.add_account(connection, account, index))
    await database.close()
    ring = vault_of(database).ring
    target = tmp_path / "backups" / "monday.dwbackup"
    make(Source(database_url, ring.ring_id, RingRecipient(ring)), target, 1.0)
    content = target.read_bytes()
    secrets = [ring.kek_root, ring.index_root, ring.signing_root, ring.backup_root, index]
    words = [canary, "acc_canary_of_a_row", "canary", "accounts", "CREATE TABLE", "vault_data_keys", "SQLite format"]
    for value in [*secrets, *(word.encode() for word in words), *(word.encode("utf-16-le") for word in words)]:
        assert bytes(value) not in content
        assert bytes(value).hex().encode() not in content
