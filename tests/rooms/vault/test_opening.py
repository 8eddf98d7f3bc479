"""The first start makes one ring; every later start takes exactly that one, and refuses without touching anything."""

import asyncio
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import psycopg
import pytest

from doorward.config import Config
from doorward.edge.app import build_letters
from doorward.hall.errors import DoorwardError, VaultLockedError
from doorward.house import House
from doorward.vault import ringfile
from doorward.vault.errors import (
    DamagedRingError,
    KeyRingError,
    NewerRingError,
    RingMissingError,
    WeakPassphraseError,
    WrongKeyError,
    WrongRingError,
)
from doorward.vault.locks import key_file

SECRET = secrets.token_urlsafe(48)


def config(directory: Path, url: str, **vault: object) -> Config:
    stores = {"data_directory": str(directory), "database": url, "upgrades_at_start": True}
    return msgspec.convert({"secret": SECRET, "stores": stores, "vault": vault}, Config)


async def opened(directory: Path, url: str, **vault: object) -> str:
    house = await House.open(config(directory, url, **vault), build_letters(), for_commands=True)
    ring_id = house.stores.vault.ring_id
    await house.close()
    return ring_id


def everything(directory: Path, url: str) -> dict[str, object]:
    """All bytes of the files, and all rows."""
    found: dict[str, object] = {
        str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file() and path.stat().st_size
    }
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (name,) in names:
                found[name] = sorted(map(repr, connection.execute(f'SELECT *, xmin FROM "{name}"').fetchall()))
    return found


@pytest.fixture
def url(database_url: str, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'data' / 'doorward.db'}" if database_url.startswith("sqlite") else database_url


def lost(directory: Path) -> None:
    (directory / "keyring.json").unlink()


def key_lost(directory: Path) -> None:
    (directory / "keyring.key").unlink()


def cut(directory: Path) -> None:
    path = directory / "keyring.json"
    path.write_bytes(path.read_bytes()[:200])


def flipped(directory: Path) -> None:
    path = directory / "keyring.json"
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format" :1'))


def newer(directory: Path) -> None:
    path = directory / "keyring.json"
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 2, "more": []'))


def foreign(directory: Path) -> None:
    lost(directory)
    ringfile.make(directory / "keyring.json", [key_file.of_file(directory / "keyring.key")])


def wrong_key(directory: Path) -> None:
    (directory / "keyring.key").write_text(secrets.token_hex(32))


def no_key(directory: Path) -> None:
    (directory / "keyring.key").write_text("hello\n")


def seen_by_others(directory: Path) -> None:
    (directory / "keyring.key").chmod(0o644)


def changed_by_others(directory: Path) -> None:
    (directory / "keyring.json").chmod(0o666)


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (lost, RingMissingError), (key_lost, KeyRingError), (cut, DamagedRingError), (flipped, DamagedRingError),
        (newer, NewerRingError), (foreign, WrongRingError), (wrong_key, WrongKeyError), (no_key, KeyRingError),
        (seen_by_others, KeyRingError), (changed_by_others, KeyRingError),
    ],
)  # fmt: skip
async def test_a_start_without_its_ring_refuses_and_touches_nothing(
    tmp_path: Path, url: str, harm: Callable[[Path], None], error: type[KeyRingError]
) -> None:
    directory = tmp_path / "data"
    ring_id = await opened(directory, url)
    assert await opened(directory, url) == ring_id
    harm(directory)
    before = everything(tmp_path, url)
    with pytest.raises(error) as caught:
        await opened(directory, url)
    assert caught.value.advice.startswith("Nothing was changed.")
    assert everything(tmp_path, url) == before


async def test_a_start_with_another_lock_than_the_rings_is_told_which(tmp_path: Path, sqlite_url: str) -> None:
    await opened(tmp_path, sqlite_url)
    with pytest.raises(VaultLockedError):
        await opened(tmp_path, sqlite_url, unlock="passphrase")
    with pytest.raises(WrongKeyError, match="no lock of the kind"):
        await opened(tmp_path, sqlite_url, unlock="environment", key=secrets.token_hex(32))
    with pytest.raises(KeyRingError, match="there are environment, key-file"):
        await opened(tmp_path, sqlite_url, unlock="cloud")


@pytest.mark.parametrize(
    ("vault", "error"),
    [
        ({"unlock": "environment"}, WrongKeyError),
        ({"unlock": "environment", "key": "ab" * 32}, KeyRingError),
        ({"unlock": "passphrase", "passphrase": "letmein2026"}, WeakPassphraseError),
        ({"unlock": "passphrase"}, WrongKeyError),
        ({"unlock": "pkcs11"}, KeyRingError),
    ],
)
async def test_a_first_start_without_a_good_key_makes_nothing(
    tmp_path: Path, vault: dict[str, object], error: type[DoorwardError]
) -> None:
    directory = tmp_path / "data"
    with pytest.raises(error):
        await opened(directory, f"sqlite:///{directory / 'doorward.db'}", **vault)
    assert everything(tmp_path, "") == {}


@pytest.mark.parametrize(
    "vault",
    [
        {"unlock": "environment", "key": "GmxvYtcFNEA1i0xVnzJ6zZ0GmC2rV9p8sJ4eK7uQw1A="},
        {"unlock": "passphrase", "passphrase": "seven purple walrus engines at dawn"},
    ],
)
async def test_each_lock_opens_what_it_has_made(tmp_path: Path, sqlite_url: str, vault: dict[str, object]) -> None:
    ring_id = await opened(tmp_path, sqlite_url, **vault)
    assert await opened(tmp_path, sqlite_url, **vault) == ring_id
    assert not (tmp_path / "keyring.key").exists()


async def test_two_machines_that_start_at_once_on_one_database(tmp_path: Path, postgresql_url: str) -> None:
    """Each makes a ring; the database takes one, and the other machine refuses."""
    answers = await asyncio.gather(
        *(opened(tmp_path / name, postgresql_url) for name in ("one", "two")), return_exceptions=True
    )
    rings = [answer for answer in answers if isinstance(answer, str)]
    assert len(rings) == 1
    assert [type(answer) for answer in answers if not isinstance(answer, str)] == [WrongRingError]


STARTER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_opening import opened
directory = Path({directory!r})
print(asyncio.run(opened(directory, {url!r})))
"""


def starter(directory: Path, url: str, patch: str = "") -> subprocess.Popen[str]:
    text = patch + STARTER.format(here=str(Path(__file__).parent), directory=str(directory), url=url)
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_that_start_at_once_make_one_ring(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    processes = [starter(directory, f"sqlite:///{directory / 'doorward.db'}") for _ in range(3)]
    rings = [process.communicate(timeout=120)[0].split()[-1] for process in processes]
    assert len(set(rings)) == 1
    assert rings[0].startswith("rng_")


KILL = """
import os, signal
from pathlib import Path
import doorward.vault.privatefile as privatefile, doorward.vault.opening as opening
real, count = os.fsync, [0]
def fsync(handle):
    count[0] += 1
    if count[0] == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
os.fsync = fsync
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_a_first_start_killed_at_any_write_leaves_nothing_that_does_not_start(tmp_path: Path, at: int) -> None:
    """The writes before the rows: the key's file, its directory, the ring's file, its directory."""
    directory = tmp_path / "data"
    url = f"sqlite:///{directory / 'doorward.db'}"
    process = starter(directory, url, KILL.format(at=at))
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert not (directory / "doorward.db").exists()
    ring_id = await opened(directory, url)
    assert await opened(directory, url) == ring_id


async def test_another_opening_in_this_process_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """A command beside the server must not take SQLite's log away from under it."""
    directory = tmp_path / "data"
    url = f"sqlite:///{directory / 'doorward.db'}"
    house = await House.open(config(directory, url), build_letters(), for_commands=True)
    try:
        await opened(directory, url)
        process = starter(directory, url)
        output, problem = await asyncio.to_thread(process.communicate, timeout=120)
        assert process.returncode == 0, problem
        assert output.strip() == house.stores.vault.ring_id
        assert directory / "doorward.db-wal" in list(directory.iterdir())
    finally:
        await house.close()
