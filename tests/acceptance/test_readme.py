"""What the README tells a newcomer to type works as it stands there: its `sh` blocks are run, in order, in one shell."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN_URL = "http://127.0.0.1:8080"


def blocks(page: Path, kind: str) -> list[str]:
    """The fenced blocks of one kind, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def environment(**more: str) -> dict[str, str]:
    """The shell of somebody who has just installed Doorward and set nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | more


@pytest.fixture(scope="module")
def curl() -> str:
    found = shutil.which("curl")
    if found is None and not os.environ.get("CI"):
        pytest.skip("needs curl")
    assert found, "curl is missing"
    return found


@pytest.fixture(scope="module")
def served(curl, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """`doorward serve` as README says it, in a directory of its own, on a free port."""
    directory = tmp_path_factory.mktemp("readme")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    log = (directory / "log").open("wb")
    server = subprocess.Popen(
        ["doorward", "serve"],
        cwd=directory,
        env=environment(DOORWARD_SERVER_PORT=str(port)),
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    patience = ["--retry", "60", "--retry-delay", "1", "--retry-connrefused", "--retry-max-time", "60"]
    subprocess.run([curl, "-fsS", "-o", "/dev/null", *patience, f"{url}/readyz"], check=True, timeout=90)
    yield url, directory
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=60) == 0, (directory / "log").read_text()
    log.close()


def typed(script: str, served: tuple[str, Path]) -> str:
    """What the shell prints when the script is typed into it."""
    url, directory = served
    done = subprocess.run(
        ["sh", "-eu"],
        check=False,
        input=script.replace(WRITTEN_URL, url),
        cwd=directory,
        env=environment(DOORWARD_SERVER_PORT=url.rpartition(":")[2]),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_curl_lines_work(served):
    lines = blocks(ROOT / "README.md", "sh")
    assert lines
    printed = typed("".join(lines), served)
    assert '"choices"' in printed
    assert "x-doorward-lane: existing" in printed.lower()
