"""A served Doorward gets its certificate from a real authority, serves https with it, and changes it under way."""

import http.client
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import authorities
from acceptance.running import environment, running

NAME = "ai.example.com"
PATIENCE_SECONDS = 60


@dataclass
class Door:
    """A running Doorward, and the authority that it orders from."""

    directory: Path
    settings: dict[str, str]
    authority: authorities.Authority
    port: int
    plain_port: int

    def connect(self) -> http.client.HTTPSConnection:
        """A verified connection: the name is the public one, the trust the authority's root alone."""
        trust = ssl.create_default_context(cafile=self.authority.ca_file)
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        connection = http.client.HTTPSConnection(NAME, timeout=PATIENCE_SECONDS)
        connection.sock = trust.wrap_socket(raw, server_hostname=NAME)
        return connection

    def serial(self) -> str:
        """The serial number of what new connections are shown; raises until that is the authority's."""
        connection = self.connect()
        try:
            return connection.sock.getpeercert()["serialNumber"]
        finally:
            connection.close()

    def until_shown(self, *former: str) -> str:
        """The serial number, once it is a trusted one and none of the former."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                serial = self.serial()
            except ssl.SSLCertVerificationError:
                serial = ""
            if serial and serial not in former:
                return serial
            assert time.monotonic() < give_up, (self.directory / "serve.log").read_text()
            time.sleep(0.2)

    def command(self, *words: str) -> dict[str, object]:
        """What a command beside the server says."""
        line = ["doorward", *words, "--json"]
        shell = environment(**self.settings)
        done = subprocess.run(
            line, cwd=self.directory, env=shell, check=False, capture_output=True, text=True, timeout=90
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout)


def values_of(authority: authorities.Authority, plain_port: int) -> dict[str, str]:
    """The settings as environment variables."""
    acme = {
        f"DOORWARD_ACME_{key}".upper(): ",".join(value) if isinstance(value, tuple) else str(value).lower()
        if isinstance(value, bool) else str(value)
        for key, value in authority.settings(NAME).items()
    }  # fmt: skip
    server = {"DOORWARD_SERVER_PUBLIC_URL": f"https://{NAME}", "DOORWARD_SERVER_REDIRECT_PORT": str(plain_port)}
    return acme | server


@pytest.fixture(scope="module")
def door(tmp_path_factory) -> Iterator[Door]:
    """A first start: there is no certificate yet."""
    directory = tmp_path_factory.mktemp("acme")
    with authorities.authority(tmp_path_factory.mktemp("authority")) as authority:
        plain_port = authorities.free_port()
        authority.names.target = plain_port
        settings = values_of(authority, plain_port)
        with running(directory, "serve", **settings) as url:
            assert url.startswith("https://")
            yield Door(directory, settings, authority, int(url.rpartition(":")[2]), plain_port)


def test_the_first_start_orders_a_certificate_and_serves_it(door):
    door.until_shown()
    connection = door.connect()
    connection.request("GET", "/signup", headers={"Accept": "text/html"})
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("Strict-Transport-Security").startswith("max-age=")
    assert b"ticket" in answer.read()
    connection.close()
    assert door.command("tls", "status")["files"]["names"] == [NAME]


def test_a_new_certificate_drops_no_connection(door):
    first = door.until_shown()
    kept = door.connect()
    kept.request("GET", "/healthz")
    assert kept.getresponse().read()
    before = kept.sock
    ordered = door.command("tls", "order", "--force")
    assert ordered["ok"], ordered
    assert door.until_shown(first) != first
    kept.request("GET", "/healthz")
    answer = kept.getresponse()
    assert (answer.status, answer.will_close) == (200, False)
    answer.read()
    assert kept.sock is before
    assert before.getpeercert()["serialNumber"] == first
    kept.close()


def test_an_order_that_is_not_due_is_refused_with_advice(door):
    door.until_shown()
    refused = door.command("tls", "order")
    assert (refused["ok"], refused["error"]["code"]) == (False, "acme.not_due")


def test_a_rehearsal_keeps_nothing(door):
    serial = door.until_shown()
    rehearsed = door.command("tls", "order", "--dry-run")
    assert (rehearsed["ok"], rehearsed["kept"]) == (True, False)
    assert door.serial() == serial


def test_port_80_leads_to_https_only(door):
    connection = http.client.HTTPConnection("127.0.0.1", door.plain_port, timeout=PATIENCE_SECONDS)
    connection.request("GET", "/signup?x=1", headers={"Host": "evil.example"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Location")) == (308, f"https://{NAME}/signup?x=1")
    connection.close()


def test_what_was_revoked_is_replaced(door):
    first = door.until_shown()
    assert door.command("tls", "revoke", "--reason", "key-compromise", "--yes") == {
        "ok": True, "domains": [NAME], "reason": "key-compromise",
    }  # fmt: skip
    assert door.command("tls", "order")["ok"]
    assert door.until_shown(first)


def test_without_a_server_the_command_listens_itself(tmp_path):
    with authorities.authority(tmp_path) as authority:
        plain_port = authorities.free_port()
        authority.names.target = plain_port
        door = Door(tmp_path, values_of(authority, plain_port), authority, 0, plain_port)
        assert door.command("tls", "order")["ok"]
        assert (tmp_path / "doorward-data" / "tls" / "certificate.pem").exists()
        assert (tmp_path / "doorward-data" / "tls" / "key.pem").stat().st_mode & 0o777 == 0o600
