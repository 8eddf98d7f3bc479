"""The command `siege`, and the hidden `demo`. The application registers them with `register`."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop
from rich.console import Console

from doorward.siege.canaries import CanaryFileError, Search, Searcher, as_values, read_canaries
from doorward.siege.data_files import DataFileError
from doorward.siege.demo import DemoError, run_demo
from doorward.siege.existing import PreparationError
from doorward.siege.judging import findings
from doorward.siege.mailboxes import NoSinkError
from doorward.siege.model import RunRecord
from doorward.siege.ownership import NotOurTargetError
from doorward.siege.report import write_report
from doorward.siege.run import Plan, lay_siege
from doorward.siege.scenario import Scenario, ScenarioError, load_scenario, scenario_names
from doorward.siege.scoring import Result, score
from doorward.siege.screen import Screen, verdict_table
from doorward.siege.watch import NoPostureError
from doorward.siege.wire import TransportError
from doorward.siege.witness import Witness

CANNOT_RUN = (
    NotOurTargetError,
    DataFileError,
    NoSinkError,
    NoPostureError,
    PreparationError,
    ScenarioError,
    TransportError,
    DemoError,
    CanaryFileError,
    OSError,
)
COMMANDS = typer.Typer()
EXIT_FELL_SHORT = 1
EXIT_CANNOT_RUN = 2
CanaryValues = Annotated[
    Path | None,
    typer.Option("--canary-values", metavar="FILE", help="JSON of more secrets to look for: kind -> value(s)."),
]
CanariesExcept = Annotated[
    list[Path] | None,
    typer.Option("--canaries-except", metavar="FILE", help="A file that is meant to hold one. May be given again."),
]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the outcome goes; `-` as the JSON file is standard output."""

    json_file: Path | None = None
    html_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Lookout:
    """Where canaries are looked for after a siege; nowhere if `paths` is empty."""

    paths: tuple[Path, ...] = ()
    excepted: tuple[Path, ...] = ()
    values: Path | None = None
    json_file: Path | None = None

    def search(self, witness: Witness) -> Search:
        """Look for what the siege saw, and for the operator's own values.

        Raises:
            CanaryFileError: that file cannot be used. OSError: a path cannot be read.
        """
        own = read_canaries(self.values) if self.values else []
        searcher = Searcher([*witness.canaries(), *own])
        witness.search(searcher)
        searcher.read_files(self.paths, self.excepted)
        return searcher.outcome()


def register(app: typer.Typer) -> None:
    """Add the commands of the siege to the application."""
    app.add_typer(COMMANDS)


@COMMANDS.command(
    "siege",
    epilog="Example: doorward siege --target http://127.0.0.1:8080 --scenario calm-surge --html report.html",
)
def siege(  # noqa: PLR0917  # options, not arguments
    target: Annotated[str, typer.Option(help="Where the Doorward is, e.g. http://127.0.0.1:8080.")],
    scenario: Annotated[
        str, typer.Option(help="Name of a scenario, or the path of a .toml file of your own.")
    ] = "deepseek-2025-01",
    seconds: Annotated[float, typer.Option(min=2, max=3600, help="How long; the settling before is not counted.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same crowd.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; `-` prints it.")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report, one self-contained page.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw shapes, addresses and clients from the real series here.")
    ] = None,
    admin_key: Annotated[
        str, typer.Option(envvar="DOORWARD_SIEGE_ADMIN_KEY", help="An API key of the target with the scope `admin`.")
    ] = "",
    admin_key_id: Annotated[
        str,
        typer.Option(
            envvar="DOORWARD_SIEGE_ADMIN_KEY_ID", help="That key's id; only for a target that is not this machine."
        ),
    ] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a target was not met.")] = False,
    canaries: Annotated[
        list[Path] | None,
        typer.Option(
            "--canaries",
            metavar="PATH",
            help="Then look here (data directory, log, backup) for secrets that the siege saw. May be given again.",
        ),
    ] = None,
    canaries_except: CanariesExcept = None,
    canary_values: CanaryValues = None,
    canaries_json: Annotated[
        Path | None, typer.Option("--canaries-json", metavar="FILE", help="Write what was found; `-` prints it.")
    ] = None,
) -> None:
    """Lay siege to a Doorward of your own: people, existing users and attackers, over HTTP only.

    Refuses a target that is not this machine, unless it proves with the admin key that it is yours. With --canaries it
    exits with 1 if a secret was found in clear.
    """
    console = Console(stderr=_is_stdout(json_file) or _is_stdout(canaries_json))
    lookout = Lookout(tuple(canaries or ()), tuple(canaries_except or ()), canary_values, canaries_json)
    witness = Witness() if lookout.paths else None
    try:
        plan = Plan(target, load_scenario(scenario), seconds, seed, admin_key, admin_key_id, data, witness)
        result = besiege(console, plan, Outputs(json_file, html_file))
        if witness is not None and not _tell(console, lookout, lookout.search(witness)):
            raise typer.Exit(EXIT_FELL_SHORT)
    except CANNOT_RUN as error:
        _fail(error)
    if strict and any(finding.is_met is False for finding in findings(result, plan.scenario.has_attack)):
        raise typer.Exit(EXIT_FELL_SHORT)


@COMMANDS.command("demo", hidden=True, epilog="Example: doorward demo --seconds 60 --seed 1")
def demo(
    seconds: Annotated[float, typer.Option(min=10, max=600, help="How long the siege goes on.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same crowd.")] = 1,
    scenario: Annotated[str, typer.Option(help=f"One of: {', '.join(scenario_names())}.")] = "deepseek-2025-01",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output too.")] = False,
) -> None:
    """Start a Doorward of its own, lay siege to it, show how it went, and leave nothing running.

    Writes demo-result.json and demo-report.html here.
    """
    console = Console(stderr=as_json)
    console.print("[bold]Doorward[/]: an attack comes, and people still get in. A simulation.", highlight=False)
    outputs = Outputs(Path("demo-result.json"), Path("demo-report.html"))
    try:
        chosen = load_scenario(scenario)

        def attack(url: str, admin_key: str) -> None:
            besiege(console, Plan(url, chosen, seconds, seed, admin_key), outputs)

        run_demo(attack, lambda text: console.print(f"[dim]…[/] {text}", highlight=False))
    except CANNOT_RUN as error:
        _fail(error)
    if as_json:
        sys.stdout.write(Path("demo-result.json").read_text(encoding="utf-8"))


def besiege(console: Console, plan: Plan, outputs: Outputs) -> Result:
    """Run a plan with a screen, write what was asked for, and print the verdict.

    Raises:
        Exception: one of `CANNOT_RUN`.
    """
    console.print(f"[dim]…[/] {plan.scenario.title}: {plan.seconds:g} s against {plan.target}", highlight=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        record = runner.run(_watched(console, plan))
    result = score(record)
    _write(console, plan.scenario, record, result, outputs)
    console.print()
    console.print(verdict_table(findings(result, plan.scenario.has_attack)))
    console.print("[dim]A seeded simulation: no percentage of it is a field figure.[/]", highlight=False)
    return result


async def _watched(console: Console, plan: Plan) -> RunRecord:
    async with Screen(console) as screen:
        return await lay_siege(plan, screen)


def _write(console: Console, scenario: Scenario, record: RunRecord, result: Result, outputs: Outputs) -> None:
    encoded = msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
    if _is_stdout(outputs.json_file):
        sys.stdout.write(encoded.decode())
    elif outputs.json_file is not None:
        outputs.json_file.write_bytes(encoded)
        console.print(f"result in {outputs.json_file}", highlight=False)
    if outputs.html_file is not None:
        write_report(outputs.html_file, scenario, record, result)
        console.print(f"report in {outputs.html_file}", highlight=False)


def _tell(console: Console, lookout: Lookout, search: Search) -> bool:
    """Print what a search for canaries found; whether it is clean."""
    encoded = msgspec.json.format(msgspec.json.encode(as_values(search)), indent=2) + b"\n"
    if _is_stdout(lookout.json_file):
        sys.stdout.write(encoded.decode())
    elif lookout.json_file is not None:
        lookout.json_file.write_bytes(encoded)
    number = sum(search.kinds.values())
    where = f"{search.places} places, {search.bytes_read / 1e6:.1f} MB"
    console.print(f"canaries: {number} values of {len(search.kinds)} kinds, looked for in {where}", highlight=False)
    for hit in search.hits:
        console.print(f"[bold red]found[/] {hit.kind} ({hit.form}) in {hit.place} at {hit.offset}", highlight=False)
    console.print(
        "[green]nothing found[/]" if search.is_clean else f"[red]{len(search.hits)} found[/]", highlight=False
    )
    return search.is_clean


def _is_stdout(path: Path | None) -> bool:
    return path is not None and str(path) == "-"


def _fail(error: BaseException) -> None:
    Console(stderr=True).print(f"[bold red]The siege cannot run:[/] {error}", highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_CANNOT_RUN) from error
