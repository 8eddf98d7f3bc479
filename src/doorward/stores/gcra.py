"""The generic cell rate algorithm (ITU-T I.371): a token bucket in one number.

1. A budget is remembered as the moment at which it will be full again (the theoretical arrival time, `full_at`).
   A budget that nobody asked for a while has `full_at` in the past: it is full, and need not be remembered at all.
2. Taking `cost` moves `full_at` by `cost / rate` from now, or from `full_at` if that is later.
3. The budget can give that only if the new `full_at` is at most `burst / rate` ahead of now.
4. Otherwise nothing changes, and the answer is how long to wait until 3 would hold.

`valkey.py` holds the same steps in Lua; one contract suite checks both.
"""

from typing import Final

_ROUNDING_SECONDS: Final = 1e-6  # a Unix time as a double is exact to 0.2 µs


def check_budget(rate_per_second: float, burst: int, cost: int) -> None:
    """Raise ValueError for a budget that could never give what is asked."""
    if not rate_per_second > 0:
        raise ValueError("a budget needs a positive rate")
    if not 1 <= cost <= burst:
        raise ValueError("the cost must be between 1 and the burst")


def take(full_at: float, now: float, rate_per_second: float, burst: int, cost: int) -> tuple[float, float]:
    """The seconds to wait (0.0: given) and the new `full_at`."""
    wanted = max(full_at, now) + cost / rate_per_second
    wait = wanted - burst / rate_per_second - now
    if wait > _ROUNDING_SECONDS:
        return wait, full_at
    return 0.0, wanted
