"""The values of ordered certificates: what was issued, how orders went, and when the next one is due."""

from dataclasses import dataclass, field
from typing import Final

_FIRST_DELAY_SECONDS: Final = 300.0
_LONGEST_DELAY_SECONDS: Final = 12 * 3_600.0
_LONGEST_WISH_SECONDS: Final = 7 * 86_400.0  # of an authority; the longest window of Let's Encrypt's limits
_ENDANGERED_PART: Final = 0.25
_RENEWED_PART: Final = 1 / 3


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that an authority issued to us. Times are Unix seconds."""

    directory: str  # the authority's address
    domains: tuple[str, ...]
    chain: str  # PEM, ours first
    key: str = field(repr=False)  # PEM
    not_before: float
    not_after: float
    renew_at: float
    look_at: float = 0.0  # when to ask the authority what it suggests

    def is_endangered(self, now: float) -> bool:
        """Whether less than a quarter of its life is left."""
        return self.not_after - now < (self.not_after - self.not_before) * _ENDANGERED_PART


@dataclass(frozen=True, slots=True)
class Attempts:
    """How the last orders went: `failures` in a row, and when the next may be made (Unix seconds)."""

    failures: int = 0
    retry_at: float = 0.0
    problem: str = ""
    leased_until: float = 0.0


def renewal_of(not_before: float, not_after: float, days_before: float) -> float:
    """When a certificate is renewed: so many days before its end; 0: when a third of its life is left.

    Never before half of its life is over: a life shorter than the days would else be renewed without end.
    """
    life = not_after - not_before
    left = days_before * 86_400 if days_before else life * _RENEWED_PART
    return not_after - min(left, life / 2)


def after_failure(before: Attempts, problem: str, now: float, wish_seconds: float, jitter: float) -> Attempts:
    """What to remember after one more failure.

    1. The delay begins with five minutes and doubles to at most twelve hours, so that no more than four orders fail
       in one hour (Let's Encrypt allows five failed validations of a name).
    2. An authority that names a later time is obeyed, up to seven days.
    3. `jitter` (0 to 1) adds up to a tenth, so that many instances don't come back together.
    """
    delay = min(_FIRST_DELAY_SECONDS * 2 ** min(before.failures, 10), _LONGEST_DELAY_SECONDS)
    delay = max(delay, min(wish_seconds, _LONGEST_WISH_SECONDS))
    return Attempts(before.failures + 1, now + delay * (1 + jitter / 10), problem)
