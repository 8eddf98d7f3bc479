"""One letter to one mail server: the server's address, the message, and what its answers mean.

RFC 5321 section 4.2.1: an answer of 5xx is final, one of 4xx may be tried again later. A 5xx to the log-in or to the
sender's address is about us and not about the letter, so it counts as a server that is away.
"""

from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import formatdate, getaddresses, parseaddr
from enum import StrEnum
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from doorward.hall.errors import InvalidInputError
from doorward.hall.model import Letter
from doorward.stores.errors import StoreSetupError

_ADDRESS_LENGTH: Final = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets
_SUBJECT_LENGTH: Final = 500
_BODY_LENGTH: Final = 200_000
_FINAL: Final = 500
# What Python's parser of addresses raises; the last two by mistake (it trips over some encoded words and brackets).
_NO_ADDRESS: Final = (HeaderParseError, ValueError, IndexError, AttributeError, NameError)
_STARTTLS: Final = {"always": True, "never": False, "auto": None}


class Outcome(StrEnum):
    """What came of handing over a letter."""

    SENT = "sent"
    LATER = "later"  # refused for now
    NEVER = "never"  # refused for good
    BROKEN = "broken"  # the connection broke over it
    AWAY = "away"  # the server does not want us at all


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail goes out."""

    host: str
    port: int
    is_tls: bool
    starttls: bool | None  # None: if the server offers it
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    @classmethod
    def parse(cls, url: str) -> "MailServer":
        """Read `smtp://` or `smtps://[user:password@]host[:port][?starttls=always|auto|never&ca_file=path]`.

        Raises:
            StoreSetupError: it is not such a URL (the message does not repeat it: it may hold a password).
        """
        try:
            parts = urlsplit(url)
            port, host, query = parts.port, parts.hostname, parse_qs(parts.query, strict_parsing=bool(parts.query))
        except ValueError as error:
            raise StoreSetupError("The URL of the mail server cannot be read.") from error
        is_tls = parts.scheme == "smtps"
        if parts.scheme not in {"smtp", "smtps"} or not host:
            raise StoreSetupError("The URL of the mail server must be smtp://host:587 or smtps://host:465.")
        wish = query.get("starttls", ["auto" if _is_loopback(host) else "always"])[0]
        if wish not in _STARTTLS or query.keys() - {"starttls", "ca_file"}:
            raise StoreSetupError("The URL of the mail server knows starttls=always|auto|never and ca_file=path only.")
        return cls(
            host=host,
            port=port or (465 if is_tls else 587),
            is_tls=is_tls,
            starttls=False if is_tls else _STARTTLS[wish],
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            ca_file=query.get("ca_file", [None])[0],
        )

    def client(self, timeout_seconds: float) -> aiosmtplib.SMTP:
        """A client for one connection; certificates are always verified."""
        return aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.user,
            password=self.password,
            use_tls=self.is_tls,
            start_tls=self.starttls,
            cert_bundle=self.ca_file,
            timeout=timeout_seconds,
        )


def check_letter(letter: Letter) -> None:
    """Refuse a letter that could become another one on its way (line breaks in headers, several recipients).

    Raises:
        InvalidInputError: the recipient or the subject is not one, or the letter is too long.
    """
    try:
        address = Address(addr_spec=letter.recipient)
    except _NO_ADDRESS as error:
        raise InvalidInputError("This is not one e-mail address.", field="recipient") from error
    is_plain = letter.recipient.isprintable() and address.addr_spec == letter.recipient
    if not (is_plain and address.username and address.domain) or len(letter.recipient) > _ADDRESS_LENGTH:
        raise InvalidInputError("This is not one e-mail address.", field="recipient")
    body = letter.text + letter.html
    if "\0" in body or any("\ud800" <= character <= "\udfff" for character in body):
        raise InvalidInputError("The letter holds characters that no mail can carry.", field="text")
    if not letter.subject.isprintable() or len(letter.subject) > _SUBJECT_LENGTH:
        raise InvalidInputError("A subject is one line.", field="subject")
    if len(letter.text) > _BODY_LENGTH or len(letter.html) > _BODY_LENGTH:
        raise InvalidInputError("The letter is too long.", field="text")


def check_sender(sender: str) -> None:
    """Refuse a From line that every letter would fail on.

    Raises:
        StoreSetupError: it is not `Name <address@domain>`.
    """
    try:
        message_of(Letter("somebody@example.org", "", ""), "ltr", sender, 0.0)
        is_whole = sender.isprintable() and len(getaddresses([sender])) == 1 and "@" in parseaddr(sender)[1]
    except _NO_ADDRESS as error:
        raise StoreSetupError("The sender of mails must be like `Doorward <doorward@example.org>`.") from error
    if not is_whole:
        raise StoreSetupError("The sender of mails must be like `Doorward <doorward@example.org>`.")


def message_of(letter: Letter, letter_id: str, sender: str, at: float) -> EmailMessage:
    """The letter as a message. Its Message-ID is its own id, so a second copy can be told from a second letter."""
    name, address = parseaddr(sender)
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"] = Address(display_name=name, addr_spec=address)
    message["To"] = Address(addr_spec=letter.recipient)
    message["Subject"] = letter.subject
    message["Date"] = formatdate(at)
    message["Message-ID"] = f"<{letter_id}@{address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
    message.set_content(letter.text)
    if letter.html:
        message.add_alternative(letter.html, subtype="html")
    return message


async def hand_over(client: aiosmtplib.SMTP, message: EmailMessage, recipient: str) -> tuple[Outcome, str]:
    """Send one message over a connection; returns what came of it and the answer's code (never its text)."""
    try:
        await client.send_message(message, recipients=[recipient])
    except aiosmtplib.SMTPSenderRefused as error:
        return Outcome.AWAY, str(error.code)
    except aiosmtplib.SMTPRecipientsRefused as error:
        code = max(refusal.code for refusal in error.recipients)
        return (Outcome.NEVER if code >= _FINAL else Outcome.LATER), str(code)
    except aiosmtplib.SMTPNotSupported:
        return Outcome.NEVER, "smtputf8"
    except aiosmtplib.SMTPResponseException as error:
        return (Outcome.NEVER if error.code >= _FINAL else Outcome.LATER), str(error.code)
    except (aiosmtplib.SMTPException, OSError) as error:
        return Outcome.BROKEN, type(error).__name__
    return Outcome.SENT, ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
