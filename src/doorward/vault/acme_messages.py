"""What the house and the process that speaks to an authority tell each other: one JSON object a line.

The house asks (`Ask`); the process may first ask for tokens to be shown (`Show`, answered by any line), and ends with
what it got (`Issued`, `Suggested`, `Revoked`) or why not (`Refused`).
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

LONGEST_LINE: Final = 1_048_576

_Text = Annotated[str, Meta(max_length=2_000)]
_Pem = Annotated[str, Meta(max_length=262_144)]


class Ask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question to an authority. `verb`: order, revoke or suggest."""

    verb: Annotated[str, Meta(pattern="^(order|revoke|suggest)$")]
    directory: _Text
    ca_file: _Text
    seconds: float  # that all of it may take
    account_key: _Pem
    email: _Text = ""
    agrees: bool = False
    external_id: _Text = ""
    external_key: _Text = ""
    request: _Pem = ""  # order: the certificate signing request
    certificate: _Pem = ""  # revoke, suggest
    reason: int = 0  # revoke: RFC 5280 section 5.3.1

    def __repr__(self) -> str:
        """Without values: they hold a key."""
        return f"Ask({self.verb!r})"


class Show(msgspec.Struct, frozen=True, tag="show", forbid_unknown_fields=True):
    """Show these at `/.well-known/acme-challenge/<token>` (RFC 8555 section 8.3)."""

    answers: Annotated[
        dict[Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{22,256}$")], Annotated[str, Meta(max_length=512)]],
        Meta(max_length=200),
    ]


class Issued(msgspec.Struct, frozen=True, tag="issued", forbid_unknown_fields=True):
    """The certificate with its chain, as PEM."""

    chain: _Pem


class Suggested(msgspec.Struct, frozen=True, tag="suggested", forbid_unknown_fields=True):
    """When the authority suggests to renew (0: it says nothing), and when to ask again; Unix seconds."""

    renew_at: float
    look_at: float


class Revoked(msgspec.Struct, frozen=True, tag="revoked", forbid_unknown_fields=True):
    """The authority calls the certificate void."""


class Refused(msgspec.Struct, frozen=True, tag="refused", forbid_unknown_fields=True):
    """Nothing came of it.

    `problem`: RFC 8555's name without its prefix (`rateLimited`), or one of ours (`away`, `timeout`, `untrusted`,
    `no_http_01`, `odd_answer`); `detail`: the authority's words.
    """

    problem: Annotated[str, Meta(pattern="^[A-Za-z0-9_]{1,60}$")]
    detail: Annotated[str, Meta(max_length=1_000)] = ""
    retry_after_seconds: Annotated[float, Meta(ge=0)] = 0.0


Told = Show | Issued | Suggested | Revoked | Refused
