"""Counters in Valkey or Redis, shared by all nodes of a house. Native commands and Lua; the server's clock counts.

Calls of one moment travel together: they are queued, and one task sends what waits as one pipeline. So a node that
asks a thousand budgets at once pays for a few round trips, not for a thousand.
"""

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import parse_qsl

import structlog

from doorward.stores import gcra
from doorward.stores.errors import CountersUnavailableError, StoreSetupError

try:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import NoScriptError, RedisError
except ImportError as error:
    raise StoreSetupError("Valkey and Redis need their client: pip install 'doorward[cluster]'") from error

_PREFIX: Final = "doorward:"
_WAITING_LIMIT: Final = 10_000
_PER_PIPELINE: Final = 500
_TIMEOUT_SECONDS: Final = 2.0
_RECONNECT_SECONDS: Final = 0.5
_LISTEN_SECONDS: Final = 5.0
_log = structlog.get_logger("doorward.stores")

# The steps of gcra.py, with the server's own time. Returns the seconds to wait as text: Lua numbers become integers.
_TAKE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = tonumber(redis.call('GET', KEYS[1]) or now)
local wanted = math.max(full_at, now) + cost / rate
local wait = wanted - burst / rate - now
if wait > 0.000001 then return string.format('%.6f', wait) end
redis.call('SET', KEYS[1], string.format('%.6f', wanted), 'PX', math.max(1, math.ceil((wanted - now) * 1000)))
return '0'
"""
_ADD: Final = """
local value = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return value
"""
_SCRIPTS: Final = {hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(): source for source in (_TAKE, _ADD)}
_TAKE_HASH, _ADD_HASH = _SCRIPTS

Command = tuple[str | int | float | bytes, ...]


_TLS_FILES: Final = {"ca_file": "ssl_ca_certs", "certificate": "ssl_certfile", "key": "ssl_keyfile"}


def _tls_files(query: str, *, is_tls: bool) -> dict[str, Any]:
    """What `?ca_file=path&certificate=path&key=path` means to the client. Its server's name is always verified."""
    try:
        given = dict(parse_qsl(query, strict_parsing=bool(query)))
    except ValueError as error:
        raise StoreSetupError("The URL of the counters cannot be read.") from error
    if given.keys() - _TLS_FILES.keys() or (given and not is_tls):
        raise StoreSetupError("The URL of the counters knows ca_file, certificate and key only, and those with TLS.")
    for path in given.values():
        if not os.access(path, os.R_OK):
            raise StoreSetupError(f"The counters need {path}, which cannot be read.")
    return {_TLS_FILES[name]: path for name, path in given.items()}


class ValkeyCounters:
    """`Counters` on a Valkey or Redis server."""

    def __init__(self, client: "Redis") -> None:
        """Use `ValkeyCounters.open`."""
        self._client = client
        self._waiting: deque[tuple[Command, asyncio.Future[Any]]] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._is_closed = False

    @classmethod
    def open(cls, url: str) -> "ValkeyCounters":
        """Prepare a client; it connects, and connects again, when it is needed.

        Raises:
            StoreSetupError: the URL cannot be read, or a file that it names.
        """
        scheme, _, rest = url.partition("://")
        address, _, query = rest.partition("?")
        try:
            client = Redis.from_url(
                f"{scheme.replace('valkey', 'redis')}://{address}",
                **_tls_files(query, is_tls=scheme in {"rediss", "valkeys"}),
                protocol=2,
                client_name="doorward",
                socket_timeout=_TIMEOUT_SECONDS,
                socket_connect_timeout=_TIMEOUT_SECONDS,
                health_check_interval=15,
                # Never sent twice behind our back: a proof spent by a command whose answer was lost stays spent.
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise StoreSetupError("The URL of the counters cannot be read.") from error
        return cls(client)

    async def take(self, key: str, rate_per_second: float, burst: int, cost: int = 1) -> float:
        """See `Counters.take`."""
        gcra.check_budget(rate_per_second, burst, cost)
        wait = await self._ask(("EVALSHA", _TAKE_HASH, 1, f"{_PREFIX}r:{key}", repr(rate_per_second), burst, cost))
        return float(wait)

    async def spend(self, key: str, ttl_seconds: int) -> bool:
        """See `Counters.spend`."""
        return await self._ask(("SET", f"{_PREFIX}s:{key}", b"", "NX", "EX", ttl_seconds)) is not None

    async def add(self, key: str, amount: int, ttl_seconds: int) -> int:
        """See `Counters.add`."""
        return int(await self._ask(("EVALSHA", _ADD_HASH, 1, f"{_PREFIX}c:{key}", amount, ttl_seconds)))

    async def get(self, key: str) -> int:
        """See `Counters.get`."""
        return int(await self._ask(("GET", f"{_PREFIX}c:{key}")) or 0)

    async def publish(self, channel: str, message: bytes) -> None:
        """See `Counters.publish`."""
        await self._ask(("PUBLISH", f"{_PREFIX}m:{channel}", message))

    async def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """See `Counters.subscribe`. Subscribed from the first message asked for; subscribes again after a break."""
        while not self._is_closed:
            listener = self._client.pubsub(ignore_subscribe_messages=True)
            try:
                await listener.subscribe(f"{_PREFIX}m:{channel}")
                while not self._is_closed:
                    message = await listener.get_message(timeout=_LISTEN_SECONDS)
                    if message is not None and message["type"] == "message":
                        yield bytes(message["data"])
            except (RedisError, OSError) as error:
                _log.warning("counters_subscription_lost", channel=channel, error=type(error).__name__)
                await asyncio.sleep(_RECONNECT_SECONDS)
            finally:
                await listener.aclose()  # type: ignore[no-untyped-call]

    async def ping(self) -> None:
        """See `Counters.ping`."""
        await self._ask(("PING",))

    async def close(self) -> None:
        """Finish what waits and let go of the connections."""
        self._is_closed = True
        if self._sender is not None:
            await self._sender
        await self._client.aclose()

    async def _ask(self, command: Command) -> Any:
        if self._is_closed:
            raise CountersUnavailableError("The counters are being closed.", retry_after_seconds=5)
        if len(self._waiting) >= _WAITING_LIMIT:
            raise CountersUnavailableError("Too many calls wait for the counters.", retry_after_seconds=1)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all(), name="doorward-counters")
        return await future

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                number = min(len(self._waiting), _PER_PIPELINE)
                batch = [self._waiting.popleft() for _ in range(number)]
                await self._send([command for command, _ in batch], [future for _, future in batch])
        finally:
            self._sender = None

    async def _send(self, commands: list[Command], futures: list[asyncio.Future[Any]]) -> None:
        try:
            answers = await self._pipeline(commands)
            if any(isinstance(answer, NoScriptError) for answer in answers):  # the server was started anew
                answers = await self._with_scripts(commands, answers)
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, no caller may wait for ever
            _log.warning("counters_unavailable", error=type(error).__name__, calls=len(commands))
            answers = [error] * len(commands)
        for future, answer in zip(futures, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                failure = CountersUnavailableError("The counters do not answer.", retry_after_seconds=1)
                failure.__cause__ = answer
                future.set_exception(failure)
            else:
                future.set_result(answer)

    async def _with_scripts(self, commands: list[Command], answers: list[Any]) -> list[Any]:
        await self._pipeline([("SCRIPT", "LOAD", source) for source in _SCRIPTS.values()])
        missed = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        for index, answer in zip(missed, await self._pipeline([commands[index] for index in missed]), strict=True):
            answers[index] = answer
        return answers

    async def _pipeline(self, commands: list[Command]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return list(await pipeline.execute(raise_on_error=False))
