"""The form of what proves who somebody is: session tokens, API keys, device tokens, link tokens, codes.

1. A session token is `dws_` and 256 random bits in URL-safe base 64.
2. An API key is `dw_live_`, 160 random bits in lower-case base 32 (RFC 4648), and six characters of checksum. The
   checksum is public (30 bits of CRC-32 over all before it): a leak scanner can tell a key from noise without
   asking anybody, and a mistyped key is refused without a look-up.
3. Both have full entropy, so what is stored is their plain SHA-256: nothing slower would make them harder to guess.

Parsing and formatting only; no clock, no store.
"""

import base64
import binascii
import hashlib
import re
import secrets
import zlib
from enum import StrEnum
from typing import Final

SESSION_PREFIX: Final = "dws_"
KEY_PREFIX: Final = "dw_live_"
LINK_PREFIX: Final = "dwl_"
CODE_DIGITS: Final = 8  # one guess in 10⁸; NIST SP 800-63B-4 §3.1.3.2 asks for at least six digits
HINT_LENGTH: Final = len(KEY_PREFIX) + 4
LONGEST_CREDENTIAL: Final = 64

_SESSION: Final = re.compile(rb"dws_[A-Za-z0-9_-]{43}")
_KEY: Final = re.compile(rb"dw_live_[a-z2-7]{38}")
_LINK: Final = re.compile(r"dwl_[A-Za-z0-9_-]{43}")
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_CHECKSUM_LENGTH: Final = 6


class Credential(StrEnum):
    """The two kinds of credential."""

    SESSION = "session"
    KEY = "key"


def new_session_token() -> str:
    """A fresh session token."""
    return SESSION_PREFIX + secrets.token_urlsafe(32)


def new_key() -> str:
    """A fresh API key."""
    return key_from(secrets.token_bytes(20))


def key_from(random: bytes) -> str:
    """The API key of these 20 random bytes.

    Raises:
        ValueError: there are not 20 of them.
    """
    if len(random) != 20:
        raise ValueError("an API key holds 20 random bytes")
    body = KEY_PREFIX + base64.b32encode(random).decode().lower()
    return body + checksum(body.encode())


def checksum(body: bytes) -> str:
    """Six base 32 characters: the low 30 bits of the CRC-32 (ISO 3309) of `body`."""
    value = zlib.crc32(body)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(25, -5, -5))


def kind_of(credential: bytes) -> Credential | None:
    """Which kind of credential this is by its form; None if it cannot be one of ours."""
    if len(credential) > LONGEST_CREDENTIAL:
        return None
    if _SESSION.fullmatch(credential):
        return Credential.SESSION
    if _KEY.fullmatch(credential):
        body, end = credential[:-_CHECKSUM_LENGTH], credential[-_CHECKSUM_LENGTH:]
        return Credential.KEY if checksum(body).encode() == end else None
    return None


def digest_of(credential: bytes) -> bytes:
    """What is stored of a credential: its SHA-256."""
    return hashlib.sha256(credential).digest()


def hint_of(key: str) -> str:
    """The part of an API key that may be shown later, to recognise it by (20 of its 160 bits)."""
    return key[:HINT_LENGTH]


def new_code() -> str:
    """A fresh one-time code, as it stands in the letter."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"


def code_from(text: str) -> str:
    """The code that somebody typed: spaces and hyphens dropped; empty if it cannot be a code."""
    digits = re.sub(r"[\s-]+", "", text[:64])
    return digits if len(digits) == CODE_DIGITS and digits.isascii() and digits.isdigit() else ""


def is_link_token(text: str) -> bool:
    """Whether `text` has the form of a one-time link's token."""
    return _LINK.fullmatch(text) is not None


def text_of(digest: bytes) -> str:
    """A digest as URL-safe text without padding."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def bytes_of(text: str) -> bytes:
    """The bytes of URL-safe text without padding; empty if it is not that.

    Only the one spelling that `text_of` writes is taken, so that a token has no second form.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if text_of(raw) == text else b""
