"""The shape of a configuration: one struct per section, each owned by the room that it configures."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from doorward.accounts.settings import AccountsSettings
from doorward.gate.settings import GateSettings
from doorward.stores.settings import MailSettings, StoresSettings
from doorward.upstream.settings import UpstreamSettings
from doorward.vault.acme_settings import AcmeSettings
from doorward.vault.backups.settings import BackupSettings
from doorward.vault.settings import VaultSettings
from doorward.vault.tls_settings import TlsSettings


class ServerSettings(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How Doorward listens, whom it believes about addresses, and what it takes from one connection."""

    host: Annotated[str, Meta(min_length=1, max_length=255, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")] = 8080
    redirect_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65_535,
            description="Port of a second, plain listener, which sends browsers to the https `public_url` and answers"
            " an ACME authority: 80 where people reach us directly. 0: none.",
        ),
    ] = 0
    public_url: Annotated[
        str,
        Meta(
            max_length=200,
            description="Origin that people type, e.g. `https://ai.example.com`; used in links and mails, and decides"
            " whether cookies are marked Secure. Empty: derived from `host` and `port`.",
        ),
    ] = ""
    trusted_proxies: Annotated[
        tuple[Annotated[str, Meta(max_length=64)], ...],
        Meta(
            max_length=256,
            description="Networks (CIDR) whose `X-Forwarded-For` is believed. From anyone else the header changes"
            " nothing.",
        ),
    ] = ()
    role: Annotated[
        Literal["all", "edge", "worker"],
        Meta(description="What this process does: serve (`edge`), do the recurring work (`worker`), or both."),
    ] = "all"
    max_connections: Annotated[int, Meta(ge=10, le=1_000_000, description="Connections open at once.")] = 10_000
    max_connections_per_address: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Connections from one address; trusted proxies are not counted.")
    ] = 1_024
    max_header_bytes: Annotated[
        int, Meta(ge=1_024, le=262_144, description="Bytes of one request's line and headers together.")
    ] = 16_384
    max_body_bytes: Annotated[
        int,
        Meta(
            ge=1_024, le=16_777_216, description="Bytes of a request body for pages and the API (not the relayed path)."
        ),
    ] = 65_536
    header_timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=300, description="Seconds within which a request's headers must be complete.")
    ] = 10.0
    body_timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=3_600, description="Seconds within which a request's body must be complete.")
    ] = 30.0
    first_byte_timeout_seconds: Annotated[
        float, Meta(ge=1, le=3_600, description="Seconds that a new connection may say nothing.")
    ] = 30.0
    keep_alive_seconds: Annotated[
        float, Meta(ge=1, le=3_600, description="Seconds that an idle connection stays open between two requests.")
    ] = 75.0
    stalled_answer_seconds: Annotated[
        float, Meta(ge=1, le=3_600, description="Seconds without one byte taken after which an answer is given up.")
    ] = 60.0
    drain_seconds: Annotated[
        float, Meta(ge=0, le=3_600, description="Seconds that running answers get to finish after SIGTERM.")
    ] = 30.0
    log_format: Annotated[
        Literal["json", "console"], Meta(description="`json`: one object a line, for machines; `console`: for eyes.")
    ] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least grave entries that are written.")
    ] = "info"
    metrics_networks: Annotated[
        tuple[Annotated[str, Meta(max_length=64)], ...],
        Meta(
            max_length=64,
            description="Networks (CIDR) that may read `/metrics` without being an administrator. Empty: this machine,"
            " as long as `public_url` is on it too.",
        ),
    ] = ()
    security_contact: Annotated[
        str,
        Meta(
            max_length=300,
            description="`mailto:` or `https:` address for `/.well-known/security.txt` (RFC 9116). Empty: the public"
            " URL.",
        ),
    ] = ""


class Config(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Everything that an operator can set."""

    secret: Annotated[
        str,
        Meta(
            max_length=1_024,
            description="Master secret from which all keys are derived: 32 characters or more, random. Empty: made once"
            " and kept in the data directory (only with the embedded stores).",
            extra={"secret": True},
        ),
    ] = ""
    server: ServerSettings = msgspec.field(default_factory=ServerSettings)
    stores: StoresSettings = msgspec.field(default_factory=StoresSettings)
    mail: MailSettings = msgspec.field(default_factory=MailSettings)
    gate: GateSettings = msgspec.field(default_factory=GateSettings)
    accounts: AccountsSettings = msgspec.field(default_factory=AccountsSettings)
    upstream: UpstreamSettings = msgspec.field(default_factory=UpstreamSettings)
    vault: VaultSettings = msgspec.field(default_factory=VaultSettings)
    backup: BackupSettings = msgspec.field(default_factory=BackupSettings)
    tls: TlsSettings = msgspec.field(default_factory=TlsSettings)
    acme: AcmeSettings = msgspec.field(default_factory=AcmeSettings)

    @property
    def public_url(self) -> str:
        """The origin that links and mails use, without a trailing slash."""
        if self.server.public_url:
            return self.server.public_url.rstrip("/")
        host = self.server.host
        if host in {"0.0.0.0", "::", ""}:  # noqa: S104  # compared with, not bound to
            host = "localhost"
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.server.port}"

    @property
    def scheme(self) -> str:
        """What the listener speaks: `https` or `http`; may look whether the certificate's files are there."""
        return "https" if self.tls.is_on(self.stores.data_directory) else "http"

    def __repr__(self) -> str:
        """Without values: a printed configuration must not leak what it keeps."""
        return "Config(…)"
