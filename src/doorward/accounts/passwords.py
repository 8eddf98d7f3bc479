"""Which passwords we accept: NIST SP 800-63B-4 §3.1.1.2, checked offline.

1. At least 15 characters. The standard lets a password be shorter (8) where it is never enough by itself. Ours is
   enough on a device that the account knows, and the code that other devices need comes by e-mail, which the
   standard does not count as an authenticator (§3.1.3.1). So it is a single factor, and single-factor length applies.
2. At most 256 characters (the standard: at least 64), no rules on composition, every Unicode character allowed, NFC
   normalised and counted by code point.
3. Not a commonly used, expected or compromised one: 94,000 words from packaged frequency lists (leaked passwords,
   words, names), also when repeated or joined in twos to reach the length; no runs such as `123456789012345`; and
   nothing that is only the person's own address or the service's name with a little around it.

Pure, but for the lists that are read once.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Final

from doorward.accounts.errors import WeakPasswordError

LONGEST: Final = 256
_FEWEST_OWN_CHARACTERS: Final = 8  # what must be left when the words that anybody would try first are taken away
_TOO_FEW_WORDS: Final = 2
_SHORTEST_WORD: Final = 4
_LONGEST_WORD: Final = 23
_SHORTEST_RUN: Final = 3
_LONGEST_TO_TAKE_APART: Final = 64
_FORWARD: Final = (
    "1234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertzuiop",
    "azertyuiop",
)
_ROWS: Final = _FORWARD + tuple(row[::-1] for row in _FORWARD)
_REPEATED: Final = re.compile(r"(.+?)\1*", re.DOTALL)


@cache
def common_words() -> frozenset[str]:
    """Leaked passwords and words, most of them lower case."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415  # 93,000 words: only a server needs them

    return frozenset(word for words in FREQUENCY_LISTS.values() for word in words)


def normalise(password: str) -> str:
    """The password as it is hashed: NFC, so that every keyboard's way to type a letter is the same letter."""
    return unicodedata.normalize("NFC", password)


def check(password: str, *, minimum: int, context: tuple[str, ...] = ()) -> str:
    """The normalised password, if it may be used. `context`: the person's address and the service's name.

    Raises:
        WeakPasswordError: too short, too long, or too easy to guess; the message says which.
    """
    normal = normalise(password)
    if len(normal) > LONGEST:
        raise WeakPasswordError("A password has at most 256 characters.", field="password")
    if len(normal) < minimum:
        raise WeakPasswordError("This password is too short.", field="password")
    folded = normal.casefold()
    if _is_common(folded):
        raise WeakPasswordError("This password is one of those that are tried first.", field="password")
    if len(_without(folded, _context_words(context))) < _FEWEST_OWN_CHARACTERS:
        raise WeakPasswordError("This password is too close to your address or the service's name.", field="password")
    return normal


def _is_common(folded: str) -> bool:
    """Whether it is a listed word, a short unit said again and again, or made of at most two words and some runs."""
    whole = _REPEATED.fullmatch(folded)
    unit = whole[1] if whole else folded
    if folded in common_words() or unit in common_words():
        return True
    if unit != folded and len(unit) < _FEWEST_OWN_CHARACTERS:
        return True
    return len(folded) <= _LONGEST_TO_TAKE_APART and _words_in(folded) <= _TOO_FEW_WORDS


def _words_in(folded: str) -> int:
    """The least number of listed words that it can be made of, when runs and single signs between them are free."""
    fewest = [0] + [len(folded) + 1] * len(folded)
    for at in range(len(folded)):
        for length, cost in _pieces(folded, at):
            fewest[at + length] = min(fewest[at + length], fewest[at] + cost)
    return fewest[-1]


def _pieces(folded: str, at: int) -> Iterator[tuple[int, int]]:
    """The pieces that begin here: (length, words they count for)."""
    if not folded[at].isalnum():
        yield 1, 0
    longest_run = max(_run_length(folded, at, row) for row in _ROWS)
    for length in range(_SHORTEST_RUN, longest_run + 1):
        yield length, 0
    for length in range(_SHORTEST_WORD, min(_LONGEST_WORD, len(folded) - at) + 1):
        if folded[at : at + length] in common_words():
            yield length, 1


def _run_length(folded: str, at: int, row: str) -> int:
    """How many characters from here follow the row (round its end, if need be) or stay on one key."""
    start = row.find(folded[at])
    length = 0
    if start >= 0:
        while at + length < len(folded) and folded[at + length] == row[(start + length) % len(row)]:
            length += 1
    same = len(folded) - at - len(folded[at:].lstrip(folded[at]))
    return max(length, same)


def _context_words(context: tuple[str, ...]) -> list[str]:
    words = {part for text in context for part in re.split(r"[\W_]+", text.casefold()) if len(part) >= 4}
    words |= {text.casefold() for text in context if text}
    return sorted(words, key=len, reverse=True)


def _without(folded: str, words: list[str]) -> str:
    for word in words:
        folded = folded.replace(word, "")
    return folded
