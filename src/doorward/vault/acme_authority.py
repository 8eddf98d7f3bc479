"""Asks an authority, by way of a process that does only that (`acme_process` says why).

The process is started for one question, gets no environment but what a network needs, and is killed when the time of
the question is over or who asked is gone.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import msgspec
import structlog

from doorward.vault.acme_errors import AuthorityError
from doorward.vault.acme_messages import LONGEST_LINE, Ask, Refused, Show, Told

Shower = Callable[[dict[str, str]], Awaitable[None]]

_MARGIN_SECONDS: Final = 15.0  # to start, and to say what went wrong
_PASSED_ON: Final = ("PATH", "LANG", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE")
_PROGRAM: Final = (sys.executable, "-I", "-m", "doorward.vault.acme_process")

_DECODER: Final[msgspec.json.Decoder[Told]] = msgspec.json.Decoder(Told)

_log = structlog.get_logger("doorward.vault")


async def ask_authority(ask: Ask, show: Shower | None = None) -> Told:
    """The authority's answer to one question.

    Raises:
        AuthorityError: it refused, is away, or did not finish in time. What `show` raises passes through.
    """
    try:
        async with asyncio.timeout(ask.seconds + _MARGIN_SECONDS), _started() as process:
            told = await _talk(process, ask, show)
    except TimeoutError as error:
        raise AuthorityError("timeout", "The authority did not finish in time.") from error
    if isinstance(told, Refused):
        raise AuthorityError(told.problem, told.detail, told.retry_after_seconds)
    return told


@contextlib.asynccontextmanager
async def _started() -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *_PROGRAM, stdin=pipe, stdout=pipe, stderr=pipe, limit=LONGEST_LINE, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def _talk(process: asyncio.subprocess.Process, ask: Ask, show: Shower | None) -> Told:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise TypeError("all pipes were asked for")
    complaints = asyncio.create_task(process.stderr.read(LONGEST_LINE))
    try:
        process.stdin.write(msgspec.json.encode(ask) + b"\n")
        while True:
            told = await _told(process.stdout)
            if not isinstance(told, Show):
                return told
            if show is None:
                raise AuthorityError("odd_answer", "The authority asks for a proof where none is due.")
            await show(told.answers)
            process.stdin.write(b"shown\n")
    except (msgspec.DecodeError, ValueError, ConnectionError) as error:
        await process.wait()
        _log.error("acme_process_failed", status=process.returncode, said=(await complaints)[-2_000:].decode("latin-1"))
        raise AuthorityError("odd_answer", "The process that asks the authority failed.") from error
    finally:
        complaints.cancel()
        process.stdin.close()


async def _told(lines: asyncio.StreamReader) -> Told:
    line = await lines.readline()
    return _DECODER.decode(line)
