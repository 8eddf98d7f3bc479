"""How long a new key-encryption key for a million people takes beside a serving Doorward, and what they notice of it.

`python bench/rotation.py --people 20000` for a smaller number; the figure is scaled to a million.

1. A server on SQLite; data keys of so many people are put into its rows, wrapped as the vault wraps them.
2. Existing users ask `/authorize` and, through the relay, the AI service's `/v1/models`, in turn and at a steady pace,
   for some seconds, for comparison.
3. They go on, turn after turn, while `doorward vault rotate` runs as a process of its own at the lowest priority, until
   it ends. A request that is not answered with 200 fails the benchmark.
4. Seconds: of the whole command with its start, scaled, so that a small number of people looks slow. The p99's change:
   the median of the turns within the rotation against the median of as many turns before. A turn that the rotation's
   end cuts off counts like the others.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from sqlalchemy import Connection

from doorward.config import load
from doorward.hall.clock import SystemClock
from doorward.stores.sql import Database
from doorward.vault.envelope import new_key
from doorward.vault.model import WrappedKey
from doorward.vault.opening import open_vault
from doorward.vault.rotate_tables import add_versions
from load import request
from served import Served, figures_out
from steady import Steady

MILLION = 1_000_000
PART = 5_000
EXISTING_PER_SECOND = 250
TURN_SECONDS = 3.0
TURNS_BEFORE = 6


class Watched(Served):
    """A server whose rows can be filled, and whose commands can run beside it."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Of its commands."""
        return self._environment

    def begin_rotation(self) -> subprocess.Popen[bytes]:
        """Start the command, at the lowest priority, beside the load."""
        line = ["nice", "-n", "19", sys.executable, "-m", "doorward", "vault", "rotate", "--json"]
        return subprocess.Popen(line, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


async def fill(environment: Mapping[str, str], people: int) -> None:
    """Give so many people data keys."""
    settings = load(None, dict(environment))
    url = settings.stores.database_url()
    vault = await open_vault(settings.vault, settings.stores.data_directory, url, SystemClock())
    database = Database.open(url, vault)

    def make(connection: Connection, first: int, last: int) -> None:
        kek = vault.keks.active(connection)
        subjects = [f"acc_{number:026}" for number in range(first, last)]
        keys = [WrappedKey(one, 1, kek.version, kek.wrap(one, 1, new_key())) for one in subjects]
        add_versions(connection, keys, time.time())

    try:
        for first in range(0, people, PART):
            last = min(first + PART, people)
            await database.write(lambda connection, first=first, last=last: make(connection, first, last))
    finally:
        await database.close()


def turn(existing: Steady, served: Served, asks: list[bytes]) -> float:
    """The 99th percentile of a few seconds, in milliseconds.

    Raises:
        SystemExit: somebody was not served.
    """
    existing.begin(served.where, asks, EXISTING_PER_SECOND, TURN_SECONDS)
    answers = existing.result()
    if set(answers.statuses) != {200} or answers.unanswered:
        raise SystemExit(f"existing users were not served: {answers.statuses}, {answers.unanswered} unanswered")
    return answers.percentile_ms(99)


def measure(people: int) -> tuple[float, int, list[float], list[float]]:
    """Seconds of the rotation, how many keys it wrapped, and the 99th percentiles before and during."""
    with Watched() as served:
        key = served.key()
        asks = [served.authorize(key), request("GET", "/v1/models", {"Authorization": f"Bearer {key}"})]
        asyncio.run(fill(served.environment, people))
        existing = Steady()
        turn(existing, served, asks)  # warms up
        before = [turn(existing, served, asks) for _ in range(TURNS_BEFORE)]
        started, during = time.perf_counter(), []
        rotation = served.begin_rotation()
        with ThreadPoolExecutor(1) as waiter:  # a turn would notice the end up to three seconds late
            ending = waiter.submit(lambda: (rotation.communicate(), time.perf_counter()))
            while not ending.done():
                during.append(turn(existing, served, asks))
            (out, error), ended = ending.result()
        existing.stop()
        if rotation.returncode:
            raise SystemExit(f"the rotation failed: {out.decode()} {error.decode()}")
        told = json.loads(out)
    return ended - started, told["rewrapped"], before, during


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--people", type=int, default=MILLION)
    people = parser.parse_args().people
    seconds, wrapped, before, during = measure(people)
    usual, meanwhile = median(before), median(during)
    detail = f"{wrapped:,} data keys in {seconds:.1f} s beside {EXISTING_PER_SECOND} requests a second, 0 failed"
    p99 = f"p99 {usual:.2f} ms before, {meanwhile:.2f} ms during ({len(during)} turns)"
    figures_out(
        {
            "rotation_s_per_million": (round(seconds * MILLION / wrapped, 1), "s", "at most 60 s", detail),
            "rotation_existing_p99_ratio": (round(meanwhile / usual, 3), "×", "at most 1.10", p99),
        }
    )


if __name__ == "__main__":
    main()
