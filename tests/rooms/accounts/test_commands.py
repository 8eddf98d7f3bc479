"""The operator's commands: keys, and the link for the first administrator."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import typer
from typer.testing import CliRunner

from doorward.accounts import commands
from doorward.accounts.model import Visitor
from doorward.accounts.service import Accounts
from rows import open_rows


@pytest.fixture
def run(commands_room):
    """Runs a command line; each opens the rows anew, as a process does."""
    app = typer.Typer()
    app.add_typer(commands.keys_app(commands_room), name="keys")
    app.add_typer(commands.admin_app(commands_room), name="admin")
    return lambda *line: CliRunner().invoke(app, line)


@pytest.fixture
def commands_room(sqlite_url, built_parts):
    """An `Opener` on the test's own rows."""

    @asynccontextmanager
    async def opened():
        database = await open_rows(sqlite_url)
        accounts = Accounts(built_parts(database))
        yield accounts
        accounts.close()
        await database.close()

    return opened


@pytest.fixture
def admin(run, commands_room):
    """There is an administrator `admin@localhost`."""
    link = json.loads(run("admin", "link", "--json").stdout)["link"]

    async def enter():
        async with commands_room() as accounts:
            return await accounts.welcome.accept(link.rpartition("/")[2], Visitor(), "en")

    return asyncio.run(enter()).account


def test_the_admin_link_is_printed_for_people_and_programs(run, clock):
    told = run("admin", "link", "--email", "you@example.com")
    assert told.exit_code == 0
    assert told.stdout.startswith("http://127.0.0.1:8080/welcome/dwl_")
    values = json.loads(run("admin", "link", "--json").stdout)
    assert values["expires_at"] == clock.now() + 900


def test_keys_are_created_listed_and_revoked(run, admin):
    made = json.loads(
        run("keys", "create", "--email", "admin@localhost", "--name", "siege", "--scope", "admin", "--json").stdout
    )
    assert made["key"].startswith("dw_live_")
    assert made["scopes"] == ["admin"]
    listed = json.loads(run("keys", "list", "--email", "admin@localhost", "--json").stdout)
    assert [key["key_id"] for key in listed["keys"]] == [made["key_id"]]
    assert made["key"] not in json.dumps(listed)
    assert "siege" in run("keys", "list", "--email", "admin@localhost").stdout
    assert json.loads(run("keys", "revoke", made["key_id"], "--json").stdout) == {"revoked": made["key_id"]}
    assert json.loads(run("keys", "list", "--email", "admin@localhost", "--json").stdout) == {"keys": []}


def test_a_key_for_people_is_shown_with_a_warning(run, admin):
    told = run("keys", "create", "--email", "Admin@localhost", "--name", "ci", "--days", "7").stdout
    assert "only time" in told


@pytest.mark.parametrize(
    "line",
    [
        ("admin", "link", "--email", "nobody"),
        ("keys", "create", "--email", "nobody@example.com", "--name", "x"),
        ("keys", "create", "--email", "admin@localhost", "--name", "x", "--scope", "all"),
        ("keys", "list", "--email", "nobody@example.com"),
        ("keys", "revoke", "key_none"),
    ],
)
def test_mistakes_end_with_status_1_and_say_what_to_do(run, admin, line):
    told = run(*line)
    assert told.exit_code == 1
    assert told.stdout == ""
    assert len(told.stderr.strip()) > 20
    values = json.loads(run(*line, "--json").stdout)
    assert (values["ok"], set(values["error"])) == (False, {"code", "message", "advice"})


@pytest.mark.parametrize(
    "line", [("keys", "create"), ("keys", "list"), ("keys", "revoke"), ("admin", "link")], ids=" ".join
)
def test_every_command_has_help_with_an_example(run, line):
    assert "Example: doorward" in run(*line, "--help").stdout
