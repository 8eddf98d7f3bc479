"""A Doorward for a benchmark: in a directory of its own, on one core, with a member's key and paid sign-ups."""

import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import urlsplit

from doorward.siege.proofs import payload
from doorward.siege.solver import solve
from load import request

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
LOAD_CORES = set(CORES[1:]) or set(CORES)
READY_WITHIN_SECONDS = 30
EMAIL = "bench@example.com"

# What a benchmark changes, and why: every proof stays good when the gate notices the benchmark (as it should), and
# nobody confirms these sign-ups, which is what the brake on letters is for.
SETTINGS = {
    "DOORWARD_SERVER_LOG_LEVEL": "error",
    "DOORWARD_GATE_PRICE_CAREFUL": "200",
    "DOORWARD_GATE_PRICE_PROBATION": "200",
    "DOORWARD_ACCOUNTS_BRAKE_MINIMUM_LETTERS": "1000000",
}
CLIENTS = [
    f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
    for system in ("Windows NT 10.0; Win64; x64", "Linux; Android 14", "Macintosh; Intel Mac OS X 10_15_7")
    for version in range(125, 133)
]

Figure = tuple[float, str, str, str]


def figures_out(figures: dict[str, Figure]) -> None:
    """Print figures `(value, unit, against, detail)` as `run.py` reads them."""
    names = ("value", "unit", "against", "detail")
    found = {name: dict(zip(names, figure, strict=True)) for name, figure in figures.items()}
    sys.stdout.write(json.dumps(found) + "\n")


class Served:
    """The server, from `with` to its end. The load goes to the other cores."""

    def __init__(
        self, settings: Mapping[str, str] | None = None, program: tuple[str, ...] = ("-m", "doorward")
    ) -> None:
        """`settings` are added to those of every benchmark; `program` is what Python runs."""
        self._program = program
        self._folder = TemporaryDirectory(prefix="doorward-bench-")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.where: tuple[str, int] = ("127.0.0.1", probe.getsockname()[1])
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
        self._environment = kept | SETTINGS | dict(settings or {})
        self._environment["DOORWARD_SERVER_PORT"] = str(self.where[1])
        self._environment["DOORWARD_SERVER_TRUSTED_PROXIES"] = "127.0.0.0/8"
        self._environment["DOORWARD_STORES_DATA_DIRECTORY"] = self._folder.name
        self._log = (Path(self._folder.name) / "log").open("wb")
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = ["taskset", "-c", str(SERVER_CORE), sys.executable, *self._program, "serve"]
        os.sched_setaffinity(0, LOAD_CORES)
        self.process = subprocess.Popen(command, env=self._environment, stdout=self._log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Doorward did not start:\n{Path(self._log.name).read_text()[-2000:]}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self._log.close()
        self._folder.cleanup()

    def _is_ready(self) -> bool:
        try:
            return self.call("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def call(self, method: str, path: str, value: object = None, **headers: str) -> tuple[int, Any]:
        """One request by itself: its status and its JSON."""
        connection = HTTPConnection(*self.where, timeout=10)
        body = None if value is None else json.dumps(value)
        kind = {} if value is None else {"Content-Type": "application/json"}
        connection.request(method, path, body, {"Accept": "application/json"} | kind | headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else {}

    def command(self, *words: str) -> dict[str, Any]:
        """A command's JSON."""
        line = [sys.executable, *self._program, *words, "--json"]
        done = subprocess.run(line, env=self._environment, capture_output=True, check=True, timeout=60)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def key(self) -> str:
        """An API key of somebody who belongs."""
        link = str(self.command("admin", "link", "--email", EMAIL)["link"])
        self.call("POST", urlsplit(link).path)
        return str(self.command("keys", "create", "--email", EMAIL, "--name", "bench")["key"])

    @staticmethod
    def authorize(key: str) -> bytes:
        """The request of a proxy that asks whether the key's owner may pass."""
        return request("GET", "/authorize", {"Authorization": f"Bearer {key}"})

    def paid_signups(self, count: int) -> Iterator[bytes]:
        """So many sign-ups with passwords, their price paid already, by people who have nothing in common."""
        chance = random.Random(7)
        prepared = []
        for number in range(count):
            offer = self.call("POST", "/api/v1/signup/offer", {}, **{"X-Forwarded-For": _address(number)})[1]
            counter, key = solve(offer["challenge"])
            form = {
                "ticket": offer["ticket"],
                "proof": payload(offer["challenge"], counter, key, 0.25 * counter),
                "email": f"{secrets.token_hex(4)}.{number}@domain{number}.example",
                "password": secrets.token_urlsafe(18),
            }
            headers = {
                "X-Forwarded-For": _address(number),
                "User-Agent": chance.choice(CLIENTS),
                "Content-Type": "application/json",
                "Accept": "application/json",
            }
            prepared.append(request("POST", "/api/v1/signup", headers, json.dumps(form).encode()))
        return iter(prepared)


def _address(number: int) -> str:
    """An address in a network of its own, from the block for benchmarks (RFC 2544) and its neighbours."""
    return f"{20 + number // 65_536}.{number // 256 % 256}.{number % 256}.7"


def forged_signup(number: int) -> bytes:
    """A sign-up as a botnet would send it by the million: all there, but the ticket is not ours."""
    form = {
        "ticket": secrets.token_urlsafe(84),
        "proof": secrets.token_urlsafe(300),
        "email": f"user{number}@mailbox-farm.example",
        "password": secrets.token_urlsafe(18),
    }
    headers = {
        "X-Forwarded-For": _address(number),
        "User-Agent": CLIENTS[number % len(CLIENTS)],
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    return request("POST", "/api/v1/signup", headers, json.dumps(form).encode())
