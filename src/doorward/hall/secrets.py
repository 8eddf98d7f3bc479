"""One master secret, one derived key per purpose.

A key that signs tickets must not be the key that hides addresses: each purpose gets its own key from keyed
BLAKE2b (RFC 7693: keyed mode with a personalisation is a PRF), so that no value made for one purpose is ever
accepted for another, and a leaked derived key says nothing about its siblings.
"""

import hashlib
import hmac
from typing import Final

MINIMUM_LENGTH: Final = 32


class Secrets:
    """Derives purpose keys. The master secret is not kept in any printable attribute."""

    __slots__ = ("_root",)

    def __init__(self, master: str) -> None:
        """Take the master secret (at least 32 characters; `config` has judged its quality)."""
        if len(master) < MINIMUM_LENGTH:
            raise ValueError(f"the master secret needs at least {MINIMUM_LENGTH} characters")
        self._root = hashlib.sha512(master.encode()).digest()

    def __repr__(self) -> str:
        return "Secrets(…)"

    def key(self, purpose: str) -> bytes:
        """The 32-byte key of a purpose such as `gate.ticket`; the same every time."""
        return hashlib.blake2b(purpose.encode(), digest_size=32, key=self._root).digest()

    def digest(self, purpose: str, value: bytes | str, size: int = 16) -> bytes:
        """A keyed digest of `value`, `size` bytes long: to look up or compare what must not be readable."""
        data = value.encode() if isinstance(value, str) else value
        return hashlib.blake2b(data, digest_size=size, key=self.key(purpose)).digest()


def same(left: bytes | str, right: bytes | str) -> bool:
    """Compare two secrets in constant time."""
    first = left.encode() if isinstance(left, str) else left
    second = right.encode() if isinstance(right, str) else right
    return hmac.compare_digest(first, second)
