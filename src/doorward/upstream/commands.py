"""`doorward simulate`: the simulated AI service as a process of its own."""

import asyncio
import signal
from typing import Annotated

import msgspec
import typer
import uvloop

from doorward.upstream.simulator import Knobs, Simulator, parse_fault

EXAMPLE = "Example: doorward simulate --port 8000 --ttft-ms 300 --slots 8 --fault error:0.05 --fault stall@30-60"


def register(app: typer.Typer) -> None:
    """Add `simulate` to the command line."""

    @app.command(epilog=EXAMPLE)
    def simulate(  # noqa: PLR0917  # options that a person types
        host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = 8000,
        ttft_ms: Annotated[int, typer.Option(min=0, max=600_000, help="Milliseconds before the first token.")] = 150,
        tokens_per_second: Annotated[float, typer.Option(min=0.01, max=1e6, help="Tokens a second, each stream.")] = 40,
        slots: Annotated[int, typer.Option(min=1, max=100_000, help="Answers worked on at once.")] = 64,
        queue: Annotated[int, typer.Option(min=0, max=1_000_000, help="Requests that may wait for a slot.")] = 256,
        full_status: Annotated[int, typer.Option(help="Status beyond the queue: 429 or 503.")] = 429,
        fault: Annotated[
            list[str] | None,
            typer.Option(help="kind[:share][@from-to], kind: error, stall, cut or blank. May be given again."),
        ] = None,
        api_key: Annotated[
            str, typer.Option(envvar="DOORWARD_SIMULATOR_API_KEY", help="Key to ask for; empty: none.")
        ] = "",
        seed: Annotated[int, typer.Option(min=0, help="Seed of texts and faults.")] = 1,
        json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
    ) -> None:
        """Run a simulated OpenAI-compatible service: its answers are made up, its pace and faults are yours to set."""
        if full_status not in {429, 503}:
            raise typer.BadParameter("is 429 or 503", param_hint="--full-status")
        try:
            faults = tuple(map(parse_fault, fault or ()))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--fault") from error
        knobs = Knobs(
            time_to_first_token_ms=ttft_ms, tokens_per_second=tokens_per_second, slots=slots, queue=queue,
            full_status=full_status, api_key=api_key, seed=seed, faults=faults,
        )  # fmt: skip
        try:
            uvloop.run(_serve(Simulator(knobs, host, port), as_json=json))
        except OSError as error:
            typer.echo(f"cannot listen on {host}:{port}: {error.strerror or error}", err=True)
            raise typer.Exit(1) from error


async def _serve(simulator: Simulator, *, as_json: bool) -> None:
    async with simulator:
        if as_json:
            typer.echo(msgspec.json.encode({"ready": True, "url": simulator.url}).decode())
        else:
            typer.echo(f"simulated AI service: {simulator.url}  (end with Ctrl+C)")
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ended.set)
        await ended.wait()
