"""The Caddy pages are run as they stand: only addresses are changed, and Caddy's own authority stands for the public one."""

import asyncio
import contextlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from OpenSSL import SSL

import authorities
import streets
from acceptance.running import running
from acceptance.test_docs_nginx import made_key

PAGES = Path(__file__).parents[2] / "docs" / "howto"
NAME = "ai.example.com"
HYBRID = "X25519MLKEM768"
VISITOR = "127.0.0.77"


def block(page: str, kind: str, number: int = 0) -> str:
    """A fenced block of a page."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)[number]


@dataclass
class Front:
    """Caddy as it listens, and a key that Doorward made."""

    port: int
    plain_port: int
    root: Path
    key: str
    door: str

    def shaken(self) -> SSL.Connection:
        """A verified TLS connection of OpenSSL's."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.load_verify_locations(str(self.root))
        context.set_verify(SSL.VERIFY_PEER)
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        raw.settimeout(None)
        connection = SSL.Connection(context, raw)
        connection.set_tlsext_host_name(NAME.encode())
        connection.set_connect_state()
        connection.do_handshake()
        return connection

    @contextlib.contextmanager
    def asked(
        self, method: str, path: str, body: object = None, source: str = "127.0.0.1", **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer to one request over TLS, verified for the public name."""
        trust = ssl.create_default_context(cafile=str(self.root))
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=30, source_address=(source, 0))
        connection = http.client.HTTPSConnection(NAME, timeout=30)
        connection.sock = trust.wrap_socket(raw, server_hostname=NAME)
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json"} | headers)
        try:
            yield connection.getresponse()
        finally:
            connection.close()


@contextlib.contextmanager
def caddy_before(directory: Path, site: str, **written: str) -> Iterator[tuple[int, int, Path]]:
    """Caddy with a page's site, on two ports of ours; its root certificate."""
    port, plain_port = authorities.free_port(), authorities.free_port()
    for name, real in written.items():
        assert name in site
        site = site.replace(name, real)
    options = f"""{{
        admin off
        skip_install_trust
        local_certs
        storage file_system {directory}/storage
        http_port {plain_port}
        https_port {port}
        default_bind 127.0.0.1
    }}
    """
    with authorities.running_caddy(directory, options + site, port, plain_port):
        yield port, plain_port, directory / "storage" / "pki" / "authorities" / "local" / "root.crt"


@pytest.fixture(scope="module")
def front(tmp_path_factory) -> Iterator[Front]:
    """A Doorward as the TLS page sets it, with Caddy before it."""
    directory, caddy = tmp_path_factory.mktemp("door"), tmp_path_factory.mktemp("caddy")
    lines = block("caddy-tls.md", "toml")
    (directory / "doorward.toml").write_text(lines)
    settings = {
        "DOORWARD_UPSTREAM_SIMULATOR_TOKENS_PER_SECOND": "40",
        "DOORWARD_SERVER_METRICS_NETWORKS": f"{VISITOR}/32",
    }
    with running(directory, "serve", **settings) as door:
        address = door.split("/")[2]
        site = block("caddy-tls.md", "caddy")
        with caddy_before(caddy, site, **{"127.0.0.1:8080": address}) as (port, plain_port, root):
            yield Front(port, plain_port, root, made_key(directory, door), door)


def test_the_key_exchange_is_post_quantum(front):
    connection = front.shaken()
    assert connection.get_protocol_version_name() == "TLSv1.3"
    assert connection.get_group_name() == HYBRID
    connection.close()


def test_pages_are_reached_with_hsts_and_secure_cookies(front):
    with front.asked("GET", "/signup", Accept="text/html") as answer:
        assert answer.status == 200
        assert answer.getheader("Strict-Transport-Security").startswith("max-age=")
        assert b"ticket" in answer.read()


def test_plain_http_is_sent_to_https(front):
    connection = http.client.HTTPConnection("127.0.0.1", front.plain_port, timeout=20)
    connection.request("GET", "/signup", headers={"Host": NAME})
    answer = connection.getresponse()
    assert answer.status == 308
    assert answer.getheader("Location").startswith(f"https://{NAME}")
    connection.close()


def test_answers_are_streamed(front):
    """The first piece is here before the last is made."""
    call = {"model": "sim-small", "stream": True, "max_tokens": 60, "messages": [{"role": "user", "content": "Hello"}]}
    with front.asked("POST", "/v1/chat/completions", call, Authorization=f"Bearer {front.key}") as answer:
        assert answer.status == 200, answer.read()
        first = answer.read1(65_536)
        assert first.startswith(b"data:")
        assert b"[DONE]" not in first
        assert b"[DONE]" in answer.read()


async def test_the_visitors_address_arrives_and_claims_do_not(tmp_path):
    """The street behind the page's Caddy, with an application that says whom it sees."""
    trusted = tuple(tomllib.loads(block("caddy-tls.md", "toml"))["server"]["trusted_proxies"])
    async with streets.serving(streets.with_proxies(*trusted)) as site:
        real = {"127.0.0.1:8080": f"127.0.0.1:{site.port}"}
        with caddy_before(tmp_path, block("caddy-tls.md", "caddy"), **real) as (port, plain_port, root):
            front = Front(port, plain_port, root, "", "")

            def seen() -> dict[str, object]:
                claims = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
                with front.asked("GET", "/echo", source=VISITOR, **claims) as answer:
                    return json.loads(answer.read())

            assert (await asyncio.to_thread(seen))["client"][0] == VISITOR


@pytest.fixture(scope="module")
def asking(tmp_path_factory) -> Iterator[Front]:
    """A simulated AI service and a Doorward, with Caddy before both as the page has it."""
    directory, caddy = tmp_path_factory.mktemp("door"), tmp_path_factory.mktemp("caddy")
    trust = {"DOORWARD_SERVER_TRUSTED_PROXIES": "127.0.0.1/32"}
    with running(directory, "simulate") as service, running(directory, "serve", **trust) as door:
        real = {"127.0.0.1:8080": door.split("/")[2], "127.0.0.1:8000": service.split("/")[2]}
        with caddy_before(caddy, block("caddy-forward-auth.md", "caddy"), **real) as (port, plain_port, root):
            yield Front(port, plain_port, root, made_key(directory, door), door)


def test_forward_auth_a_stranger_does_not_pass(asking):
    with asking.asked("GET", "/v1/models") as answer:
        assert answer.status == 401
        assert answer.getheader("WWW-Authenticate").startswith("Bearer")


def test_forward_auth_somebody_who_belongs_passes(asking):
    with asking.asked("GET", "/v1/models", Authorization=f"Bearer {asking.key}") as answer:
        assert answer.status == 200
        assert json.loads(answer.read())["data"]


def test_forward_auth_doorwards_own_pages_are_reached(asking):
    with asking.asked("GET", "/signup", Accept="text/html") as answer:
        assert answer.status == 200


def test_forward_auth_the_question_is_not_for_outsiders(asking):
    with asking.asked("GET", "/authorize", Authorization=f"Bearer {asking.key}") as answer:
        assert answer.status == 404


def test_caddy_takes_the_block_for_two_machines(tmp_path):
    """Its addresses and files are somebody else's, so it is read and not run."""
    file = tmp_path / "Caddyfile"
    file.write_text(block("caddy-tls.md", "caddy", 1))
    command = [authorities.caddy(), "adapt", "--config", str(file), "--adapter", "caddyfile"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert b'"client_certificate_file":"/etc/caddy/proxy.pem"' in done.stdout
