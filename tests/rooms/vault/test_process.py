"""Keys stay in the process: no core file, and no other process of the same user reads its memory."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import os, sys
from doorward.vault.process import _prctl, harden
if len(sys.argv) > 2:
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
_prctl(4, 1)  # what every process has that was started in the usual way; `setuid` has taken it away
print(harden() if sys.argv[1] == "harden" else "plain")
print("ready", flush=True)
sys.stdin.readline()
"""
READER = """
import os, sys
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
open(f"/proc/{sys.argv[1]}/mem", "rb").close()
open(f"/proc/{sys.argv[1]}/environ").read()
"""
NOBODY = "65534"


def child(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *words], cwd=folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    first = process.stdout.readline()
    assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
    return first


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_DUMPABLE is Linux's")
def test_a_hardened_process_leaves_no_core(tmp_path):
    process = child(tmp_path, "harden")
    try:
        assert "is_undumpable=True, has_no_core=True, problem=''" in said(process)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert line.split()[4:6] == ["0", "0"]
        process.send_signal(signal.SIGABRT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGABRT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run two processes as somebody else")
def test_another_process_of_the_same_user_cannot_read_its_memory(tmp_path):
    answers = {}
    for what in ("harden", "plain"):
        process = child(tmp_path, what, NOBODY)
        try:
            said(process)
            command = [sys.executable, "-c", READER, str(process.pid), NOBODY]
            answers[what] = subprocess.run(command, capture_output=True, text=True, check=False)
        finally:
            process.kill()
            process.communicate(timeout=60)
    assert "PermissionError" in answers["harden"].stderr
    assert answers["plain"].returncode == 0, answers["plain"].stderr  # so the test would see it


def test_the_command_line_hardens_itself(tmp_path):
    environment = {**os.environ, "DOORWARD_STORES_DATA_DIRECTORY": str(tmp_path / "data")}
    command = [sys.executable, "-m", "doorward", "vault"]
    subprocess.run([*command, "init"], env=environment, cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(
        [*command, "status"], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert "no dumps" in done.stdout
