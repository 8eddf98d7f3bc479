"""A server's control socket: `doorward vault unlock` speaks to a running or waiting server through it.

1. It lies in the data directory as `vault.<random>.sock`, for its owner only, and answers to its own user and root only
   (the kernel says who asks: SO_PEERCRED). Several servers may share a directory.
2. One question a connection: a line of JSON, answered by a line of JSON.
3. A server whose passphrase is not at hand waits here, with nothing opened and nothing touched, until a lock that opens
   the ring is brought.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import msgspec
import structlog
from msgspec import Meta

from doorward.hall.errors import DoorwardError, InvalidInputError, NotAllowedError, UnavailableError, VaultLockedError
from doorward.vault import ringfile
from doorward.vault.keeper import Keeper
from doorward.vault.locks import choice, passphrase, recovery
from doorward.vault.locks.lock import Lock
from doorward.vault.site import Site

_LINE_BYTES: Final = 16_384
_PATIENCE_SECONDS: Final = 10.0
_LONGEST_ADDRESS: Final = 100  # sun_path has 108 bytes
_CREDENTIALS: Final = struct.Struct("3i")

_log = structlog.get_logger("doorward.vault")


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a command asks a server. `secret`: a passphrase, or (`kind` `recovery`) what stands on the sheet."""

    do: Literal["status", "unlock", "lock"]
    kind: Literal["passphrase", "recovery", "configured"] = "passphrase"
    secret: Annotated[str, Meta(max_length=8_192)] = ""

    def __repr__(self) -> str:
        return f"Question({self.do!r})"


class Control:
    """An asynchronous context: the socket is there inside it."""

    def __init__(self, site: Site) -> None:
        """For the server of `site`."""
        self._site = site
        self._keeper: Keeper | None = None
        self._brought: asyncio.Future[Lock] | None = None
        self._server: asyncio.Server | None = None
        self._path = _directory(site) / f"vault.{secrets.token_hex(4)}.sock"

    async def __aenter__(self) -> Self:
        if self._path.parent.is_dir():
            _sweep(self._path.parent)
            await self._listen()
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    async def lock_at_hand(self) -> Lock | None:
        """None if the configuration opens the ring by itself; else the lock that somebody brings (rule 3)."""
        if not self._site.ring_path.exists():
            return None
        try:
            choice.configured(self._site)
        except VaultLockedError:
            if self._server is None:
                raise
        except DoorwardError:
            return None  # the house says what is wrong when it opens
        else:
            return None
        self._brought = asyncio.get_running_loop().create_future()
        _log.warning("vault_waits_locked", advice="run `doorward vault unlock`", directory=str(self._path.parent))
        try:
            return await self._brought
        finally:
            self._brought = None

    async def attach(self, keeper: Keeper | None) -> None:
        """The house is open: from now on questions are about its vault."""
        self._keeper = keeper
        if self._server is None and keeper is not None and self._path.parent.is_dir():  # a first start made it
            await self._listen()

    async def _listen(self) -> None:
        with _address(self._path) as address:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            before = os.umask(0o177)
            try:
                listener.bind(address)
            except OSError as error:
                listener.close()
                raise UnavailableError(f"The control socket cannot be made: {error.strerror}.") from error
            finally:
                os.umask(before)
        self._server = await asyncio.start_unix_server(self._answer, sock=listener, limit=_LINE_BYTES)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                answer = {"ok": True, **await self._told(reader, writer)}
        except DoorwardError as error:
            answer = {"ok": False, "code": error.code, "message": error.message, "advice": error.advice}
        except (ValueError, TimeoutError, OSError) as error:  # ValueError: longer than a line may be
            answer = {"ok": False, "code": "input.invalid", "message": type(error).__name__, "advice": ""}
        with contextlib.suppress(OSError):
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def _told(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, Any]:
        _check_peer(writer)
        try:
            question = msgspec.json.decode(await reader.readline(), type=Question)
        except msgspec.DecodeError as error:
            raise InvalidInputError("This is no question to a vault.") from error
        if question.do == "unlock":
            await self._unlock(question)
        elif question.do == "lock":
            if self._keeper is None:
                raise VaultLockedError
            self._keeper.lock_now()
        return self._state()

    async def _unlock(self, question: Question) -> None:
        file = ringfile.read(self._site.ring_path)
        if question.kind == "recovery":
            lock: Lock = recovery.of_sheet(question.secret, file.ring_id)
        elif question.kind == "configured":
            lock = choice.configured(self._site)
        else:
            lock = passphrase.of_passphrase(question.secret)
        if self._keeper is not None:
            await asyncio.to_thread(self._keeper.open_with, lock)
        else:
            await asyncio.to_thread(ringfile.open_with, file, lock)  # only what opens the ring ends the wait
            if self._brought is not None and not self._brought.done():
                self._brought.set_result(lock)

    def _state(self) -> dict[str, Any]:
        if self._keeper is None:
            return {"state": "waiting" if self._brought is not None else "starting"}
        return self._keeper.overview()


def ask(site: Site, question: Question) -> list[dict[str, Any]]:
    """Ask every server of this data directory; the answer of each that is there."""
    paths = sorted(_directory(site).glob("vault.*.sock"))
    return [answer for path in paths if (answer := _ask(path, question)) is not None]


def _ask(path: Path, question: Question) -> dict[str, Any] | None:
    with _address(path) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(4 * _PATIENCE_SECONDS)
        try:
            client.connect(address)
            client.sendall(msgspec.json.encode(question) + b"\n")
            with client.makefile("rb") as lines:
                answer = msgspec.json.decode(lines.readline(_LINE_BYTES))
        except (OSError, msgspec.DecodeError):  # it ended a moment ago, or without tidying up
            return None
    return answer if isinstance(answer, dict) else None


def _directory(site: Site) -> Path:
    return Path(site.data_directory)


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """The socket's address, short enough for the kernel whatever the directory is called."""
    if len(os.fsencode(path)) < _LONGEST_ADDRESS:
        yield str(path)
        return
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{path.name}"
    finally:
        os.close(handle)


def _sweep(directory: Path) -> None:
    """Take away the sockets of servers that were killed."""
    for path in directory.glob("vault.*.sock"):
        with _address(path) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1.0)
            try:
                client.connect(address)
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue


def _check_peer(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    if _CREDENTIALS.unpack(data)[1] not in {0, os.geteuid()}:
        raise NotAllowedError("Only the server's own user and root may ask its vault.")
