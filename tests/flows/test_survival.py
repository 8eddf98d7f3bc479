"""What was promised is kept: over a killed process, a second node, and an orderly stop."""

import os
import secrets
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from flows.conftest import served
from flows.visitor import Visitor


def test_every_confirmed_sign_up_outlives_kill_9(tmp_path):
    settings = {"DOORWARD_SECRET": secrets.token_urlsafe(48)}
    confirmed = []
    with served(tmp_path, is_killed=True, **settings) as door:
        process_id = _server_of(door.directory)
        visitors = [door.visitor() for _ in range(40)]

        def sign_up(visitor: Visitor) -> None:
            try:
                confirmed.append(visitor.sign_up()["session"])
            except (requests.ConnectionError, requests.ReadTimeout):
                return  # was not answered: no promise was made
            if len(confirmed) == 12:
                os.kill(process_id, signal.SIGKILL)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(sign_up, visitors))
        assert len(confirmed) >= 12
    with served(tmp_path, **settings) as door:
        for session in confirmed:
            assert door.visitor().call("GET", "/api/v1/account", credential=session).status_code == 200


@pytest.mark.postgresql
@pytest.mark.redis
def test_two_nodes_are_one_door(open_door, postgresql_url, redis_url):
    settings = {
        "DOORWARD_SECRET": secrets.token_urlsafe(48),
        "DOORWARD_STORES_DATABASE": postgresql_url,
        "DOORWARD_STORES_COUNTERS": redis_url,
        "DOORWARD_STORES_UPGRADES_AT_START": "true",
    }
    one = open_door(**settings)
    ring = str(one.directory / "doorward-data" / "keyring.json")  # in earnest: copied to the other machine
    two = open_door(**settings, DOORWARD_VAULT_RING=ring)
    person = one.visitor()
    paid = person.paid()
    begun = person.begin(paid)
    assert begun.status_code == 202
    again = two.visitor().begin(paid)
    assert [reason["code"] for reason in again.json()["reasons"]] == ["proof.spent"]
    person.url = two.url
    made = person.confirm(begun.json()["pending"], person.code())
    assert made.status_code == 201, made.text
    person.session = made.json()["session"]
    person.url = one.url
    assert person.chat(person.session).status_code == 200
    key = person.make_key("chat")
    person.url = two.url
    assert person.chat(key["key"]).status_code == 200
    assert person.call("DELETE", f"/api/v1/keys/{key['key_id']}", credential=person.session).status_code == 204
    person.url = one.url
    assert any(person.chat(key["key"]).status_code == 401 for _ in range(200))


def test_an_orderly_stop_lets_streams_finish(tmp_path):
    with served(tmp_path, DOORWARD_UPSTREAM_SIMULATOR_TOKENS_PER_SECOND="60") as door:
        person = door.visitor()
        person.sign_up()
        stream = person.chat(person.session, stream=True)
        lines = stream.iter_lines()
        first = next(lines)
        os.kill(_server_of(door.directory), signal.SIGTERM)
        rest = [line for line in lines if line]
    assert first.startswith(b"data: ")
    assert rest[-1] == b"data: [DONE]"


def test_no_secret_reaches_the_log(tmp_path):
    with served(tmp_path, DOORWARD_SERVER_LOG_LEVEL="debug") as door:
        person = door.visitor()
        password = "a canary in the coal mine 9182"
        begun = person.begin(password=password)
        code = person.code()
        made = person.confirm(begun.json()["pending"], code).json()
        person.session = made["session"]
        key = person.make_key("chat")["key"]
        person.chat(key)
        person.call("GET", f"/account?leak={key}", credential=person.session)
        person.call("POST", "/api/v1/login", json={"email": person.email, "password": password, **person.paid("login")})
        said = door.log()
    hidden = {"password": password, "session": person.session, "key": key, "device": made["device"], "code": code}
    hidden |= {"mail address": person.email, "prompt": "Hello", "secret": door.settings["DOORWARD_SECRET"]}
    assert '"route":"/api/v1/signup"' in said
    assert [name for name, text in hidden.items() if text in said] == []


def _server_of(directory: Path) -> int:
    """The process that serves from `directory`."""
    found = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _works_in(entry, directory) and b"\0serve\0" in (entry / "cmdline").read_bytes()
    ]
    assert len(found) == 1
    return found[0]


def _works_in(entry: Path, directory: Path) -> bool:
    try:
        return (entry / "cwd").readlink() == directory
    except OSError:  # not ours to look at, or gone by now
        return False
