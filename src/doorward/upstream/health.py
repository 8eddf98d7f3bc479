"""Whether the AI service is there. `judged` is pure; `probe` is the question that is asked of the service.

1. A number of failures in a row takes the service away, a number of successes in a row brings it back: two thresholds,
   so that it does not flap.
2. Answers to relayed requests count as successes and connections that fail as failures: with traffic there is news
   all the time. Other faults of relayed requests (one that took too long, an answer that was cut) may be the
   request's own; they only make the next probe come at once.
3. Any answer below 500 is a sign of life: a service may well forbid its list of models.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from doorward import __version__
from doorward.upstream.pool import Origin
from doorward.upstream.trust import fault_of

_STATUS_LINE_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class HealthRules:
    """1. The two thresholds, each at least 1."""

    failures_to_leave: int
    successes_to_return: int


@dataclass(frozen=True, slots=True)
class Health:
    """What is known. One of the two streaks is always 0."""

    is_healthy: bool = True  # until shown otherwise: a start must not turn people away
    failures: int = 0  # in a row
    successes: int = 0  # in a row
    reason: str = ""  # of the last failure: `connect`, `timeout`, `tls_expired`, `status_503` …


def judged(health: Health, fault: str, rules: HealthRules) -> Health:
    """1. What is known after one more sign: an empty `fault` is a success."""
    if not fault:
        successes = min(health.successes + 1, rules.successes_to_return)
        is_healthy = health.is_healthy or successes >= rules.successes_to_return
        return replace(health, is_healthy=is_healthy, failures=0, successes=successes)
    failures = min(health.failures + 1, rules.failures_to_leave)
    is_healthy = health.is_healthy and failures < rules.failures_to_leave
    return Health(is_healthy=is_healthy, failures=failures, reason=fault)


async def probe(origin: Origin, path: str, api_key: str, timeout_seconds: float) -> str:
    """3. Ask `path` under the service's base address (with a leading slash: under its origin).

    Returns the fault, or nothing if the service lives.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _asked(origin, path, api_key)
    except TimeoutError:
        return "timeout"
    except OSError as error:  # refused, unreachable, unknown host, TLS that fails
        return fault_of(error)
    except ValueError:  # a line longer than the reader's limit, or no status in it
        return "broken"


async def _asked(origin: Origin, path: str, api_key: str) -> str:
    reader, writer = await asyncio.open_connection(origin.host, origin.port, ssl=origin.tls, limit=_STATUS_LINE_BYTES)
    try:
        writer.write(_request(origin, path, api_key))
        await writer.drain()
        line = await reader.readline()
    finally:
        writer.transport.abort()
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("no status line of HTTP/1.1")
    status = int(rest[:3])
    return "" if 200 <= status < 500 else f"status_{status}"


def _request(origin: Origin, path: str, api_key: str) -> bytes:
    target = path.encode("ascii") if path.startswith("/") else b"%s/%s" % (origin.base_path, path.encode("ascii"))
    lines = [
        b"GET %s HTTP/1.1" % target,
        b"host: " + origin.authority,
        b"accept: application/json",
        b"user-agent: doorward/" + __version__.encode(),
        b"connection: close",
    ]
    if api_key:
        lines.append(b"authorization: Bearer " + api_key.encode("ascii"))
    return b"\r\n".join(lines) + b"\r\n\r\n"
