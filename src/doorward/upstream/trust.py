"""TLS to the AI service: whom we believe, what we show of ourselves, and in which words it fails.

1. The service's certificate is always verified, by the system's authorities or by those of `ca_file`, and for the host
   that `url` names; TLS 1.2 at least.
2. With `client_certificate` we show one too (mutual TLS).
3. A failure has a name that says what to change; with TLS 1.3 a service that misses our certificate says so only after
   the handshake, so the name can come with the first read.
"""

import re
import ssl
from typing import Final

from doorward.hall.errors import ConflictError
from doorward.upstream.settings import UpstreamSettings

# X.509 verification results of OpenSSL (x509_vfy.h), by number.
_UNTRUSTED: Final = frozenset({2, 18, 19, 20, 21, 24, 27, 28})
_OUT_OF_TIME: Final = frozenset({9, 10})
_WRONG_NAME: Final = frozenset({62, 63, 64})
_ALERT: Final = re.compile(r"alert[ _](?:certificate[ _]required|bad[ _]certificate|unknown[ _]ca|certificate[ _])")


class UpstreamTlsError(ConflictError):
    """The files for TLS to the AI service cannot be used."""

    code = "upstream.tls"
    advice = "Check `upstream.ca_file`, `upstream.client_certificate` and `upstream.client_key`; see docs/howto/tls.md."


def client_context(settings: UpstreamSettings) -> ssl.SSLContext | None:
    """The context of connections to the AI service; None without TLS.

    Raises:
        UpstreamTlsError: a file is missing or no good, or the certificate's key is not its key.
    """
    if not settings.url.lower().startswith("https:"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise UpstreamTlsError(f"{settings.ca_file} holds no authorities in PEM, or cannot be read.") from error
    if settings.client_certificate:
        try:
            key = settings.client_key or None
            context.load_cert_chain(settings.client_certificate, key, password=_no_passphrase)
        except (OSError, ValueError) as error:
            raise UpstreamTlsError(f"{settings.client_certificate} and its key cannot be used.") from error
    return context


def _no_passphrase() -> str:
    raise ValueError("the key is locked by a passphrase, and nobody is there to type it")


def fault_of(error: OSError) -> str:
    """The name of what kept a connection from being of use: `connect`, or one that begins with `tls_`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _WRONG_NAME:
            return "tls_wrong_name"
        if error.verify_code in _OUT_OF_TIME:
            return "tls_expired"
        return "tls_untrusted" if error.verify_code in _UNTRUSTED else "tls_invalid"
    if isinstance(error, ssl.SSLError):
        return "tls_client_certificate" if _ALERT.search(str(error).lower()) else "tls_failed"
    return "connect"
