"""The key ring while it is open: four random roots, from which every other key of the vault is derived or opened.

What lies in the database is sealed by the ring, and the ring is never in the database: see `ringfile` for how it is
kept and unlocked.
"""

import hmac
import os
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from doorward.hall.errors import SealBrokenError
from doorward.hall.ids import new_id
from doorward.vault.envelope import FORMAT, KEY_BYTES, new_key

PREFIX: Final = "rng"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Ring:
    """An open key ring. Its parts are secret; only `ring_id` may be shown."""

    ring_id: str
    kek_root: bytes = field(repr=False)  # seals the key-encryption keys in the database
    index_root: bytes = field(repr=False)  # blind indices
    signing_root: bytes = field(repr=False)  # Ed25519 seed: receipts
    backup_root: bytes = field(repr=False)  # private keys of backups

    @classmethod
    def fresh(cls) -> Self:
        """A new ring with an id of its own."""
        return cls(new_id(PREFIX), new_key(), new_key(), new_key(), new_key())

    def seal_kek(self, version: int, key: bytes) -> bytes:
        """A key-encryption key as it may lie in the database."""
        nonce = os.urandom(_NONCE_BYTES)
        return bytes([FORMAT]) + nonce + AESGCMSIV(self.kek_root).encrypt(nonce, key, self._bound(version))

    def open_kek(self, version: int, sealed: bytes) -> bytes:
        """The key-encryption key.

        Raises:
            SealBrokenError: changed, or sealed by another ring.
        """
        if len(sealed) != 1 + _NONCE_BYTES + KEY_BYTES + _TAG_BYTES or sealed[0] != FORMAT:
            raise SealBrokenError
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return AESGCMSIV(self.kek_root).decrypt(nonce, rest, self._bound(version))
        except InvalidTag as error:
            raise SealBrokenError from error

    def index_key(self, column: str) -> bytes:
        """The key of one column's blind index."""
        return hmac.digest(self.index_root, f"doorward/index\0{column}".encode(), "sha256")

    def signing_key(self) -> Ed25519PrivateKey:
        """The key that signs receipts."""
        return Ed25519PrivateKey.from_private_bytes(self.signing_root)

    def _bound(self, version: int) -> bytes:
        return f"doorward/kek\0{self.ring_id}\0{version}".encode()
