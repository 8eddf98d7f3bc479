"""TLS on our own listener against nginx's, on one core: handshakes, and `/authorize` and the relay on kept ones."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import authorize
import relay
import rig
import tokens
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make_pair(folder: Path) -> None:
    """A self-signed certificate with an ECDSA key, for both servers."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    day = timedelta(days=1)
    certificate = builder.not_valid_before(now - day).not_valid_after(now + day).sign(key, hashes.SHA256())
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(text)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def measure() -> dict[str, dict[str, object]]:
    """The figures."""
    listed = ", ".join(f'"{session.decode()}"' for session in tokens.sessions())
    asked = authorize.SCRIPT.replace("SESSIONS", listed)
    closed = asked.replace('sessions[n] .. "\\r\\n', 'sessions[n] .. "\\r\\nConnection: close\\r\\n')
    relayed = relay.SCRIPT.replace("SESSIONS", listed)
    figures: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as name:
        pair = Path(name)
        make_pair(pair)
        answer = "return 204;"
        what = rig.Comparison("/authorize", closed, 200, 204)
        figures |= rig.compare("tls_handshakes_vs_nginx", answer, what, pair=pair)
        what = rig.Comparison("/authorize", asked, 200, 204)
        figures |= rig.compare("tls_authorize_vs_nginx", answer, what, pair=pair)
        what = rig.Comparison("/v1/chat/completions", relayed, 200, 200)
        figures |= rig.compare("tls_relay_vs_nginx", relay.LOCATION, what, relays=True, pair=pair)
    for figure in figures.values():
        if "against" in figure:
            figure["against"] = f"{figure['against']}, both in TLS 1.3 with ECDSA P-256"
    return figures


if __name__ == "__main__":
    rig.report(measure())
