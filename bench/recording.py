"""What the vault adds to a relayed stream of tokens, with recording off (the default) and on.

1. Three houses on one core before the same streaming service: one whose cells are not sealed (`unsealed.py`), one as it
   is installed, one that records every exchange, with redaction.
2. Turn after turn each gets the same load at the same pace: chats of some forty tokens, each token a piece of its own.
   The turns go round in changing order, so that a neighbour on the machine disturbs all alike.
3. What counts is the processor time of the house's process over the turn and the two seconds after it, in which
   recordings are redacted, sealed and written. The figure is the median of the turns' ratios to the first house.
"""

import argparse
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from load import request
from served import LOAD_CORES, Served, figures_out
from steady import Steady

HERE = Path(__file__).parent
TURNS = 9
TURN_SECONDS = 6.0
AFTER_SECONDS = 2.0
CHATS_PER_SECOND = 100
PLAIN, OFF, ON = "unsealed", "as installed", "recording"
PROMPT = "Please write to Anna at anna@example.com about the invoice, and tell me how the weather is in Graz. " * 3
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class House:
    """One of the three, what is asked of it, and what its turns cost: microseconds of processor time for each chat."""

    served: Served
    chat: bytes
    costs: list[float] = field(default_factory=list)
    medians_ms: list[float] = field(default_factory=list)

    def turn(self, load: Steady) -> None:
        """One turn.

        Raises:
            SystemExit: a chat was not answered.
        """
        before = cpu_seconds(self.served.process.pid)
        load.begin(self.served.where, [self.chat], CHATS_PER_SECOND, TURN_SECONDS)
        answers = load.result()
        if set(answers.statuses) != {200} or answers.unanswered:
            raise SystemExit(f"chats were not answered: {answers.statuses}, {answers.unanswered} unanswered")
        time.sleep(AFTER_SECONDS)
        used = cpu_seconds(self.served.process.pid) - before
        self.costs.append(used / answers.statuses[200] * 1e6)
        self.medians_ms.append(answers.percentile_ms(50))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def streaming(stack: ExitStack) -> int:
    """Start the streaming service on the cores of the load; its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    os.sched_setaffinity(0, LOAD_CORES)
    service = subprocess.Popen([sys.executable, str(HERE / "streaming.py"), str(port)])
    stack.callback(service.wait, 20)
    stack.callback(service.terminate)
    return port


def house(stack: ExitStack, port: int, program: tuple[str, ...], recording: str) -> House:
    """A house before that service, and a chat of somebody who belongs."""
    settings = {"DOORWARD_UPSTREAM_URL": f"http://127.0.0.1:{port}/v1", "DOORWARD_UPSTREAM_RECORDING": recording}
    served = stack.enter_context(Served(settings, program))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": PROMPT}]}
    headers = {"Authorization": f"Bearer {served.key()}", "Content-Type": "application/json"}
    return House(served, request("POST", "/v1/chat/completions", headers, json.dumps(body).encode()))


def measure(turns: int) -> dict[str, House]:
    """Run all turns."""
    with ExitStack() as stack:
        port = streaming(stack)
        houses = {
            PLAIN: house(stack, port, (str(HERE / "unsealed.py"),), "off"),
            OFF: house(stack, port, ("-m", "doorward"), "off"),
            ON: house(stack, port, ("-m", "doorward"), "on"),
        }
        load = Steady()
        stack.callback(load.stop)
        for one in houses.values():
            one.turn(load)  # warms up
            one.costs.clear()
            one.medians_ms.clear()
        for order in itertools.islice(itertools.cycle(itertools.permutations(houses.values())), turns):
            for one in order:
                one.turn(load)
    return houses


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--turns", type=int, default=TURNS)
    houses = measure(parser.parse_args().turns)
    figures = {}
    for name, which in (("token_path_slowdown", OFF), ("token_path_slowdown_recording", ON)):
        plain, ours = houses[PLAIN], houses[which]
        slower = median(our / their for our, their in zip(ours.costs, plain.costs, strict=True)) - 1
        detail = (
            f"{median(ours.costs):,.0f} µs of CPU for a chat of 41 pieces, unsealed {median(plain.costs):,.0f} µs; "
            f"median answer {median(ours.medians_ms):.1f} ms, unsealed {median(plain.medians_ms):.1f} ms"
        )
        figures[name] = (round(100 * slower, 1), "%", "the same house with unsealed rows", detail)
    figures_out(figures)


if __name__ == "__main__":
    main()
