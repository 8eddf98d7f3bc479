"""Letters to people, within what `allowance` says."""

import asyncio
from dataclasses import asdict
from typing import Final

import structlog
from sqlalchemy import Connection

from doorward.accounts import tables
from doorward.accounts.allowance import Brake, History, after_letter, next_brake
from doorward.accounts.model import Asker, Pending
from doorward.accounts.parts import AccountsParts
from doorward.hall.model import Letter

_MINUTE: Final = 60
_WINDOW: Final = range(3, 13)  # minutes ago: old enough to have been read, young enough to matter
_KEPT_SECONDS: Final = 15 * _MINUTE
_PROVED_PER_HOUR: Final = 5

_log = structlog.get_logger("doorward.accounts")


class Mailing:
    """Renders letters, and posts those for which there is room."""

    def __init__(self, parts: AccountsParts) -> None:
        """Begin with the brake off."""
        self._parts = parts
        self.brake = Brake()
        self.held_back = 0

    def letter(self, template: str, recipient: str, language: str, **values: object) -> Letter:
        """A letter from `templates/mail/<template>`, with what all of them need."""
        return self._parts.stationery.letter(
            f"mail/{template}",
            recipient,
            language,
            service=self._parts.settings.service_name,
            minutes=self._parts.settings.code_lifetime_seconds // _MINUTE,
            home=self._parts.url("/"),
            **values,
        )

    async def has_room(self) -> bool:
        """Whether the brake lets one more unconfirmed address have a letter; asked for known addresses too."""
        if not self.brake.on:
            return True
        rate = self._parts.settings.braked_letters_per_minute
        return await self._parts.counters.take("accounts.letters.braked", rate / _MINUTE, rate) == 0.0

    async def may_send_proved(self, asker: Asker, who: str) -> bool:
        """Whether somebody who showed a known device or the password may cause another letter this hour.

        Their budget is their own: strangers cannot use it up.
        """
        key = f"accounts.letters.{asker}:{who}"
        return await self._parts.counters.take(key, _PROVED_PER_HOUR / 3600, _PROVED_PER_HOUR) == 0.0

    def post_for_stranger(self, connection: Connection, letter: Letter, pending: Pending) -> bool:
        """Post a letter if the mailbox has room for it, inside the caller's transaction; whether it was posted."""
        row, confirmed = tables.allowance_of(connection, pending.mailbox), bool(pending.account_id)
        history = None if row is None else History(row.first_at, row.last_at, row.sent, row.day_at, row.sent_that_day)
        history = after_letter(history, self._parts.clock.now(), self._parts.settings, confirmed=confirmed)
        if history is None:
            return False
        tables.keep_allowance(connection, pending.mailbox, asdict(history))
        self.post(connection, letter, pending)
        return True

    def post(self, connection: Connection, letter: Letter, pending: Pending) -> None:
        """Post a letter whose room was asked for before."""
        self._parts.postbox.enqueue(connection, letter, pending.subject)

    async def count_letter(self, *, is_unconfirmed: bool) -> None:
        """Count a letter; those to known addresses too (apart), so that both take the same time."""
        key = self._sent_key(self._minute()) if is_unconfirmed else "accounts.letters.other"
        await self._parts.counters.add(key, 1, _KEPT_SECONDS)

    async def count_confirmed(self, sent_at: float) -> None:
        """Somebody confirmed what was mailed at `sent_at`."""
        await self._parts.counters.add(self._confirmed_key(int(sent_at // _MINUTE)), 1, _KEPT_SECONDS)

    async def look(self) -> None:
        """Look at the share of letters that nobody confirmed, and set the brake."""
        get, minute = self._parts.counters.get, self._minute()
        sent = sum(await asyncio.gather(*(get(self._sent_key(minute - ago)) for ago in _WINDOW)))
        confirmed = sum(await asyncio.gather(*(get(self._confirmed_key(minute - ago)) for ago in _WINDOW)))
        was_on, self.brake = self.brake.on, next_brake(self.brake, sent, confirmed, self._parts.settings)
        if was_on != self.brake.on:
            _log.warning("mail_brake_changed", on=self.brake.on, sent=sent, confirmed=confirmed)

    def _minute(self) -> int:
        return int(self._parts.clock.now() // _MINUTE)

    def _sent_key(self, minute: int) -> str:
        return f"accounts.letters.sent:{minute}"

    def _confirmed_key(self, minute: int) -> str:
        return f"accounts.letters.confirmed:{minute}"
