"""What the listener's OpenSSL may do: versions, suites, tickets, ALPN, and whom it asks for a certificate.

1. TLS 1.3, or also 1.2 with forward-secret AEAD suites only (RFC 9325 section 4.2). No compression, no renegotiation.
2. Key exchange as OpenSSL prefers it: X25519MLKEM768 first (draft-ietf-tls-ecdhe-mlkem), then X25519 and the curves.
3. Sessions are resumed by tickets whose key lives as long as the context; every resumption exchanges new keys. No data
   before the handshake's end (0-RTT): it could be replayed.
4. `http/1.1` is the only protocol: who offers others only is refused, so that no other server's answers can be had
   here in our name (RFC 7301 section 3.2; the ALPACA attack).
"""

from pathlib import Path
from typing import Final

from OpenSSL import SSL

from doorward.vault.tls_pair import CertificateError, Pair

_SUITES_1_2: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_PROTOCOL: Final = b"http/1.1"
_TICKET_SECONDS: Final = 7_200


def server_context(pair: Pair, minimum: str, client_authority: Path | None) -> SSL.Context:
    """The context of new connections.

    Raises:
        CertificateError: OpenSSL takes the pair or the authorities' file not.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION if minimum == "1.2" else SSL.TLS1_3_VERSION)
    context.set_cipher_list(_SUITES_1_2)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"doorward")
    context.set_timeout(_TICKET_SECONDS)
    context.set_alpn_select_callback(_chosen)
    try:
        _show(context, pair)
        if client_authority is not None:
            _ask(context, client_authority)
    except SSL.Error as error:
        raise CertificateError("OpenSSL does not take the certificate, its key, or the clients' authority.") from error
    return context


def _show(context: SSL.Context, pair: Pair) -> None:
    context.use_certificate(pair.chain[0])
    for issuer in pair.chain[1:]:
        context.add_extra_chain_cert(issuer)
    context.use_privatekey(pair.key)
    context.check_privatekey()


def _ask(context: SSL.Context, client_authority: Path) -> None:
    context.load_verify_locations(str(client_authority))
    context.load_client_ca(str(client_authority).encode())
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)


def _chosen(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
    if _PROTOCOL in offered:
        return _PROTOCOL
    raise SSL.Error([("", "", "no application protocol")])  # pyOpenSSL makes it the alert of that name
