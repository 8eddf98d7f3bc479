"""Known devices: a token that a device keeps after a log-in, bound to one mailbox.

`dwd_<26 characters of the device's id>.<keyed digest over id and mailbox>`: whether it is genuine, for whom, and how
old it is can be told without a look-up (the id carries its moment). Whether the account still knows the device is
for the tables to say. It is never enough to log in: it only spares the proof and the code.
"""

import re
from typing import Final

from doorward.accounts.tokens import text_of
from doorward.hall.ids import is_id, new_id
from doorward.hall.secrets import Secrets, same

PREFIX: Final = "dwd"
_PURPOSE: Final = "accounts.device"
_BOUND_TO: Final = "accounts.mailbox"
_TOKEN: Final = re.compile(r"(dwd_[0-9a-hjkmnp-tv-z]{26})\.([A-Za-z0-9_-]{27})")
_BROWSERS: Final = (  # in this order: browsers name their forebears too
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def new_device_id(now: float) -> str:
    """A fresh device id."""
    return new_id(PREFIX, now)


def device_token(secrets: Secrets, device_id: str, mailbox: str) -> str:
    """What the device keeps; `mailbox` is the one of the account's address (see `addresses`)."""
    return f"{device_id}.{text_of(_mark(secrets, device_id, mailbox))}"


def known_device(secrets: Secrets, token: str, mailbox: str, made_after: float) -> str:
    """The id of the device that shows a genuine token for this mailbox; empty if it is none, or too old."""
    match = _TOKEN.fullmatch(token)
    if match is None or not is_id(match[1], PREFIX):
        return ""
    if not same(text_of(_mark(secrets, match[1], mailbox)), match[2]):
        return ""
    return match[1] if _made_at(match[1]) >= made_after else ""


def label_of(user_agent: str) -> str:
    """What a browser is called in a list of sessions, such as `Firefox, Linux`; else the start of what it says."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser:
        return f"{browser}, {system}" if system else browser
    said = "".join(letter if letter.isprintable() else " " for letter in user_agent[:200])
    return " ".join(said.split())[:60]


def _mark(secrets: Secrets, device_id: str, mailbox: str) -> bytes:
    return secrets.digest(_PURPOSE, device_id.encode() + b"\0" + secrets.digest(_BOUND_TO, mailbox, 16), 20)


def _made_at(device_id: str) -> float:
    number = 0
    for letter in device_id[len(PREFIX) + 1 :]:
        number = number << 5 | _ALPHABET.index(letter)
    return (number >> 80) / 1000
