"""Identifiers: sortable by time, unguessable, and saying what they name.

An id is `<prefix>_<26 characters>`: 48 bits of milliseconds and 80 random bits in Crockford base 32 (the ULID
layout), so that rows of one table lie in order of their making.
"""

import secrets
import time
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH: Final = 26


def new_id(prefix: str, at: float | None = None) -> str:
    """A fresh identifier, e.g. `acc_01j9…`; `at` (Unix seconds) defaults to the machine's clock."""
    milliseconds = int((time.time() if at is None else at) * 1000)
    number = (milliseconds & (2**48 - 1)) << 80 | secrets.randbits(80)
    return f"{prefix}_{text_of_number(number)}"


def text_of_number(number: int) -> str:
    """A number of 128 bits as the 26 characters of an identifier."""
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the form of an identifier with this prefix (it need not exist)."""
    head, _, tail = text.partition("_")
    return head == prefix and len(tail) == _LENGTH and all(letter in _ALPHABET for letter in tail)
