"""Credentials and tickets for the benchmarks, the same in every process."""

import base64
import hashlib

from doorward.accounts.book import Book
from doorward.gate.challenge import TicketDesk
from doorward.hall.clock import SystemClock
from doorward.hall.model import Attempt, Standing
from doorward.hall.secrets import Secrets

SESSIONS = 1_000
_SECRET = "a secret for benchmarks only, of no worth to anybody"


def sessions() -> list[bytes]:
    """Session tokens."""
    digests = (hashlib.sha256(b"bench %d" % number).digest() for number in range(SESSIONS))
    return [b"dws_" + base64.urlsafe_b64encode(digest).rstrip(b"=") for digest in digests]


def book(standings: dict[bytes, Standing]) -> Book:
    """The real book, filled without a database: these benchmarks never miss in it."""
    filled = Book(None, SystemClock(), idle_seconds=1e9, limit=10**6, recalls=1)
    for session, standing in standings.items():
        filled.put(hashlib.sha256(session).digest(), standing)
    return filled


class Doorkeeper:
    """The gate's tickets without the gate."""

    def __init__(self) -> None:
        self.desk = TicketDesk(Secrets(_SECRET), 3_600, 100)
        self._clock = SystemClock()

    def ticket(self) -> str:
        """A genuine ticket."""
        return self.desk.mint(Attempt.SIGNUP, self._clock.now(), 200, "192.0.2.0/24")

    def is_genuine(self, ticket: bytes) -> bool:
        """As the gate has it."""
        read = self.desk.read(ticket)
        return read is not None and self.desk.is_current(read, self._clock.now())
