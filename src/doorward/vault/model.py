"""The values of the vault: what a key is for, and what became of it."""

from dataclasses import dataclass, field
from enum import StrEnum


class KekState(StrEnum):
    """What a key-encryption key is still used for (NIST SP 800-57 words)."""

    ACTIVE = "active"  # wraps new data keys
    DEACTIVATED = "deactivated"  # unwraps what was wrapped before


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
