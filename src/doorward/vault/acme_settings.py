"""From whom the certificate is ordered, and for what."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"
LETS_ENCRYPT_STAGING: Final = "https://acme-staging-v02.api.letsencrypt.org/directory"


class AcmeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[acme]`."""

    domains: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...],
        Meta(
            max_length=100,
            description="Names (or addresses) that the certificate is for; each must lead to this service's port 80."
            " Empty: no certificate is ordered.",
        ),
    ] = ()
    agree_to_terms: Annotated[
        bool, Meta(description="Whether you agree to the authority's terms of service; needed for the first order.")
    ] = False
    email: Annotated[
        str, Meta(max_length=254, description="Where the authority may write to about the certificate. Empty: nowhere.")
    ] = ""
    directory: Annotated[
        str,
        Meta(min_length=1, max_length=500, description="The authority: address of its ACME directory (RFC 8555)."),
    ] = LETS_ENCRYPT
    staging_directory: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=500,
            description="The authority that `doorward tls order --dry-run` asks: one whose certificates nobody trusts.",
        ),
    ] = LETS_ENCRYPT_STAGING
    ca_file: Annotated[
        str,
        Meta(
            max_length=1_000,
            description="PEM file of the authorities that vouch for the directory's own server: for an authority of"
            " your own. Empty: the public ones.",
        ),
    ] = ""
    renew_before_days: Annotated[
        float,
        Meta(
            ge=0,
            le=365,
            description="Days before its end at which the certificate is renewed (never before half of its life);"
            " 0: when a third of its life is left, or when the authority says (RFC 9773).",
        ),
    ] = 0.0
    order_timeout_seconds: Annotated[
        float, Meta(ge=5, le=3_600, description="Seconds that one order may take, the authority's checks included.")
    ] = 180.0
    external_account_id: Annotated[
        str,
        Meta(max_length=500, description="Key identifier for authorities that want an account of theirs named."),
    ] = ""
    external_account_key: Annotated[
        str,
        Meta(
            max_length=500,
            description="The key that goes with it, in base64url.",
            extra={"secret": True},
        ),
    ] = ""

    @property
    def is_on(self) -> bool:
        """Whether a certificate is ordered."""
        return bool(self.domains)

    def __repr__(self) -> str:
        """Without values: they hold a key."""
        return "AcmeSettings(…)"
