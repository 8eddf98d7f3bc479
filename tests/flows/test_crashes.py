"""A process that ends by an error which nobody expected says where, and nothing of what the error met."""

import subprocess
import sys

import pytest

from acceptance.running import environment

CANARY = "C4n4ry-of-a-crash-81726354"
RAISES = f"raise RuntimeError('cannot reach postgresql://door:{CANARY}@db.example/door')"
START = "from doorward.__main__ import main; main()"


def ended(directory, before: str, *words: str) -> subprocess.CompletedProcess:
    """A child that breaks something of ours first, then is the command line."""
    shell = environment(DOORWARD_STORES_DATA_DIRECTORY=str(directory), DOORWARD_SERVER_PORT="0")
    line = [sys.executable, "-c", f"{before}\n{START}", *words]
    return subprocess.run(line, env=shell, capture_output=True, text=True, check=False, timeout=60, cwd=directory)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("House.open", ("serve",)),
        ("House.open", ("admin", "link")),
        ("House.open", ("recordings", "list", "--json")),
        ("config.load", ("serve", "--json")),
        ("opening.ring_of", ("backup",)),
    ],
)
def test_an_unexpected_error_tells_no_value(tmp_path, name, words):
    module = "doorward.vault.backups.commands" if name.startswith("opening") else "doorward.cli"
    broken = f"import {module} as it\ndef breaks(*_, **__):\n    secret = {CANARY!r}\n    {RAISES}\nit.{name} = breaks"
    (tmp_path / "doorward.db").touch()
    (tmp_path / "keyring.json").touch()
    done = ended(tmp_path, broken, *words)
    assert done.returncode == 1
    assert "RuntimeError" in done.stderr
    assert "in breaks" in done.stderr
    assert "nobody expected" in done.stderr
    assert CANARY not in done.stderr + done.stdout


def test_an_error_in_a_thread_tells_no_value(tmp_path):
    broken = (
        f"import threading, doorward.cli as it\ndef breaks():\n    {RAISES}\n"
        "def loaded():\n    one = threading.Thread(target=breaks); one.start(); one.join(); raise SystemExit(3)\n"
        "it.vault_site = loaded\nit.loaded = lambda _=None: loaded()"
    )
    done = ended(tmp_path, broken, "serve")
    assert done.returncode == 3
    assert "in breaks" in done.stderr
    assert CANARY not in done.stderr + done.stdout
