"""E-mail addresses: which ones we accept, how we write them, and which of them are one mailbox.

1. Syntax is the dot-atom of RFC 5321 §4.1.2 with the limits of §4.5.3.1 (64 octets before the @, 254 in all, as
   RFC 3696 erratum 1690 works out). Quoted names, comments and address literals are legal in theory and used in
   practice only to slip past filters: they are refused.
2. The domain is written in its ASCII form (IDNA 2008 with the UTS #46 mapping), so every address that we store can
   be mailed to without SMTPUTF8. A name before the @ that is not ASCII would need it, and is refused clearly.
3. The *mailbox* says who is meant: letter case, `+tag` and what a provider ignores are taken away, so that one
   mailbox is one person. It is for comparing only; mail goes to the address as it was given.

Pure, but for the rules file that is read once.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import idna
import msgspec

from doorward.accounts.errors import BadAddressError

LONGEST: Final = 254
LONGEST_NAME: Final = 64

_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_NAME: Final = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Address:
    """An accepted address: `text` to mail to, `mailbox` to compare by."""

    text: str
    mailbox: str

    @property
    def domain(self) -> str:
        """The domain, in its ASCII form and lower case."""
        return self.text.rpartition("@")[2]


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one mail provider says about its addresses (see `mailbox_rules.toml`)."""

    name: str
    domains: list[str]
    source: str
    ignored: str = ""
    one_mailbox: bool = False
    subdomains: bool = False


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules file."""

    version: str
    provider: list[Provider]


@cache
def rules() -> Rules:
    """The packaged rules."""
    text = files("doorward.accounts").joinpath("mailbox_rules.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Rules)


def parse(text: str, *, local: bool = False) -> Address:
    """The address that somebody typed. `local` admits a domain of a single label, such as `admin@localhost`.

    Raises:
        BadAddressError: it is not one that we accept; the message says why.
    """
    name, at, domain = text[: LONGEST * 4].strip().rpartition("@")
    if not at or not name or not domain:
        raise BadAddressError("An e-mail address has a name, an @ and a domain.", field="email")
    _check_name(name)
    domain = _ascii_domain(domain, local=local)
    if len(name) + 1 + len(domain) > LONGEST:
        raise BadAddressError("An e-mail address has at most 254 characters.", field="email")
    return Address(text=f"{name}@{domain}", mailbox=_mailbox(name.lower(), domain))


def mailbox_of(text: str) -> str:
    """The mailbox of an address that was accepted before.

    Raises:
        BadAddressError: it never was one.
    """
    return parse(text, local=True).mailbox


def _check_name(name: str) -> None:
    if not name.isascii():
        raise BadAddressError("The part before the @ can only have letters a-z, digits and signs.", field="email")
    if len(name) > LONGEST_NAME:
        raise BadAddressError("The part before the @ has at most 64 characters.", field="email")
    if not _NAME.fullmatch(name):
        raise BadAddressError(
            "The part before the @ has a space, a quote, a stray dot or another sign that is not accepted.",
            field="email",
        )


def _ascii_domain(domain: str, *, local: bool) -> str:
    lowered = domain.lower()
    if not domain.isascii() or "xn--" in lowered:
        try:
            lowered = idna.encode(domain, uts46=True, std3_rules=True).decode().lower()
        except UnicodeError as error:
            raise BadAddressError("The part after the @ is not a valid domain name.", field="email") from error
    if not _DOMAIN.fullmatch(lowered) or len(lowered) > 253 or lowered.rpartition(".")[2].isdigit():
        raise BadAddressError("The part after the @ is not a valid domain name.", field="email")
    if "." not in lowered and not local:
        raise BadAddressError("The part after the @ needs a dot, as in example.com.", field="email")
    return lowered


def _mailbox(name: str, domain: str) -> str:
    # 1. what comes after a plus sign is the person's own note (and no name ends with a dot)
    name = name.partition("+")[0].rstrip(".") or name
    # 2. what the provider ignores, and its other names for the same mailbox
    for provider in rules().provider:
        home = _home(provider, name, domain)
        if home:
            return home
    return f"{name}@{domain}"


def _home(provider: Provider, name: str, domain: str) -> str:
    if domain in provider.domains:
        kept = name.translate({ord(sign): None for sign in provider.ignored}) or name
        return f"{kept}@{provider.domains[0] if provider.one_mailbox else domain}"
    if provider.subdomains:
        below, _, parent = domain.partition(".")
        if parent in provider.domains:
            return f"{below}@{parent}"
    return ""
