"""The till: takes what an arrival pays, in the order that costs the house least.

1. An invitation of the wait-list is looked up and used; nothing else is asked of it.
2. No ticket, or one too old, of the other kind of attempt or of another network: said so, without any store.
3. A proof: ours, for this ticket, solved (one HMAC); then spent together with the ticket, on every worker.
4. No proof: the ticket is spent, and the mail-link budgets (per network, then of all) give leave or a time to wait.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import Final

from doorward.gate.challenge import ProofWork, TicketDesk
from doorward.gate.errors import InvitationUsedError
from doorward.gate.model import Payment, Receipt, Signals, Ticket
from doorward.gate.parts import GateParts
from doorward.gate.sense import network_of, sense
from doorward.gate.waitlist import WaitingLine
from doorward.hall.model import Arrival

_REMEMBERED: Final = 4_096
_HOUR_SECONDS: Final = 3_600


class Till:
    """Checks payments and spends them."""

    def __init__(self, parts: GateParts, desk: TicketDesk, line: WaitingLine) -> None:
        self._parts = parts
        self._desk = desk
        self._line = line
        self._challenged: OrderedDict[str, Signals] = OrderedDict()

    async def take(self, arrival: Arrival, ticket: Ticket | None) -> tuple[Payment, ProofWork | None]:
        """The payment of an arrival, and the work of its proof.

        Raises:
            UnavailableError: the counters or the database are away.
        """
        if arrival.invitation:  # 1
            return await self._invited(arrival), None
        if (fault := self._fault(arrival, ticket)) is not None or ticket is None:  # 2
            return Payment(fault or Receipt.FORGED), None
        work = None
        if arrival.proof:  # 3
            work = self._desk.verify(arrival.proof, ticket)
            if work is None:
                return Payment(Receipt.FORGED), None
        lifetime = self._parts.settings.ticket_lifetime_seconds
        if not await self._parts.counters.spend(f"gate.ticket:{ticket.nonce}", lifetime):
            return Payment(Receipt.SPENT), None
        if work is not None:
            return Payment(Receipt.PAID, ticket.price), work
        return Payment(Receipt.NONE, wait_seconds=await self._mail_link(arrival)), None  # 4

    async def _invited(self, arrival: Arrival) -> Payment:
        try:
            if await self._line.invited_email(arrival.invitation) != arrival.email:
                return Payment(Receipt.FORGED)
            await self._line.redeem(arrival.invitation)
        except InvitationUsedError:
            return Payment(Receipt.SPENT)
        return Payment(Receipt.INVITED)

    def _fault(self, arrival: Arrival, ticket: Ticket | None) -> Receipt | None:
        if ticket is None:
            return Receipt.FORGED if arrival.ticket else Receipt.EXPIRED
        if ticket.attempt is not arrival.attempt:
            return Receipt.FORGED
        if not self._desk.is_current(ticket, arrival.at):
            return Receipt.EXPIRED
        if ticket.network_digest != self._desk.network_digest(network_of(arrival.address)):
            return Receipt.MOVED
        return None

    async def _mail_link(self, arrival: Arrival) -> float:
        settings, counters = self._parts.settings, self._parts.counters
        hourly = settings.mail_links_per_network_per_hour
        network = self._parts.keys.digest("gate.mail_link", network_of(arrival.address)).hex()  # names nobody
        wait = await counters.take(f"gate.mail_link:{network}", hourly / _HOUR_SECONDS, max(1, int(hourly)))
        if wait > 0:
            return wait
        minutely = settings.mail_links_per_minute
        return await counters.take("gate.mail_link", minutely / 60, max(1, int(minutely)))

    def remember(self, ticket: Ticket, signals: Signals) -> None:
        """An attempt that paid and was asked for more: its next ticket has to cost what that asked."""
        self._challenged[ticket.nonce] = signals
        if len(self._challenged) > _REMEMBERED:
            self._challenged.popitem(last=False)

    def signals_of(self, arrival: Arrival) -> Signals:
        """What is known of an arrival that wants a ticket: all that its last attempt showed, if it shows that ticket.

        A cohort may be named by how long the form took, which an arrival without a form cannot show. Without this the
        new ticket would be too cheap for the same cohort, again and again.
        """
        seen = sense(arrival)
        if not arrival.ticket or (ticket := self._desk.read(arrival.ticket)) is None:
            return seen
        challenged = self._challenged.pop(ticket.nonce, None)
        if challenged is not None:
            return replace(challenged, at=arrival.at, network=seen.network)
        return replace(seen, form=ticket.carried_form)
