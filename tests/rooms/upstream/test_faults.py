"""The schedule of faults: how it is written, and that a seed draws the same lots every time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.upstream.simulator.faults import Fault, FaultKind, chosen_fault, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("error", Fault(FaultKind.ERROR)),
        ("error:0.05", Fault(FaultKind.ERROR, 0.05)),
        ("stall@30-60", Fault(FaultKind.STALL, 1, 30, 60)),
        ("cut:0.5@1.5-", Fault(FaultKind.CUT, 0.5, 1.5)),
        ("blank:1", Fault(FaultKind.BLANK)),
    ],
)
def test_written_forms(text, fault):
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    "text",
    ["", "explode", "error:", "error:0", "error:1.1", "error:nan", "error:-1", "stall@60-30", "stall@5-5", "stall@", "cut 1", "Error", "error:٣"],
)  # fmt: skip
def test_other_texts_are_refused_without_being_quoted(text):
    with pytest.raises(ValueError, match=r"^a fault") as caught:
        parse_fault(text)
    assert not text or f"{text!r}" not in str(caught.value)


@given(st.text(max_size=30) | st.from_regex(r"\A[a-z]{3,6}(:[0-9.]{1,4})?(@[0-9.]{1,4}-[0-9.]{0,4})?\Z"))
def test_any_text_is_a_fault_or_refused(text):
    try:
        fault = parse_fault(text)
    except ValueError:
        return
    assert 0 < fault.share <= 1
    assert fault.from_seconds < fault.to_seconds


@given(st.floats(0.05, 0.95), st.integers(0, 2**32))
def test_about_the_share_asked_for_is_drawn_and_always_the_same(share, seed):
    faults = (Fault(FaultKind.ERROR, share),)
    drawn = [chosen_fault(faults, seed, number, 0) for number in range(500)]
    assert drawn == [chosen_fault(faults, seed, number, 9) for number in range(500)]
    assert abs(drawn.count(FaultKind.ERROR) / 500 - share) < 0.15


def test_the_first_line_whose_time_it_is_counts():
    faults = (Fault(FaultKind.STALL, 1, 10, 20), Fault(FaultKind.CUT))
    assert [chosen_fault(faults, 1, 1, at) for at in (9.9, 10, 19.9, 20)] == [
        FaultKind.CUT,
        FaultKind.STALL,
        FaultKind.STALL,
        FaultKind.CUT,
    ]
    assert chosen_fault((), 1, 1, 0) is None
