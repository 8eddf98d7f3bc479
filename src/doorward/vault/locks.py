"""What unlocks a key ring: one small protocol, so that another key service is one file more.

The ring's own key is wrapped by each of its locks; any one of them opens it. A lock says in `parameters` (public, JSON)
what it needs to know next time, never a secret.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from doorward.vault.envelope import KEY_BYTES, new_key
from doorward.vault.errors import KeyRingError, WrongKeyError
from doorward.vault.privatefile import read_private, write_private

_NONCE_BYTES: Final = 12


class Lock(Protocol):
    """Wraps and unwraps the 32-byte key of a ring."""

    @property
    def kind(self) -> str:
        """The word for it in the ring's file, such as `key-file`."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """What the lock needs to know next time, as JSON values; nothing secret."""
        ...

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Wrap the ring's key, bound to `context`."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The ring's key.

        Raises:
            WrongKeyError: this is not the key that wrapped it. KeyRingError: the key cannot be had (`advice` says why).
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyLock:
    """A lock whose key is 32 bytes that we hold: the base of every lock but a hardware module's."""

    kind: str
    key: bytes
    parameters: dict[str, Any]

    def __repr__(self) -> str:
        return f"KeyLock({self.kind!r})"

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """See `Lock.wrap`: AES-256-GCM-SIV."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCMSIV(self.key).encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See `Lock.unwrap`."""
        try:
            return AESGCMSIV(self.key).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise WrongKeyError from error


def key_file_lock(path: Path, *, makes: bool = False) -> KeyLock:
    """The lock whose key lies in a file that only its owner can read. `makes`: make the file where it is missing.

    Raises:
        KeyRingError: no such file, others can read it, or it holds no key.
    """
    if makes and not path.exists():
        write_private(path, new_key().hex().encode() + b"\n")
    text = read_private(path).strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise KeyRingError(f"{path} does not hold a key (64 hexadecimal digits).") from error
    if len(key) != KEY_BYTES:
        raise KeyRingError(f"{path} does not hold a key (64 hexadecimal digits).")
    return KeyLock("key-file", key, {})
