"""The nginx page is run as it stands: only its ports are changed and TLS is left out."""

import http.client
import json
import re
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

from acceptance.running import environment, program, running

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "nginx-forward-auth.md"
pytestmark = pytest.mark.nginx


@dataclass
class Front:
    """nginx as it listens, and a key that Doorward made."""

    url: str
    key: str

    def get(self, path: str, **headers: str) -> tuple[int, Message, bytes]:
        """Status, headers and body of an answer."""
        request = urllib.request.Request(self.url + path, headers=headers)  # a loopback URL
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def front(tmp_path_factory) -> Iterator[Front]:
    """A simulated AI service and a Doorward, with nginx before both as the page has it."""
    nginx = program("nginx", "/usr/sbin")
    directory = tmp_path_factory.mktemp("nginx")
    trust = {"DOORWARD_SERVER_TRUSTED_PROXIES": "127.0.0.1/32"}
    with running(directory, "simulate") as service, running(directory, "serve", **trust) as door:
        port = free_port()
        (block,) = re.findall(r"^```nginx\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        for written, real in {
            "127.0.0.1:8000": service.split("/")[2],
            "127.0.0.1:8080": door.split("/")[2],
            "listen 443 ssl;": f"listen 127.0.0.1:{port};",
        }.items():
            assert written in block
            block = block.replace(written, real)
        temporary = "".join(
            f"{name}_temp_path {directory};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        settings = directory / "nginx.conf"
        settings.write_text(
            f"pid {directory}/pid; error_log {directory}/error.log; worker_processes 1;\n"
            f"events {{}}\nhttp {{ access_log off;\n{temporary}{block}}}\n"
        )
        command = [nginx, "-p", str(directory), "-c", str(settings)]
        subprocess.run(command, check=True, timeout=20)  # returns when it listens
        try:
            yield Front(f"http://127.0.0.1:{port}", made_key(directory, door))
        finally:
            subprocess.run([*command, "-s", "stop"], check=True, timeout=20)


def made_key(directory: Path, door: str) -> str:
    """An API key of somebody who came in by the admin link, made beside the running server."""

    def command(*words: str) -> dict[str, str]:
        line = ["doorward", *words, "--email", "ada@example.com", "--json"]
        done = subprocess.run(line, cwd=directory, env=environment(), check=True, capture_output=True, timeout=60)
        return json.loads(done.stdout)

    link = urllib.parse.urlsplit(command("admin", "link")["link"])
    opened = http.client.HTTPConnection(door.split("/")[2], timeout=20)
    opened.request("POST", link.path)
    assert opened.getresponse().status == 303
    opened.close()
    return command("keys", "create", "--name", "nginx", "--scope", "chat", "--scope", "models")["key"]


def test_a_stranger_does_not_pass(front):
    status, headers, _ = front.get("/v1/models")
    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Bearer")


def test_somebody_who_belongs_passes(front):
    status, _, body = front.get("/v1/models", Authorization=f"Bearer {front.key}")
    assert status == 200
    assert json.loads(body)["data"]


def test_doorwards_own_pages_are_reached(front):
    status, _, body = front.get("/signup", Accept="text/html")
    assert status == 200
    assert b"ticket" in body


def test_the_question_is_not_for_outsiders(front):
    assert front.get("/authorize", Authorization=f"Bearer {front.key}")[0] == 404
