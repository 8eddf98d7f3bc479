"""Receipts of shredding."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.hall.model import ShredReceipt
from doorward.vault.errors import ReceiptError
from doorward.vault.receipts import document_of, public_key_of, receipt_from, signed, verified
from doorward.vault.ring import Ring

RING = Ring.fresh()
_moments = st.floats(0, 4e9, allow_nan=False)
_receipts = st.builds(
    ShredReceipt,
    receipt_id=st.text(min_size=1, max_size=30),
    ring_id=st.just(RING.ring_id),
    subjects=st.lists(st.text(max_size=30), max_size=3).map(tuple),
    shredded_at=_moments,
    cleared_at=st.none() | _moments,
    reason=st.text(max_size=40),
    destroyed=st.dictionaries(st.text(max_size=20), st.integers(0, 2**53), max_size=5),
)


@given(_receipts)
def test_what_was_signed_is_read_back_and_verified(receipt):
    document = document_of(signed(RING, receipt))
    found = verified(document, public_key_of(RING))
    assert replace(found, public_key="", signature="") == receipt
    assert document_of(receipt_from(document)) == document


@given(_receipts, st.data())
def test_no_changed_receipt_is_verified(receipt, data):
    document = document_of(signed(RING, receipt)).encode()
    position, bit = data.draw(st.integers(0, len(document) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(document)
    changed[position] ^= 1 << bit
    try:
        found = verified(bytes(changed), public_key_of(RING))
    except ReceiptError:
        return
    # The public key that a receipt names is not trusted, so it is not signed; hexadecimal has two spellings.
    assert replace(found, public_key="", signature="") == receipt


def test_another_rings_receipt_is_refused():
    receipt = ShredReceipt(receipt_id="shr_1", ring_id="rng_1", subjects=(), shredded_at=1.0, reason="", destroyed={})
    document = document_of(signed(Ring.fresh(), receipt))
    with pytest.raises(ReceiptError, match="another key ring"):
        verified(document, public_key_of(RING))


@pytest.mark.parametrize("document", ["", "{}", "[]", "null", '{"receipt_id": 1}', "x" * 100_000, b"\xff\xfe"])
def test_what_is_no_receipt_is_refused(document):
    with pytest.raises(ReceiptError):
        verified(document, public_key_of(RING))
