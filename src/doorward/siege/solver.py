"""A solver process: reads challenges as JSON lines, writes solutions as JSON lines, and yields to everybody else.

Run as `python -m doorward.siege.solver`. It ends when its input does. The cost of solving is real; the lowest
priority keeps it from being the server's cost on a machine that both share.
"""

import hashlib
import os
import sys
from typing import Any, BinaryIO, Final

import msgspec

LOWEST_PRIORITY: Final = 19
COUNTER_LIMIT: Final = 200_000  # no honest price is as high; a target that asks for more is not paid


class UnpayableError(Exception):
    """A challenge of an unknown kind, or dearer than any honest price."""


def solve(challenge: dict[str, Any]) -> tuple[int, str]:
    """The counter and the derived key (hexadecimal) of an ALTCHA v2 challenge with PBKDF2/SHA-256.

    The password is the nonce followed by the counter as four bytes, big-endian; the derived key must begin with
    `keyPrefix` (ALTCHA proof of work, version 2).

    Raises:
        UnpayableError: another algorithm, malformed, or no solution below the limit.
    """
    try:
        parameters = challenge["parameters"]
        if parameters["algorithm"] != "PBKDF2/SHA-256":
            raise UnpayableError(f"algorithm {str(parameters['algorithm'])[:40]!r}")
        nonce, salt = bytes.fromhex(parameters["nonce"]), bytes.fromhex(parameters["salt"])
        prefix, cost = bytes.fromhex(parameters["keyPrefix"]), int(parameters["cost"])
        length = int(parameters.get("keyLength", 32))
    except (KeyError, TypeError, ValueError) as error:
        raise UnpayableError("malformed challenge") from error
    if not (1 <= cost <= 10_000 and 16 <= length <= 64 and 1 <= len(prefix) <= length):
        raise UnpayableError("a price outside of what is honest")
    derive = hashlib.pbkdf2_hmac
    for counter in range(COUNTER_LIMIT):
        key = derive("sha256", nonce + counter.to_bytes(4, "big"), salt, cost, length)
        if key.startswith(prefix):
            return counter, key.hex()
    raise UnpayableError("no solution below the limit")


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer each line `{id, challenge}` with `{id, counter, key}` or `{id, error}` until the input ends."""
    for line in source:
        job = msgspec.json.decode(line)
        try:
            counter, key = solve(job["challenge"])
            reply: dict[str, object] = {"id": job["id"], "counter": counter, "key": key}
        except UnpayableError as error:
            reply = {"id": job["id"], "error": str(error)}
        sink.write(msgspec.json.encode(reply) + b"\n")
        sink.flush()


if __name__ == "__main__":
    os.nice(LOWEST_PRIORITY)
    serve(sys.stdin.buffer, sys.stdout.buffer)
