"""The demo: a whole Doorward in a temporary directory, a siege against it, and nothing left behind.

Everything the server is told is in one configuration file, so that a reader can see what the demo changes: only
paces (a minute stands for a day) and who is believed about addresses (the siege, on loopback).
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

READY_WITHIN_SECONDS: Final = 20.0
STOP_WITHIN_SECONDS: Final = 10.0
SERVE: Final = ("-m", "doorward", "serve")
_POLL_SECONDS: Final = 0.1
_CONFIG: Final = """\
secret = "{secret}"

[server]
host = "127.0.0.1"
port = {port}
trusted_proxies = ["127.0.0.0/8"]
log_level = "warning"

[stores]
data_directory = "{directory}"

# A minute stands for a day: what is learned and what is held moves accordingly faster.
[gate]
baseline_quarantine_seconds = 6
baseline_learned_per_hour = 100000
hold_seconds = 8
dwell_seconds = 2
incident_memory_seconds = 10
fast_window_seconds = 10
slow_window_seconds = 60
"""


class DemoError(Exception):
    """The demo's server could not be brought up; the message says why."""


def run_demo(attack: Callable[[str, str], None], say: Callable[[str], None]) -> None:
    """Bring up a server, call `attack` with its address and an admin key, and take everything down again.

    Raises:
        DemoError: the server did not start, or gave no admin key.
    """
    with TemporaryDirectory(prefix="doorward-demo-") as folder:
        directory = Path(folder)
        port = _free_port()
        environment = _write_config(directory, port)
        say(f"starting a Doorward of its own on port {port}")
        with _server(directory, environment) as process:
            _wait_until_ready(process, port, directory)
            attack(f"http://127.0.0.1:{port}", _admin_key(environment, port))


def _write_config(directory: Path, port: int) -> dict[str, str]:
    path = directory / "doorward.toml"
    path.write_text(
        _CONFIG.format(secret=secrets.token_urlsafe(48), port=port, directory=directory / "data"), encoding="utf-8"
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
    return inherited | {"DOORWARD_CONFIG": str(path)}


@contextmanager
def _server(directory: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (directory / "server.log").open("wb") as log:
        command = [sys.executable, *SERVE]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while not _is_ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            log = (directory / "server.log").read_text(encoding="utf-8", errors="replace")[-2000:]
            state = "ended" if process.poll() is not None else "was not ready in time"
            raise DemoError(f"the server {state}; its last words:\n{log}")
        time.sleep(_POLL_SECONDS)


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _admin_key(environment: dict[str, str], port: int) -> str:
    """Come in by the one-time link for the first admin, as a person would, and make a key."""
    command = [sys.executable, "-m", "doorward", "admin", "link", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False)  # noqa: S603
    try:
        path = urlsplit(json.loads(done.stdout)["link"]).path
        cookie = _post(port, path, b"", {})[0].get("set-cookie", "").partition(";")[0]
        form = json.dumps({"name": "siege", "scopes": ["admin"]}).encode()
        headers = {"Cookie": cookie, "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
        return str(json.loads(_post(port, "/api/v1/keys", form, headers)[1])["key"])
    except (ValueError, KeyError, TypeError, OSError, HTTPException) as error:
        words = done.stderr.decode(errors="replace")[-500:]
        raise DemoError(f"no admin key could be made ({type(error).__name__}): {words}") from error


def _post(port: int, path: str, body: bytes, headers: dict[str, str]) -> tuple[Message, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, body, {"Accept": "application/json"} | headers)
        answer = connection.getresponse()
        return answer.headers, answer.read(100_000)
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
