"""Keys, signing requests, and the two files that a listener reads."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from doorward.vault.acme_errors import CertificateFileError
from doorward.vault.errors import KeyRingError
from doorward.vault.privatefile import write_private
from doorward.vault.tls_pair import CertificateError, checked_pair, read_file

PLACEHOLDER: Final = "Doorward placeholder, until the ordered certificate comes"
_PLACEHOLDER_DAYS: Final = 90


def new_key() -> str:
    """A new private key on the curve P-256 (every client takes that one), as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def signing_request(key: str, domains: tuple[str, ...]) -> str:
    """The request for a certificate of this key and these names, as PEM (RFC 2986)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(_alternative_names(domains), critical=False)
    return builder.sign(_loaded(key), SHA256()).public_bytes(Encoding.PEM).decode()


def placeholder(key: str, domains: tuple[str, ...], now: float) -> str:
    """A certificate that the key signed itself: nobody trusts it, and a listener can begin with it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, PLACEHOLDER)])
    begins, private = datetime.fromtimestamp(now, UTC) - timedelta(hours=1), _loaded(key)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=_PLACEHOLDER_DAYS))
        .add_extension(_alternative_names(domains), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def make_ready(certificate: Path, key: Path, domains: tuple[str, ...], now: float) -> bool:
    """See that a listener can begin: with a placeholder, if what lies there cannot be shown; False: it can.

    Raises:
        CertificateFileError: the disk refuses.
    """
    try:
        checked_pair(read_file(certificate), read_file(key), now)
    except CertificateError:
        private = new_key()
        return write_files(certificate, key, placeholder(private, domains, now), private)
    return False


def write_files(certificate: Path, key: Path, chain: str, private: str) -> bool:
    """Write what has changed: the key first, then the certificate, each whole or not at all; False: nothing had.

    Between the two they do not fit each other, and a listener keeps what it has.

    Raises:
        CertificateFileError: the disk refuses.
    """
    changed = False
    for path, text in ((key, private), (certificate, chain)):
        try:
            if path.is_file() and path.read_text(encoding="ascii") == text:
                continue
            write_private(path, text.encode("ascii"), replaces=True)
        except (OSError, ValueError, KeyRingError) as error:
            raise CertificateFileError(f"{path} cannot be written.") from error
        changed = True
    return changed


def identifiers(certificate: x509.Certificate) -> frozenset[str]:
    """The names and addresses that a certificate is for."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = names.get_values_for_type(x509.IPAddress)
    return frozenset(names.get_values_for_type(x509.DNSName)) | {str(address) for address in addresses}


def _alternative_names(domains: tuple[str, ...]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general_name(domain) for domain in domains])


def _general_name(domain: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(domain))
    except ValueError:
        return x509.DNSName(domain)


def _loaded(key: str) -> ec.EllipticCurvePrivateKey:
    private = load_pem_private_key(key.encode(), None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError("our keys are on a curve")
    return private
