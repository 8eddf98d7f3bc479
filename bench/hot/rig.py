"""Measures server CPU per request on one core: Doorward's against nginx's, in the same run, one after the other.

CPU time of the server's process is read from `/proc/<pid>/stat` before and after a load by wrk; the server is pinned to
one core and wrk to another where there are two. Rounds alternate between the two servers, and the median of the rounds'
ratios counts, so that a neighbour on the machine disturbs both alike.
"""

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 5
SECONDS = 3
CONNECTIONS = 32
HERE = Path(__file__).parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class AbsentError(Exception):
    """A program that the comparison needs is not installed."""


@dataclass(frozen=True)
class Server:
    """A running server: the process that does its work, and where it listens."""

    pid: int
    port: int
    scheme: str = "http"

    def cpu_seconds(self) -> float:
        """User and system time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def cores() -> tuple[set[int], set[int]]:
    """The core for the server, and those for everything else."""
    available = sorted(os.sched_getaffinity(0))
    return {available[0]}, set(available[1:]) or {available[0]}


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(pid: int, port: int) -> bool:
    """Whether this very process listens on the port: another may have taken it since it was found free."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port}
    return any(str(each.readlink()) in sockets for each in Path(f"/proc/{pid}/fd").iterdir())


def wait_for(port: int, process: subprocess.Popen) -> None:
    """Return when the process listens on the port.

    Raises:
        RuntimeError: the process ended, or did not listen within ten seconds.
    """
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        with suppress(FileNotFoundError):  # a descriptor that was closed while we looked
            if listens(process.pid, port):
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} does not listen")


@contextmanager
def running(command: list[str], port: int, pinned: set[int]) -> Iterator[subprocess.Popen]:
    """A server process, pinned to a core, ended afterwards."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        os.sched_setaffinity(process.pid, pinned)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def nginx(location: str, pair: Path | None = None) -> Iterator[Server]:
    """An nginx with one worker; `location` is what stands in `location / { … }`, with an `upstream` before it if any.

    `pair`: a directory with `certificate.pem` and `key.pem`, to be spoken to in TLS.

    Raises:
        AbsentError: nginx is not installed.
    """
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        raise AbsentError("nginx is not installed")
    port = free_port()
    upstream, _, inside = location.rpartition("---")
    tls = f"ssl_certificate {pair}/certificate.pem; ssl_certificate_key {pair}/key.pem; " if pair else ""
    tls += "ssl_protocols TLSv1.3; ssl_session_cache off;" if pair else ""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "nginx.conf"
        config.write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log crit;\n"
            "events { worker_connections 1024; }\n"
            "http { access_log off; keepalive_requests 100000000; proxy_buffering off;\n"
            f"client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;\n"
            f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; {upstream}\n"
            f"server {{ listen 127.0.0.1:{port}{' ssl' if pair else ''}; {tls} location / {{ {inside} }} }} }}\n"
        )
        with running([program, "-c", str(config), "-p", folder], port, cores()[0]) as master:
            children = Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()
            os.sched_setaffinity(int(children[0]), cores()[0])
            yield Server(int(children[0]), port, "https" if pair else "http")


@contextmanager
def street(upstream_port: int = 0, pair: Path | None = None) -> Iterator[Server]:
    """Doorward's street with the real book of standings and the real tickets (`serving.py`); `pair` as for nginx."""
    port = free_port()
    command = [sys.executable, str(HERE / "serving.py"), str(port), str(upstream_port), *([str(pair)] if pair else [])]
    with running(command, port, cores()[0]) as process:
        yield Server(process.pid, port, "https" if pair else "http")


@contextmanager
def backend() -> Iterator[Server]:
    """The AI service of the relay's benchmark: a fixed body, as cheaply as Python can, on the other cores."""
    port = free_port()
    with running([sys.executable, str(HERE / "backend.py"), str(port)], port, cores()[1]) as process:
        yield Server(process.pid, port)


def load(server: Server, path: str, script: str, expected: int) -> float:
    """Microseconds of server CPU per request under a load that wrk drives by a Lua script.

    Raises:
        AbsentError: wrk is not installed. RuntimeError: other answers than `expected` came back.
    """
    program = shutil.which("wrk")
    if program is None:
        raise AbsentError("wrk is not installed")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script + _COUNT)
        file.flush()
        command = [program, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", "-s", file.name]
        command.append(f"{server.scheme}://127.0.0.1:{server.port}{path}")
        before = server.cpu_seconds()
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, preexec_fn=lambda: os.sched_setaffinity(0, cores()[1])
        )
        used = server.cpu_seconds() - before
    statuses = dict(re.findall(r"^status (\d+) (\d+)$", done.stdout, re.MULTILINE))
    if set(statuses) != {str(expected)}:
        raise RuntimeError(f"expected only {expected}, got {statuses}: {done.stdout}{done.stderr}")
    return used / int(statuses[str(expected)]) * 1e6


# wrk runs `response` in its own thread's state, so each thread prints its counts when it is done.
_COUNT = """
local threads = {}
function setup(thread) table.insert(threads, thread) end
counts = {}
function response(status) counts[status] = (counts[status] or 0) + 1; text = "" ;
  for s, n in pairs(counts) do text = text .. "status " .. s .. " " .. n .. "\\n" end end
function done() for _, thread in ipairs(threads) do io.write("\\n" .. (thread:get("text") or "")) end end
"""


@dataclass(frozen=True)
class Comparison:
    """What is asked of both servers, and what each must answer."""

    path: str
    script: str  # wrk's `request`
    ours: int
    theirs: int


def compare(
    name: str, location: str, what: Comparison, *, relays: bool = False, pair: Path | None = None
) -> dict[str, dict[str, object]]:
    """The ratio of nginx's CPU per request to ours: 1 is as cheap as nginx, 0.5 is twice as dear."""
    try:
        with ExitStack() as stack:
            behind = stack.enter_context(backend()).port if relays else 0
            ours = stack.enter_context(street(behind, pair))
            theirs = stack.enter_context(nginx(location.replace("BACKEND", str(behind)), pair))
            pairs = [
                (load(theirs, what.path, what.script, what.theirs), load(ours, what.path, what.script, what.ours))
                for _ in range(ROUNDS)
            ]
    except AbsentError as error:
        return {name: {"skipped": str(error)}}
    ratio = statistics.median(their / our for their, our in pairs)
    their, our = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        name: {
            "value": round(ratio, 3),
            "unit": "× nginx",
            "against": location.rpartition("---")[2].strip(" ;"),
            "detail": f"{our:.1f} µs of CPU per request, nginx {their:.1f} µs, on one core",
        }
    }


def report(figures: dict[str, dict[str, object]]) -> None:
    """Print the figures: one JSON object with `--json`, else lines for people."""
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(name, figure.get("value", figure.get("skipped")), figure.get("detail", ""))
