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

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from doorward.edge.street_answers import Answer
from doorward.edge.street_authorize import Judge
from doorward.edge.street_calls import KnownCalls
from doorward.edge.street_gate import FirstLook
from doorward.edge.street_line import IDLE, KnownForm, Line
from doorward.edge.street_parts import StreetParts
from doorward.edge.street_watch import Watch
from doorward.edge.wire import NO_BODY, Head

LONGEST: Final = 2_048
_POST: Final = ord("P")
_KEPT_OUT: Final = (b"\r\ndoorward-ticket:", b"\r\ncookie:", b"\r\nauthorization:")
_MOST_CALLERS: Final = 32_768
_MOST_FORMS: Final = 1_024


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
        """Remember the head of a form whose ticket stands in its body, if it shows no credential."""
        raw = head.raw
        if head.length <= NO_BODY or not head.keep_alive or len(raw) > LONGEST:
            return
        if any(head.lower.find(name) >= 0 for name in _KEPT_OUT):
            return
        if len(self.forms) >= _MOST_FORMS:
            self.forms.clear()
        self.forms[hash(raw)] = KnownForm(raw, len(raw) + head.length, missing, forged)


@dataclass(frozen=True, slots=True)
class Known:
    """What a server's connections share on the short way."""

    parts: StreetParts
    watch: Watch
    counts: Counter[str]
    judge: Judge
    first_look: FirstLook
    heads: KnownHeads
    calls: KnownCalls


def short_way(known: Known, whole_way: Callable[[Line, bytes], None]) -> Callable[[Line, bytes], None]:
    """`data_received` of a server's connections: known heads are answered here, the rest goes the whole way.

    A closure, since what it reads on each request would otherwise be looked up through the connection each time: that
    alone is a sixth of the work.
    """
    watch, counts = known.watch, known.counts
    caller_of, forms = known.heads.callers.get, known.heads.forms
    standing_of, answer_plain = known.parts.book.standing_of, known.judge.answer_plain
    calls, call_in = known.calls, known.calls.find
    refusal_of = refusing(known)
    keep_alive_seconds = known.parts.limits.keep_alive_seconds

    def data_received(line: Line, data: bytes) -> None:
        if line.phase != IDLE or line.held or line.flow.write_paused:
            whole_way(line, data)
            return
        answer = None
        if data[0] == _POST:
            if forms and len(data) <= LONGEST:
                answer = refusal_of(line, data)
            if answer is None and calls and (call := call_in(data)) is not None and line.relay_known(call, data):
                return
        elif len(data) <= LONGEST and (caller := caller_of(hash(data))) is not None and caller[0] == len(data):
            standing = standing_of(data[caller[1] : caller[2]])
            if standing is not None:
                answer = answer_plain(standing)
        if answer is None:
            whole_way(line, data)
            return
        counts[answer.code] += 1
        line.transport.write(answer.start + watch.date_line + answer.rest)
        line.deadline = watch.now + keep_alive_seconds

    return data_received


def refusing(known: Known) -> Callable[[Line, bytes], Answer | None]:
    """Judges the ticket of a form whose head is known and whose body is here; None: go the whole way."""
    watch, shed = known.watch, known.parts.shed
    form_of, ticket_in, is_genuine = known.heads.forms.get, known.first_look.ticket_in, known.first_look.is_genuine

    def refusal(line: Line, data: bytes) -> Answer | None:
        form = line.form
        if form is None or not data.startswith(form.head):  # not the one that came last on this connection
            form = line.form = form_of(hash(data[: data.find(b"\r\n\r\n") + 4]))
        if form is None or form.size != len(data) or watch.is_overloaded or shed():
            return None
        ticket = ticket_in(data, len(form.head) - 1)
        if not ticket:
            return form.missing
        return None if is_genuine(ticket) else form.forged

    return refusal
