"""Takes out of a text what names a person or opens a door: `[mail]`, `[card]`, `[key]` … stand in its place.

1. The rules are data (`redaction_rules.toml`, with a version of their own); each is a regular expression, perhaps with
   a check of what it found: a card number's check digit (ISO/IEC 7812-1, Luhn), an IBAN's (ISO 7064, mod 97-10).
2. No text makes it slow. Every repeat of a rule is possessive and bounded, so an attempt at one place looks at no more
   than the rule's width and never looks back; a rule that breaks this is not loaded.
3. The rules are gone through until nothing is found any more, for what was replaced may have stood before another find.
   A text that is not at rest after a few rounds has been built to be so, and is hidden as a whole. Therefore to redact
   twice is to redact once.

It finds what is written in a well-known form. What a person tells in plain words it cannot know.
"""

import ipaddress
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.resources import files
from re import _constants as codes  # type: ignore[attr-defined]  # the parser's names: only its tree tells rule 2
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

WIDEST: Final = 20_000  # characters that one attempt of a rule may look at
ROUNDS: Final = 6
NOT_AT_REST: Final = "[hidden]"
_CARD_DIGITS: Final = range(13, 20)
_IBAN_CHARACTERS: Final = range(15, 35)
_DIALLED_DIGITS: Final = range(9, 16)


class _Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(pattern="^[a-z ]{2,16}$")]
    pattern: Annotated[str, Meta(min_length=1, max_length=1_000)]
    hints: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    where: Annotated[str, Meta(max_length=200)] = ""
    check: Literal["", "luhn", "mod97", "address", "dialled"] = ""


class _Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    rule: tuple[_Rule, ...]


class BadRuleError(ValueError):
    """A rule of redaction could be made slow by a text; the message names it."""


@dataclass(frozen=True, slots=True)
class Finder:
    """One rule, ready for use."""

    hints: tuple[str, ...]
    where: re.Pattern[str]
    replace: Callable[[str], str]

    def applied(self, text: str, folded: str) -> str:
        """The text without this rule's finds. `folded`: the text in lower case, to look for hints."""
        if self.hints and not any(hint in folded for hint in self.hints):
            return text
        return self.replace(text) if self.where.search(text) else text


@dataclass(frozen=True, slots=True)
class Redactor:
    """A set of rules."""

    version: str
    finders: tuple[Finder, ...]

    def __call__(self, text: str) -> str:
        """The text with its finds replaced; at most twice as long."""
        for _ in range(ROUNDS):
            before, folded = text, text.lower()
            for finder in self.finders:
                text = finder.applied(text, folded)
            if text == before:
                return text
        return NOT_AT_REST


@lru_cache(maxsize=1)
def packaged() -> Redactor:
    """The rules that come with the program."""
    return parse((files("doorward.upstream") / "redaction_rules.toml").read_text(encoding="utf-8"))


def parse(text: str) -> Redactor:
    """Rules from TOML.

    Raises:
        BadRuleError: one is no regular expression, or could be slow. ValueError: not rules at all.
    """
    rules = msgspec.convert(tomllib.loads(text), _Rules)
    return Redactor(rules.version, tuple(map(_finder, rules.rule)))


def _finder(rule: _Rule) -> Finder:
    pattern, where = _steady(rule.name, rule.pattern), _steady(rule.name, rule.where)
    mark = f"[{rule.name}]"
    check = _CHECKS.get(rule.check)
    replace = partial(pattern.sub, mark if check is None else partial(_checked, mark, check))
    return Finder(tuple(hint.lower() for hint in rule.hints), where, replace)


def _steady(name: str, expression: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(expression)
        tree = parser.parse(expression)
    except re.error as error:
        raise BadRuleError(f"the rule for {name!r} is no regular expression: {error}") from error
    if tree.getwidth()[1] > WIDEST or not _is_steady(tree):
        raise BadRuleError(f"the rule for {name!r} has a repeat that is not possessive, or looks too far")
    return pattern


def _is_steady(tree: Any) -> bool:
    """2. Whether nothing in a parsed expression can be tried in more than one length."""
    for code, argument in tree:
        if code in {codes.MAX_REPEAT, codes.MIN_REPEAT} and argument[0] != argument[1]:
            return False
        into: dict[Any, Callable[[Any], list[Any]]] = {
            codes.MAX_REPEAT: lambda a: [a[2]], codes.MIN_REPEAT: lambda a: [a[2]],
            codes.POSSESSIVE_REPEAT: lambda a: [a[2]], codes.SUBPATTERN: lambda a: [a[3]],
            codes.ATOMIC_GROUP: lambda a: [a], codes.BRANCH: lambda a: a[1],
            codes.ASSERT: lambda a: [a[1]], codes.ASSERT_NOT: lambda a: [a[1]],
        }  # fmt: skip
        if code in into and not all(map(_is_steady, into[code](argument))):
            return False
    return True


def _checked(mark: str, check: Callable[[str], int], match: re.Match[str]) -> str:
    text = match[0]
    size = check(text)
    return mark + text[size:] if size else text


def _ends(text: str) -> list[int]:
    """Where a number may end inside of what was found: behind each word, the longest first."""
    return [
        place
        for place in range(len(text), 0, -1)
        if text[place - 1].isalnum() and not text[place : place + 1].isalnum()
    ]


def _card(text: str) -> int:
    """How much of a text is a payment card's number."""
    for end in _ends(text):
        digits = [int(letter) for letter in text[:end] if letter.isdigit()]
        if len(digits) in _CARD_DIGITS and _luhn(digits) == 0:
            return end
    return 0


def _luhn(digits: list[int]) -> int:
    doubled = (digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2])
    return (sum(doubled) + sum(digits[::-2])) % 10


def _iban(text: str) -> int:
    """How much of a text is an IBAN."""
    for end in _ends(text):
        plain = "".join(letter for letter in text[:end] if letter.isalnum())
        if len(plain) in _IBAN_CHARACTERS and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1:
            return end
    return 0


def _address(text: str) -> int:
    """How much of a text is an IP address; `a::b` could be one, and is C++ more often."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return 0
    return len(text) if any(map(str.isdigit, text)) else 0


def _dialled(text: str) -> int:
    """How much of a text is a telephone number."""
    return len(text) if sum(letter.isdigit() for letter in text) in _DIALLED_DIGITS else 0


_CHECKS: Final = {"luhn": _card, "mod97": _iban, "address": _address, "dialled": _dialled}
