"""Everybody's mailbox: the target's mail sink, read by one poll for all with the admin key."""

import asyncio
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from doorward.siege.client import Actor, TransportError
from doorward.siege.target import GaveUpError, Reply, Target

POLL_SECONDS: Final = 0.2
PAGE: Final = 100
KEPT_UNREAD: Final = 20_000
_CODE: Final = re.compile(r"(?<![\w./=-])(\d{4}[ -]?\d{4}|\d{3}[ -]?\d{3})(?![\w/=-])")
_LINK: Final = re.compile(r"https?://[^\s<>\"']+")


class NoSinkError(Exception):
    """The target's mail sink cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter as its reader needs it: the code, or the path of the link, whichever it has."""

    code: str
    link: str


def read_mail(text: str) -> Mail:
    """Find the code and the link in the text of a letter."""
    code = _CODE.search(text)
    links = [urlsplit(found.rstrip(".,;)")) for found in _LINK.findall(text)]
    useful = [link for link in links if link.path.startswith(("/signup/link", "/login/link"))]
    link = f"{useful[0].path}?{useful[0].query}" if useful and useful[0].query else useful[0].path if useful else ""
    return Mail(re.sub(r"[ -]", "", code[1]) if code else "", link)


class Mailboxes:
    """Letters by recipient. Bounded: the oldest unread go first."""

    def __init__(self, target: Target, admin: Actor) -> None:
        self._target = target
        self._admin = admin
        self._after = 0
        self._unread: OrderedDict[str, list[Mail]] = OrderedDict()
        self._readers: dict[str, asyncio.Future[Mail]] = {}
        self.letters = 0

    async def skip_old(self) -> None:
        """Pass over what is there already.

        Raises:
            NoSinkError: the sink cannot be read.
        """
        reply = await self._fetch()
        if reply.status != 200:
            raise NoSinkError(
                f"cannot read the target's mail sink (HTTP {reply.status}, {reply.code}): the siege needs an admin key "
                "(--admin-key or DOORWARD_SIEGE_ADMIN_KEY) and a target without an SMTP server"
            )
        while self._take(reply, keep=False) >= PAGE:
            reply = await self._fetch()

    async def watch(self) -> None:
        """Poll until cancelled; an outage only delays mail."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                while self._take(await self._fetch(), keep=True) >= PAGE:
                    pass
            except TransportError:
                continue

    async def next_mail(self, recipient: str, patience_seconds: float) -> Mail:
        """The next unread letter to `recipient`.

        Raises:
            GaveUpError: none came in time.
        """
        unread = self._unread.get(recipient)
        if unread:
            mail = unread.pop(0)
            if not unread:
                del self._unread[recipient]
            return mail
        waiting: asyncio.Future[Mail] = asyncio.get_running_loop().create_future()
        self._readers[recipient] = waiting
        try:
            async with asyncio.timeout(patience_seconds):
                return await waiting
        except TimeoutError as error:
            raise GaveUpError("no-mail") from error
        finally:
            self._readers.pop(recipient, None)

    def pass_over(self, recipient: str) -> None:
        """Leave what lies in a mailbox unread: whoever asks for a code reads the newest."""
        self._unread.pop(recipient, None)

    async def _fetch(self) -> Reply:
        return await self._target.get(self._admin, f"/api/v1/admin/letters?after={self._after}&limit={PAGE}")

    def _take(self, reply: Reply, *, keep: bool) -> int:
        letters: list[dict[str, Any]] = reply.data.get("letters", []) if reply.status == 200 else []
        for letter in letters:
            self._after = max(self._after, int(letter["sequence"]))
            if keep:
                self._deliver(str(letter["recipient"]).lower(), read_mail(str(letter["text"])))
        self.letters += len(letters)
        return len(letters)

    def _deliver(self, recipient: str, mail: Mail) -> None:
        reader = self._readers.get(recipient)
        if reader is not None and not reader.done():
            reader.set_result(mail)
            return
        self._unread.setdefault(recipient, []).append(mail)
        while len(self._unread) > KEPT_UNREAD:
            self._unread.popitem(last=False)
