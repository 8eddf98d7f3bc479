"""A recorded conversation: what is known of it, and its words."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFacts:
    """What may be listed: when and whose, never what was said. Times are Unix seconds."""

    recording_id: str
    account_id: str
    at: float
    expires_at: float
    request_id: str
    path: str
    status: int
    outcome: str
    prompt_bytes: int
    answer_bytes: int
    rules: str

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording with its words, which no log and no error may show."""

    facts: RecordingFacts
    prompt: str = field(repr=False)
    answer: str = field(repr=False)
