"""Who may use how much, kept in memory and judged there. Pure: time is handed in, rows are somebody else's.

1. Each lane has limits: tokens in a UTC day, requests a minute, requests at once. A limit of None never refuses.
2. A request begins by holding back a fixed number of tokens from a capped allowance, so that many requests begun
   together cannot each spend what is left; it ends by giving that back and spending what it really used. So an
   allowance can be overdrawn by what is running, at most, and that is paid for: nothing more begins that day.
3. Requests a minute are spaced by GCRA: a quarter of them may come at once, then one after the other.
4. What is not yet written is kept apart, per account and day. Totals that come back from the rows, where all processes
   write, replace what this process believed.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from doorward.hall.model import Lane

DAY_SECONDS: Final = 86_400
_BURST_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account of one lane may use. None: no limit."""

    tokens_per_day: int | None = None
    requests_per_minute: int | None = None
    requests_at_once: int | None = None
    reserved_tokens: int = 0  # held back for each running request


class ShortageKind(StrEnum):
    """Which limit is reached."""

    ALLOWANCE = "allowance"
    RATE = "rate"
    CONCURRENCY = "concurrency"


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a request may not begin now, and when it could."""

    kind: ShortageKind
    retry_after_seconds: int


@dataclass(slots=True)
class Delta:
    """What an account used in one UTC day and is not written yet. Days count from the Unix epoch."""

    account_id: str
    day: int
    lane: Lane
    tokens: int = 0
    requests_ok: int = 0
    requests_refused: int = 0

    def add(self, other: "Delta") -> None:
        """Take in what another one holds of the same account and day."""
        self.tokens += other.tokens
        self.requests_ok += other.requests_ok
        self.requests_refused += other.requests_refused


@dataclass(slots=True)
class Account:
    """What is known of one account in memory."""

    day: int
    lane: Lane
    tokens: int = 0  # in `day`, by all processes as far as known
    running: int = 0
    next_request_at: float = 0.0  # GCRA's theoretical arrival time, in Unix seconds


@dataclass(slots=True)
class Budgets:
    """All accounts that used something lately."""

    limits: Mapping[Lane, Limits]
    accounts: dict[str, Account] = field(default_factory=dict)
    pending: dict[tuple[str, int], Delta] = field(default_factory=dict)

    def left(self, account_id: str, lane: Lane, now: float) -> int | None:
        """Tokens left today beside those that running requests hold back; None without a cap."""
        limits = self.limits[lane]
        if limits.tokens_per_day is None:
            return None
        account = self.accounts.get(account_id)
        if account is None:
            return limits.tokens_per_day
        used = account.tokens if account.day == day_of(now) else 0
        return max(0, limits.tokens_per_day - used - account.running * limits.reserved_tokens)

    def begin(self, account_id: str, lane: Lane, now: float) -> Shortage | None:
        """2. Begin a request (None), or say which limit is reached. `settle` must follow what has begun."""
        account = self._account(account_id, lane, now)
        shortage = self._shortage(account_id, account, now)
        if shortage is None:
            account.running += 1
        else:
            self._delta(account_id, account).requests_refused += 1
        return shortage

    def settle(self, account_id: str, lane: Lane, now: float, used: tuple[int, bool]) -> None:
        """2. A begun request ended: the tokens it used, and whether it was answered as a whole."""
        tokens, is_ok = used
        account = self._account(account_id, lane, now)
        account.running = max(0, account.running - 1)
        account.tokens += tokens
        delta = self._delta(account_id, account)
        delta.tokens += tokens
        delta.requests_ok += is_ok

    def take_pending(self, limit: int) -> list[Delta]:
        """4. At most `limit` deltas to write; what cannot be written comes back by `give_back`."""
        keys = list(self.pending)[:limit]
        return [self.pending.pop(key) for key in keys]

    def give_back(self, deltas: Iterable[Delta]) -> None:
        """4. These were not written."""
        for delta in deltas:
            newer = self.pending.get((delta.account_id, delta.day))
            if newer is None:
                self.pending[delta.account_id, delta.day] = delta
            else:
                newer.add(delta)

    def correct(self, totals: Iterable[Delta]) -> None:
        """4. Totals of the rows, which hold what every process has written."""
        for total in totals:
            account = self.accounts.get(total.account_id)
            if account is None:
                self.accounts[total.account_id] = account = Account(total.day, total.lane)
            if account.day == total.day:
                waiting = self.pending.get((total.account_id, total.day))
                account.tokens = total.tokens + (waiting.tokens if waiting else 0)

    def forget(self, now: float) -> None:
        """Let go of accounts that used nothing today and have nothing running."""
        today = day_of(now)
        for account_id in [key for key, value in self.accounts.items() if value.day != today and not value.running]:
            del self.accounts[account_id]

    def running(self) -> int:
        """Requests that have begun and not ended."""
        return sum(account.running for account in self.accounts.values())

    def _account(self, account_id: str, lane: Lane, now: float) -> Account:
        today = day_of(now)
        account = self.accounts.get(account_id)
        if account is None:
            account = self.accounts[account_id] = Account(today, lane)
        elif account.day < today:
            account.day, account.tokens = today, 0
        account.lane = lane
        return account

    def _delta(self, account_id: str, account: Account) -> Delta:
        key = (account_id, account.day)
        delta = self.pending.get(key)
        if delta is None:
            delta = self.pending[key] = Delta(account_id, account.day, account.lane)
        delta.lane = account.lane
        return delta

    def _shortage(self, account_id: str, account: Account, now: float) -> Shortage | None:
        limits = self.limits[account.lane]
        if self.left(account_id, account.lane, now) == 0:
            at_midnight = math.ceil((day_of(now) + 1) * DAY_SECONDS - now)
            # Running requests may give back what they hold: worth asking again soon.
            is_spent = limits.tokens_per_day is not None and account.tokens >= limits.tokens_per_day
            return Shortage(ShortageKind.ALLOWANCE, max(1, at_midnight) if is_spent else 2)
        if limits.requests_at_once is not None and account.running >= limits.requests_at_once:
            return Shortage(ShortageKind.CONCURRENCY, 1)
        return _spaced(account, limits, now)


def _spaced(account: Account, limits: Limits, now: float) -> Shortage | None:
    """3. GCRA: each request moves the account's own time on by one interval; it may run ahead by the burst."""
    if limits.requests_per_minute is None:
        return None
    interval = 60 / limits.requests_per_minute
    burst = max(1, int(limits.requests_per_minute * _BURST_SHARE))
    arrival = max(account.next_request_at, now)
    wait = arrival - (burst - 1) * interval - now
    if wait > 1e-9:  # below a nanosecond it is only the rounding of sums
        return Shortage(ShortageKind.RATE, max(1, math.ceil(wait)))
    account.next_request_at = arrival + interval
    return None


def day_of(now: float) -> int:
    """The UTC day of a moment, in days since the Unix epoch."""
    return int(now // DAY_SECONDS)
