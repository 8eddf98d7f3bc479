"""Faults on purpose: which request goes wrong, and how. Pure, so that a seed gives the same faults every time.

`kind[:share][@from-to]`: `error:0.05` fails one request in twenty; `stall@30-60` stalls every stream that begins
between the 30th and the 60th second.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    """What goes wrong."""

    ERROR = "error"  # an answer of status 500 in OpenAI's shape
    STALL = "stall"  # the answer stops in the middle and never goes on
    CUT = "cut"  # the connection is closed in the middle of the answer
    BLANK = "blank"  # a complete answer without any content


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the schedule. Seconds count from the simulator's start."""

    kind: FaultKind
    share: float = 1.0  # of the requests, above 0 up to 1
    from_seconds: float = 0.0
    to_seconds: float = float("inf")


_FAULT: Final = re.compile(
    r"(?P<kind>[a-z]{1,16})(?::(?P<share>\d{1,3}(?:\.\d{1,9})?))?"
    r"(?:@(?P<from>\d{1,9}(?:\.\d{1,3})?)-(?P<to>\d{1,9}(?:\.\d{1,3})?)?)?",
    re.ASCII,
)


def parse_fault(text: str) -> Fault:
    """A fault from its written form.

    Raises:
        ValueError: the text is no fault; says why without quoting it.
    """
    found = _FAULT.fullmatch(text)
    if found is None:
        raise ValueError("a fault is written as kind[:share][@from-to], for example error:0.05 or stall@30-60")
    if found["kind"] not in list(FaultKind):
        raise ValueError("a fault's kind is one of " + ", ".join(FaultKind))
    share = float(found["share"] or 1)
    start, end = float(found["from"] or 0), float(found["to"] or "inf")
    if not 0 < share <= 1:
        raise ValueError("a fault's share is above 0 and at most 1")
    if start >= end:
        raise ValueError("a fault's end comes after its beginning")
    return Fault(FaultKind(found["kind"]), share, start, end)


def chosen_fault(faults: Iterable[Fault], seed: int, request: int, elapsed_seconds: float) -> FaultKind | None:
    """The fault that request number `request` meets: the first line whose time it is and whose lot it draws."""
    for position, fault in enumerate(faults):
        if fault.from_seconds <= elapsed_seconds < fault.to_seconds and _lot(seed, request, position) < fault.share:
            return fault.kind
    return None


def _lot(seed: int, request: int, position: int) -> float:
    """A number in [0, 1) that depends on nothing else."""
    digest = hashlib.blake2b(f"{seed}:{request}:{position}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56
