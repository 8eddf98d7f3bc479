"""Programs that a test runs as a newcomer would: from a shell that has set nothing, in a directory of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def environment(**more: str) -> dict[str, str]:
    """The shell of somebody who has just installed Doorward."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | more


def program(name: str, *folders: str) -> str:
    """Where a program is. Without it the test is skipped by name; in CI it fails."""
    found = shutil.which(name, path=":".join([os.environ["PATH"], *folders]))
    if found is None and not os.environ.get("CI"):
        pytest.skip(f"needs {name}")
    assert found, f"{name} is missing"
    return found


@contextmanager
def running(
    directory: Path, *words: str, ends: tuple[int, ...] = (0, -signal.SIGTERM), **settings: str
) -> Iterator[str]:
    """`doorward …` as a process, from its first line of JSON until SIGTERM; gives the URL that the line names."""
    with (directory / f"{words[0]}.log").open("w+b") as log:
        command = ["doorward", *words, "--port", "0", "--json"]
        shell = environment(**settings)
        process = subprocess.Popen(command, cwd=directory, env=shell, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            line = process.stdout.readline()
            assert line, Path(log.name).read_text()
            yield json.loads(line)["url"]
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(timeout=60)
            process.stdout.close()
        assert status in ends, Path(log.name).read_text()


def shell(script: str, directory: Path, **settings: str) -> str:
    """What `sh -eu` prints when the script is typed into it."""
    done = subprocess.run(
        ["sh", "-eu"],
        input=script,
        cwd=directory,
        env=environment(**settings),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
