"""Facts: what happened, named `room.subject.past_tense`, published in the transaction of the change itself.

Every event is a frozen dataclass of JSON values with a class-level `name`. Frequent facts (allowed requests,
refused floods) are summarised per second before they are published: an attacker must not be able to fill the disk.
`docs/reference/events.md` is generated from this file.
"""

from dataclasses import asdict, dataclass, field
from typing import ClassVar

from doorward.hall.ids import new_id


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact. `event_id` makes its handling idempotent; `at` is Unix seconds."""

    name: ClassVar[str] = ""

    at: float
    event_id: str = field(default_factory=lambda: new_id("evt"))

    def values(self) -> dict[str, object]:
        """The fact as JSON values, without its name."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class PostureTightened(Event):
    """The door was made stricter for a cohort (or, last, for everybody), with a reason and an expiry."""

    name = "gate.posture.tightened"

    version: int
    cohort: str  # canonical cohort key, `*` for everybody
    from_level: str
    to_level: str
    reason: str
    evidence: dict[str, str]
    expires_at: float
    set_by: str  # `detector`, an account id, `playbook:<name>` or `drill:<id>`


@dataclass(frozen=True, kw_only=True)
class PostureReopened(Event):
    """The door was made less strict for a cohort: by expiry, by evidence or by hand."""

    name = "gate.posture.reopened"

    version: int
    cohort: str
    from_level: str
    to_level: str
    reason: str
    evidence: dict[str, str]
    set_by: str


@dataclass(frozen=True, kw_only=True)
class ArrivalsSummarised(Event):
    """What the gate did in one second, as counts per attempt, action and reason code."""

    name = "gate.arrivals.summarised"

    second: int
    counts: dict[str, int]  # `signup/probation/cohort.convicted` -> number


@dataclass(frozen=True, kw_only=True)
class PlaceTaken(Event):
    """Somebody took a place on the wait-list."""

    name = "gate.place.taken"

    place_id: str
    cohort: str


@dataclass(frozen=True, kw_only=True)
class PlaceInvited(Event):
    """Somebody on the wait-list was invited in."""

    name = "gate.place.invited"

    place_id: str


@dataclass(frozen=True, kw_only=True)
class AccountCreated(Event):
    """A person's account came to be, in a lane."""

    name = "accounts.account.created"

    account_id: str
    lane: str
    attempt_id: str


@dataclass(frozen=True, kw_only=True)
class LaneChanged(Event):
    """An account moved to another lane (promoted out of probation, or put on it)."""

    name = "accounts.lane.changed"

    account_id: str
    from_lane: str
    to_lane: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SessionStarted(Event):
    """Somebody logged in."""

    name = "accounts.session.started"

    account_id: str
    session_id: str
    known_device: bool


@dataclass(frozen=True, kw_only=True)
class SessionRevoked(Event):
    """A session ended before its time."""

    name = "accounts.session.revoked"

    account_id: str
    session_id: str


@dataclass(frozen=True, kw_only=True)
class KeyCreated(Event):
    """An API key was made."""

    name = "accounts.key.created"

    account_id: str
    key_id: str
    scopes: list[str]


@dataclass(frozen=True, kw_only=True)
class KeyRevoked(Event):
    """An API key was revoked."""

    name = "accounts.key.revoked"

    account_id: str
    key_id: str


@dataclass(frozen=True, kw_only=True)
class UpstreamHealthChanged(Event):
    """The AI service behind the door went away or came back."""

    name = "upstream.health.changed"

    upstream: str
    healthy: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class RecordingOpened(Event):
    """An operator read a recorded conversation."""

    name = "upstream.recording.opened"

    recording_id: str
    account_id: str
    reader: str  # name of the operating system's user who ran the command


@dataclass(frozen=True, kw_only=True)
class CertificateRenewed(Event):
    """The public listener's certificate was ordered from an authority, the first one or a new one."""

    name = "vault.certificate.renewed"

    domains: list[str]
    authority: str  # the address of its directory
    serial: str  # hexadecimal
    expires_at: float


@dataclass(frozen=True, kw_only=True)
class CertificateFailed(Event):
    """An authority gave no certificate; what was served before stays."""

    name = "vault.certificate.failed"

    domains: list[str]
    authority: str
    problem: str  # RFC 8555's name (`rateLimited`), or `away`, `timeout`, `untrusted`, `no_http_01`, `odd_answer`
    failures: int  # in a row
    retry_at: float


@dataclass(frozen=True, kw_only=True)
class CertificateNearlyExpired(Event):
    """Less than a quarter of the certificate's life is left, and the authority gives no new one."""

    name = "vault.certificate.nearly_expired"

    domains: list[str]
    expires_at: float
    problem: str


@dataclass(frozen=True, kw_only=True)
class PersonShredded(Event):
    """The keys of a person were destroyed, and with them everything that was kept about them."""

    name = "vault.person.shredded"

    receipt_id: str
    subjects: list[str]  # whose keys: `acc_…` and `mbx_…`
    reason: str  # `person`, `admin:<account id>` or `operator`


@dataclass(frozen=True, kw_only=True)
class BackupFinished(Event):
    """A backup was made by itself, and is on the disk."""

    name = "vault.backup.finished"

    file: str  # its name in `backup.directory`
    size_bytes: int
    rows_bytes: int  # before compression
    seconds: float


@dataclass(frozen=True, kw_only=True)
class BackupFailed(Event):
    """No backup could be made; nothing of it was left behind, and it is tried again within the hour."""

    name = "vault.backup.failed"

    reason: str  # an error's code
    detail: str


@dataclass(frozen=True, kw_only=True)
class DrillPassed(Event):
    """A backup was brought back into a scratch database, and everything was there."""

    name = "vault.drill.passed"

    file: str
    tables: int
    rows: int
    seconds: float  # that bringing it back took


@dataclass(frozen=True, kw_only=True)
class DrillFailed(Event):
    """A backup could not be brought back, or came back different: do not rely on it."""

    name = "vault.drill.failed"

    file: str  # empty: there was none
    reason: str  # an error's code
    detail: str


@dataclass(frozen=True, kw_only=True)
class RotationStarted(Event):
    """A new key-encryption key wraps data keys from now on; the older ones are being replaced."""

    name = "vault.rotation.started"

    version: int


@dataclass(frozen=True, kw_only=True)
class RotationFinished(Event):
    """No data key is wrapped by an older key-encryption key any more, and those are destroyed."""

    name = "vault.rotation.finished"

    version: int
    data_keys: int  # wrapped anew


@dataclass(frozen=True, kw_only=True)
class RotationFailed(Event):
    """A rotation ended early; what is done stays done, and the rest opens as before."""

    name = "vault.rotation.failed"

    version: int
    reason: str  # an error's code


@dataclass(frozen=True, kw_only=True)
class HoneyTouched(Event):
    """Somebody used a honey record, which nobody has an honest reason to use: an incident."""

    name = "vault.honey.touched"

    honey_id: str
    kind: str  # `account`, `key` or `row`
    where: str  # `login`, `signup`, `street` (an API key was shown) or `unsealed` (its values were opened)
    count: int  # uses since the last such event of this record on this node


EVENT_TYPES: dict[str, type[Event]] = {kind.name: kind for kind in Event.__subclasses__()}
