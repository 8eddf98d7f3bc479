"""The process that speaks to an authority: `python -m doorward.vault.acme_process`, started for one question.

The ACME library asks and waits like a script, and reads what a stranger sends. So it runs in a process of its own:

1. It is told its question as one line, answers with one, and ends; who started it kills it when its time is over.
2. It gets no secret but the account's key: the certificate's own key stays at home, only a signing request is sent.
3. It speaks https only, verifies whom it speaks to, follows three redirections at most, and has a gigabyte of memory.
"""

import contextlib
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec
import requests
from acme import challenges, errors, messages
from acme.client import ClientNetwork, ClientV2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from doorward.hall.clock import Clock, SystemClock
from doorward.vault.acme_messages import LONGEST_LINE, Ask, Issued, Refused, Revoked, Show, Suggested, Told

_MEMORY_BYTES: Final = 1 << 30
_ANSWER_SECONDS: Final = 20  # for one answer of the authority
_LOOKS: Final = 3
_LOOK_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
_AGENT: Final = "doorward"
_MAILBOX: Final = re.compile(r"\S+@\S+")
_FAILURES: Final[list[tuple[tuple[type[Exception], ...], str, str]]] = [
    ((errors.TimeoutError, requests.Timeout), "timeout", "The authority did not finish in time."),
    ((requests.exceptions.SSLError,), "untrusted", "The directory's own certificate is not one that we trust."),
    ((requests.RequestException,), "away", "The authority cannot be reached, or speaks no https."),
    ((errors.ARIError,), "away", "The authority does not say when to renew."),
]


@dataclass(slots=True)
class _Proof:
    """A name that the authority is to look at."""

    authorization: messages.AuthorizationResource
    body: messages.ChallengeBody
    looks: int = 1


class _GivenUp(Exception):  # noqa: N818  # carries an answer, not an error of ours
    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.problem)
        self.refused = refused


class Authority:
    """One authority, asked as the holder of one account key."""

    def __init__(self, ask: Ask, clock: Clock) -> None:
        """Prepare; nobody is asked yet."""
        self._ask = ask
        self._clock = clock
        self._deadline = clock.now() + ask.seconds
        self._key = JWKEC(key=load_pem_private_key(ask.account_key.encode(), None))
        self._net = ClientNetwork(
            self._key,
            alg=ES256,
            verify_ssl=ask.ca_file or True,  # type: ignore[arg-type]  # requests takes a file too
            user_agent=_AGENT,
            timeout=_ANSWER_SECONDS,
        )
        session = self._net.session
        session.adapters.pop("http://")
        session.max_redirects = 3
        session.hooks["response"].append(self._note)
        self.retry_after_seconds = 0.0

    def answer(self, show: Callable[[dict[str, str]], None]) -> Told:
        """What became of the question; `show` returns when the tokens can be asked for."""
        try:
            client = ClientV2(ClientV2.get_directory(self._ask.directory, self._net), self._net)
            if self._ask.verb == "order":
                return self._order(client, show)
            return self._revoke(client) if self._ask.verb == "revoke" else self._suggest(client)
        except Exception as error:  # noqa: BLE001  # whatever a stranger's answer does to a library, the house is told
            return msgspec.structs.replace(_refused_by(error), retry_after_seconds=self.retry_after_seconds)

    def _note(self, response: requests.Response, **_: object) -> None:
        if not response.ok:
            self.retry_after_seconds = seconds_of(response.headers.get("Retry-After", ""), self._clock.now())

    def _order(self, client: ClientV2, show: Callable[[dict[str, str]], None]) -> Issued:
        self._enter(client)
        order = client.new_order(self._ask.request.encode())
        proofs = [_Proof(one, body) for one in order.authorizations if (body := _http_01(one)) is not None]
        if proofs:
            show({one.body.chall.encode("token"): one.body.validation(self._key) for one in proofs})
        self._prove(client, proofs)
        return Issued(client.finalize_order(order, self._local_deadline()).fullchain_pem)

    def _prove(self, client: ClientV2, proofs: list["_Proof"]) -> None:
        """Let the authority look, until it has seen all. Where it did not, it is asked to look again, three times
        (RFC 8555 section 8.2): it says why, and the time of the order is not waited for.
        """
        for one in proofs:
            client.answer_challenge(one.body, one.body.response(self._key))
        while proofs:
            if self._clock.now() > self._deadline:
                raise errors.TimeoutError
            pause = 0.0
            for one in list(proofs):
                seen, response = client.poll(one.authorization)
                pause = max(pause, seconds_of(response.headers.get("Retry-After", ""), self._clock.now()))
                if seen.body.status == messages.STATUS_VALID:
                    proofs.remove(one)
                elif seen.body.status != messages.STATUS_PENDING or one.looks > _LOOKS:
                    raise errors.ValidationError([seen])
                elif (body := _http_01(seen)) is not None and body.error is not None:
                    one.looks += 1
                    client.answer_challenge(one.body, one.body.response(self._key))
            if proofs:
                time.sleep(min(max(pause, _LOOK_SECONDS), _LONGEST_PAUSE_SECONDS))

    def _revoke(self, client: ClientV2) -> Revoked:
        self._enter(client)
        client.revoke(x509.load_pem_x509_certificate(self._ask.certificate.encode()), self._ask.reason)
        return Revoked()

    def _suggest(self, client: ClientV2) -> Suggested:
        """When the authority would have a certificate renewed (RFC 9773)."""
        renew_at, look_at = client.renewal_time(self._ask.certificate.encode())
        return Suggested(renew_at.timestamp() if renew_at else 0.0, look_at.timestamp())

    def _enter(self, client: ClientV2) -> None:
        """Be the account of our key: the one that is there, or a new one (RFC 8555 section 7.3)."""
        ask, binding = self._ask, None
        if ask.external_id:
            public = self._key.public_key()
            binding = messages.ExternalAccountBinding.from_data(
                public, ask.external_id, ask.external_key, client.directory
            )
        wish = messages.NewRegistration.from_data(
            email=ask.email or None, external_account_binding=binding, terms_of_service_agreed=ask.agrees or None
        )
        try:
            client.new_account(wish)
        except errors.ConflictError as found:  # the library's way to say that the account is there already
            self._net.account = messages.RegistrationResource(uri=found.location, body=messages.Registration())

    def _local_deadline(self) -> datetime:
        moment = datetime.fromtimestamp(self._deadline, UTC)
        return moment.astimezone().replace(tzinfo=None)  # the library compares with local time


def _http_01(authorization: messages.AuthorizationResource) -> messages.ChallengeBody | None:
    if authorization.body.status == messages.STATUS_VALID:
        return None  # proved a while ago
    for body in authorization.body.challenges:
        if isinstance(body.chall, challenges.HTTP01):
            return body
    raise _GivenUp(Refused("no_http_01", "The authority does not offer the proof over HTTP (HTTP-01)."))


def seconds_of(retry_after: str, now: float) -> float:
    """What a `Retry-After` says (RFC 9110 section 10.2.3), in seconds; 0 if it says nothing."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(min(int(retry_after[:9]), 10**8))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        when = parsedate_to_datetime(retry_after)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - now)
    return 0.0


def _refused_by(error: Exception) -> Refused:
    """The failure in few words. An authority's words may repeat a mail address: that goes."""
    if isinstance(error, _GivenUp):
        return error.refused
    if isinstance(error, errors.IssuanceError):
        error = error.error
    if isinstance(error, messages.Error):
        return Refused(_name(error.code or "odd_answer"), _words(error.detail))
    if isinstance(error, errors.ValidationError):
        said = [body.error for one in error.failed_authzrs for body in one.body.challenges if body.error]
        return Refused(_name(said[0].code or "unauthorized"), _words("; ".join(str(one.detail) for one in said)))
    if isinstance(error, errors.ClientError) and _is_broken(error):
        error = requests.ConnectionError()
    for kinds, problem, detail in _FAILURES:
        if isinstance(error, kinds):
            return Refused(problem, detail)
    return Refused("odd_answer", f"The authority's answer cannot be used ({type(error).__name__}).")


def _is_broken(error: errors.ClientError) -> bool:
    """Whether the library met an answer that says that the server itself is in trouble."""
    return any(isinstance(part, requests.Response) and part.status_code >= 500 for part in error.args)


def _name(code: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", code)[:60] or "odd_answer"


def _words(detail: str | None) -> str:
    words = _MAILBOX.sub("…", detail or "")
    return "".join(letter if letter.isprintable() else " " for letter in words)[:1_000]


@contextlib.contextmanager
def _only_lines() -> Iterator[None]:
    """Nothing but our lines goes to standard output."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def main() -> None:
    """Answer the question on standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = sys.stdout.buffer

    def tell(told: Told) -> None:
        out.write(msgspec.json.encode(told) + b"\n")
        out.flush()

    def show(answers: dict[str, str]) -> None:
        tell(Show(answers))
        if not sys.stdin.buffer.readline(LONGEST_LINE):
            raise _GivenUp(Refused("timeout", "Nobody shows the tokens."))

    ask = msgspec.json.decode(sys.stdin.buffer.readline(LONGEST_LINE), type=Ask)
    with _only_lines():
        told = Authority(ask, SystemClock()).answer(show)
    tell(told)


if __name__ == "__main__":
    main()
