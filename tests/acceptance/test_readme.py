"""What the README tells a newcomer to type works as it stands there: its `sh` blocks are run, in order, in one shell."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.running import program, running, shell

README = Path(__file__).parents[2] / "README.md"
WRITTEN_URL = "http://127.0.0.1:8080"


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """`doorward serve` as README says it, but on a free port."""
    program("curl")
    directory = tmp_path_factory.mktemp("readme")
    with running(directory, "serve") as url:
        yield url, directory


def test_the_curl_lines_work(served):
    url, directory = served
    blocks = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    script = "".join(blocks)
    assert WRITTEN_URL in script
    printed = shell(script.replace(WRITTEN_URL, url), directory, DOORWARD_SERVER_PORT=url.rpartition(":")[2])
    assert '"choices"' in printed
    assert "HTTP/1.1 200" in printed
    assert re.search(r"^x-doorward-lane: existing\r?$", printed, re.MULTILINE | re.IGNORECASE)
