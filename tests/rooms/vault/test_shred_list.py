"""The list that outlives the database: appended, never shorter, never changed without a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.vault.errors import ShredListError
from doorward.vault.ring import Ring
from doorward.vault.shred_list import Shred, ShredList

RING = Ring.fresh()


def _shred(number: int) -> Shred:
    return Shred(f"shr_{number}", 1000.5 + number, (f"acc_{number}", f"mbx_{number}"))


@pytest.fixture
def kept(tmp_path):
    return ShredList(tmp_path / "shreds.jsonl", lambda: RING)


def _again(kept: ShredList) -> ShredList:
    """Another process on the same file."""
    return ShredList(kept.path, lambda: RING)


def test_what_was_appended_is_read_by_others(kept):
    assert kept.read() == []
    assert kept.append([_shred(1), _shred(2)]) == 2
    assert _again(kept).append([_shred(2), _shred(3)]) == 1
    assert kept.read() == _again(kept).read() == [_shred(1), _shred(2), _shred(3)]
    assert kept.path.stat().st_mode & 0o077 == 0


@given(st.data())
def test_no_cut_and_no_flip_goes_unnoticed(tmp_path_factory, data):
    kept = ShredList(tmp_path_factory.mktemp("list") / "shreds.jsonl", lambda: RING)
    number = data.draw(st.integers(1, 6))
    kept.append([_shred(one) for one in range(number)])
    whole = kept.path.read_bytes()
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(1, len(whole) - 1))]
    else:
        position, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
        damaged = bytearray(whole)
        damaged[position] ^= 1 << bit
    kept.path.write_bytes(damaged)
    with pytest.raises(ShredListError):
        _again(kept).read()
    with pytest.raises(ShredListError):
        _again(kept).append([_shred(99)])


def test_entries_cannot_be_left_out_or_swapped(kept):
    kept.append([_shred(number) for number in range(3)])
    lines = kept.path.read_bytes().splitlines(keepends=True)
    for wrong in ([0, 2, 3], [0, 1, 3], [0, 2, 1, 3], [0, 1, 2, 3, 3]):
        kept.path.write_bytes(b"".join(lines[number] for number in wrong))
        with pytest.raises(ShredListError):
            _again(kept).read()


@given(cut=st.integers(0, 400))
def test_a_process_that_died_while_appending_loses_nothing_that_was_told(tmp_path_factory, cut):
    """The head is written last: whatever lies behind what it promises is whole entries and perhaps half of one."""
    kept = ShredList(tmp_path_factory.mktemp("list") / "shreds.jsonl", lambda: RING)
    kept.append([_shred(1)])
    told = kept.path.read_bytes()
    kept.append([_shred(2), _shred(3)])
    grown = kept.path.read_bytes()
    kept.path.write_bytes(told[:256] + grown[256 : max(len(told), len(grown) - cut)])
    left = _again(kept).read()
    assert left == [_shred(1), _shred(2), _shred(3)][: len(left)]
    assert left
    _again(kept).append([_shred(2), _shred(3), _shred(4)])
    assert _again(kept).read() == [_shred(1), _shred(2), _shred(3), _shred(4)]


def test_another_rings_list_is_refused(kept):
    kept.append([_shred(1)])
    with pytest.raises(ShredListError, match="another key ring"):
        ShredList(kept.path, Ring.fresh).read()


def test_a_link_is_not_followed(kept, tmp_path):
    target = tmp_path / "elsewhere"
    target.write_bytes(b"")
    kept.path.symlink_to(target)
    with pytest.raises(ShredListError):
        kept.append([_shred(1)])
