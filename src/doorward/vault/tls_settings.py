"""What the listener shows of itself over TLS, and whom it believes."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[tls]`."""

    mode: Annotated[
        Literal["auto", "files", "local", "off"],
        Meta(
            description="Where the certificate comes from: `files` (the two below), `local` (an authority of this"
            " machine's own, for development), `off` (plain HTTP, for a proxy in front); `auto`: `files` if they exist"
            " when the server starts, else `off`."
        ),
    ] = "auto"
    certificate: Annotated[
        str,
        Meta(
            max_length=1_000,
            description="PEM file of the certificate and its chain, read again whenever it changes. Empty:"
            " `tls/certificate.pem` in `stores.data_directory`.",
        ),
    ] = ""
    key: Annotated[
        str,
        Meta(
            max_length=1_000,
            description="PEM file of its private key. Empty: `tls/key.pem` in `stores.data_directory`.",
        ),
    ] = ""
    minimum: Annotated[
        Literal["1.3", "1.2"],
        Meta(description="Oldest version spoken; 1.2 with ECDHE and AES-GCM or ChaCha20 only."),
    ] = "1.3"
    client_authority: Annotated[
        str,
        Meta(
            max_length=1_000,
            description="PEM file of authorities: every caller must show a certificate of theirs (mutual TLS). Empty:"
            " nobody is asked for one.",
        ),
    ] = ""
    handshake_timeout_seconds: Annotated[
        float, Meta(ge=1, le=120, description="Seconds within which a caller must have finished its handshake.")
    ] = 10.0
    hsts_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=315_360_000,
            description="Seconds for which browsers shall refuse plain HTTP (RFC 6797), said only if"
            " `server.public_url` is https; 0: not said.",
        ),
    ] = 31_536_000
    hsts_subdomains: Annotated[
        bool, Meta(description="Whether that holds for every subdomain too: only if all of them speak TLS.")
    ] = False

    def certificate_path(self, data_directory: str) -> Path:
        """The certificate's file, with the default filled in."""
        return self._path(self.certificate, data_directory, "certificate.pem")

    def key_path(self, data_directory: str) -> Path:
        """The key's file, with the default filled in."""
        return self._path(self.key, data_directory, "key.pem")

    def _path(self, given: str, data_directory: str, name: str) -> Path:
        if self.mode == "local":
            return local_directory(data_directory) / name
        return Path(given) if given else Path(data_directory) / "tls" / name

    def is_on(self, data_directory: str) -> bool:
        """Whether the listener speaks TLS; looks for files where `mode` is `auto`."""
        if self.mode == "auto":
            return self.certificate_path(data_directory).exists() and self.key_path(data_directory).exists()
        return self.mode != "off"

    def hsts(self) -> str:
        """The value of `Strict-Transport-Security`; empty: none, as always with a certificate of this machine's own."""
        if not self.hsts_seconds or self.mode == "local":
            return ""
        return f"max-age={self.hsts_seconds}" + ("; includeSubDomains" if self.hsts_subdomains else "")


def local_directory(data_directory: str) -> Path:
    """Where this machine's own authority keeps its files."""
    return Path(data_directory) / "tls" / "local"
