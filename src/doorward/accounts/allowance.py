"""How many letters somebody may cause, so that nobody's mailbox becomes a target. Pure.

1. An address that never confirmed gets at most three letters in the first hour, then one a day, five ever.
2. A confirmed address gets at most ten a day on behalf of strangers.
3. The brake: when the share of letters that nobody confirms jumps, for the whole house, letters to unconfirmed
   addresses become few a minute until the share is down again. The share is taken from letters that are old enough
   to have been read, so that a sudden crowd of people does not pull it.
"""

from dataclasses import dataclass
from typing import Final

from doorward.accounts.settings import AccountsSettings

HOUR: Final = 3600.0
DAY: Final = 86_400.0
_CALM_WEIGHT: Final = 0.05  # of one look, in the usual share
_RELEASE: Final = 0.85  # of the threshold: two thresholds, so that the brake does not flutter


@dataclass(frozen=True, slots=True)
class History:
    """The letters to one mailbox so far. Times are Unix seconds."""

    first_at: float
    last_at: float
    sent: int
    day_at: float
    sent_that_day: int


def after_letter(history: History | None, now: float, settings: AccountsSettings, *, confirmed: bool) -> History | None:
    """The history with one letter more; None if that letter may not be sent."""
    if history is None:
        return History(first_at=now, last_at=now, sent=1, day_at=now, sent_that_day=1)
    is_new_day = now - history.day_at >= DAY
    sent_that_day = 0 if is_new_day else history.sent_that_day
    if confirmed:
        allowed = sent_that_day < settings.confirmed_letters_per_day
    else:
        allowed = _may_send_unconfirmed(history, now, settings)
    if not allowed:
        return None
    return History(
        first_at=history.first_at,
        last_at=now,
        sent=history.sent + 1,
        day_at=now if is_new_day else history.day_at,
        sent_that_day=sent_that_day + 1,
    )


def _may_send_unconfirmed(history: History, now: float, settings: AccountsSettings) -> bool:
    if history.sent >= settings.unconfirmed_letters:
        return False
    if now - history.first_at < HOUR:
        return history.sent < settings.first_hour_letters
    return history.last_at - history.first_at < HOUR or now - history.last_at >= DAY


@dataclass(frozen=True, slots=True)
class Brake:
    """The state of the brake. `usual`: the share of letters nobody confirms, while all is calm."""

    on: bool = False
    usual: float = 0.3


def next_brake(brake: Brake, sent: int, confirmed: int, settings: AccountsSettings) -> Brake:
    """The brake after a look at the letters of the window: how many were sent, how many of those confirmed."""
    if sent < settings.brake_minimum_letters:
        return Brake(on=False, usual=brake.usual)
    share = 1 - min(confirmed, sent) / sent
    threshold = max(settings.brake_unconfirmed_share, (1 + brake.usual) / 2)
    if brake.on:
        return Brake(on=share >= threshold * _RELEASE, usual=brake.usual)
    if share >= threshold:
        return Brake(on=True, usual=brake.usual)
    return Brake(on=False, usual=brake.usual + _CALM_WEIGHT * (share - brake.usual))
