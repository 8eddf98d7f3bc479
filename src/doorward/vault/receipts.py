"""Receipts of shredding: canonical JSON, signed with Ed25519 (RFC 8032) by the key ring.

1. What is signed is the receipt without `public_key` and `signature`, as JSON with its members in order of their names
   and no blanks, behind a fixed heading, so that nothing else that the ring signs can pass for a receipt.
2. A receipt names the public key that signed it, but a reader must know from elsewhere which key to trust:
   `doorward vault status` shows it.
"""

from dataclasses import asdict, replace
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Meta

from doorward.hall.model import ShredReceipt
from doorward.vault.errors import ReceiptError
from doorward.vault.ring import Ring

LONGEST_BYTES: Final = 64 * 1024
_HEADING: Final = b"doorward/shred-receipt/1\0"
_Short = Annotated[str, Meta(max_length=256)]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receipt as it lies in a file."""

    receipt_id: _Short
    ring_id: _Short
    subjects: Annotated[tuple[_Short, ...], Meta(max_length=64)]
    shredded_at: float
    cleared_at: float | None
    reason: _Short
    destroyed: Annotated[dict[_Short, int], Meta(max_length=64)]
    public_key: _Short
    signature: _Short


def public_key_of(ring: Ring) -> str:
    """The public key that verifies the ring's receipts, in hexadecimal."""
    return ring.signing_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def signed(ring: Ring, receipt: ShredReceipt) -> ShredReceipt:
    """The receipt with the ring's signature."""
    signature = ring.signing_key().sign(_signed_part(receipt)).hex()
    return replace(receipt, public_key=public_key_of(ring), signature=signature)


def document_of(receipt: ShredReceipt) -> str:
    """A signed receipt as one line of JSON."""
    return msgspec.json.encode(asdict(receipt), order="sorted").decode()


def receipt_from(document: str | bytes) -> ShredReceipt:
    """A receipt that `document_of` wrote, without checking who signed it.

    Raises:
        ReceiptError: it is none.
    """
    try:
        if len(document) > LONGEST_BYTES:
            raise ReceiptError
        found = msgspec.json.decode(document, type=_Document)
    except (msgspec.DecodeError, ValueError) as error:
        raise ReceiptError from error
    return ShredReceipt(**msgspec.structs.asdict(found))


def verified(document: str | bytes, public_key: str) -> ShredReceipt:
    """The receipt, if the holder of the ring with this public key (hexadecimal) signed it as it is.

    Raises:
        ReceiptError: no receipt, changed since, or signed by somebody else.
    """
    receipt = receipt_from(document)
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(receipt.signature), _signed_part(receipt))
    except (InvalidSignature, ValueError) as error:
        raise ReceiptError("This receipt was changed, or another key ring signed it.") from error
    return receipt


def _signed_part(receipt: ShredReceipt) -> bytes:
    values = asdict(receipt)
    del values["public_key"], values["signature"]
    return _HEADING + msgspec.json.encode(values, order="sorted")
