"""Heads that have been taken before, so that the same bytes need not be read again.

A client or proxy sends the same head over and over, byte for byte, as long as it speaks for the same person; a botnet
sends the same form again and again. What was found good stays good: a head is judged by its bytes alone.

1. Remembered is the hash of the bytes, their length, and where in them the credential stands. The hash is SipHash with
   a key of this process (PEP 456), so nobody outside can make a second head with the hash of a first. No credential is
   kept.
2. Only the reading is spared. Whether the credential is good, the allowance left and the ticket genuine is asked each
   time.
3. Only heads of people who belong are remembered for `/authorize`, so that strangers cannot fill it; heads of forms are
   kept apart, in less room. A full memory starts anew.
"""

from dataclasses import dataclass
from typing import Final

from doorward.edge.street_answers import Answer
from doorward.edge.wire import NO_BODY, Head

LONGEST: Final = 2_048
_MOST_CALLERS: Final = 32_768
_MOST_FORMS: Final = 1_024


@dataclass(frozen=True, slots=True)
class KnownForm:
    """A head before a form: how long its body is, and what to answer when the ticket in it is none."""

    size: int  # of head and body together
    head_size: int
    missing: Answer
    forged: Answer


class KnownHeads:
    """Both memories of one server."""

    __slots__ = ("callers", "forms")

    def __init__(self) -> None:
        self.callers: dict[int, tuple[int, int, int]] = {}  # hash -> length, start and end of the credential
        self.forms: dict[int, KnownForm] = {}

    def add_caller(self, head: Head, credential: bytes) -> None:
        """Remember the head of somebody who belongs, if it asks for nothing but that."""
        raw = head.raw
        if head.length != NO_BODY or not head.keep_alive or len(raw) > LONGEST or b"?" in head.target:
            return
        if head.lower.find(b"\r\nx-doorward-scope:") >= 0:
            return
        start = raw.find(credential, head.fields_start)
        if len(self.callers) >= _MOST_CALLERS:
            self.callers.clear()
        self.callers[hash(raw)] = (len(raw), start, start + len(credential))

    def add_form(self, head: Head, missing: Answer, forged: Answer) -> None:
        """Remember the head of a form whose ticket stands in its body."""
        raw = head.raw
        if head.length <= NO_BODY or not head.keep_alive or len(raw) > LONGEST:
            return
        if head.lower.find(b"\r\ndoorward-ticket:") >= 0:
            return
        if len(self.forms) >= _MOST_FORMS:
            self.forms.clear()
        self.forms[hash(raw)] = KnownForm(len(raw) + head.length, len(raw), missing, forged)
