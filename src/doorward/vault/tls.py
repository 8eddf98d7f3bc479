"""The TLS of the listener: what is shown to new connections, renewed while old ones go on, and what was negotiated.

1. Files are read again each second; when their bytes change, the new pair is checked (`tls_pair`), made a context, and
   shown to new connections from then on. Old ones keep theirs, so none is dropped.
2. A pair that is no good changes nothing: it is logged once, counted, and tried again when its bytes change; so is a
   pair whose key came first and whose certificate is still on its way.
3. A context is made anew each day even so: with it goes the key of its session tickets.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import structlog
from OpenSSL import SSL

from doorward.hall.clock import Clock
from doorward.hall.jobs import Job
from doorward.vault import local_ca
from doorward.vault.tls_context import server_context
from doorward.vault.tls_pair import CertificateError, Pair, checked_pair, read_file
from doorward.vault.tls_settings import TlsSettings, local_directory

_LOOK_SECONDS: Final = 1.0
_RENEW_SECONDS: Final = 3_600.0
_CONTEXT_SECONDS: Final = 24 * 3_600.0
_CAUSES: Final = {
    "no shared cipher": "no_shared_cipher",
    "no suitable signature algorithm": "no_shared_cipher",
    "no suitable key share": "no_shared_group",
    "no suitable groups": "no_shared_group",
    "unsupported protocol": "old_version",
    "wrong version number": "not_tls",
    "no application protocol": "no_application_protocol",
    "peer did not return a certificate": "no_client_certificate",
    "certificate verify failed": "bad_client_certificate",
}

_log = structlog.get_logger("doorward.vault")


@dataclass(frozen=True, slots=True)
class TransportOverview:
    """What the console shows of the listener's TLS; counts are of this process, since its start.

    `handshakes` by (version, group, suite): `("TLSv1.3", "X25519MLKEM768", "TLS_AES_256_GCM_SHA384")`. `failures` by
    cause. `refused` says why the newest files are not served; empty: they are.
    """

    is_on: bool
    names: tuple[str, ...] = ()
    expires_at: float = 0.0  # Unix seconds
    fingerprint: str = ""
    handshakes: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    reloads: int = 0
    refused: str = ""

    def share(self, group: str) -> float:
        """The part of all handshakes that used this key exchange, 0 to 1."""
        total = sum(self.handshakes.values())
        return sum(count for key, count in self.handshakes.items() if key[1] == group) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class _Files:
    """The bytes of the files at one moment."""

    certificate: bytes
    key: bytes = field(repr=False)
    authority: bytes

    def digest(self) -> bytes:
        """Tells one state of the files from another."""
        whole = hashlib.sha256()
        for part in (self.certificate, self.key, self.authority):
            whole.update(len(part).to_bytes(8) + part)
        return whole.digest()


class ServedTls:
    """The listener's certificate and its figures. Made by `open`."""

    def __init__(self, settings: TlsSettings, data_directory: str, clock: Clock, hosts: tuple[str, ...] = ()) -> None:
        """Use `open`."""
        self._hosts = hosts
        self._settings = settings
        self._directory = data_directory
        self._clock = clock
        self._seen = b""
        self._made_at = 0.0
        self._pair: Pair | None = None
        self._context: SSL.Context | None = None
        self._handshakes: Counter[tuple[str, str, str]] = Counter()
        self._failures: Counter[str] = Counter()
        self._reloads = 0
        self._refusals = 0
        self._refused = ""

    @classmethod
    def open(cls, settings: TlsSettings, data_directory: str, clock: Clock, hosts: tuple[str, ...] = ()) -> Self:
        """The TLS of a listener whose files are there and good; `hosts` are for a certificate of this machine's own.

        Raises:
            CertificateError: they are not.
        """
        tls = cls(settings, data_directory, clock, hosts)
        tls._renew()
        tls._take(tls._read())
        return tls

    def jobs(self) -> list[Job]:
        """What must be done again and again."""
        jobs = [Job("tls.reload", _LOOK_SECONDS, self.reload, on_each_node=True)]
        if self._settings.mode == "local":
            jobs.append(Job("tls.renew", _RENEW_SECONDS, self.renew, on_each_node=True))
        return jobs

    # 1. What is shown

    def connection(self) -> SSL.Connection:
        """A new connection's server side, over memory."""
        if self._context is None:
            raise TypeError("there is a context once this is open")
        connection = SSL.Connection(self._context, None)
        connection.set_accept_state()
        return connection

    async def reload(self) -> None:
        """Look at the files, and show what is new and good in them."""
        try:
            files = await asyncio.to_thread(self._read)
            digest = files.digest()
            is_old = self._clock.now() - self._made_at > _CONTEXT_SECONDS
            if digest == self._seen and not (is_old and not self._refused):
                return
            self._seen = digest
            await asyncio.to_thread(self._take, files)
        except CertificateError as error:
            self._refuse(error.message)
        else:
            self._reloads += 1
            _log.info("certificate_changed", names=self._pair.names if self._pair else (), expires_at=self._expiry())

    async def renew(self) -> None:
        """Make a certificate of this machine's own anew if it ends soon.

        Raises:
            CertificateError: a file cannot be written.
        """
        await asyncio.to_thread(self._renew)

    def _renew(self) -> None:
        if self._settings.mode == "local":
            local_ca.ensure(local_directory(self._directory), self._hosts, self._clock.now())

    def _read(self) -> _Files:
        settings = self._settings
        authority = read_file(Path(settings.client_authority)) if settings.client_authority else b""
        key = read_file(settings.key_path(self._directory))
        return _Files(read_file(settings.certificate_path(self._directory)), key, authority)

    def _take(self, files: _Files) -> None:
        now = self._clock.now()
        self._seen = files.digest()
        pair = checked_pair(files.certificate, files.key, now)
        authority = Path(self._settings.client_authority) if self._settings.client_authority else None
        self._context = server_context(pair, self._settings.minimum, authority)
        self._pair, self._made_at, self._refused = pair, now, ""

    def _refuse(self, reason: str) -> None:
        if reason != self._refused:
            self._refused = reason
            self._refusals += 1
            _log.error("certificate_refused", reason=reason, served_until=self._expiry())

    def _expiry(self) -> float:
        return self._pair.expires_at if self._pair else 0.0

    # 2. What was negotiated

    def shaken(self, connection: SSL.Connection) -> None:
        """A handshake is over: count what it agreed on."""
        group = connection.get_group_name() or "none"
        self._handshakes[connection.get_protocol_version_name(), group, connection.get_cipher_name() or "none"] += 1

    def failed(self, cause: str) -> None:
        """A handshake failed, or a connection broke, for one of our own names of causes."""
        self._failures[cause] += 1

    def failed_by(self, error: SSL.Error) -> None:
        """A handshake failed as OpenSSL says."""
        reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
        reason = str(reasons[0][2]) if reasons else ""
        self.failed(_CAUSES.get(reason, "caller_refused" if "alert" in reason else "malformed"))

    def overview(self) -> TransportOverview:
        """For the console."""
        pair = self._pair
        return TransportOverview(
            is_on=True,
            names=pair.names if pair else (),
            expires_at=self._expiry(),
            fingerprint=pair.fingerprint if pair else "",
            handshakes=dict(self._handshakes),
            failures=dict(self._failures),
            reloads=self._reloads,
            refused=self._refused,
        )

    def figures(self) -> dict[str, float]:
        """Counts since the start, and the seconds that the certificate still has."""
        figures = {
            f'tls_handshakes_total{{version="{version}",group="{group}",suite="{suite}"}}': float(count)
            for (version, group, suite), count in self._handshakes.items()
        }
        figures |= {f'tls_failures_total{{cause="{cause}"}}': float(count) for cause, count in self._failures.items()}
        figures["tls_certificate_seconds_left"] = self._expiry() - self._clock.now()
        figures["tls_certificate_reloads_total"] = float(self._reloads)
        figures["tls_certificate_refusals_total"] = float(self._refusals)
        figures["tls_certificate_refused"] = float(bool(self._refused))
        return figures
