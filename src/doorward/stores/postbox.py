"""The postbox: letters are written in the transaction that causes them, and leave by SMTP from there.

With no mail server configured they stay in the local sink, which the console shows. A letter is sent at least once:
a process that dies between the server's "accepted" and our note of it sends a second copy with the same Message-ID.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import aiosmtplib
import structlog
from sqlalchemy import Connection

from doorward.hall.clock import Clock
from doorward.hall.errors import InvalidInputError, UnavailableError
from doorward.hall.ids import new_id
from doorward.hall.jobs import Job
from doorward.hall.model import Letter
from doorward.stores import postbox_tables as rows
from doorward.stores.after_commit import after_commit
from doorward.stores.postbox_tables import SunkLetter, WaitingLetter
from doorward.stores.pump import Pump
from doorward.stores.settings import MailSettings
from doorward.stores.smtp import MailServer, Outcome, check_letter, check_sender, hand_over, message_of
from doorward.stores.sql import Database

_PER_CONNECTION: Final = 10
_CLAIM_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 2.0
_FIRST_PAUSE_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_FIRST_DELAY_SECONDS: Final = 15.0
_LONGEST_DELAY_SECONDS: Final = 3600.0
_PRUNE_EVERY_SECONDS: Final = 600.0
_PRUNE_BATCH: Final = 2_000
_LARGEST_PAGE: Final = 1_000
_log = structlog.get_logger("doorward.stores")


class Postbox:
    """Takes letters, delivers them, and keeps the sink."""

    def __init__(self, database: Database, clock: Clock, settings: MailSettings) -> None:
        """Raises StoreSetupError if the mail server's URL or the sender cannot be read."""
        check_sender(settings.sender)
        self._database = database
        self._clock = clock
        self._settings = settings
        self._server = MailServer.parse(settings.smtp_url) if settings.smtp_url else None
        self._pump = Pump("doorward-postbox", self._look)
        self._paused_until = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    @property
    def is_sink(self) -> bool:
        """Whether letters stay here, because no mail server is configured."""
        return self._server is None

    def enqueue(self, connection: Connection, letter: Letter, person: str) -> str:
        """Put a letter in the box, in the transaction that is running on `connection`; returns the letter's id.

        `person`: the subject whose key seals it (see `hall.doors.Sealer.subject_of`).

        Raises:
            InvalidInputError: the recipient or the subject is not one, or the letter is too long.
        """
        check_letter(letter)
        now = self._clock.now()
        letter_id = new_id("ltr", now)
        new = rows.NewLetter(letter_id, letter, person, now)
        rows.add_letter(connection, new, rows.SUNK if self.is_sink else rows.WAITING)
        after_commit(connection, self._pump.ring_from_thread)
        return letter_id

    async def sink(self, after: int = 0, recipient: str = "", limit: int = 100) -> list[SunkLetter]:
        """Letters in the sink with a sequence number above `after`, in order, perhaps of one recipient only."""
        page = max(1, min(limit, _LARGEST_PAGE))
        return await self._database.read(lambda connection: rows.sunk_letters(connection, after, recipient, page))

    async def counts(self) -> dict[str, int]:
        """How many letters are `waiting`, `sent`, `sunk` and `failed` (within the retention)."""
        return await self._database.read(rows.counts)

    def start(self) -> None:
        """Deliver in the background until `stop`; for processes with the role `worker` or `all`."""
        if not self.is_sink:
            self._pump.start()

    async def stop(self) -> None:
        """Finish the letters in hand (at most five seconds)."""
        await self._pump.stop()

    def jobs(self) -> list[Job]:
        """The work that keeps the box small."""
        return [Job("stores.postbox.prune", _PRUNE_EVERY_SECONDS, self.prune)]

    async def prune(self) -> None:
        """Delete settled letters past the retention, and the oldest in the sink beyond its size.

        Raises:
            StoreUnavailableError: the database is away.
        """
        before = self._clock.now() - self._settings.sink_retention_days * 86_400
        keep = self._settings.sink_letters
        while await self._database.write(lambda c: rows.prune_letters(c, before, keep, _PRUNE_BATCH)):
            pass

    async def deliver(self) -> int:
        """Try to deliver the letters that are due; returns how many were sent.

        Raises:
            StoreUnavailableError: the database is away.
        """
        now = self._clock.now()
        if self._server is None or now < self._paused_until:
            return 0
        due = await self._database.read(rows.next_due)
        if due is None or due > now:
            return 0
        until = now + _CLAIM_SECONDS + 2 * self._settings.timeout_seconds
        limit = self._settings.connections * _PER_CONNECTION
        claimed = await self._database.write(lambda connection: rows.claim_letters(connection, now, until, limit))
        width = self._settings.connections
        groups = [group for first in range(width) if (group := claimed[first::width])]
        sent = await asyncio.gather(*(self._deliver_group(self._server, group, now) for group in groups))
        return sum(sent)

    async def _look(self) -> float:
        while await self.deliver():
            pass
        return _LOOK_SECONDS

    async def _deliver_group(self, server: MailServer, group: list[WaitingLetter], claimed_at: float) -> int:
        """Deliver over one connection, for as long as it holds and the claim lasts; returns how many were sent."""
        client = server.client(self._settings.timeout_seconds)
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            await self._pause(group, type(error).__name__)
            return 0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        sent = 0
        left = list(group)
        try:
            while left and self._clock.now() <= claimed_at + _CLAIM_SECONDS:
                outcome, code = await self._try_letter(client, left[0])
                if outcome is Outcome.AWAY:
                    await self._pause(left, code)
                    return sent
                await self._settle(left.pop(0), outcome, code)
                sent += outcome is Outcome.SENT
                if outcome is Outcome.BROKEN:
                    break
            await self._put_off(left, self._clock.now())
        finally:
            client.close()
        return sent

    async def _try_letter(self, client: aiosmtplib.SMTP, waiting: WaitingLetter) -> tuple[Outcome, str]:
        if self._clock.now() - waiting.created_at > self._settings.letter_lifetime_hours * 3600:
            return Outcome.NEVER, "expired"
        try:
            check_letter(waiting.letter)  # a row that another version, or a hand, has written
        except InvalidInputError as error:
            return Outcome.NEVER, f"invalid {error.field}"
        message = message_of(waiting.letter, waiting.letter_id, self._settings.sender, waiting.created_at)
        return await hand_over(client, message, waiting.letter.recipient)

    async def _settle(self, waiting: WaitingLetter, outcome: Outcome, code: str) -> None:
        attempts = waiting.attempts + 1
        letter_id = waiting.letter_id
        if outcome is Outcome.SENT:
            await self._note(lambda connection: rows.close_letter(connection, letter_id, rows.SENT))
        elif outcome is Outcome.NEVER or attempts >= self._settings.attempts:
            _log.warning("letter_failed", letter_id=letter_id, answer=code, attempts=attempts)
            await self._note(lambda connection: rows.close_letter(connection, letter_id, rows.FAILED, code))
        else:
            delay_seconds = min(_FIRST_DELAY_SECONDS * 4 ** (attempts - 1), _LONGEST_DELAY_SECONDS)
            at = self._clock.now() + delay_seconds
            _log.info("letter_deferred", letter_id=letter_id, answer=code, attempts=attempts)
            await self._note(lambda connection: rows.try_again(connection, letter_id, attempts, at, code))

    async def _pause(self, group: list[WaitingLetter], reason: str) -> None:
        """The server is away, which is not the letters' fault: leave it alone for a while, longer each time."""
        now = self._clock.now()
        if now >= self._paused_until:  # the first of several connections to notice
            self._paused_until = now + self._pause_seconds
            self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
            _log.warning("mail_server_away", reason=reason, pause_seconds=self._paused_until - now)
        await self._put_off(group, self._paused_until)

    async def _put_off(self, group: list[WaitingLetter], until: float) -> None:
        if group:
            letter_ids = [waiting.letter_id for waiting in group]
            await self._note(lambda connection: rows.put_off(connection, letter_ids, until))

    async def _note(self, work: Callable[[Connection], None]) -> None:
        try:
            await self._database.write(work)
        except UnavailableError as error:  # the claim runs out by itself; at worst the letter is sent twice
            _log.warning("letter_not_noted", code=error.code)
