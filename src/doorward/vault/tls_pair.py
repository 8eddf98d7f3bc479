"""A certificate with its chain and its private key, read from PEM and checked before anybody is shown them.

1. Both files are read, each at most 256 KiB, and must be PEM.
2. The first certificate is ours: the key must be its key, and strong enough.
3. It must be valid now; a chain must be in order, each certificate issued by the next (RFC 8446 section 4.4.2).

Whether callers trust the chain's end is theirs to judge.
"""

import hashlib
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from doorward.hall.errors import ConflictError

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_LARGEST_BYTES: Final = 262_144
_LONGEST_CHAIN: Final = 10
_LEAST_RSA_BITS: Final = 2_048
_LEAST_CURVE_BITS: Final = 256


class CertificateError(ConflictError):
    """The certificate or its key cannot be used."""

    code = "tls.certificate"
    advice = "See docs/howto/tls.md; `doorward tls status` shows what is served. What was served before stays."


@dataclass(frozen=True, slots=True)
class Pair:
    """What a listener shows and proves."""

    chain: tuple[x509.Certificate, ...]  # ours first
    key: Key = field(repr=False)
    names: tuple[str, ...] = ()
    expires_at: float = 0.0  # Unix seconds
    fingerprint: str = ""  # SHA-256 of ours, hexadecimal


def read_file(path: Path) -> bytes:
    """The contents of a small file.

    Raises:
        CertificateError: it cannot be read, or is no small file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:  # the latter: a null byte in the path
        reason = getattr(error, "strerror", None) or "not a path"
        raise CertificateError(f"{path} cannot be read: {reason}.") from error
    if len(data) > _LARGEST_BYTES:
        raise CertificateError(f"{path} is too large to be what it should be.")
    return data


def checked_pair(certificate: bytes, key: bytes, now: float) -> Pair:
    """The pair of two PEM texts, good at `now` (Unix seconds).

    Raises:
        CertificateError: one of the rules above is broken.
    """
    chain = _chain_of(certificate)
    private = _key_of(key)
    leaf = chain[0]
    if _public(leaf.public_key()) != _public(private.public_key()):
        raise CertificateError("The key is not the certificate's key.")
    _check_time(leaf, now)
    _check_order(chain)
    return Pair(
        chain=chain,
        key=private,
        names=names_of(leaf),
        expires_at=leaf.not_valid_after_utc.timestamp(),
        fingerprint=fingerprint_of(leaf),
    )


def _chain_of(text: bytes) -> tuple[x509.Certificate, ...]:
    try:
        chain = tuple(x509.load_pem_x509_certificates(text))
        for each in chain:
            each.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError("The certificate's file holds no certificates in PEM.") from error
    if len(chain) > _LONGEST_CHAIN:
        raise CertificateError(f"The certificate's file holds more than {_LONGEST_CHAIN} certificates.")
    return chain


def _key_of(text: bytes) -> Key:
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except TypeError as error:
        raise CertificateError("The key is locked by a passphrase; Doorward needs it without one.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError("The key's file holds no private key in PEM.") from error
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _LEAST_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size >= _LEAST_CURVE_BITS:
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise CertificateError("The key must be ECDSA with 256 bits, RSA with 2048, Ed25519, or stronger.")


def _public(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise CertificateError("The certificate's key is of a kind that TLS servers do not use.")
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _check_time(leaf: x509.Certificate, now: float) -> None:
    moment = datetime.fromtimestamp(now, UTC)
    if moment >= leaf.not_valid_after_utc:
        raise CertificateError(f"The certificate ended on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC.")
    if moment < leaf.not_valid_before_utc:
        raise CertificateError(f"The certificate begins on {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only.")


def _check_order(chain: tuple[x509.Certificate, ...]) -> None:
    for each, issuer in itertools.pairwise(chain):
        try:
            each.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise CertificateError("The chain is not in order: each certificate's issuer must follow it.") from error


def fingerprint_of(leaf: x509.Certificate) -> str:
    """SHA-256 of a certificate, hexadecimal."""
    return hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER)).hexdigest()


def names_of(leaf: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses that a certificate is for, at most a hundred.

    Raises:
        CertificateError: they cannot be read.
    """
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except ValueError as error:
        raise CertificateError("The certificate's names cannot be read.") from error
    names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    return tuple(names[:100])
