"""The values of the vault: what a key is for, and what became of it."""

from dataclasses import dataclass, field
from enum import StrEnum

from doorward.hall.model import ShredReceipt


class KekState(StrEnum):
    """What a key-encryption key is still used for (NIST SP 800-57 words)."""

    ACTIVE = "active"  # wraps new data keys
    DEACTIVATED = "deactivated"  # unwraps what was wrapped before


class HoneyKind(StrEnum):
    """What a honey record looks like."""

    ACCOUNT = "account"
    KEY = "key"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One version of a person's data key, wrapped by a key-encryption key."""

    subject: str
    version: int
    kek_version: int
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedKek:
    """A key-encryption key as it lies in the database: sealed by the key ring."""

    version: int
    sealed: bytes = field(repr=False)
    state: KekState
    created_at: float  # Unix seconds


# --- panels: what the console's page and its JSON twin show; times are Unix seconds ---


@dataclass(frozen=True, slots=True)
class RingPanel:
    """The key ring, and what opens it (empty: it is in memory only)."""

    ring_id: str
    is_locked: bool
    lock: str = ""
    key: str = ""  # what is known of the lock's key: see `keeper.KeyState`
    is_in_doubt: bool = False
    since: float | None = None  # when the lock's key last opened the ring
    locks_at: float | None = None  # None: it will not lock itself

    @property
    def state(self) -> str:
        """`open`, `locked`, or `doubt`: open, and not for ever."""
        return "locked" if self.is_locked else "doubt" if self.is_in_doubt else "open"


@dataclass(frozen=True, slots=True)
class KeysPanel:
    """The keys in the database."""

    kek_version: int
    kek_made_at: float
    kek_age_days: int
    data_keys: tuple[tuple[int, int], ...]  # key-encryption key, and how many data keys it wraps
    left: int  # wrapped by an older one
    is_rotating: bool  # an older one is still in use, whichever process works at it

    @property
    def total(self) -> int:
        """All data keys."""
        return sum(number for _, number in self.data_keys)


@dataclass(frozen=True, slots=True)
class RotationPanel:
    """The rotation of this process, the last or the present one. `stage` is empty before the first."""

    is_running: bool = False
    stage: str = ""
    version: int = 0
    rewrapped: int = 0
    people: int = 0  # whose values were sealed anew
    kept: int = 0  # people whose former data key must stay, for values that do not open
    is_done: bool = False
    waits_until: float | None = None

    @property
    def is_interrupted(self) -> bool:
        """Whether it ended before its end; it goes on by itself."""
        return bool(self.stage) and not self.is_running and not self.is_done


@dataclass(frozen=True, slots=True)
class Share:
    """One of several ways, and how much of the whole it is."""

    name: str
    number: int
    percent: float


@dataclass(frozen=True, slots=True)
class TransportPanel:
    """TLS of this process's listener, since its start."""

    names: tuple[str, ...]
    expires_at: float
    refused: str  # why the newest files are not served; empty: they are
    handshakes: tuple[tuple[str, str, str, int], ...]  # version, group, suite, number
    versions: tuple[Share, ...]
    groups: tuple[Share, ...]
    suites: tuple[Share, ...]
    failures: tuple[tuple[str, int], ...]  # cause, number
    post_quantum_percent: float | None  # of the handshakes; None: there were none


@dataclass(frozen=True, slots=True)
class CertificatesPanel:
    """The certificate that renews itself. None: nothing was issued yet."""

    authority: str
    domains: tuple[str, ...]
    expires_at: float | None
    renew_at: float | None
    failures: int = 0  # orders that failed in a row
    problem: str = ""
    retry_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ShreddingPanel:
    """What was destroyed. `public_key` verifies receipts; empty while the vault is locked."""

    number: int
    receipt: ShredReceipt | None
    public_key: str


@dataclass(frozen=True, slots=True)
class BackupsPanel:
    """The last backup, and whether one was brought back for a trial. None: never."""

    made_at: float | None
    size_bytes: int = 0
    drilled_at: float | None = None
    drill_failed: bool = False
