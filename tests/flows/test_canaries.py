"""Nothing that is secret or personal lies in clear after a siege: logs, files, errors, metrics, a crash."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import requests

from acceptance.running import environment
from flows.conftest import served

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
        planted = {
            "master secret": MASTER, "prompt": PROMPT, "upstream API key": UPSTREAM_KEY, "admin API key": door.admin_key,
            "key file": "hex:" + key_file.read_text().strip(), "mail address": person.email,
            "password": "a canary password 9182", "session token": person.session, "device token": person.device,
        }  # fmt: skip
        values.write_text(json.dumps(planted))
        first = _siege(door.url, door.admin_key, house, key_file, values, tmp_path / "hits.json")
        assert first["hits"] == []
        assert len(first["kinds"]) >= 12
        os.kill(_process_of(house), signal.SIGABRT)
    everything = b"".join(path.read_bytes() for path in house.rglob("*") if path.is_file() and path != key_file)
    assert [kind for kind, value in planted.items() if value.encode() in everything] == []
    assert [path for path in house.rglob("core*") if path.is_file()] == []


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
