"""The envelope, the wrapped key and the sealed key-encryption key: what was touched in any way does not open."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from doorward.hall.errors import SealBrokenError
from doorward.hall.model import Cell
from doorward.vault.envelope import HIGHEST_VERSION, DataKey, Kek, new_key, version_of
from doorward.vault.ring import Ring

KEY = DataKey(bytes(range(32)), 3)
CELL = Cell("accounts", "email", "acc_1")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
CELLS = st.builds(Cell, *[st.text(st.characters(exclude_categories=["Cs"]), max_size=20)] * 3)
VERSIONS = st.integers(1, HIGHEST_VERSION)


def refuses(work) -> None:
    with pytest.raises(SealBrokenError):
        work()


@given(TEXTS, CELLS, VERSIONS)
@example("", CELL, 1)
@example("\0", CELL, 1)
@example("\x80\0\0", CELL, HIGHEST_VERSION)
@example("a" * 31, CELL, 1)
@example("a" * 32, CELL, 1)
def test_a_text_comes_back_from_its_cell(text, cell, version):
    key = DataKey(new_key(), version)
    envelope = key.seal(cell, text)
    assert key.unseal(cell, envelope) == text
    assert version_of(envelope) == version
    assert (len(envelope) - 63) % 32 == 0  # the length tells the text's to 32 bytes only


@given(TEXTS, st.data())
def test_any_changed_bit_is_found(text, data):
    envelope = bytearray(KEY.seal(CELL, text))
    bit = data.draw(st.integers(0, len(envelope) * 8 - 1))
    envelope[bit // 8] ^= 1 << bit % 8
    refuses(lambda: KEY.unseal(CELL, bytes(envelope)))


@given(TEXTS, st.data(), st.binary(min_size=1, max_size=40))
def test_any_cut_and_any_extension_is_found(text, data, more):
    envelope = KEY.seal(CELL, text)
    end = data.draw(st.integers(0, len(envelope) - 1))
    refuses(lambda: KEY.unseal(CELL, envelope[:end]))
    refuses(lambda: KEY.unseal(CELL, envelope[len(envelope) - end :]))
    refuses(lambda: KEY.unseal(CELL, envelope + more))
    refuses(lambda: KEY.unseal(CELL, more + envelope))


@given(st.binary(max_size=300))
def test_anything_else_is_no_envelope(data):
    refuses(lambda: KEY.unseal(CELL, data))


@given(TEXTS, CELLS, CELLS)
@example("a", Cell("a", "b", "c"), Cell("a", "bc", ""))
@example("a", Cell("a", "b", "c"), Cell("", "ab", "c"))
@example("a", Cell("t", "c\0", "r"), Cell("t", "c", "\0r"))
def test_no_envelope_opens_in_another_cell(text, cell, other):
    envelope = KEY.seal(cell, text)
    if cell != other:
        refuses(lambda: KEY.unseal(other, envelope))


@given(TEXTS, VERSIONS, VERSIONS)
def test_no_envelope_opens_with_another_version_or_key(text, version, other):
    secret = new_key()
    envelope = DataKey(secret, version).seal(CELL, text)
    refuses(lambda: DataKey(new_key(), version).unseal(CELL, envelope))
    if other != version:
        refuses(lambda: DataKey(secret, other).unseal(CELL, envelope))
        relabelled = envelope[:1] + other.to_bytes(2, "big") + envelope[3:]
        refuses(lambda: DataKey(secret, other).unseal(CELL, relabelled))


@given(TEXTS)
def test_a_ciphertext_under_the_commitment_of_another_key_never_opens(text):
    """GCM-SIV alone lets one ciphertext open under two keys; whoever makes such a one must choose one commitment."""
    mine, other = DataKey(new_key(), 1), DataKey(new_key(), 1)
    sealed, foreign = mine.seal(CELL, text), other.seal(CELL, text)
    committed = slice(3, 35)
    assert sealed[committed] != foreign[committed]
    chimera = sealed[:3] + foreign[committed] + sealed[35:]
    refuses(lambda: mine.unseal(CELL, chimera))
    refuses(lambda: other.unseal(CELL, chimera))


def test_one_key_always_commits_to_itself_and_no_two_alike():
    keys = [DataKey(new_key(), 1) for _ in range(500)]
    commitments = {key.seal(CELL, "a")[3:35] for key in keys} | {key.seal(CELL, "b")[3:35] for key in keys}
    assert len(commitments) == 500


SUBJECTS = st.text("abcdefghij_0123456789", min_size=1, max_size=30)


@given(SUBJECTS, SUBJECTS, VERSIONS, VERSIONS)
def test_a_wrapped_key_is_bound_to_its_person_and_versions(subject, other, version, other_version):
    secret, key = new_key(), new_key()
    kek = Kek(secret, 7)
    wrapped = kek.wrap(subject, version, key)
    assert kek.unwrap(subject, version, wrapped) == key
    refuses(lambda: Kek(secret, 8).unwrap(subject, version, wrapped))
    refuses(lambda: Kek(new_key(), 7).unwrap(subject, version, wrapped))
    if other != subject:
        refuses(lambda: kek.unwrap(other, version, wrapped))
    if other_version != version:
        refuses(lambda: kek.unwrap(subject, other_version, wrapped))


@given(st.data())
def test_any_changed_bit_of_a_wrapped_or_sealed_key_is_found(data):
    kek, ring = Kek(new_key(), 1), Ring.fresh()
    wrapped, sealed = bytearray(kek.wrap("acc_1", 1, new_key())), bytearray(ring.seal_kek(1, new_key()))
    assert len(wrapped) == len(sealed)
    bit = data.draw(st.integers(0, len(wrapped) * 8 - 1))
    for one in (wrapped, sealed):
        one[bit // 8] ^= 1 << bit % 8
    refuses(lambda: kek.unwrap("acc_1", 1, bytes(wrapped)))
    refuses(lambda: ring.open_kek(1, bytes(sealed)))


@given(st.binary(max_size=100))
def test_anything_else_is_neither_wrapped_nor_sealed(data):
    refuses(lambda: Kek(bytes(32), 1).unwrap("acc_1", 1, data))
    refuses(lambda: Ring.fresh().open_kek(1, data))


def test_a_sealed_kek_is_bound_to_its_ring_and_version():
    ring, key = Ring.fresh(), new_key()
    sealed = ring.seal_kek(2, key)
    assert ring.open_kek(2, sealed) == key
    refuses(lambda: ring.open_kek(3, sealed))
    refuses(lambda: Ring.fresh().open_kek(2, sealed))
