"""Certificates for tests: an authority that signs what it is told to, good or bad."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Made:
    """A certificate and its key, in files."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    certificate_file: Path
    key_file: Path


class Authority:
    """A root that keeps its files in a folder."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        self.root = self._make(name, None, ())

    @property
    def file(self) -> str:
        """The root's certificate."""
        return str(self.root.certificate_file)

    def sign(self, name: str, *hosts: str, starts: timedelta = -ONE_DAY, ends: timedelta = ONE_DAY) -> Made:
        """A certificate for these hosts, from and until so long from now."""
        return self._make(name, self.root, hosts or ("localhost", "127.0.0.1"), starts=starts, ends=ends)

    def _make(self, name, issuer, hosts, *, starts=-ONE_DAY, ends=ONE_DAY) -> Made:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(issuer.certificate.subject if issuer else _name(name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + starts)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), False)
        signed = builder.sign(issuer.key if issuer else key, hashes.SHA256())
        stem = name.replace(" ", "-")
        certificate_file, key_file = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(pem(key))
        key_file.chmod(0o600)
        return Made(signed, key, certificate_file, key_file)


def pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    """A key as text."""
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
