"""Where a configured server speaks TLS, for its commands; and a look at what it shows there."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from OpenSSL import SSL

from doorward.hall.clock import SystemClock
from doorward.vault.tls_pair import Pair, checked_pair, fingerprint_of, names_of, read_file
from doorward.vault.tls_settings import TlsSettings

_PATIENCE_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class TlsSite:
    """Of a configuration, what concerns TLS."""

    settings: TlsSettings
    data_directory: str
    host: str  # as it listens
    port: int
    public_url: str

    @property
    def reached_at(self) -> str:
        """The address by which this machine reaches it."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # compared, not bound to

    def hosts(self) -> tuple[str, ...]:
        """The names that a certificate of this machine's own should hold."""
        return tuple({host for host in (self.reached_at, urlsplit(self.public_url).hostname) if host})

    def files(self) -> Pair:
        """The pair that lies in the files.

        Raises:
            CertificateError: it is not there, or no good.
        """
        certificate = read_file(self.settings.certificate_path(self.data_directory))
        return checked_pair(certificate, read_file(self.settings.key_path(self.data_directory)), SystemClock().now())


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server showed to one handshake."""

    version: str
    group: str
    suite: str
    names: tuple[str, ...] = field(default=())
    issuer: str = ""
    expires_at: float = 0.0
    fingerprint: str = ""

    def values(self) -> dict[str, Any]:
        """For JSON."""
        expires = datetime.fromtimestamp(self.expires_at, UTC).isoformat()
        return {
            "version": self.version, "group": self.group, "suite": self.suite, "names": self.names,
            "issuer": self.issuer, "expires_at": expires, "fingerprint": self.fingerprint,
        }  # fmt: skip


def shown_by(host: str, port: int, name: str = "") -> Shown:
    """Shake hands once and say what came of it; trust is not judged. `name` is asked for (SNI).

    Raises:
        OSError: nobody listens there, or not with TLS (ConnectionError).
    """
    with socket.create_connection((host, port), timeout=_PATIENCE_SECONDS) as raw:
        raw.settimeout(None)
        seconds = int(_PATIENCE_SECONDS).to_bytes(8, "little") + bytes(8)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
        connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), raw)
        connection.set_connect_state()
        if name and not name[-1].isdigit() and ":" not in name:
            connection.set_tlsext_host_name(name.encode("idna"))
        try:
            connection.do_handshake()
        except SSL.Error as error:
            raise ConnectionError(f"{host}:{port} does not finish a TLS handshake") from error
        return _shown(connection)


def _shown(connection: SSL.Connection) -> Shown:
    leaf = connection.get_peer_certificate(as_cryptography=True)
    if leaf is None:
        raise ConnectionError("the server shows no certificate")
    return Shown(
        version=connection.get_protocol_version_name(),
        group=connection.get_group_name() or "",
        suite=connection.get_cipher_name() or "",
        names=names_of(leaf),
        issuer=leaf.issuer.rfc4514_string(),
        expires_at=leaf.not_valid_after_utc.timestamp(),
        fingerprint=fingerprint_of(leaf),
    )


LoadTls = Callable[[], TlsSite]
