"""What the postbox promises, against a real SMTP server that also refuses, hangs up and goes away."""

import asyncio
import shutil
import ssl
import subprocess
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from doorward.hall.clock import SystemClock
from doorward.hall.errors import InvalidInputError
from doorward.hall.model import Letter
from doorward.stores import postbox as postbox_module
from doorward.stores.errors import StoreSetupError
from doorward.stores.postbox import Postbox
from doorward.stores.postbox_tables import letters
from doorward.stores.settings import MailSettings
from doorward.stores.smtp import MailServer, check_letter, message_of
from doorward.stores.sql import Database

SENDER = "Doorward <door@example.org>"


class Mailbox:
    """The other side: takes mail, or does what `answers` says for a recipient."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.were_encrypted: list[bool] = []
        self.answers: dict[str, list[str]] = {}
        self.arrived = asyncio.Event()

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):  # noqa: N802 - aiosmtpd's name
        planned = self.answers.get(address)
        if planned:
            answer = planned.pop(0)
            if answer == "hang up":
                server.transport.abort()
                return "421 bye"
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.got.append(message_from_bytes(envelope.content, policy=modern))
        self.recipients.append(list(envelope.rcpt_tos))
        self.were_encrypted.append(session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None)
        self.arrived.set()
        return "250 OK"

    def subjects(self) -> list[str]:
        return [str(message["Subject"]) for message in self.got]


@asynccontextmanager
async def mail_server(mailbox: Mailbox, *, port: int = 0, tls: ssl.SSLContext | None = None, **options):
    """A server on loopback; yields its port."""
    protocols = []

    def protocol() -> SMTP:
        protocols.append(SMTP(mailbox, hostname="mail.test", loop=asyncio.get_running_loop(), **options))
        return protocols[-1]

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for made in protocols:
            if made.transport is not None:
                made.transport.abort()
        await server.wait_closed()


def box(database, clock, port: int, url: str = "smtp://127.0.0.1:{port}", **settings) -> Postbox:
    url = url.format(port=port)
    return Postbox(database, clock, MailSettings(smtp_url=url, sender=SENDER, timeout_seconds=5, **settings))


async def post(postbox: Postbox, database, *subjects: str, recipient: str = "ada@example.org") -> None:
    def work(connection) -> None:
        for subject in subjects:
            postbox.enqueue(connection, Letter(recipient, subject, f"text of {subject}"), "mbx_1")

    await database.write(work)


async def states(database) -> dict[str, tuple[str, int]]:
    rows = await database.read(lambda connection: connection.execute(select(letters)).all())
    return {row.letter_id: (row.state, row.attempts) for row in rows}


@pytest.fixture
def mailbox():
    return Mailbox()


# --- the sink -------------------------------------------------------------------------------------------------------


async def test_without_a_server_letters_stay_in_the_sink_in_order(database, clock):
    postbox = Postbox(database, clock, MailSettings())
    await post(postbox, database, "one", "two")
    clock.step(60)
    await post(postbox, database, "three", recipient="bob@example.org")
    assert postbox.is_sink
    assert await postbox.deliver() == 0
    found = await postbox.sink()
    assert [(letter.subject, letter.text, letter.recipient) for letter in found] == [
        ("one", "text of one", "ada@example.org"),
        ("two", "text of two", "ada@example.org"),
        ("three", "text of three", "bob@example.org"),
    ]
    assert [letter.at for letter in found] == [clock.now() - 60, clock.now() - 60, clock.now()]
    assert [letter.subject for letter in await postbox.sink(after=found[0].sequence)] == ["two", "three"]
    assert [letter.subject for letter in await postbox.sink(recipient="ada@example.org")] == ["one", "two"]
    assert [letter.subject for letter in await postbox.sink(limit=1)] == ["one"]
    assert await postbox.sink(after=found[-1].sequence) == []
    assert await postbox.counts() == {"sunk": 3}


async def test_a_letter_of_a_change_that_is_taken_back_was_never_written(database, clock):
    postbox = Postbox(database, clock, MailSettings())

    def work(connection) -> None:
        postbox.enqueue(connection, Letter("ada@example.org", "never", "…"), "mbx_1")
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert await postbox.sink() == []


async def test_the_sink_keeps_the_newest_within_its_size_and_time(database, clock):
    postbox = Postbox(database, clock, MailSettings(sink_letters=3, sink_retention_days=2))
    await post(postbox, database, *"abcde")
    await postbox.prune()
    assert [letter.subject for letter in await postbox.sink()] == ["c", "d", "e"]
    clock.step(86_400 * 2 + 1)
    await post(postbox, database, "f")
    await postbox.prune()
    assert [letter.subject for letter in await postbox.sink()] == ["f"]
    assert (await postbox.sink())[0].sequence == 6  # numbers are never used again


# --- what is sent ---------------------------------------------------------------------------------------------------


async def test_a_letter_arrives_as_it_was_written(database, clock, mailbox):
    letter = Letter("ada@example.org", "Ваш код — 确认码", "123456\nДобрый день\n", "<p>123456 你好</p>")
    async with mail_server(mailbox) as port:
        postbox = box(database, clock, port)
        letter_id = await database.write(lambda connection: postbox.enqueue(connection, letter, "mbx_1"))
        assert await postbox.deliver() == 1
    (message,) = mailbox.got
    assert mailbox.recipients == [["ada@example.org"]]
    assert message["Subject"] == letter.subject
    assert message["From"] == SENDER
    assert message["To"] == "ada@example.org"
    assert message["Message-ID"] == f"<{letter_id}@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.timestamp() == int(clock.now())
    assert message.get_body(("plain",)).get_content().replace("\r\n", "\n") == letter.text
    assert message.get_body(("html",)).get_content().strip() == letter.html


async def test_a_sent_letter_is_sent_once_and_loses_its_words(database, clock, mailbox):
    async with mail_server(mailbox) as port:
        postbox = box(database, clock, port)
        await post(postbox, database, "code 123456")
        assert await postbox.deliver() == 1
        clock.step(86_400)
        assert await postbox.deliver() == 0
    rows = await database.read(lambda connection: connection.execute(select(letters)).all())
    assert [(row.state, row.subject, row.text, row.html) for row in rows] == [("sent", b"", b"", b"")]
    assert len(mailbox.got) == 1
    assert await postbox.sink() == []
    await postbox.prune()
    assert await postbox.counts() == {"sent": 1}
    clock.step(86_400 * 7)
    await postbox.prune()
    assert await postbox.counts() == {}


async def test_many_letters_leave_over_few_connections(database, clock, mailbox):
    async with mail_server(mailbox) as port:
        postbox = box(database, clock, port, connections=3)
        await post(postbox, database, *(f"{number:03}" for number in range(70)))
        sent = [await postbox.deliver() for _ in range(4)]
    assert sent == [30, 30, 10, 0]
    assert sorted(mailbox.subjects()) == [f"{number:03}" for number in range(70)]


async def test_two_processes_send_each_letter_once(database, clock, mailbox):
    async with mail_server(mailbox) as port:
        boxes = [box(database, clock, port) for _ in range(3)]
        await post(boxes[0], database, *(f"{number:03}" for number in range(100)))
        for _ in range(4):
            await asyncio.gather(*(postbox.deliver() for postbox in boxes))
    assert sorted(mailbox.subjects()) == [f"{number:03}" for number in range(100)]


async def test_a_letter_leaves_at_once_when_it_is_committed(database, mailbox, monkeypatch):
    monkeypatch.setattr(postbox_module, "_LOOK_SECONDS", 3600.0)
    async with mail_server(mailbox) as port:
        postbox = box(database, SystemClock(), port)
        postbox.start()
        for number in range(2):
            mailbox.arrived.clear()
            await post(postbox, database, str(number))
            await asyncio.wait_for(mailbox.arrived.wait(), 30)
        await postbox.stop()
    assert mailbox.subjects() == ["0", "1"]


# --- what goes wrong ------------------------------------------------------------------------------------------------


async def test_a_refusal_for_now_is_tried_again_later_and_later(database, clock, mailbox):
    mailbox.answers["grey@example.org"] = ["450 come back later", "451 not yet"]
    async with mail_server(mailbox) as port:
        postbox = box(database, clock, port, connections=1)
        await post(postbox, database, "grey", recipient="grey@example.org")
        await post(postbox, database, "white")
        assert await postbox.deliver() == 1
        assert mailbox.subjects() == ["white"]
        clock.step(14)
        assert await postbox.deliver() == 0
        clock.step(1)
        assert await postbox.deliver() == 0
        clock.step(59)
        assert await postbox.deliver() == 0
        clock.step(1)
        assert await postbox.deliver() == 1
    assert mailbox.subjects() == ["white", "grey"]


async def test_a_letter_is_given_up_after_its_tries(database, clock, mailbox):
    mailbox.answers["ada@example.org"] = ["450 no"] * 10
    async with mail_server(mailbox) as port:
        postbox = box(database, clock, port, attempts=3)
        await post(postbox, database, "code 123456")
        for _ in range(5):
            assert await postbox.deliver() == 0
            clock.step(3600)
    assert len(mailbox.answers["ada@example.org"]) == 7
    assert await postbox.counts() == {"failed": 1}
    (row,) = await database.read(lambda connection: connection.execute(select(letters)).all())
    assert (row.text, row.last_error) == (b"", "450")


async def test_a_final_refusal_is_final_and_concerns_one_letter(database, clock, mailbox):
    mailbox.answers["gone@example.org"] = ["550 no such user"]
    async with mail_server(mailbox) as port:
        postbox = box(database, clock, port, connections=1)
        await post(postbox, database, "lost", recipient="gone@example.org")
        await post(postbox, database, "kept")
        assert await postbox.deliver() == 1
        clock.step(86_400)
        assert await postbox.deliver() == 0
    assert mailbox.subjects() == ["kept"]
    assert await postbox.counts() == {"failed": 1, "sent": 1}


async def test_a_broken_connection_costs_one_letter_a_try_and_the_others_nothing(database, clock, mailbox):
    mailbox.answers["ada@example.org"] = ["hang up"]
    async with mail_server(mailbox) as port:
        postbox = box(database, clock, port, connections=1)
        await post(postbox, database, "one")
        await post(postbox, database, "two", "three", recipient="bob@example.org")
        assert await postbox.deliver() == 0
        assert sorted(attempts for _, attempts in (await states(database)).values()) == [0, 0, 1]
        assert await postbox.deliver() == 2
        clock.step(15)
        assert await postbox.deliver() == 1
    assert mailbox.subjects() == ["two", "three", "one"]


async def test_a_server_that_is_away_costs_no_letter_a_try(database, clock, mailbox):
    async with mail_server(mailbox) as port:
        pass
    postbox = box(database, clock, port, connections=1)
    await post(postbox, database, "patient")
    pauses = []
    for _ in range(7):
        assert await postbox.deliver() == 0
        (row,) = await database.read(lambda connection: connection.execute(select(letters)).all())
        pauses.append(row.next_attempt_at - clock.now())
        clock.step(pauses[-1])
    assert pauses == [2, 4, 8, 16, 32, 60, 60]
    assert [attempts for _, attempts in (await states(database)).values()] == [0]
    async with mail_server(mailbox, port=port):
        assert await postbox.deliver() == 1
    assert mailbox.subjects() == ["patient"]


async def test_a_letter_too_old_is_not_sent_any_more(database, clock, mailbox):
    async with mail_server(mailbox) as port:
        postbox = box(database, clock, port, letter_lifetime_hours=2)
        await post(postbox, database, "stale")
        clock.step(2 * 3600 + 1)
        await post(postbox, database, "fresh")
        assert await postbox.deliver() == 1
    assert mailbox.subjects() == ["fresh"]
    assert await postbox.counts() == {"failed": 1, "sent": 1}


async def test_what_a_dead_process_had_claimed_is_taken_up_by_another(database, clock, mailbox, monkeypatch):
    reached, never = asyncio.Event(), asyncio.Event()

    async def dies(*_: object) -> None:
        reached.set()
        await never.wait()

    async with mail_server(mailbox) as port:
        first = box(database, clock, port)
        await post(first, database, "inherited")
        monkeypatch.setattr(postbox_module, "hand_over", dies)
        dying = asyncio.create_task(first.deliver())
        await asyncio.wait_for(reached.wait(), 30)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        monkeypatch.undo()
        heir = box(database, clock, port)
        assert await heir.deliver() == 0  # the first may be alive
        clock.step(131)
        assert await heir.deliver() == 1
    assert mailbox.subjects() == ["inherited"]


# --- keeping it private ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1, of an authority of its own."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    key, chain = folder / "key.pem", folder / "chain.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(chain)],
        check=True, capture_output=True,
    )  # fmt: skip
    return chain, key


@pytest.fixture
def tls(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


async def test_mail_is_encrypted_when_the_server_can(database, clock, mailbox, certificate, tls):
    async with mail_server(mailbox, tls_context=tls) as port:
        postbox = box(database, clock, port, f"smtp://127.0.0.1:{{port}}?ca_file={certificate[0]}")
        await post(postbox, database, "secret")
        assert await postbox.deliver() == 1
    assert mailbox.were_encrypted == [True]


async def test_mail_by_smtps_is_encrypted(database, clock, mailbox, certificate, tls):
    async with mail_server(mailbox, tls=tls) as port:
        postbox = box(database, clock, port, f"smtps://127.0.0.1:{{port}}?ca_file={certificate[0]}")
        await post(postbox, database, "secret")
        assert await postbox.deliver() == 1
    assert mailbox.were_encrypted == [True]


@pytest.mark.parametrize("url", ["smtps://127.0.0.1:{port}", "smtp://127.0.0.1:{port}?starttls=always"])
async def test_a_server_that_cannot_prove_itself_gets_nothing(database, clock, mailbox, tls, url):
    is_wrapped = url.startswith("smtps")
    async with mail_server(mailbox, tls=tls if is_wrapped else None, tls_context=None if is_wrapped else tls) as port:
        postbox = box(database, clock, port, url)
        await post(postbox, database, "secret")
        assert await postbox.deliver() == 0
    assert mailbox.got == []
    assert await postbox.counts() == {"waiting": 1}


async def test_mail_that_must_be_encrypted_is_not_sent_in_the_clear(database, clock, mailbox):
    async with mail_server(mailbox) as port:
        postbox = box(database, clock, port, "smtp://127.0.0.1:{port}?starttls=always")
        await post(postbox, database, "secret")
        assert await postbox.deliver() == 0
    assert mailbox.got == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")  # it is a test on loopback
async def test_a_log_in_that_is_refused_is_our_trouble_and_not_the_letters(database, clock, mailbox):
    tried: list[bytes] = []

    def authenticate(server, session, envelope, mechanism, data) -> AuthResult:
        tried.append(data.password)
        return AuthResult(success=data.login == b"door" and data.password == b"w@rd/1")

    options = {"authenticator": authenticate, "auth_require_tls": False, "auth_required": True}
    async with mail_server(mailbox, **options) as port:
        wrong = box(database, clock, port, "smtp://door:wrong@127.0.0.1:{port}")
        await post(wrong, database, "patient")
        assert await wrong.deliver() == 0
        assert [*(await states(database)).values()] == [("waiting", 0)]
        clock.step(2)
        right = box(database, clock, port, "smtp://door:w%40rd%2F1@127.0.0.1:{port}")
        assert await right.deliver() == 1
    assert tried[0] == b"wrong"
    assert tried[-1] == b"w@rd/1"
    assert mailbox.subjects() == ["patient"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example.org", MailServer("mail.example.org", 587, is_tls=False, starttls=True)),
        ("smtp://localhost:25", MailServer("localhost", 25, is_tls=False, starttls=None)),
        ("smtp://[::1]", MailServer("::1", 587, is_tls=False, starttls=None)),
        ("smtp://relay:25?starttls=never", MailServer("relay", 25, is_tls=False, starttls=False)),
        ("smtps://u%40x:p%3A@relay", MailServer("relay", 465, is_tls=True, starttls=False, user="u@x", password="p:")),
    ],
)
def test_the_url_of_a_server_says_how_to_reach_it(url, expected):
    assert MailServer.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    ["mail.example.org", "http://mail", "smtp://", "smtp://u:hunter2@mail:port", "smtp://u:hunter2@mail?starttls=maybe",
     "smtp://u:hunter2@mail?verify=no"],
)  # fmt: skip
def test_a_wrong_url_of_a_server_is_refused_without_being_repeated(url):
    with pytest.raises(StoreSetupError) as caught:
        MailServer.parse(url)
    assert "hunter2" not in caught.value.message
    assert "hunter2" not in repr(MailServer.parse("smtp://u:hunter2@mail"))


@pytest.mark.parametrize(
    ("letter", "field"),
    [
        (Letter("", "s", "t"), "recipient"),
        (Letter("ada", "s", "t"), "recipient"),
        (Letter("ada@", "s", "t"), "recipient"),
        (Letter("@example.org", "s", "t"), "recipient"),
        (Letter("ada@example.org, eve@example.org", "s", "t"), "recipient"),
        (Letter("ada@example.org\r\nBcc: eve@example.org", "s", "t"), "recipient"),
        (Letter("Ada <ada@example.org>", "s", "t"), "recipient"),
        (Letter("ada@example.org\x00", "s", "t"), "recipient"),
        (Letter('\u200bq?é@[\\]="=', "s", "t"), "recipient"),
        (Letter("aa\t\xa0?@[ ", "s", "t"), "recipient"),
        (Letter("a" * 250 + "@example.org", "s", "t"), "recipient"),
        (Letter("ada@example.org", "s\r\nBcc: eve@example.org", "t"), "subject"),
        (Letter("ada@example.org", "s" * 501, "t"), "subject"),
        (Letter("ada@example.org", "s", "t" * 200_001), "text"),
        (Letter("ada@example.org", "s", "t", "<p>\x00"), "text"),
        (Letter("ada@example.org", "s", "\ud83d"), "text"),
    ],
)
def test_a_letter_that_could_become_another_is_refused(letter, field):
    with pytest.raises(InvalidInputError) as caught:
        check_letter(letter)
    assert caught.value.field == field


@pytest.mark.parametrize("sender", ["", "Doorward", "Door <door>", "a@b\r\nBcc: eve@example.org", "<@x>", "a@b, c@d"])
def test_a_wrong_sender_is_said_at_the_start(clock, sender):
    with pytest.raises(StoreSetupError):
        Postbox(Database.open("sqlite://"), clock, MailSettings(sender=sender))


@given(
    recipient=st.text(max_size=30) | st.just("ada@example.org") | st.from_regex(r"[^@]{1,8}@[^@]{1,8}", fullmatch=True),
    subject=st.text(max_size=100),
    text=st.text(st.characters(), max_size=200),
)
def test_whatever_is_written_never_makes_a_header(recipient, subject, text):
    letter = Letter(recipient, subject, text)
    try:
        check_letter(letter)
    except InvalidInputError:
        return
    sent = message_of(letter, "ltr_1", SENDER, 1.0).as_bytes(policy=modern.clone(linesep="\r\n", utf8=True))
    read = message_from_bytes(sent, policy=modern)
    headers = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
               "Content-Transfer-Encoding"}  # fmt: skip
    assert set(read.keys()) <= headers
    assert len(read.keys()) == len(set(read.keys()))
    addresses = [address.addr_spec.encode(errors="surrogateescape").decode() for address in read["To"].addresses]
    assert addresses == [recipient]
