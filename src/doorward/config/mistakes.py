"""What can be wrong in a configuration: every mistake with its place and a way out, and all of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from doorward.hall.errors import DoorwardError


class Gravity(StrEnum):
    """Whether Doorward starts with this mistake in its configuration."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to correct. Never holds a configured value, for any value may be a secret."""

    source: str  # a file's path, or `environment`
    line: int | None  # counted from 1; None where there is no line to point to
    key: str  # `server.port`, `DOORWARD_SERVER_PORT`, or empty for the whole source
    problem: str
    suggestion: str = ""
    gravity: Gravity = Gravity.ERROR

    def __str__(self) -> str:
        """`file:line: key: problem (suggestion)`, the way compilers say it."""
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        head = f"{place}: {self.key}: {self.problem}" if self.key else f"{place}: {self.problem}"
        return f"{head} ({self.suggestion})" if self.suggestion else head


class ConfigError(DoorwardError):
    """The configuration has mistakes, and Doorward does not start with them."""

    code = "config.invalid"
    advice = "Correct what is listed and run `doorward config check`."

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        """Carry every mistake found, in the order of their places."""
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))
