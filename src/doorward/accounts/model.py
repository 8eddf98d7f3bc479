"""The values of this room: what a person, a session, a key and an unfinished sign-up look like from outside."""

from dataclasses import dataclass, field
from enum import StrEnum

from doorward.hall.hidden import Unprinted
from doorward.hall.model import Lane, Offer, Place, Reason, Role


class Scope(StrEnum):
    """What an API key may be used for. `*` is everything of the AI service, but not the administration."""

    ALL = "*"
    CHAT = "chat"
    MODELS = "models"
    EMBEDDINGS = "embeddings"
    IMAGES = "images"
    ADMIN = "admin"


class Purpose(StrEnum):
    """What a mailed code or link, or a one-time link, is for."""

    SIGNUP = "signup"
    LOGIN = "login"
    ADMIN = "admin"
    DELETION = "deletion"


class Asker(StrEnum):
    """Who causes a letter: it decides which allowance pays for it."""

    STRANGER = "stranger"
    PASSWORD = "password"  # noqa: S105  # a stranger's device that knew the password
    DEVICE = "device"  # a device known to the account


@dataclass(frozen=True, slots=True, repr=False)
class Account(Unprinted):
    """A person's account, without any secret."""

    account_id: str
    email: str
    lane: Lane
    role: Role
    created_at: float
    language: str = "en"


@dataclass(frozen=True, slots=True, repr=False)
class Session(Unprinted):
    """A log-in that goes on. Times are Unix seconds."""

    session_id: str
    account_id: str
    created_at: float
    last_used_at: float
    expires_at: float
    device: str  # what the browser called itself, cut short


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as it can be listed; the key itself is shown once, when made. Times are Unix seconds."""

    key_id: str
    name: str
    hint: str  # the first characters, to recognise it by
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None
    last_used_at: float | None


@dataclass(frozen=True, slots=True, repr=False)
class Pending(Unprinted):
    """A sign-up or log-in that waits for the code from the mail."""

    pending_id: str
    purpose: Purpose
    mailbox: bytes  # blind index
    subject: str  # whose key seals it: the mailbox's
    email: str
    account_id: str  # empty: no account has this mailbox (yet)
    password_hash: str
    attempt_id: str
    language: str
    created_at: float
    device_id: str = ""  # the known device that asked, if one did
    by_link: bool = False
    live: bool = True  # a false one answers like a true one, but no code is right for it


@dataclass(frozen=True, slots=True, repr=False)
class Visitor(Unprinted):
    """The browser or client at the other end of a log-in."""

    device: str = ""  # the device token it showed, if any
    label: str = ""  # what it calls itself (User-Agent)
    replaces: str = ""  # id of the session it came with, which the new one replaces


@dataclass(frozen=True, slots=True)
class Mailed:
    """A letter is on its way, if the allowance has room for it; the answer is the same for every address."""

    pending_id: str
    by_link: bool


@dataclass(frozen=True, slots=True)
class Dearer:
    """The price has gone up: pay this one and send the form again."""

    offer: Offer
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Waitlisted:
    """Not now, but a place in line."""

    place: Place
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Not let in, and why."""

    reasons: tuple[Reason, ...]
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Entered:
    """Logged in. Token and device are shown to the visitor now and never again."""

    account: Account
    session_id: str
    token: str = field(repr=False)
    expires_at: float
    device: str = field(repr=False)


Outcome = Mailed | Dearer | Waitlisted | Refused | Entered
