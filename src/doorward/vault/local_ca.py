"""A certificate authority of this machine's own, for development: whoever trusts it trusts a few names and no others.

1. The authority's certificate permits only the names that it was made for (RFC 5280 section 4.2.1.10): stolen, its key
   makes certificates for this machine and for nobody's bank. It lives for two years.
2. The server's certificate lives for seven days and is made anew when two are left; the key is new each time.
3. Asked for other names than before, the authority is made anew too, and must be trusted anew.
"""

import ipaddress
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from doorward.vault.errors import KeyRingError
from doorward.vault.privatefile import read_private, write_private
from doorward.vault.tls_pair import CertificateError, Pair, checked_pair, read_file

AUTHORITY: Final = "authority.pem"
_AUTHORITY_KEY: Final = "authority-key.pem"
CERTIFICATE: Final = "certificate.pem"
KEY: Final = "key.pem"
ALWAYS: Final = ("localhost", "127.0.0.1", "::1")
_AUTHORITY_LIFE: Final = timedelta(days=730)
_LIFE: Final = timedelta(days=7)
_RENEWED_BEFORE_SECONDS: Final = 2 * 86_400.0
_BACKDATED: Final = timedelta(hours=1)  # for clocks that are a little behind
_MOST_HOSTS: Final = 50
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class _Signer:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def checked_hosts(hosts: Iterable[str]) -> tuple[str, ...]:
    """Host names and addresses in one spelling, those of this machine among them, sorted.

    Raises:
        CertificateError: one of them is neither, or there are too many.
    """
    found = set(ALWAYS)
    for host in hosts:
        text = host.strip().lower().removesuffix(".").strip("[]")
        try:
            found.add(str(ipaddress.ip_address(text)))
        except ValueError:
            if not _HOST.fullmatch(text):
                raise CertificateError("A host must be a name such as `dev.example.com`, or an IP address.") from None
            found.add(text)
    if len(found) > _MOST_HOSTS:
        raise CertificateError(f"More than {_MOST_HOSTS} hosts are more than one certificate takes.")
    return tuple(sorted(found))


def ensure(directory: Path, hosts: Iterable[str], now: float) -> Pair:
    """The pair for these hosts (none: those of before), made or renewed if it must be. `now` in Unix seconds.

    Raises:
        CertificateError: a file cannot be written, or what lies there is not ours.
    """
    before = _present(directory, now)
    wanted = checked_hosts(hosts or (before.names if before else ()))
    lasts = before is not None and before.expires_at - now > _RENEWED_BEFORE_SECONDS
    if before is not None and lasts and set(wanted) <= set(before.names):
        return before
    try:
        signer = _signer(directory, wanted, now)
        _issue(directory, signer, wanted, now)
    except KeyRingError as error:
        raise CertificateError(error.message) from error
    made = _present(directory, now)
    if made is None:
        raise CertificateError(f"{directory} was changed by somebody else meanwhile.")
    return made


def _present(directory: Path, now: float) -> Pair | None:
    if not (directory / CERTIFICATE).exists() or not (directory / KEY).exists():
        return None
    try:
        return checked_pair(read_file(directory / CERTIFICATE), read_file(directory / KEY), now)
    except CertificateError:  # ended, or half-written when the machine stopped: it is made anew
        return None


def _signer(directory: Path, hosts: tuple[str, ...], now: float) -> _Signer:
    """The authority that may sign for these hosts."""
    if (directory / AUTHORITY).exists() and (directory / _AUTHORITY_KEY).exists():
        certificate = x509.load_pem_x509_certificate(read_file(directory / AUTHORITY))
        key = serialization.load_pem_private_key(read_private(directory / _AUTHORITY_KEY), password=None)
        lasts = certificate.not_valid_after_utc.timestamp() - now > _LIFE.total_seconds()
        is_ours = isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == certificate.public_key()
        if is_ours and lasts and set(_general(hosts)) <= set(_permitted(certificate)):
            return _Signer(certificate, key)  # type: ignore[arg-type]  # checked one line above
    return _new_signer(directory, hosts, now)


def _permitted(certificate: x509.Certificate) -> list[x509.GeneralName]:
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    return list(constraints.permitted_subtrees or ())


def _general(hosts: tuple[str, ...]) -> list[x509.GeneralName]:
    """Hosts as an authority permits them: addresses as networks of one."""
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_network(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _new_signer(directory: Path, hosts: tuple[str, ...], now: float) -> _Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Doorward local authority {secrets.token_hex(4)}")])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(key, now, _AUTHORITY_LIFE)
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints(_general(hosts), None), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_key(directory / _AUTHORITY_KEY, key)
    _write_certificate(directory / AUTHORITY, certificate)
    return _Signer(certificate, key)


def _issue(directory: Path, signer: _Signer, hosts: tuple[str, ...], now: float) -> None:
    """2. Key first, then certificate: a server that looks in between sees that they do not match, and waits."""
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    certificate = (
        _builder(key, now, _LIFE)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Doorward on this machine")]))
        .issuer_name(signer.certificate.subject)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(signer.key, hashes.SHA256())
    )
    _write_key(directory / KEY, key)
    _write_certificate(directory / CERTIFICATE, certificate)


def _builder(key: ec.EllipticCurvePrivateKey, now: float, life: timedelta) -> x509.CertificateBuilder:
    moment = datetime.fromtimestamp(now, UTC)
    return (
        x509.CertificateBuilder()
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _BACKDATED)
        .not_valid_after(moment + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(path, text, replaces=True)


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    write_private(path, certificate.public_bytes(serialization.Encoding.PEM), replaces=True)
    path.chmod(0o644)  # it is public, and who shall trust it must read it
