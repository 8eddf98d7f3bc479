"""Keeps keys out of dumps: no core file, and no other process of the same user reads our memory.

1. `PR_SET_DUMPABLE` 0 (Linux): no core file, and `/proc/<pid>/mem`, `environ` and `ptrace` are root's alone.
2. `RLIMIT_CORE` 0: no core file where the first is unknown, and none of what we start.

What Python held once it cannot wipe: a key that was dropped stays in memory until something else needs the room. These
two keep that memory from leaving the process; swap is the machine's affair (docs/explanation/threat-model.md).
"""

import ctypes
import os
import resource
import sys
from dataclasses import dataclass
from typing import Final

_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4


@dataclass(frozen=True, slots=True)
class Hardening:
    """What this process has been given."""

    is_undumpable: bool
    has_no_core: bool
    problem: str = ""


def harden() -> Hardening:
    """Apply both rules to this process; what this machine does not know is said, not raised."""
    problems = []
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as error:
        problems.append(f"RLIMIT_CORE: {error}")
    try:
        _prctl(_PR_SET_DUMPABLE, 0)
    except OSError as error:
        problems.append(f"PR_SET_DUMPABLE: {error.strerror}")
    state = hardening()
    return Hardening(state.is_undumpable, state.has_no_core, "; ".join(problems))


def hardening() -> Hardening:
    """How this process stands."""
    try:
        is_undumpable = _prctl(_PR_GET_DUMPABLE, 0) == 0
    except OSError:
        is_undumpable = False
    return Hardening(is_undumpable, resource.getrlimit(resource.RLIMIT_CORE)[0] == 0)


def _prctl(option: int, value: int) -> int:
    if sys.platform != "linux":
        raise OSError(0, "only Linux has it")
    library = ctypes.CDLL(None, use_errno=True)
    answer = int(library.prctl(option, value, 0, 0, 0))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
