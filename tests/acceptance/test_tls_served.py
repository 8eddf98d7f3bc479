"""`doorward serve` over TLS as a process: post-quantum, changed while it runs, and looked over by testssl.sh."""

import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from OpenSSL import SSL

from acceptance.running import program, running
from certificates import ONE_DAY, Authority
from doorward.vault.tls_site import shown_by

# What testssl.sh blames and we stand by, each with its reason.
ACCEPTED = {
    "cert_chain_of_trust": "the authority of a test is nobody's",
    "cert_revocation": "neither has it a list of what it revoked",
}
GRAVE = {"MEDIUM", "HIGH", "CRITICAL", "FATAL"}


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def served(folder: Path, authority: Authority, **settings: str) -> Iterator[tuple[str, int]]:
    """A server with a certificate of this authority; gives where it listens."""
    made = authority.sign("shown", ends=85 * ONE_DAY)
    files = {"DOORWARD_TLS_CERTIFICATE": str(made.certificate_file), "DOORWARD_TLS_KEY": str(made.key_file)}
    with running(folder, "serve", DOORWARD_TLS_MODE="files", **files, **settings) as url:
        parts = urlsplit(url)
        assert parts.scheme == "https"
        yield str(parts.hostname), int(parts.port or 0)


def test_it_is_post_quantum_and_its_cookies_and_headers_know(tmp_path, authority):
    context = ssl.create_default_context(cafile=authority.file)
    with served(tmp_path, authority, DOORWARD_SERVER_PUBLIC_URL="https://ai.example.com") as (host, port):
        shown = shown_by(host, port)
        assert (shown.version, shown.group) == ("TLSv1.3", "X25519MLKEM768")
        with urlopen(f"https://{host}:{port}/login", context=context) as answer:
            assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_a_new_certificate_is_shown_without_a_restart(tmp_path, authority):
    with served(tmp_path, authority) as (host, port):
        kept = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), _socket(host, port))
        kept.set_connect_state()
        kept.do_handshake()
        first = shown_by(host, port).fingerprint
        authority.sign("shown", ends=85 * ONE_DAY)
        for _ in range(1_000):
            if shown_by(host, port).fingerprint != first:
                break
        else:
            pytest.fail("the new certificate is not shown")
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert kept.recv(4_096).startswith(b"HTTP/1.1 200 ")
        kept.shutdown()
        kept.sock_shutdown(2)
        kept.close()


def _socket(host: str, port: int):
    import socket

    return socket.create_connection((host, port))


@pytest.mark.slow
@pytest.mark.parametrize("minimum", ["1.3", "1.2"])
def test_testssl_finds_nothing_grave(tmp_path, authority, minimum):
    scanner = program("testssl")
    settings = {"DOORWARD_TLS_MINIMUM": minimum, "DOORWARD_SERVER_PUBLIC_URL": "https://ai.example.com"}
    report = tmp_path / "report.json"
    with served(tmp_path, authority, **settings) as (_, port):
        looks = ["-p", "-s", "-f", "-P", "-S", "-h", "-U"]  # all but the simulation of a hundred clients
        command = [scanner, "--quiet", "--warnings", "off", "--color", "0", "--ip", "one", *looks]
        subprocess.run(
            [*command, "--jsonfile", str(report), f"https://localhost:{port}"], check=False, timeout=580,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
    findings = json.loads(report.read_text())
    grave = {each["id"]: each["finding"] for each in findings if each["severity"] in GRAVE}
    assert {name: text for name, text in grave.items() if name.partition(" ")[0] not in ACCEPTED} == {}
    seen = {each["id"]: each["finding"] for each in findings}
    assert "not offered" in seen["TLS1"]
    assert "not offered" in seen["TLS1_1"]
    assert len(findings) > 60  # it looked
