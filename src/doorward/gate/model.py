"""The gate's values: signals, cohorts, posture and evidence. Frozen, and without a clock, a socket or a store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from doorward.hall.model import Attempt

EVERYBODY: Final = "*"  # the canonical key of the cohort that holds every arrival
UNKNOWN_BIN: Final = -1  # a time that was not measured or not stated


class Level(StrEnum):
    """How strict the door is for a cohort. `rank` orders the levels."""

    OPEN = "open"
    CAREFUL = "careful"
    PROBATION = "probation"
    WAITLIST = "waitlist"

    @property
    def rank(self) -> int:
        """0 for open up to 3 for wait-list."""
        return _RANKS[self]


_RANKS: Final = {level: rank for rank, level in enumerate(Level)}


class Feature(StrEnum):
    """What of an arrival may name a cohort: the first four say who, the last two how."""

    MAIL = "mail"
    NETWORK = "network"
    CLIENT = "client"
    LANGUAGE = "language"
    FORM = "form"
    SOLVER = "solver"


@dataclass(frozen=True, slots=True)
class Signals:
    """One arrival as small codes: all that `decide` and `detect` ever see of it."""

    at: float  # Unix seconds
    attempt: Attempt
    mail: str  # domain of the mail address, "" while it is not known
    network: str  # the /24 or /48 around the address
    client: str  # family/major version/system of the client
    language: str  # primary tag that the client prefers
    shape: str  # pattern of the local part, e.g. `w9` for letters then digits
    form: int = UNKNOWN_BIN  # log bin of the seconds between ticket and submission
    solver: int = UNKNOWN_BIN  # log bin of the stated microseconds per derivation
    spent: int = UNKNOWN_BIN  # log bin of the stated milliseconds for the whole proof
    has_password: bool = False

    def value(self, feature: Feature) -> str:
        """The arrival's value of a feature, as cohort keys write it."""
        return str(getattr(self, feature.value))


class Receipt(StrEnum):
    """What became of the payment that an arrival brought."""

    NONE = "none"  # no proof: the mail-link way
    PAID = "paid"
    FORGED = "forged"  # ticket or proof not ours, or the solution is wrong
    SPENT = "spent"  # used before, on any worker
    EXPIRED = "expired"
    MOVED = "moved"  # the ticket was handed out to another network
    INVITED = "invited"  # an unused invitation of the wait-list


@dataclass(frozen=True, slots=True)
class Payment:
    """What an arrival has paid, once checked."""

    receipt: Receipt
    price: int = 0  # upper bound of the counter that had to be found
    wait_seconds: float = 0.0  # until the mail-link budget allows one more; 0: allowed now


@dataclass(frozen=True, slots=True)
class Cohort:
    """Arrivals that share something: every term (feature, lowest, highest) must hold.

    For texts both bounds are the same text; for time bins they are the inclusive range.
    """

    terms: tuple[tuple[Feature, str, str], ...] = ()

    def holds(self, signals: Signals) -> bool:
        """Whether the arrival belongs to the cohort."""
        for feature, lowest, highest in self.terms:
            value = getattr(signals, feature)
            if isinstance(value, int):
                if not int(lowest) <= value <= int(highest):
                    return False
            elif value != lowest:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the posture. Without an expiry in the future there is no change (see `posture.checked`)."""

    at: float
    cohort: str
    level: Level
    reason: str
    evidence: tuple[tuple[str, str], ...]
    expires_at: float
    set_by: str
    undoes: int | None = None  # the version that this change takes back


@dataclass(frozen=True, slots=True)
class Row:
    """A change as it was carried out: one version of the posture."""

    version: int
    change: Change
    from_level: Level
    since: float  # when the cohort came to this level (a renewal keeps it)


@dataclass(frozen=True, slots=True)
class Posture:
    """A versioned snapshot: the row in force of each cohort that is not simply open."""

    version: int = 0
    rows: Mapping[str, Row] = field(default_factory=lambda: MappingProxyType({}))

    def level(self, cohort: str, at: float) -> Level:
        """The level of a cohort at a moment: an expired row counts as open."""
        row = self.rows.get(cohort)
        return row.change.level if row is not None and row.change.expires_at > at else Level.OPEN


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the detector would have: a cohort at a level, with the evidence in nats for a person to read."""

    cohort: Cohort
    level: Level
    reason: str
    score: float
    evidence: tuple[tuple[str, str], ...]
    seen_at: float  # Unix seconds: when members were last seen coming


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a genuine ticket says."""

    attempt: Attempt
    issued_at: float  # Unix seconds
    price: int
    nonce: str  # 18 hexadecimal digits, also in the challenge's `data`
    carried_form: int  # form-time bin of an earlier ticket that this one replaces, or UNKNOWN_BIN
    network_digest: bytes
