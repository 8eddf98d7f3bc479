"""What waits for a code or link from a letter.

1. A sign-up or log-in is kept as *pending*, and a letter with its code (or link) is posted in the same transaction,
   if the mailbox has room for one more. Addresses with and without an account take the same way and get the same
   answer; what differs is the letter, and that no code is right for a pending that is not live.
2. A code is kept as a keyed digest together with the id of what it is for: a stolen table reveals nothing.
3. Each try is counted before it is compared, in a conditional update; the last try is the last for everybody.
4. The name of what waits, and the token of a link, carry a keyed mark: a made-up one is refused by one hash, without
   a look-up; and of a genuine one only a few tries a minute reach the database.
5. What was confirmed is marked as used in the transaction that makes it count, again by a conditional update: of any
   number of callers at one moment, one succeeds.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from doorward.accounts import tables
from doorward.accounts.errors import LinkUsedError, WrongCodeError
from doorward.accounts.mailing import Mailing
from doorward.accounts.model import Asker, Entered, Mailed, Pending, Purpose
from doorward.accounts.parts import AccountsParts
from doorward.accounts.tokens import LINK_PREFIX, bytes_of, code_from, is_link_token, new_code, text_of
from doorward.hall.ids import is_id
from doorward.hall.secrets import same

Finish = Callable[[Pending], Awaitable[Entered | None]]
"""What a confirmed sign-up or log-in leads to; None if somebody else was first."""

PREFIX = "pen"
_MARK_BYTES = 8
_RANDOM_BYTES = 24
_TRIES_PER_MINUTE = 10


@dataclass(frozen=True, slots=True)
class Permission:
    """Whose allowance pays for the letter, and whether that has room (a stranger's is looked up when posting)."""

    asker: Asker
    has_room: bool = True


class Confirmations:
    """Keeps what waits, and lets it be confirmed once."""

    def __init__(self, parts: AccountsParts, mailing: Mailing) -> None:
        """Post letters through `mailing`."""
        self._parts = parts
        self._mailing = mailing

    async def ask(self, pending: Pending, permission: Permission) -> Mailed:
        """Keep what waits, and post its letter."""
        secret, word = self._new_secret(pending)
        letter = self._mailing.letter(_template(pending), pending.email, pending.language, **word)
        expires_at = pending.created_at + self._parts.settings.code_lifetime_seconds

        def work(connection: Connection) -> bool:
            tables.add_pending(connection, pending, secret, expires_at)
            if permission.asker is Asker.STRANGER:
                room = permission.has_room
                return room and self._mailing.post_for_stranger(connection, letter, pending)
            if permission.has_room:
                self._mailing.post(connection, letter, pending)
            return permission.has_room

        posted = await self._parts.database.write(work)
        is_unconfirmed = posted and pending.purpose is Purpose.SIGNUP and not pending.account_id
        await self._mailing.count_letter(is_unconfirmed=is_unconfirmed)
        return Mailed(self._marked(pending.pending_id), pending.by_link)

    async def ask_again(self, name: str, purpose: Purpose) -> None:
        """Make the code of what waits anew, and post it, if there is room. Says nothing about whether it did."""
        pending_id = await self._within_budget(name)
        now = self._parts.clock.now()
        if not pending_id:
            return
        pending = await self._parts.database.read(lambda c: tables.pending_of_id(c, pending_id, now))
        if pending is None or pending.purpose is not purpose:
            return
        secret, word = self._new_secret(pending)
        letter = self._mailing.letter(_template(pending), pending.email, pending.language, **word)
        times = (now, now + self._parts.settings.code_lifetime_seconds)

        def work(connection: Connection) -> bool:
            # No new code without a letter that says it: the one in the mailbox stays good.
            if not self._mailing.post_for_stranger(connection, letter, pending):
                return False
            return tables.renew_pending(connection, pending_id, secret, times) is not None

        posted = await self._parts.database.write(work)
        is_unconfirmed = posted and purpose is Purpose.SIGNUP and not pending.account_id
        await self._mailing.count_letter(is_unconfirmed=is_unconfirmed)

    async def check_code(self, name: str, purpose: Purpose, code: str) -> Pending | None:
        """Use up one try; what waits, if the code is right. It is not marked as used yet (see `use`)."""
        typed = code_from(code)
        pending_id = await self._within_budget(name)
        if not pending_id:
            return None
        now, most = self._parts.clock.now(), self._parts.settings.code_tries
        found = await self._parts.database.write(lambda c: tables.count_try(c, pending_id, now, most))
        given = self._code_digest(pending_id, typed)
        if found is None:
            return None
        pending, secret = found
        is_right = same(given, secret) and bool(typed)
        return pending if is_right and pending.live and not pending.by_link and pending.purpose is purpose else None

    async def check_link(self, token: str, purpose: Purpose) -> Pending | None:
        """What waits for this link."""
        if not is_link_token(token) or not self._is_our_link(token):
            return None
        now, secret = self._parts.clock.now(), self._link_digest(token)
        return await self._parts.database.read(lambda c: tables.pending_of_secret(c, purpose, secret, now))

    async def by_code(self, name: str, purpose: Purpose, code: str, finish: Finish) -> Entered:
        """Check a code and finish what waits for it.

        Raises:
            WrongCodeError: wrong, used up, too old, or already used.
        """
        pending = await self.check_code(name, purpose, code)
        entered = None if pending is None else await finish(pending)
        if entered is None:
            raise WrongCodeError(field="code")
        return entered

    async def by_link(self, token: str, purpose: Purpose, finish: Finish) -> Entered:
        """Check a link and finish what waits for it.

        Raises:
            LinkUsedError: not a link of ours, too old, or already used.
        """
        pending = await self.check_link(token, purpose)
        entered = None if pending is None else await finish(pending)
        if entered is None:
            raise LinkUsedError
        return entered

    def use(self, connection: Connection, pending: Pending) -> bool:
        """Mark it as used inside the transaction that makes it count; only one caller ever gets True."""
        return tables.use_pending(connection, pending.pending_id, self._parts.clock.now())

    async def make_link(self, pending: Pending, lifetime_seconds: int) -> str:
        """Keep what waits for a link that is not mailed; returns the link's token."""
        token = self._new_link_token()
        secret, expires_at = self._link_digest(token), pending.created_at + lifetime_seconds
        await self._parts.database.write(lambda c: tables.add_pending(c, pending, secret, expires_at))
        return token

    def _new_secret(self, pending: Pending) -> tuple[bytes, dict[str, object]]:
        """A fresh code or link for it: the digest to keep, and the word for the letter."""
        if pending.by_link:
            token = self._new_link_token()
            return self._link_digest(token), {"link": self._parts.url(f"/{pending.purpose}/link?token={token}")}
        code = new_code()
        return self._code_digest(pending.pending_id, code), {"code": code}

    async def _within_budget(self, name: str) -> str:
        """The id of what waits; empty for a name that is not ours, or was tried too often in this minute."""
        pending_id = name.partition(".")[0]
        if not is_id(pending_id, PREFIX) or not same(self._marked(pending_id).encode(), name.encode()):
            return ""
        rate = _TRIES_PER_MINUTE
        return "" if await self._parts.counters.take(f"accounts.tries:{pending_id}", rate / 60, rate) else pending_id

    def _marked(self, pending_id: str) -> str:
        return f"{pending_id}.{text_of(self._parts.secrets.digest('accounts.pending', pending_id, _MARK_BYTES))}"

    def _new_link_token(self) -> str:
        random = secrets.token_bytes(_RANDOM_BYTES)
        return LINK_PREFIX + text_of(random + self._link_mark(random))

    def _is_our_link(self, token: str) -> bool:
        raw = bytes_of(token.removeprefix(LINK_PREFIX))
        return same(self._link_mark(raw[:_RANDOM_BYTES]), raw[_RANDOM_BYTES:])

    def _link_mark(self, random: bytes) -> bytes:
        return self._parts.secrets.digest("accounts.link.mark", random, _MARK_BYTES)

    def _code_digest(self, pending_id: str, code: str) -> bytes:
        return self._parts.secrets.digest("accounts.code", f"{pending_id}:{code}", 32)

    def _link_digest(self, token: str) -> bytes:
        return self._parts.secrets.digest("accounts.link", token, 32)


def _template(pending: Pending) -> str:
    if pending.live:
        return f"{pending.purpose}_{'link' if pending.by_link else 'code'}"
    return "signup_known" if pending.purpose is Purpose.SIGNUP else "login_unknown"
