"""The key ring's file and the recovery sheet: whatever is changed in them is found, and never another ring opens."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.vault import ringfile
from doorward.vault.envelope import new_key
from doorward.vault.errors import KeyRingError, RecoverySheetError, WrongKeyError
from doorward.vault.locks import key_file, recovery
from doorward.vault.ring import Ring

RING = Ring.fresh()
KEY = new_key()
USUAL, SHEET_KEY = key_file.of_key(new_key()), new_key()
LOCKS = [USUAL, recovery.of_key(SHEET_KEY, 1.8e9)]
FILE = ringfile.sealed_file(
    RING, KEY, [lock.wrap(KEY, ringfile.lock_context(RING.ring_id, lock.kind)) for lock in LOCKS]
)
DATA = ringfile.encoded(FILE)


def opened(data: bytes, lock=USUAL) -> Ring:
    return ringfile.open_with(ringfile.decoded(data), lock).ring


def test_each_lock_opens_it():
    assert [opened(DATA, lock) for lock in LOCKS] == [RING, RING]


@given(st.integers(0, len(DATA) - 1), st.integers(0, 255))
def test_any_changed_byte_is_found(place, value):
    changed = DATA[:place] + bytes([value]) + DATA[place + 1 :]
    if changed != DATA:
        with pytest.raises(KeyRingError):
            opened(changed)


@given(st.integers(0, len(DATA) - 1), st.binary(min_size=1, max_size=10))
def test_any_cut_and_any_extension_is_found(place, more):
    for changed in (DATA[:place], DATA[place + 1 :], DATA + more, more + DATA, DATA[:place] + more + DATA[place:]):
        with pytest.raises(KeyRingError):
            opened(changed)


@given(st.binary(max_size=400))
def test_anything_else_is_no_ring(data):
    with pytest.raises(KeyRingError):
        ringfile.decoded(data)


def test_a_lock_cannot_be_taken_away_added_or_exchanged():
    one, two = FILE.locks
    other = key_file.of_key(new_key())
    forged = other.wrap(new_key(), ringfile.lock_context(RING.ring_id, other.kind))
    for locks in ((one,), (two,), (two, one), (one, one), (forged, two), (one, two, forged)):
        changed = ringfile.RingFile(format=1, ring_id=FILE.ring_id, locks=locks, sealed=FILE.sealed)
        with pytest.raises(KeyRingError):
            opened(ringfile.encoded(changed))


def test_the_locks_of_one_ring_do_not_open_another():
    ring, key = Ring.fresh(), new_key()
    foreign = [lock.wrap(key, ringfile.lock_context(ring.ring_id, lock.kind)) for lock in LOCKS]
    mixed = ringfile.RingFile(format=1, ring_id=FILE.ring_id, locks=tuple(foreign), sealed=FILE.sealed)
    with pytest.raises(WrongKeyError):
        opened(ringfile.encoded(mixed))


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["", " ", "-", "  –  ", "\n"]), st.booleans())
def test_a_sheet_can_be_typed_in_many_ways(key, between, is_lower):
    lines = recovery.lines_of(key, RING.ring_id)
    typed = "\n".join(lines).replace(" ", between)
    typed = typed.lower() if is_lower else typed
    assert recovery.read_lines(typed, RING.ring_id) == key
    assert recovery.read_lines(typed.replace("0", "O").replace("1: ", "1. "), RING.ring_id) == key
    assert recovery.read_lines(recovery.sheet(key, RING.ring_id, 1.8e9), RING.ring_id) == key
    assert recovery.read_lines("".join(line[3:] for line in lines), RING.ring_id) == key


@given(st.binary(min_size=32, max_size=32), st.integers(0, 63), st.sampled_from(string.digits + string.ascii_uppercase))
def test_a_mistyped_letter_is_found_and_its_line_named(key, place, letter):
    letters = "".join(line[3:] for line in recovery.lines_of(key, RING.ring_id)).replace(" ", "")
    typed = letters[:place] + letter + letters[place + 1 :]
    if typed.translate(str.maketrans("ILO", "110")) == letters:
        assert recovery.read_lines(typed, RING.ring_id) == key
        return
    with pytest.raises(RecoverySheetError, match=f"Line {place // 16 + 1} "):
        recovery.read_lines(typed, RING.ring_id)


@given(st.binary(min_size=32, max_size=32))
def test_swapped_lines_and_another_rings_sheet_are_refused(key):
    lines = [line[3:] for line in recovery.lines_of(key, RING.ring_id)]
    with pytest.raises(RecoverySheetError):
        recovery.read_lines("\n".join([lines[1], lines[0], *lines[2:]]), RING.ring_id)
    with pytest.raises(RecoverySheetError):
        recovery.read_lines("\n".join(lines), Ring.fresh().ring_id)


@given(st.text(max_size=200))
def test_anything_else_is_no_sheet(text):
    with pytest.raises(RecoverySheetError):
        recovery.read_lines(text, RING.ring_id)


def test_the_sheet_prints_on_one_page():
    lines = recovery.sheet(new_key(), RING.ring_id, 1.8e9).splitlines()
    assert len(lines) <= 60
    assert max(len(line.encode("utf-16-le")) // 2 for line in lines) <= 80
