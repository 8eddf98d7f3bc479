"""Where to report a security problem, as a machine may read it (RFC 9116)."""

from datetime import UTC, datetime
from typing import Final

from doorward.edge.view import Front

# RFC 9116 recommends an expiry of less than a year; the file is computed, so it is never stale while we serve.
_VALID_SECONDS: Final = 180 * 24 * 3600
_DAY_SECONDS: Final = 24 * 3600


def security_txt(front: Front, now: float) -> str:
    """The file's text at `now` (Unix seconds); its expiry is a whole UTC day about half a year ahead."""
    expires = (now + _VALID_SECONDS) // _DAY_SECONDS * _DAY_SECONDS
    base = front.public_url.rstrip("/")
    return (
        f"Contact: {front.security_contact or base + '/'}\n"
        f"Expires: {datetime.fromtimestamp(expires, UTC):%Y-%m-%dT%H:%M:%SZ}\n"
        "Preferred-Languages: en, zh\n"
        f"Canonical: {base}/.well-known/security.txt\n"
    )
