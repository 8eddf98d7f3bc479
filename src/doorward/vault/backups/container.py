"""The file of a backup.

    "doorward-backup\\n" | length, 4 bytes | head, JSON | length, 4 bytes | wrapped key | payload

1. The head is public: format, kind of database, revision, key ring, moment, and who can open the file.
2. A key is drawn for this file and wrapped for the recipient. The payload's key is derived from it (HKDF-SHA-256) with
   the hash of everything before the payload as salt: whoever changes one bit of that, changes the key.
3. The payload is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015, as in age): chunks of 1 MiB under AES-256-GCM whose
   nonces count, with a mark on the last: chunks cannot be changed, moved, left out or added, nor the end be cut.
4. In the payload lie the rows, compressed by zstd, in pieces of kind `B`, and at the end the manifest, `M`: what the
   rows were when they were copied.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from typing import Annotated, BinaryIO, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta

from doorward.vault.backups.errors import BackupDamagedError, BackupError, BackupForeignError, BackupTooNewError
from doorward.vault.backups.recipients import Identity, Recipient

MAGIC: Final = b"doorward-backup\n"
FORMAT: Final = 1
CHUNK_BYTES: Final = 1 << 20
_TAG_BYTES: Final = 16
_KEY_BYTES: Final = 32
_LARGEST_HEAD: Final = 1 << 16
_LARGEST_WRAPPED: Final = 1 << 18
_LENGTH: Final = struct.Struct(">I")
_PIECE: Final = struct.Struct(">cI")
_NONCE: Final = struct.Struct(">3xQB")
Buffer = bytes | memoryview
BODY: Final = b"B"
MANIFEST: Final = b"M"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What anybody may read of a backup."""

    format: int = FORMAT
    database: Annotated[str, Meta(max_length=32)]  # sqlite or postgresql
    revision: Annotated[str, Meta(max_length=64)]
    ring: Annotated[str, Meta(max_length=64)]
    made_at: float  # Unix seconds
    program: Annotated[str, Meta(max_length=64)]
    opened_by: Annotated[str, Meta(max_length=32)]  # ring or age


class Fingerprint(msgspec.Struct, frozen=True):
    """What a table held: how many rows, and a hash over them."""

    rows: int
    hash: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the rows were when they were copied."""

    body_bytes: int  # before compression
    tables: dict[str, Fingerprint]


class Writer:
    """Writes a backup into an open file."""

    def __init__(self, file: BinaryIO, head: Head, recipient: Recipient, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Write the beginning."""
        start = _start_of(head)
        key = os.urandom(_KEY_BYTES)
        wrapped = recipient.wrap(key, hashlib.sha256(start).digest())
        start += _LENGTH.pack(len(wrapped)) + wrapped
        file.write(start)
        self._file = file
        self._cipher = _cipher(key, start)
        self._chunk_bytes = chunk_bytes
        self._parts: list[Buffer] = []  # what is not sealed yet
        self._held = 0
        self._count = 0

    def write(self, kind: bytes, data: bytes) -> None:
        """Add a piece."""
        self._parts += [_PIECE.pack(kind, len(data)), data]
        self._held += _PIECE.size + len(data)
        if self._held > self._chunk_bytes:
            self._seal_chunks()

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest and end the payload."""
        self.write(MANIFEST, msgspec.json.encode(manifest))
        self._seal(b"".join(self._parts), is_last=True)

    def _seal_chunks(self) -> None:
        held, size, at = memoryview(b"".join(self._parts)), self._chunk_bytes, 0
        while len(held) - at > size:  # never the last one, which `finish` marks
            self._seal(held[at : at + size], is_last=False)
            at += size
        self._parts, self._held = [held[at:]], len(held) - at

    def _seal(self, chunk: Buffer, *, is_last: bool) -> None:
        self._file.write(self._cipher.encrypt(_NONCE.pack(self._count, is_last), chunk, None))
        self._count += 1


class Reader:
    """Reads a backup; whatever it gives out is genuine, but only at the end is it sure to be whole."""

    def __init__(self, file: BinaryIO, identity: Identity | None, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Read the beginning. Without an identity there is only the head.

        Raises:
            BackupError: not a backup. BackupTooNewError, BackupForeignError, BackupDamagedError: see there.
        """
        self._file = file
        self._sealed_bytes = chunk_bytes + _TAG_BYTES
        self.head, start = _read_head(file)
        self._cipher: AESGCM | None = None
        if identity is None:
            return
        if identity.kind != self.head.opened_by:
            raise BackupForeignError(f"The backup opens with another kind of key: {self.head.opened_by}.")
        wrapped = _sized(file, _LARGEST_WRAPPED)
        try:
            key = identity.unwrap(wrapped, hashlib.sha256(start).digest())
        except BackupForeignError as error:
            if identity.ring_id == self.head.ring:
                raise BackupDamagedError from error
            raise
        self._cipher = _cipher(key, start + _LENGTH.pack(len(wrapped)) + wrapped)

    def pieces(self) -> Iterator[tuple[bytes, bytes]]:
        """Every piece with its kind; the manifest is the last.

        Raises:
            BackupDamagedError: changed or cut.
        """
        buffer = bytearray()
        kind = BODY
        for chunk in self._chunks():
            buffer += chunk
            while len(buffer) >= _PIECE.size:
                kind, length = _PIECE.unpack_from(buffer)
                end = _PIECE.size + length
                if len(buffer) < end:
                    break
                yield kind, bytes(buffer[_PIECE.size : end])
                del buffer[:end]
        if buffer or kind != MANIFEST:
            raise BackupDamagedError

    def _chunks(self) -> Iterator[bytes]:
        if self._cipher is None:
            raise BackupError("Without its key a backup cannot be read.")
        following = self._file.read(self._sealed_bytes)
        count, is_last = 0, False
        while not is_last:
            sealed, following = following, self._file.read(self._sealed_bytes)
            is_last = not following
            try:
                yield self._cipher.decrypt(_NONCE.pack(count, is_last), sealed, None)
            except (InvalidTag, ValueError) as error:
                raise BackupDamagedError from error
            count += 1


def _start_of(head: Head) -> bytes:
    data = msgspec.json.encode(head)
    return MAGIC + _LENGTH.pack(len(data)) + data


def _read_head(file: BinaryIO) -> tuple[Head, bytes]:
    if file.read(len(MAGIC)) != MAGIC:
        raise BackupError("The file is not a backup that `doorward backup` has made.")
    data = _sized(file, _LARGEST_HEAD)
    try:
        number = msgspec.json.decode(data, type=dict).get("format")
        if isinstance(number, int) and number > FORMAT:
            raise BackupTooNewError
        head = msgspec.json.decode(data, type=Head)
    except (msgspec.DecodeError, ValueError) as error:
        raise BackupDamagedError from error
    return head, MAGIC + _LENGTH.pack(len(data)) + data


def _sized(file: BinaryIO, largest: int) -> bytes:
    field = file.read(_LENGTH.size)
    length = _LENGTH.unpack(field)[0] if len(field) == _LENGTH.size else largest + 1
    data = file.read(length) if length <= largest else b""
    if len(data) != length:
        raise BackupDamagedError
    return data


def _cipher(key: bytes, start: bytes) -> AESGCM:
    salt = hashlib.sha256(start).digest()
    return AESGCM(HKDF(SHA256(), _KEY_BYTES, salt=salt, info=b"doorward/backup/payload/1").derive(key))
