"""The envelope: one personal value, readable only with the key of its person and only in its own cell.

    version 1 | data-key version, 2 bytes | key commitment, 32 bytes | nonce, 12 bytes | ciphertext and tag

1. A data key is never used itself: HKDF-SHA-256 (RFC 5869) makes an encryption key and a commitment of it. AES-GCM-SIV
   does not commit to its key: without the commitment somebody could make one ciphertext that opens differently under
   two keys (Albertini et al., "How to Abuse and Fix Authenticated Encryption Without Key Commitment", 2022).
2. AES-256-GCM-SIV (RFC 8452): a nonce that is drawn twice reveals that two equal texts are equal, and nothing more.
3. The associated data name table, column, row and key version: a value that was moved to another cell does not open.
4. The text is filled up to a multiple of 32 bytes, so that its length says little.
"""

import os
import struct
from functools import lru_cache
from hmac import compare_digest
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from doorward.hall.errors import SealBrokenError
from doorward.hall.model import Cell

KEY_BYTES: Final = 32
FORMAT: Final = 1
HIGHEST_VERSION: Final = 2**16 - 1
_MARK: Final = struct.Struct(">BH32s")  # format, key version, commitment: the same in all envelopes of a key
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_BLOCK_BYTES: Final = 32
_BLOCK_MASK: Final = _BLOCK_BYTES - 1
_MARK_BYTES: Final = _MARK.size
_HEAD_BYTES: Final = _MARK_BYTES + _NONCE_BYTES
_END: Final = b"\x80"  # ISO/IEC 7816-4 padding: a mark, then zeros
_INFO: Final = b"doorward/vault/data-key/1"


def new_key() -> bytes:
    """A fresh random key."""
    return os.urandom(KEY_BYTES)


class DataKey:
    """One version of a person's data key, ready for use."""

    __slots__ = ("_decrypt", "_encrypt", "_mark", "_start", "version")

    def __init__(self, key: bytes, version: int) -> None:
        """Derive what is used (rule 1). `key`: 32 bytes; `version`: 1 or more."""
        derived = HKDF(SHA256(), 2 * KEY_BYTES, salt=None, info=_INFO).derive(key)
        cipher = AESGCMSIV(derived[:KEY_BYTES])
        self._encrypt, self._decrypt = cipher.encrypt, cipher.decrypt
        self._start = f"{version}\0"
        self._mark = _MARK.pack(FORMAT, version, derived[KEY_BYTES:])
        self.version = version

    def __repr__(self) -> str:
        return f"DataKey(version={self.version})"

    def seal(self, cell: Cell, text: str) -> bytes:
        """The envelope of `text` for a cell."""
        nonce = os.urandom(_NONCE_BYTES)
        data = text.encode() + _END
        data += bytes(-len(data) % _BLOCK_BYTES)
        table, column, row = cell
        bound = f"{self._start}{_named(table, column)}{row}".encode()
        return self._mark + nonce + self._encrypt(nonce, data, bound)

    def unseal(self, cell: Cell, envelope: bytes) -> str:
        """The text of a cell's envelope.

        Raises:
            SealBrokenError: cut, changed, moved from another cell, or made with another key.
        """
        if not compare_digest(envelope[:_MARK_BYTES], self._mark):
            raise SealBrokenError
        table, column, row = cell
        bound = f"{self._start}{_named(table, column)}{row}".encode()
        try:
            data = self._decrypt(envelope[_MARK_BYTES:_HEAD_BYTES], envelope[_HEAD_BYTES:], bound)
            text = data.rstrip(b"\0")
            if len(data) & _BLOCK_MASK or text[-1:] != _END or len(data) - len(text) >= _BLOCK_BYTES:
                raise SealBrokenError  # 4. whoever fills otherwise did not seal here
            return text[:-1].decode()
        except (InvalidTag, ValueError) as error:  # ValueError: too short for a nonce, or not UTF-8
            raise SealBrokenError from error


def version_of(envelope: bytes) -> int:
    """The version of the data key that an envelope names.

    Raises:
        SealBrokenError: not an envelope.
    """
    if len(envelope) < _HEAD_BYTES + _TAG_BYTES or envelope[0] != FORMAT:
        raise SealBrokenError
    return int.from_bytes(envelope[1:3], "big")


@lru_cache(maxsize=1024)
def _named(table: str, column: str) -> str:
    """3. A cell's name without its row. The lengths in front keep two cells apart whatever their parts are made of."""
    return f"{len(table)}\0{len(column)}\0{table}{column}"


class Kek:
    """A key-encryption key: wraps data keys, each bound to its person, its version and this key's version."""

    __slots__ = ("_cipher", "version")

    def __init__(self, key: bytes, version: int) -> None:
        """`key`: 32 bytes; `version`: 1 or more."""
        self._cipher = AESGCMSIV(key)
        self.version = version

    def __repr__(self) -> str:
        return f"Kek(version={self.version})"

    def wrap(self, subject: str, version: int, key: bytes) -> bytes:
        """The data key as it may lie in a database."""
        nonce = os.urandom(_NONCE_BYTES)
        return bytes([FORMAT]) + nonce + self._cipher.encrypt(nonce, key, self._bound(subject, version))

    def unwrap(self, subject: str, version: int, wrapped: bytes) -> bytes:
        """The data key.

        Raises:
            SealBrokenError: changed, or of another person, version or key ring.
        """
        if len(wrapped) != 1 + _NONCE_BYTES + KEY_BYTES + _TAG_BYTES or wrapped[0] != FORMAT:
            raise SealBrokenError
        nonce, sealed = wrapped[1 : 1 + _NONCE_BYTES], wrapped[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, sealed, self._bound(subject, version))
        except InvalidTag as error:
            raise SealBrokenError from error

    def _bound(self, subject: str, version: int) -> bytes:
        return f"doorward/data-key\0{subject}\0{version}\0{self.version}".encode()
