"""`doorward simulate`: a process of its own that says when it is ready and ends when told to."""

import asyncio
import json
import signal
import sys

import pytest
import typer
from typer.testing import CliRunner
from wire import ask, chat

from doorward.upstream.commands import register
from doorward.upstream.settings import UpstreamSettings
from doorward.upstream.simulator import Simulator

app = typer.Typer()
register(app)
app.command("other")(lambda: None)  # a single command would be no group

PROGRAM = "import typer\nfrom doorward.upstream.commands import register\napp = typer.Typer()\nregister(app)\napp()"


async def start(*arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    """The process and its first line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, "--port", "0", *arguments, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        return process, (await process.stdout.readline()).decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_tells_its_address_serves_and_ends_in_good_order(number):
    process, line = await start("--json", "--ttft-ms", "0", "--tokens-per-second", "100000", "--fault", "blank")
    ready = json.loads(line)
    assert ready["ready"] is True
    answer = await ask(ready["url"], "/chat/completions", chat())
    assert answer.json()["choices"][0]["message"]["content"] == ""
    process.send_signal(number)
    async with asyncio.timeout(30):
        assert await process.wait() == 0


async def test_people_read_a_sentence():
    process, line = await start()
    assert line.startswith("simulated AI service: http://127.0.0.1:")
    process.terminate()
    await process.wait()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fault", "explode"], "a fault's kind is one of"),
        (["--full-status", "200"], "is 429 or 503"),
        (["--slots", "0"], "--slots"),
        (["--port", "65536"], "--port"),
    ],
)
def test_bad_options_are_told(arguments, said):
    result = CliRunner().invoke(app, ["simulate", *arguments], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert result.exit_code == 2
    assert said in result.stderr


async def test_a_taken_port_is_told(simulate):
    port = (await simulate()).url.split(":")[2].removesuffix("/v1")
    result = await asyncio.to_thread(CliRunner().invoke, app, ["simulate", "--port", port])
    assert result.exit_code == 1
    assert "cannot listen" in result.stderr


def test_help_has_an_example():
    assert "Example: doorward simulate" in CliRunner().invoke(app, ["simulate", "--help"]).stdout


async def test_the_built_in_one_is_set_by_the_rooms_settings():
    settings = UpstreamSettings(api_key="sk-1", simulator_time_to_first_token_ms=0, simulator_faults=("error",))
    async with Simulator.built_in(settings) as simulator:
        assert (await ask(simulator.url, "/models")).status == 401
        answer = await ask(simulator.url, "/chat/completions", chat(), authorization="Bearer sk-1")
        assert answer.status == 500
