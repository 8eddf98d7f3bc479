"""API keys: made (and shown once), listed, revoked."""

from collections.abc import Sequence

from sqlalchemy import Connection

from doorward.accounts import credential_tables as tables
from doorward.accounts.book import Book
from doorward.accounts.errors import TooManyKeysError
from doorward.accounts.forget_tables import hold_account
from doorward.accounts.model import Key, Scope
from doorward.accounts.parts import AccountsParts
from doorward.accounts.tokens import digest_of, hint_of, new_key
from doorward.hall.errors import InvalidInputError, NotAllowedError, NotFoundError
from doorward.hall.events import KeyCreated, KeyRevoked
from doorward.hall.ids import new_id
from doorward.hall.model import Role

LONGEST_NAME = 80
LONGEST_DAYS = 3650
_DAY = 86_400.0


class Keys:
    """Makes and revokes API keys."""

    def __init__(self, parts: AccountsParts, book: Book) -> None:
        """Keep `book` up to date with what happens here."""
        self._parts = parts
        self._book = book

    async def create(
        self, account_id: str, role: Role, name: str, scopes: Sequence[str], days: int | None = None
    ) -> tuple[Key, str]:
        """Make a key that ends after `days` (None: never); returns it and its text, which nobody can tell again.

        Raises:
            InvalidInputError: a name, scope or time that cannot be. NotAllowedError: the scope `admin` for a member.
            TooManyKeysError: the account has as many as it may. NotFoundError: it was deleted meanwhile.
        """
        chosen = _scopes(scopes)
        if Scope.ADMIN in chosen and role is not Role.ADMIN:
            raise NotAllowedError("Only an administrator can make a key with the scope `admin`.")
        if days is not None and not 1 <= days <= LONGEST_DAYS:
            raise InvalidInputError("A key lasts 1 to 3650 days, or for ever.", field="expires_in_days")
        now, text = self._parts.clock.now(), new_key()
        expires_at = None if days is None else now + days * _DAY
        key = Key(new_id("key", now), _name(name), hint_of(text), chosen, now, expires_at, None)
        digest, most = digest_of(text.encode()), self._parts.settings.keys_per_account

        def work(connection: Connection) -> bool:
            if hold_account(connection, account_id) is None:
                raise NotFoundError("There is no such account.")
            if tables.count_live_keys(connection, account_id, now) >= most:
                return False
            tables.add_key(connection, account_id, key, digest)
            created = KeyCreated(at=now, account_id=account_id, key_id=key.key_id, scopes=list(chosen))
            self._parts.outbox.publish(connection, created)
            return True

        if not await self._parts.database.write(work):
            raise TooManyKeysError
        await self._book.hear(key.key_id, is_key=True)
        return key, text

    async def of_account(self, account_id: str) -> list[Key]:
        """The live keys of an account, newest first."""
        now = self._parts.clock.now()
        return await self._parts.database.read(lambda connection: tables.live_keys(connection, account_id, now))

    async def revoke(self, key_id: str, account_id: str) -> None:
        """Revoke a key of an account; an empty `account_id` stands for any (the operator).

        Raises:
            NotFoundError: there is no such live key.
        """
        now = self._parts.clock.now()

        def work(connection: Connection) -> bool:
            owner = tables.revoke_key(connection, key_id, account_id, now)
            if owner is not None:
                self._parts.outbox.publish(connection, KeyRevoked(at=now, account_id=owner, key_id=key_id))
            return owner is not None

        if not await self._parts.database.write(work):
            raise NotFoundError("There is no such key, or it has ended.")
        self._book.drop(key_id)


def _scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    known = [scope.value for scope in Scope]
    unknown = [scope for scope in scopes if scope not in known]
    if unknown or not scopes:
        raise InvalidInputError("Scopes are some of: *, chat, models, embeddings, images, admin.", field="scopes")
    return tuple(scope for scope in known if scope in scopes)


def _name(name: str) -> str:
    shown = " ".join(name.split())
    if not 1 <= len(shown) <= LONGEST_NAME or not shown.isprintable():
        raise InvalidInputError("A key has a name of 1 to 80 printable characters.", field="name")
    return shown
