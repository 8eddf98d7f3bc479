"""The tutorial is followed as it stands, with a siege of seconds in place of a minute's."""

import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from acceptance.running import environment, running, shell

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-siege.md"
WRITTEN_URL = "http://127.0.0.1:8080"
SHORT = "--scenario smoke --seconds 3"
pytestmark = pytest.mark.slow


def blocks(kind: str) -> list[str]:
    """The fenced blocks of a kind, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == kind]


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """The tutorial's server with its configuration file, and its reader as the admin."""
    directory = tmp_path_factory.mktemp("tutorial")
    (settings,) = blocks("toml")
    (directory / "doorward.toml").write_text(settings)
    with running(directory, "serve") as url:
        line = ["doorward", "admin", "link", "--json"]
        done = subprocess.run(line, cwd=directory, env=environment(), check=True, capture_output=True, timeout=60)
        connection = http.client.HTTPConnection(url.split("/")[2], timeout=20)
        connection.request("POST", urlsplit(json.loads(done.stdout)["link"]).path)
        assert connection.getresponse().status == 303
        connection.close()
        yield url, directory


def test_the_commands_do_what_the_tutorial_says(served):
    url, directory = served
    commands = [text for text in blocks("") if ".venv/bin/doorward" in text]
    assert len(commands) >= 4
    script = "".join(commands).replace(".venv/bin/", "").replace(WRITTEN_URL, url)
    script, sieges = re.subn(
        r"^(doorward siege .*?)(?: --scenario \S+)?( --html \S+)$", rf"\1 {SHORT}\2", script, flags=re.MULTILINE
    )
    assert sieges == 2
    printed = shell(script, directory)
    assert "How it stands to the targets" in printed
    assert "trying" in printed  # the table may break the reason into lines
    assert (directory / "siege.html").stat().st_size > 10_000
    assert (directory / "surge.html").stat().st_size > 10_000


def test_the_settings_are_the_demos_own():
    """The tutorial promises the paces of the demo."""
    from doorward.siege import demo

    (settings,) = blocks("toml")
    paces = re.findall(r"^\w+ = \d+$", settings[settings.index("[gate]") :], re.MULTILINE)
    assert paces
    assert paces == re.findall(r"^\w+ = \d+$", demo._CONFIG[demo._CONFIG.index("[gate]") :], re.MULTILINE)
