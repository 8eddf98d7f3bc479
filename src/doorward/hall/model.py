"""The values that travel between rooms. Frozen, without behaviour that needs a clock, a socket or a store."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from doorward.hall.hidden import Unprinted


class Lane(StrEnum):
    """Who is served before whom. Strangers have no lane: they stand at the gate."""

    EXISTING = "existing"
    PROBATION = "probation"


class Role(StrEnum):
    """What an account may do in the house."""

    MEMBER = "member"
    ADMIN = "admin"


class Action(StrEnum):
    """What the gate does with an arrival. The order is from welcome to refusal."""

    ADMIT = "admit"
    PROBATION = "probation"
    CHALLENGE = "challenge"
    WAITLIST = "waitlist"
    REFUSE = "refuse"


class Attempt(StrEnum):
    """What an arrival is trying to do."""

    SIGNUP = "signup"
    LOGIN = "login"


@dataclass(frozen=True, slots=True)
class Standing:
    """A caller who belongs: resolved from a session or an API key, never from the posture."""

    account_id: str
    credential_id: str
    lane: Lane
    role: Role
    scopes: frozenset[str]
    expires_at: float  # Unix seconds at which the credential ends


@dataclass(frozen=True, slots=True, repr=False)
class Arrival(Unprinted):
    """One attempt as the street saw it: facts only, every text already cut to its limit by `edge`."""

    request_id: str
    at: float  # Unix seconds
    attempt: Attempt
    address: str  # the visitor's IP address, after trusted proxies, in canonical form
    user_agent: str = ""
    languages: str = ""  # Accept-Language, as sent
    language: str = "en"  # the page language that was chosen from it: `en` or `zh_Hans`
    client_hints: str = ""  # Sec-CH-UA
    referrer: str = ""
    email: str = ""  # normalised (accounts.addresses); empty until the form is in
    mailbox: str = ""  # whose address it is, tags and dots taken away: to compare by, never to mail to
    has_password: bool = False
    ticket: str = ""  # the stateless ticket that `offer` minted
    proof: str = ""  # ALTCHA payload, base 64; empty when the visitor could not run the solver
    invitation: str = ""  # an invitation that the wait-list mailed


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a stable code and evidence that can be shown to a person."""

    code: str
    evidence: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate decided, and by which policy and posture, so that it can be replayed and explained."""

    action: Action
    reasons: tuple[Reason, ...]
    policy_version: str
    posture_version: int
    attempt_id: str = ""  # names the recorded signals, for the second look at confirmation
    mail_link: bool = False  # admitted on the mail-link path: the mail carries a link instead of a solved proof
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Offer(Unprinted):
    """What a visitor needs to pay: the ticket that goes with the form, and the challenge for the solver."""

    ticket: str
    challenge: dict[str, object] = field(default_factory=dict)  # ALTCHA v2 challenge as JSON values
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Place(Unprinted):
    """A durable place on the wait-list."""

    token: str  # names the place on its page; unguessable
    position: int  # 1 is next


@dataclass(frozen=True, slots=True, repr=False)
class Letter(Unprinted):
    """A mail ready to send, as plain text and HTML."""

    recipient: str
    subject: str
    text: str
    html: str = ""


@dataclass(frozen=True, slots=True)
class Conduct:
    """How an account on probation has behaved, for the rule that promotes it."""

    account_id: str
    created_at: float
    requests_ok: int
    requests_refused: int
    active_days: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account has used of the AI service in the current UTC day."""

    tokens_today: int
    tokens_per_day: int | None  # None: no cap
    requests_ok: int
    requests_refused: int
    active_days: int
    is_recorded: bool = False  # whether what the account asks and hears is kept for a while


class Cell(NamedTuple):
    """One place in the database: a sealed value opens in its own cell and nowhere else."""

    table: str
    column: str
    row: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShredReceipt:
    """Proof that the keys of a person were destroyed, signed by the key ring. No personal value is in it."""

    receipt_id: str
    ring_id: str
    subjects: tuple[str, ...]  # whose keys
    shredded_at: float  # Unix seconds
    cleared_at: float | None = None  # when the pages that held the rows were clear too; None: not yet
    reason: str
    destroyed: dict[str, int]  # table -> rows that went
    public_key: str = ""  # Ed25519, hexadecimal
    signature: str = ""  # of everything else, hexadecimal
