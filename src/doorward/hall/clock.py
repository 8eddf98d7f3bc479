"""Time as a parameter: rooms are handed a clock, so that a test can be at any moment."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time. Pure code is never given one: it takes `now` as a value."""

    def now(self) -> float:
        """Seconds since the Unix epoch (UTC)."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since the Unix epoch (UTC)."""
        return time.time()


class SteppedClock:
    """A clock that moves only when told to: for tests, storms and replays."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Seconds since the Unix epoch (UTC), as last set."""
        return self._now

    def step(self, seconds: float) -> None:
        """Move forward by `seconds` (never backwards).

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError("a clock does not run backwards")
        self._now += seconds
