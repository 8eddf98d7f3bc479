"""Whole houses, each a process of its own, on every kind of store."""

import json
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from acceptance.running import running, shell
from flows.visitor import Visitor


@dataclass
class Door:
    """A served house."""

    url: str
    directory: Path
    settings: dict[str, str]
    admin_key: str = ""

    def visitor(self, email: str = "") -> Visitor:
        """Somebody new at this door."""
        return Visitor(self.url, self.admin_key, email)

    def command(self, line: str) -> str:
        """What a `doorward` command prints, run by the operator of this house."""
        return shell(f"doorward {line}", self.directory, **self.settings)

    def log(self) -> str:
        """All that the server has written so far."""
        return (self.directory / "serve.log").read_text()


@contextmanager
def served(directory: Path, *, is_killed: bool = False, ends: tuple[int, ...] = (), **settings: str) -> Iterator[Door]:
    """One house until the end of the block, which kills it if `is_killed`."""
    chosen = {"DOORWARD_SECRET": secrets.token_urlsafe(48), "DOORWARD_UPSTREAM_SIMULATOR_TOKENS_PER_SECOND": "400"}
    chosen |= {"DOORWARD_UPSTREAM_SIMULATOR_TIME_TO_FIRST_TOKEN_MS": "20"} | settings
    directory.mkdir(exist_ok=True)
    ends = ends or ((-signal.SIGKILL,) if is_killed else (0, -signal.SIGTERM))
    with running(directory, "serve", ends=ends, **chosen) as url:
        door = Door(url, directory, chosen)
        door.admin_key = _admin_key(door)
        yield door


def _admin_key(door: Door) -> str:
    """Come in by the one-time link for the first administrator, and make a key."""
    path = urlsplit(json.loads(door.command("admin link --json"))["link"]).path
    admin = door.visitor()
    assert admin.call("POST", path).status_code == 303
    form = {"name": "tests", "scopes": ["admin"]}
    answer = admin.call("POST", "/api/v1/keys", json=form, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 201, answer.text
    return answer.json()["key"]


@pytest.fixture(scope="session")
def door(tmp_path_factory) -> Iterator[Door]:
    """The embedded default, shared by all tests that leave no trace for others."""
    with served(tmp_path_factory.mktemp("door")) as opened:
        yield opened


@pytest.fixture
def open_door(tmp_path) -> Iterator[Callable[..., Door]]:
    """Opens houses with settings of the test's own, closed after it."""
    with ExitStack() as stack:
        count = iter(range(100))

        def opened(**settings: str) -> Door:
            return stack.enter_context(served(tmp_path / f"house-{next(count)}", **settings))

        yield opened
