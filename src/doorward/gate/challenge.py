"""Tickets and proofs: what a visitor pays with, and how a forged payment is refused for one keyed hash.

1. A ticket is 45 bytes, base64 for URLs (60 characters), and needs no row: version, attempt, milliseconds of issue,
   price, form-time bin carried over from a ticket it replaces, random nonce, digest of the visitor's network, and a
   keyed BLAKE2b of all that. Its age when the form comes in is the form time.
2. A challenge is ALTCHA v2, PBKDF2/SHA-256 at a low iteration count with a wide counter range, in deterministic mode
   with both HMAC secrets: minting costs one derivation (0.1 ms at 100 iterations), verifying one HMAC, a wrong
   solution as little. Its `data` carries the ticket's nonce, so that a proof pays for one ticket only.
3. The price is the upper bound of the counter. It stands in the ticket, so it cannot be lowered on the way.
4. Prices are capped in the settings at 4,000 tries, about 3 s of the slowest phone we reckon with (1,300 tries/s).
"""

import base64
import hmac
import secrets
from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import altcha
import msgspec

from doorward.gate.model import UNKNOWN_BIN, Ticket
from doorward.hall.model import Attempt
from doorward.hall.secrets import Secrets

TICKET_LENGTH: Final = 60
PROOF_LIMIT: Final = 2_048
_VERSION: Final = 1
_BODY: Final = 29
_MAC: Final = 16
_ATTEMPTS: Final = (Attempt.SIGNUP, Attempt.LOGIN)
_CLOCK_SKEW_SECONDS: Final = 5.0
_STANDARD_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class ProofWork:
    """What a right proof says of the work: the solver's stated milliseconds (0: not stated) and the counter."""

    milliseconds: float
    counter: int


class TicketDesk:
    """Mints and reads tickets and challenges."""

    def __init__(self, keys: Secrets, lifetime_seconds: int, iterations: int) -> None:
        self._ticket_mac = blake2b(digest_size=_MAC, key=keys.key("gate.ticket"))
        self._network_key = keys.key("gate.ticket.network")
        self._challenge_key = keys.key("gate.challenge")
        self._solution_key = keys.key("gate.challenge.solution")
        self._lifetime = lifetime_seconds
        self._iterations = iterations

    def mint(self, attempt: Attempt, at: float, price: int, network: str, carried_form: int = UNKNOWN_BIN) -> str:
        """A fresh ticket."""
        body = b"".join(
            (
                bytes((_VERSION, _ATTEMPTS.index(attempt))),
                int(at * 1000).to_bytes(6),
                price.to_bytes(3),
                (carried_form + 1).to_bytes(1),
                secrets.token_bytes(9),
                self.network_digest(network),
            )
        )
        return base64.urlsafe_b64encode(body + self._mac(body)).decode()

    def network_digest(self, network: str) -> bytes:
        """The 8 bytes that tie a ticket to a network without naming it."""
        return blake2b(network.encode(), digest_size=8, key=self._network_key).digest()

    def _mac(self, body: bytes) -> bytes:
        mac = self._ticket_mac.copy()  # keyed once: the refusal of a forged ticket costs little else
        mac.update(body)
        return mac.digest()

    def read(self, text: str | bytes) -> Ticket | None:
        """The ticket, if it is ours; its age is not judged here."""
        if len(text) != TICKET_LENGTH:
            return None
        try:
            data = text.encode() if isinstance(text, str) else text
            raw = a2b_base64(data.translate(_STANDARD_ALPHABET), strict_mode=True)
        except (Base64Error, ValueError):
            return None
        body = raw[:_BODY]
        if not hmac.compare_digest(raw[_BODY:], self._mac(body)) or body[0] != _VERSION:
            return None
        return Ticket(
            attempt=_ATTEMPTS[body[1]],
            issued_at=int.from_bytes(body[2:8]) / 1000,
            price=int.from_bytes(body[8:11]),
            carried_form=body[11] - 1,
            nonce=body[12:21].hex(),
            network_digest=body[21:29],
        )

    def is_current(self, ticket: Ticket, at: float) -> bool:
        """Whether the ticket's age is within its lifetime (and not in the future, clocks apart)."""
        return -_CLOCK_SKEW_SECONDS <= at - ticket.issued_at <= self._lifetime

    def challenge(self, ticket: str, price: int) -> dict[str, object]:
        """The challenge that pays for this ticket, as JSON values. No expiry stands in it: the ticket has one."""
        read = self.read(ticket)
        if read is None:
            raise ValueError("a challenge is minted for a ticket of our own")
        challenge = altcha.create_challenge(
            "PBKDF2/SHA-256",
            self._iterations,
            counter=1 + secrets.randbelow(price),
            data={"ticket": read.nonce},
            hmac_secret=self._challenge_key,
            hmac_key_secret=self._solution_key,
        )
        values: dict[str, object] = challenge.to_dict()
        return values

    def verify(self, proof: str, ticket: Ticket) -> ProofWork | None:
        """The work of a proof that is ours, pays for this ticket and is solved; None for any other."""
        payload = _payload(proof)
        if payload is None or payload.challenge.parameters.data != {"ticket": ticket.nonce}:
            return None
        if not altcha.verify_solution(payload, self._challenge_key, hmac_key_secret=self._solution_key).verified:
            return None
        stated, counter = payload.solution.time, payload.solution.counter
        milliseconds = float(stated) if isinstance(stated, int | float) and 0 < stated < 1e7 else 0.0
        # The counter is the solver's own statement too; one out of range says nothing about its speed.
        sound = type(counter) is int and 1 <= counter <= ticket.price
        return ProofWork(milliseconds, counter if sound else 0)


def _payload(proof: str) -> altcha.Payload | None:
    """The ALTCHA payload of a base64 text; None if it is none."""
    if not 0 < len(proof) <= PROOF_LIMIT:
        return None
    try:
        values = msgspec.json.decode(base64.b64decode(proof, validate=True))
        return altcha.Payload.from_dict(values)
    except (Base64Error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
