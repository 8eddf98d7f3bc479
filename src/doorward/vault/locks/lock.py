"""The protocol of a lock, and the lock that most of them are: one whose key is 32 bytes that we hold.

The ring's own key is wrapped by each of its locks; any one of them opens it. What a lock needs to know next time goes
into `parameters`: public JSON values, never a secret.
"""

import base64
import binascii
import os
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from msgspec import Meta

from doorward.vault.envelope import KEY_BYTES
from doorward.vault.errors import WrongKeyError

_NONCE_BYTES: Final = 12
_Text = Annotated[str, Meta(max_length=1_000)]
_Number = Annotated[int, Meta(ge=0, le=2**40)]


class LockEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ring's key as one lock has wrapped it, as the ring's file keeps it."""

    kind: Annotated[str, Meta(max_length=32, pattern="^[a-z0-9-]+$")]
    parameters: Annotated[dict[_Text, _Text | _Number], Meta(max_length=32)]
    wrapped: Annotated[bytes, Meta(max_length=16_384)]


class Lock(Protocol):
    """Wraps and unwraps the 32-byte key of a ring."""

    @property
    def kind(self) -> str:
        """The word for it in the ring's file, such as `key-file`."""
        ...

    @property
    def is_service(self) -> bool:
        """Whether the key is somewhere else (a hardware module, a cloud), where it can be revoked or out of reach."""
        ...

    def wrap(self, key: bytes, context: bytes) -> LockEntry:
        """Wrap the ring's key, bound to `context`.

        Raises:
            KeyServiceAwayError: the service does not answer. KeyRingError: it cannot be had (`message` says why).
        """
        ...

    def unwrap(self, entry: LockEntry, context: bytes) -> bytes:
        """The ring's key.

        Raises:
            WrongKeyError: the key does not open it, was revoked, or the service refuses.
            KeyServiceAwayError: the service does not answer, so that nobody knows.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyLock:
    """A lock whose key is 32 bytes that we hold: the base of every lock but a hardware module's."""

    kind: str
    key: bytes
    parameters: dict[str, str | int]
    is_service: bool = False

    def __repr__(self) -> str:
        return f"KeyLock({self.kind!r})"

    def wrap(self, key: bytes, context: bytes) -> LockEntry:
        """See `Lock.wrap`: AES-256-GCM-SIV (RFC 8452)."""
        nonce = os.urandom(_NONCE_BYTES)
        wrapped = nonce + AESGCMSIV(self.key).encrypt(nonce, key, context)
        return LockEntry(kind=self.kind, parameters=self.parameters, wrapped=wrapped)

    def unwrap(self, entry: LockEntry, context: bytes) -> bytes:
        """See `Lock.unwrap`."""
        nonce, sealed = entry.wrapped[:_NONCE_BYTES], entry.wrapped[_NONCE_BYTES:]
        try:
            return AESGCMSIV(self.key).decrypt(nonce, sealed, context)
        except (InvalidTag, ValueError) as error:
            raise WrongKeyError from error


def key_of_text(text: str) -> bytes | None:
    """The 32 bytes that a text names in hexadecimal or base 64; None if it names none."""
    plain = text.strip()
    try:
        key = bytes.fromhex(plain) if len(plain) == 2 * KEY_BYTES else _from_base64(plain)
    except (ValueError, binascii.Error):
        return None
    return key if len(key) == KEY_BYTES else None


def _from_base64(text: str) -> bytes:
    standard = text.replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
