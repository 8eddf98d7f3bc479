"""Work that a room does by itself, again and again. The house runs it; a failure is logged and tried again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of recurring work.

    `on_each_node`: every process does it (snapshots, detection); otherwise only processes that have the role
    `worker` or `all`, and the work itself must bear being done by two at once.
    """

    name: str
    every_seconds: float
    work: Callable[[], Awaitable[None]]
    on_each_node: bool = False
