"""How much of the machine's Argon2id sign-ups with a password get, and what existing users notice of it.

1. Measure what Argon2id alone does on the server's core, with the server's parameters, before and after.
2. Pay beforehand: take offers and solve their challenges, so that the solver does not compete with the server.
3. Hand in paid sign-ups with passwords, as many at once as the hashing queue takes, while existing users ask
   `/authorize` at a steady pace.
"""

import asyncio
import itertools
import subprocess
import sys
import time

from load import Answers, saturate
from served import SERVER_CORE, Served, figures_out
from steady import Steady

SECONDS = 10.0
CONNECTIONS = 24
EXISTING_PER_SECOND = 250
STEADY = 0.15  # how far the two measurements of the limit may lie apart

# Run apart, on the server's core: the server's own parameters from its settings, in as many threads as it would use.
ARGON2_ALONE = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from argon2.low_level import Type, hash_secret_raw
from doorward.accounts.settings import AccountsSettings
settings, end = AccountsSettings(), time.perf_counter() + float(sys.argv[1])
def work(_):
    count = 0
    while time.perf_counter() < end:
        hash_secret_raw(b"correct horse battery staple", b"0123456789abcdef", settings.hash_passes,
            settings.hash_memory_kib, 1, 32, Type.ID)
        count += 1
    return count
with ThreadPoolExecutor(1) as pool:
    print(sum(pool.map(work, range(1))) / float(sys.argv[1]))
"""


def argon2_alone(seconds: float) -> float:
    """Hashes per second of Argon2id alone, on the server's core."""
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-c", ARGON2_ALONE, str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


def main() -> None:
    """Measure and print."""
    with Served() as served:
        before = argon2_alone(4)
        paid = served.paid_signups(round(before * SECONDS * 1.3) + CONNECTIONS)
        existing = Steady()
        ask = served.authorize(served.key())
        existing.begin(served.where, [ask], EXISTING_PER_SECOND, SECONDS)
        started = time.perf_counter()
        host, port = served.where
        answers: Answers = asyncio.run(saturate(host, port, itertools.chain(paid), CONNECTIONS, SECONDS))
        elapsed = min(SECONDS, time.perf_counter() - started)
        noticed = existing.result()
        existing.stop()
        after = argon2_alone(4)
    accepted = answers.statuses.get(202, 0)
    if accepted < 0.99 * sum(answers.statuses.values()) or set(noticed.statuses) != {200}:
        raise SystemExit(f"not what it should be: sign-ups {answers.statuses}, existing users {noticed.statuses}")
    if abs(before - after) > STEADY * max(before, after):
        raise SystemExit(
            f"the machine was busy with other things: Argon2id alone {before:.1f} and {after:.1f} a second"
        )
    limit = (before + after) / 2
    ratio, p99 = accepted / elapsed / limit, noticed.percentile_ms(99)
    detail = f"{accepted / elapsed:.1f} sign-ups a second; Argon2id alone {before:.1f} before and {after:.1f} after."
    figures_out(
        {
            "signup_vs_argon2": (round(ratio, 3), "ratio", "Argon2id alone on the same core", detail),
            "signup_existing_p99_ms": (round(p99, 2), "ms", "5 ms", f"{EXISTING_PER_SECOND} requests a second."),
        }
    )


if __name__ == "__main__":
    main()
