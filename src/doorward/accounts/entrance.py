"""From a verdict to what the visitor is told: what sign-up and log-in have in common at the gate."""

from dataclasses import replace
from typing import Final

from doorward.accounts import addresses
from doorward.accounts.model import Dearer, Refused, Waitlisted
from doorward.accounts.parts import AccountsParts
from doorward.hall.model import Action, Arrival, Attempt, Verdict

MAILBOX_INDEX: Final = "accounts.mailbox"  # names the key of the blind index


def mailbox_index(parts: AccountsParts, address: addresses.Address) -> bytes:
    """The blind index under which a mailbox is known."""
    return parts.sealer.index(MAILBOX_INDEX, address.mailbox)


def mailbox_subject(parts: AccountsParts, address: addresses.Address) -> str:
    """Whose key seals what concerns a mailbox and not (yet) an account: sign-ups, log-ins, letters."""
    return parts.sealer.subject_of(address.mailbox)


async def turned_away(parts: AccountsParts, arrival: Arrival, verdict: Verdict) -> Dearer | Waitlisted | Refused | None:
    """What somebody is told who does not come in now; None for who does."""
    match verdict.action:
        case Action.ADMIT | Action.PROBATION:
            return None
        case Action.REFUSE:
            return Refused(verdict.reasons, verdict.retry_after_seconds)
        case Action.WAITLIST if arrival.attempt is Attempt.SIGNUP:
            return Waitlisted(await parts.waitlist.take_place(arrival), verdict.reasons)
        case _:  # a log-in is never put in a line: it pays
            return Dearer(parts.doorkeeper.offer(unpaid(arrival)), verdict.reasons)


def unpaid(arrival: Arrival) -> Arrival:
    """The arrival before its next try: a fresh offer replaces the ticket, whose age the gate may carry over."""
    return replace(arrival, proof="")
