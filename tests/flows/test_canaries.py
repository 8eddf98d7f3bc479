"""Nothing that is secret or personal lies in clear after a siege: logs, files, errors, metrics, a crash."""

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from acceptance.running import environment, running, shell
from authorities import free_port
from doorward.config import Config, load
from doorward.hall.clock import SystemClock
from doorward.siege.canaries import Search, Searcher, read_canaries
from doorward.stores.sql import Database
from doorward.vault import rotate_tables as rows
from doorward.vault import tables
from doorward.vault.opening import open_vault
from flows.conftest import Door, served

MASTER = "K3yc4n4ry-Zq8vR2xL7mN5bT9wJ6pH1sD4fG0aXcVu"
PROMPT = "a canary in the coal mine sang of 4711 doors"
UPSTREAM_KEY = "sk-canary-upstream-9182736455"


@pytest.mark.slow
def test_after_a_siege_and_a_crash_no_secret_lies_in_clear(tmp_path):
    house = tmp_path / "house"
    settings = {
        "DOORWARD_SECRET": MASTER,
        "DOORWARD_SERVER_LOG_LEVEL": "debug",
        "DOORWARD_SERVER_TRUSTED_PROXIES": "127.0.0.0/8",
        "DOORWARD_UPSTREAM_API_KEY": UPSTREAM_KEY,
        "DOORWARD_UPSTREAM_SIMULATOR_FAULTS": "error:0.05,cut:0.05",
        "DOORWARD_UPSTREAM_RECORDING": "on",
    }
    with served(house, ends=(-signal.SIGABRT,), **settings) as door:
        person = door.visitor()
        person.sign_up(password="a canary password 9182")
        body = {"model": "sim-small", "messages": [{"role": "user", "content": PROMPT}]}
        for _ in range(5):
            person.call("POST", "/v1/chat/completions", json=body, credential=person.session)
        for broken in (b"{", b"\xff\xfe", json.dumps({"email": person.email, "password": [PROMPT]}).encode()):
            requests.post(f"{door.url}/api/v1/signup", broken, headers={"Content-Type": "application/json"}, timeout=20)
        data = house / "doorward-data"
        values = tmp_path / "values.json"
        key_file = data / "keyring.key"
        backup = json.loads(door.command("backup spare.dwbackup --json"))["path"]
        export(door)
        planted = keys_of(house, MASTER) | {
            "master secret": MASTER, "prompt": PROMPT, "upstream API key": UPSTREAM_KEY, "admin API key": door.admin_key,
            "key file": "hex:" + key_file.read_text().strip(), "mail address": person.email,
            "password": "a canary password 9182", "session token": person.session, "device token": person.device,
        }  # fmt: skip
        values.write_text(json.dumps(planted))
        first = _siege(door.url, door.admin_key, house, key_file, values, tmp_path / "hits.json")
        assert first["hits"] == []
        assert len(first["kinds"]) >= 16
        assert (house / backup).stat().st_size > 1_000
        os.kill(_process_of(house), signal.SIGABRT)
    assert found(planted, house, tmp_path, key_file).hits == []
    assert [path for path in house.rglob("core*") if path.is_file()] == []


@pytest.mark.slow
def test_passwords_of_the_stores_lie_nowhere_while_they_are_lost(tmp_path, postgresql_url):
    house, at = tmp_path / "house", urlsplit(postgresql_url)
    host = at.netloc.rpartition("@")[2]
    user = at.username or ""
    planted = {"database password": "d4t4b4se-canary-5566", "SMTP password": "sm7p-canary-7788"}
    house.mkdir()
    with ExitStack() as stack:
        port = stack.enter_context(refusing_mail_server())
        settings = {
            "DOORWARD_SECRET": MASTER,
            "DOORWARD_STORES_DATABASE": at._replace(netloc=f"{user}:{planted['database password']}@{host}").geturl(),
            "DOORWARD_MAIL_SMTP_URL": f"smtp://door:{planted['SMTP password']}@127.0.0.1:{port}",
            "DOORWARD_SERVER_LOG_LEVEL": "debug",
        }
        (house / "upgrade.json").write_text(shell("doorward db upgrade --json", house, **settings))
        door = stack.enter_context(served(house, **settings))
        export(door)
        person = door.visitor()
        assert person.begin(password="a canary password 9182").status_code < 400
        with lost(postgresql_url):
            for _ in range(5):
                person.begin({"ticket": "a", "proof": "b"})
                requests.get(f"{door.url}/readyz", timeout=20)
                requests.get(f"{door.url}/metrics", timeout=20)
            broken = subprocess.run(
                ["doorward", "recordings", "list", "--json"],
                env=environment(**door.settings), cwd=house, capture_output=True, timeout=60, check=False,
            )  # fmt: skip
            assert broken.returncode == 1
            (house / "broken.txt").write_bytes(broken.stdout + broken.stderr)
    assert (
        found(planted | {"mail address": person.email, "password": "a canary password 9182"}, house, tmp_path).hits
        == []
    )


def test_the_key_of_the_certificate_lies_in_its_file_only(tmp_path):
    with running(tmp_path, "serve", DOORWARD_TLS_MODE="local", DOORWARD_SERVER_LOG_LEVEL="debug") as url:
        local = tmp_path / "doorward-data" / "tls" / "local"
        authority = str(local / "authority.pem")
        assert requests.get(f"{url}/readyz", verify=authority, timeout=20).status_code == 200
        with socket.create_connection(("127.0.0.1", urlsplit(url).port), timeout=20) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            raw.recv(1_000)
        shell("doorward backup spare.dwbackup --json; doorward config show --json > config.json", tmp_path)
        keys = {
            name: load_pem_private_key((local / name).read_bytes(), None) for name in ("key.pem", "authority-key.pem")
        }
        planted = {
            name: "hex:" + key.private_numbers().private_value.to_bytes(32, "big")[12:].hex()  # on one line of PEM
            for name, key in keys.items()
        }
    assert found(planted, tmp_path, tmp_path.parent, *(local / name for name in keys)).hits == []
    assert len(found(planted, local, tmp_path.parent).hits) == 2, "the search finds them where they are meant to be"


def test_with_recording_off_no_word_of_a_chat_is_written(tmp_path):
    with served(tmp_path / "house", DOORWARD_SERVER_LOG_LEVEL="debug") as door:
        person = door.visitor()
        person.sign_up()
        planted = {"prompt": PROMPT}
        for number, streams in enumerate((True, False)):
            body = {"model": "sim-small", "stream": streams, "messages": [{"role": "user", "content": PROMPT}]}
            answer = person.call("POST", "/v1/chat/completions", json=body, credential=person.session)
            assert answer.status_code == 200
            said = _said(answer.text, streams=streams)
            assert len(said) > 20
            planted[f"answer {number}"] = said[:60]
        door.command("backup spare.dwbackup --json")
        assert json.loads(door.command("recordings list --json")) == {"recordings": []}
    assert found(planted, tmp_path / "house", tmp_path).hits == []


def _said(text: str, *, streams: bool) -> str:
    if not streams:
        return json.loads(text)["choices"][0]["message"]["content"]
    events = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:") and "[DONE]" not in line]
    return "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])


def found(planted: dict[str, str], where: Path, scratch: Path, *excepted: Path) -> Search:
    """What a search of all files finds, in every form."""
    values = scratch / "planted.json"
    values.write_text(json.dumps(planted))
    searcher = Searcher(read_canaries(values))
    searcher.read_files([where], excepted)
    return searcher.outcome()


def export(door: Door) -> None:
    """Write what commands say as JSON beside the other files."""
    folder = door.directory / "exports"
    folder.mkdir()
    listed = f"keys list --email {door.visitor().email}"
    for words in (
        "config show",
        "vault status",
        "posture show",
        "recordings list",
        "tls status",
        "vault honey list",
        listed,
    ):
        said = subprocess.run(
            ["doorward", *words.split(), "--json"],
            env=environment(**door.settings), cwd=door.directory, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        (folder / f"{words}.json").write_bytes(said.stdout + said.stderr)


def keys_of(house: Path, secret: str) -> dict[str, str]:
    """The keys that the vault of a house has in memory while it is open."""
    config = load(None, {"DOORWARD_SECRET": secret, "DOORWARD_STORES_DATA_DIRECTORY": str(house / "doorward-data")})
    return asyncio.run(_keys_of(config))


async def _keys_of(config: Config) -> dict[str, str]:
    url = config.stores.database_url()
    vault = await open_vault(config.vault, config.stores.data_directory, url, SystemClock())
    database = Database.open(url, vault)
    try:
        (sealed, *_) = await database.read(tables.all_keks)
        people = await database.read(lambda c: rows.wrapped_before(c, 2, 1))
        key = await database.read(lambda c: vault.keks.of(c, people[0].kek_version))
    finally:
        await database.close()
    ring, one = vault.ring, people[0]
    raw = {
        "key-encryption key": ring.open_kek(sealed.version, sealed.sealed),
        "data key": key.unwrap(one.subject, one.version, one.wrapped),
        "key ring": ring.kek_root,
        "index root": ring.index_root,
        "signing root": ring.signing_root,
        "backup root": ring.backup_root,
    }
    return {name: f"hex:{value.hex()}" for name, value in raw.items()}


@contextmanager
def lost(url: str) -> Iterator[None]:
    """Nobody gets to the database meanwhile, and who is there is thrown out."""
    name = urlsplit(url).path[1:]
    with psycopg.connect(urlsplit(url)._replace(path="/postgres").geturl(), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


@contextmanager
def refusing_mail_server() -> Iterator[int]:
    """A mail server on loopback that knows nobody's password; gives its port."""

    def refuses(*_: object) -> AuthResult:
        return AuthResult(success=False)

    control = Controller(
        object(),
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=refuses,
        auth_require_tls=False,
    )
    control.start()
    try:
        yield control.port
    finally:
        control.stop()


def _siege(url: str, key: str, house: Path, key_file: Path, values: Path, hits: Path) -> dict:
    words = ["doorward", "siege", "--target", url, "--scenario", "smoke", "--seconds", "6", "--canaries", str(house)]
    words += ["--canaries-except", str(key_file), "--canary-values", str(values), "--canaries-json", str(hits)]
    shell = environment(DOORWARD_SIEGE_ADMIN_KEY=key)
    done = subprocess.run(words, env=shell, capture_output=True, text=True, timeout=180, check=False, cwd=house.parent)
    assert hits.exists(), done.stderr + done.stdout
    return json.loads(hits.read_text())


def _process_of(directory: Path) -> int:
    for entry in Path("/proc").iterdir():
        try:
            is_here = entry.name.isdigit() and (entry / "cwd").readlink() == directory
            if is_here and b"\0serve\0" in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError("no server")
