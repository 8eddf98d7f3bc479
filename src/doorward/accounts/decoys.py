"""Accounts and keys that are nobody's, for the vault's honey records.

An account is made as the others are, by the same functions and with the same facts: it has a sealed address, the hash
of a password that nobody knows, a device, and a session whose token was never shown. Only the letter and the gate's
note of a sign-up are missing, which are deleted soon for others too.
"""

import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import Connection

from doorward.accounts import addresses, tables
from doorward.accounts.entrance import mailbox_index, mailbox_subject
from doorward.accounts.errors import BadAddressError
from doorward.accounts.hashing import Hasher
from doorward.accounts.model import Account, Visitor
from doorward.accounts.parts import AccountsParts
from doorward.accounts.sessions import Sessions
from doorward.accounts.tokens import digest_of, new_key
from doorward.hall.errors import ConflictError
from doorward.hall.events import AccountCreated
from doorward.hall.ids import new_id
from doorward.hall.model import Lane, Role

_NAMES: Final = ("anna", "ben", "carla", "david", "elena", "felix", "greta", "ines", "jonas", "klara", "leon", "mara")
_SURNAMES: Final = ("adler", "brandt", "cordes", "dietz", "falk", "graf", "hahn", "keller", "moser", "otto", "voss")
_ELSEWHERE: Final = "example.org"  # RFC 2606: nobody's, and mail to it goes nowhere
_BROWSER: Final = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Decoys:
    """Answers the vault's `Nursery`."""

    def __init__(self, parts: AccountsParts, sessions: Sessions, hasher: Hasher) -> None:
        """Stand on what the service has built."""
        self._parts = parts
        self._sessions = sessions
        self._hasher = hasher

    def address(self, wish: str) -> str:
        """The wished address, checked; an empty wish gets a made-up name at this service's domain.

        Raises:
            BadAddressError: it is not an address.
        """
        if wish:
            return addresses.parse(wish).text
        name = f"{secrets.choice(_NAMES)}.{secrets.choice(_SURNAMES)}{secrets.randbelow(90) + 10}"
        try:
            return addresses.parse(f"{name}@{urlsplit(self._parts.public_url).hostname or ''}").text
        except BadAddressError:  # a number, or a name of this machine only
            return f"{name}@{_ELSEWHERE}"

    async def make_account(self, email: str, also: Callable[[Connection, str, bytes, str], None]) -> None:
        """Make an account. `also` runs in its transaction, with its id, blind index and mailbox subject.

        Raises:
            ConflictError: the address has an account.
        """
        address, now = addresses.parse(email), self._parts.clock.now()
        mailbox, subject = mailbox_index(self._parts, address), mailbox_subject(self._parts, address)
        password_hash = await self._hasher.hash(secrets.token_urlsafe(32))
        fresh = Account(new_id("acc", now), address.text, Lane.EXISTING, Role.MEMBER, now)
        attempt_id = new_id("att", now)

        def work(connection: Connection) -> None:
            if not tables.add_account(connection, fresh, mailbox, password_hash, attempt_id):
                raise ConflictError("There is an account with this address.")
            created = AccountCreated(at=now, account_id=fresh.account_id, lane=fresh.lane, attempt_id=attempt_id)
            self._parts.outbox.publish(connection, created)
            self._sessions.start(connection, fresh, Visitor(label=_BROWSER), "")
            also(connection, fresh.account_id, mailbox, subject)

        await self._parts.database.write(work)

    def make_key(self) -> tuple[str, bytes]:
        """The text of an API key that is in no table, and its digest."""
        text = new_key()
        return text, digest_of(text.encode())
