"""A steady load in its own process, so that what drives a flood cannot delay what measures it.

Reads one JSON line `{"host", "port", "requests": [text], "per_second", "seconds"}` at a time from standard input, sends
the requests in turn, and answers each line with `{"latencies_ms", "statuses", "unanswered"}`.
"""

import gc
import itertools
import json
import subprocess
import sys
from pathlib import Path

import uvloop

from load import Answers, Load


class Steady:
    """The parent's side: starts the process, and runs loads in it."""

    def __init__(self, niceness: int = 0) -> None:
        command = ["nice", "-n", str(niceness), sys.executable, str(Path(__file__))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self, where: tuple[str, int], requests: list[bytes], per_second: float, seconds: float) -> None:
        """Start a load; `result` waits for its end."""
        host, port = where
        texts = [request.decode("latin-1") for request in requests]
        order = {"host": host, "port": port, "requests": texts, "per_second": per_second, "seconds": seconds}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def result(self) -> Answers:
        """What came back.

        Raises:
            RuntimeError: the process ended.
        """
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load's process ended")
        found = json.loads(line)
        statuses = {int(status): count for status, count in found["statuses"].items()}
        return Answers([each / 1000 for each in found["latencies_ms"]], statuses, found["unanswered"])

    def stop(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait(timeout=20)


async def _run(order: dict) -> Answers:
    requests = itertools.cycle([text.encode("latin-1") for text in order["requests"]])
    load = Load(order["host"], order["port"], requests, order["per_second"])
    answers = await load.run(order["seconds"])
    load.close()
    return answers


def main() -> None:
    """Serve orders until the input ends."""
    gc.disable()  # its pauses would be taken for the server's
    for line in sys.stdin:
        answers = uvloop.run(_run(json.loads(line)))
        latencies = [round(1000 * each, 4) for each in answers.latencies]
        reply = {"latencies_ms": latencies, "statuses": answers.statuses, "unanswered": answers.unanswered}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
