"""What can go wrong with ordered certificates, and what to do about it."""

from doorward.hall.errors import ConflictError, DoorwardError, UnavailableError


class AuthorityError(UnavailableError):
    """The authority gave no certificate."""

    code = "acme.refused"
    advice = (
        "What was served before stays. Each name must lead to this service's port 80 (`server.redirect_port`); see"
        " docs/howto/certificates.md for each problem. It is tried again by itself, later each time."
    )

    def __init__(self, problem: str, detail: str = "", retry_after_seconds: float = 0.0) -> None:
        """`problem`: a name such as `rateLimited`; `detail`: the authority's words."""
        self.problem = problem
        words = f"The authority gave no certificate ({problem}). {detail}".strip()
        super().__init__(words, retry_after_seconds=int(retry_after_seconds) or None)


class AcmeOffError(ConflictError):
    """No certificate is to be ordered: `acme.domains` is empty."""

    code = "acme.off"
    advice = "Name the domains and agree to the authority's terms; see docs/howto/certificates.md."


class AcmeMissingError(ConflictError):
    """Certificates are ordered with a library that is not installed."""

    code = "acme.missing"
    advice = "Run `pip install 'doorward[acme]'`, or empty `acme.domains`."


class NotDueError(ConflictError):
    """The certificate is not due yet, or the authority asked us to wait."""

    code = "acme.not_due"
    advice = "It is renewed by itself when it is due. `--force` orders now; authorities limit how often."


class AlreadyOrderingError(ConflictError):
    """Another process is ordering the certificate just now."""

    code = "acme.ordering"
    advice = "Wait for it: at most as long as `acme.order_timeout_seconds`."


class NoCertificateError(ConflictError):
    """No certificate was ordered yet."""

    code = "acme.no_certificate"
    advice = "Order one first: `doorward tls order`."


class CertificateFileError(DoorwardError):
    """The certificate's files cannot be written."""

    code = "acme.files"
    status = 500
    advice = "Give the directory of `tls.certificate` and `tls.key` to the user that Doorward runs as."
