"""Argon2id on a few patient threads.

1. The work is bounded: as many threads as processors, a short queue, and whoever does not fit is told at once to
   come back (503 with Retry-After). A flood of log-ins never becomes a queue that people wait in.
2. The threads run at the lowest priority (Linux schedules threads one by one), so that hashing takes only the time
   that answering people who belong leaves over.
3. An address without an account, or without a password, is checked against a dummy hash: the same work, the same time.

Parameters: RFC 9106 and the OWASP minimum (19 MiB, 2 passes, 1 lane); a hash made with others is made anew at the
next log-in.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from doorward.accounts.errors import HashQueueFullError

T = TypeVar("T")

_PATIENT: Final = 19
_RESERVED_SHARE: Final = 2  # known devices may queue up to this many times the strangers' limit


def _be_patient() -> None:
    """Give this thread the lowest priority, where threads have one of their own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _PATIENT)


class Hasher:
    """Hashes and checks passwords. One per process; `close` it."""

    def __init__(self, *, memory_kib: int, passes: int, threads: int = 0, queue: int = 64) -> None:
        """Start no thread yet. `threads` 0: one per processor. `queue`: how many may wait or be at work."""
        self._argon2 = argon2.PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="hash", initializer=_be_patient)
        self._limit = queue
        self._dummy = self._argon2.hash(os.urandom(16).hex())
        self.waiting = 0
        self.turned_away = 0

    async def hash(self, password: str) -> str:
        """The hash of a new password, with a fresh salt.

        Raises:
            HashQueueFullError: the queue is full.
        """
        return await self._run(lambda: self._argon2.hash(password), known=False)

    async def verify(self, password: str, stored: str, *, known: bool = False) -> bool:
        """Whether the password is right. An empty `stored` costs the same and is never right.

        `known`: a device that belongs to the account asks, and finds room where strangers don't.

        Raises:
            HashQueueFullError: the queue is full.
        """
        right = await self._run(lambda: self._matches(stored or self._dummy, password), known=known)
        return right and bool(stored)

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._argon2.check_needs_rehash(stored)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._argon2.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T], *, known: bool) -> T:
        if self.waiting >= self._limit * (_RESERVED_SHARE if known else 1):
            self.turned_away += 1
            raise HashQueueFullError(retry_after_seconds=2)
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Let the threads end; passwords still waiting are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
