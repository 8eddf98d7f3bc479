"""TLS under the street, through real sockets: what is negotiated, what is refused, and how connections end."""

import asyncio
import ssl
from dataclasses import replace

import pytest
from OpenSSL import SSL

import streets
from certificates import Authority
from doorward.edge.tls_transport import TlsTransport
from doorward.edge.view import Front
from doorward.hall.clock import SystemClock
from doorward.vault.tls import ServedTls
from doorward.vault.tls_settings import TlsSettings
from streets import CHAT, STREAM, chunk, get, post, read_request, serving, until, with_limits


def settings_of(made, **values) -> TlsSettings:
    return TlsSettings(mode="files", certificate=str(made.certificate_file), key=str(made.key_file), **values)


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority) -> ServedTls:
    return ServedTls.open(settings_of(authority.sign("server")), "", SystemClock())


def client(method: int = SSL.TLS_CLIENT_METHOD) -> SSL.Connection:
    """A client over memory, on cryptography's OpenSSL."""
    connection = SSL.Connection(SSL.Context(method), None)
    connection.set_connect_state()
    return connection


def taken(connection: SSL.Connection) -> bytes:
    """What it wants to send."""
    pieces = []
    try:
        while True:
            pieces.append(connection.bio_read(65_536))
    except SSL.WantReadError:
        return b"".join(pieces)


class Caller:
    """An OpenSSL client over a real connection."""

    def __init__(self, port: int, context: SSL.Context | None = None) -> None:
        self.port = port
        self.ssl = SSL.Connection(context or SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        self.ssl.set_connect_state()

    async def shake(self) -> None:
        """Finish the handshake; SSL.Error if the server does not want to."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        while True:
            try:
                self.ssl.do_handshake()
            except SSL.WantReadError:
                self.writer.write(taken(self.ssl))
                self.ssl.bio_write(await self._more())
            else:
                self.writer.write(taken(self.ssl))
                return

    async def _more(self) -> bytes:
        data = await asyncio.wait_for(self.reader.read(65_536), streets.PATIENCE_SECONDS)
        if not data:
            raise ConnectionResetError
        return data

    async def ask(self, request: bytes) -> bytes:
        """Send plain bytes; the plain bytes that come next."""
        self.ssl.send(request)
        self.writer.write(taken(self.ssl))
        return await self.read()

    async def read(self) -> bytes:
        """The plain bytes that come next."""
        while True:
            try:
                return self.ssl.recv(65_536)
            except SSL.WantReadError:
                self.ssl.bio_write(await self._more())

    async def read_on(self) -> None:
        """Read until the server says the end (SSL.ZeroReturnError) or just closes (ConnectionResetError)."""
        while True:
            await self.read()

    async def close(self) -> None:
        """Go away."""
        self.writer.close()
        await self.writer.wait_closed()


class TestWhatIsNegotiated:
    async def test_the_key_exchange_is_post_quantum(self, tls):
        async with serving(tls=tls) as site:
            caller = Caller(site.port)
            await caller.shake()
            assert (await caller.ask(get("/"))).startswith(b"HTTP/1.1 200 ")
            assert caller.ssl.get_group_name() == "X25519MLKEM768"
            assert caller.ssl.get_protocol_version_name() == "TLSv1.3"
            await caller.close()
        key = ("TLSv1.3", "X25519MLKEM768", "TLS_AES_256_GCM_SHA384")
        assert tls.overview().handshakes == {key: 1}
        assert tls.overview().share("X25519MLKEM768") == 1.0
        assert tls.figures()['tls_handshakes_total{{version="{}",group="{}",suite="{}"}}'.format(*key)] == 1

    async def test_callers_without_it_are_served_and_counted_apart(self, tls):
        async with serving(tls=tls) as site:
            assert (await site.ask(get("/"))).json()["scheme"] == "https"  # the standard library's OpenSSL
        assert tls.overview().share("X25519MLKEM768") in (0.0, 1.0)  # as that OpenSSL can
        assert sum(tls.overview().handshakes.values()) == 1

    async def test_older_versions_are_refused_unless_allowed(self, authority, tls):
        old = ssl.create_default_context()
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        async with serving(tls=tls) as site:
            site.trust = old
            with pytest.raises(ssl.SSLError, match="alert"):
                await site.client()
        assert tls.overview().failures == {"old_version": 1}
        allowing = ServedTls.open(settings_of(authority.sign("older"), minimum="1.2"), "", SystemClock())
        async with serving(tls=allowing) as site:
            site.trust = old
            assert (await site.ask(get("/"))).status == 200
        ((version, _, suite),) = allowing.overview().handshakes
        assert version == "TLSv1.2"
        assert "ECDHE" in suite
        assert "GCM" in suite or "CHACHA" in suite

    @pytest.mark.parametrize(("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), ([], None)])
    async def test_http_1_is_the_protocol(self, tls, offered, chosen):
        async with serving(tls=tls) as site:
            if offered:
                site.trust.set_alpn_protocols(offered)
            visitor = await site.client()
            assert visitor.writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen

    async def test_who_wants_another_protocol_only_is_refused(self, tls):
        async with serving(tls=tls) as site:
            site.trust.set_alpn_protocols(["h2"])
            with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
                await site.client()
        assert tls.overview().failures == {"no_application_protocol": 1}

    async def test_sessions_resume_with_new_keys(self, tls):
        async with serving(tls=tls) as site:
            first = await site.client()
            await first.send(get("/"))
            await first.reply()
            session = first.writer.get_extra_info("ssl_object").session
            assert session.has_ticket
            protocol = ssl.SSLObject  # asyncio takes no session, so the second one goes over memory
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            second = site.trust.wrap_bio(incoming, outgoing, session=session)
            assert isinstance(second, protocol)
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            while True:
                try:
                    second.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65_536))
            assert second.session_reused
            writer.close()
            await writer.wait_closed()


class TestWhoIsTurnedAway:
    async def test_plain_http_is_told_what_this_is(self, tls):
        async with serving(tls=tls) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(get("/"))
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 400 ")
            head, _, body = answer.partition(b"\r\n\r\n")
            assert b"content-length: %d" % len(body) in head
            writer.close()
            await writer.wait_closed()
        assert tls.overview().failures == {"plain_http": 1}

    async def test_other_bytes_are_not_answered(self, tls):
        async with serving(tls=tls) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(b"\x00\x01\x02")
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        assert tls.overview().failures == {"not_tls": 1}

    async def test_a_handshake_takes_its_time_only(self, tls):
        async with serving(tls=tls) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            await until(lambda: len(site.street.watch) == 1)
            writer.write(taken_hello()[:50])
            await site.pass_time(9)
            assert len(site.street.watch) == 1
            await site.pass_time(2)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            await until(lambda: not len(site.street.watch))
            writer.close()

    async def test_after_it_the_time_of_a_first_request_begins(self, tls):
        async with serving(tls=tls) as site:
            visitor = await site.client()
            await until(lambda: tls.overview().handshakes)
            await site.pass_time(20)
            await visitor.send(get("/"))
            assert (await visitor.reply()).status == 200

    async def test_handshakes_count_as_connections(self, tls):
        async with serving(with_limits(max_connections_per_address=1), tls=tls) as site:
            _, silent = await asyncio.open_connection("127.0.0.1", site.port)
            await until(lambda: len(site.street.watch) == 1)
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            silent.close()
            writer.close()

    async def test_who_must_show_a_certificate_must(self, authority, tmp_path):
        (tmp_path / "other").mkdir()
        strange = Authority(tmp_path / "other", "strange authority").sign("stranger")
        mine = authority.sign("caller")
        served = settings_of(authority.sign("server"), client_authority=authority.file)
        tls = ServedTls.open(served, "", SystemClock())
        async with serving(tls=tls) as site:
            site.trust.load_cert_chain(mine.certificate_file, mine.key_file)
            assert (await site.ask(get("/"))).status == 200
            for shown in (None, strange):
                context = SSL.Context(SSL.TLS_CLIENT_METHOD)
                if shown:
                    context.use_certificate(shown.certificate)
                    context.use_privatekey(shown.key)
                caller = Caller(site.port, context)
                await caller.shake()  # which is over for a caller before the server has seen its certificate
                with pytest.raises(SSL.Error, match="alert"):
                    await caller.ask(get("/"))
                await caller.close()
        assert tls.overview().failures == {"no_client_certificate": 1, "bad_client_certificate": 1}


def taken_hello() -> bytes:
    """The first bytes of a handshake."""
    connection = client()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return taken(connection)


class TestWhatBrowsersAreTold:
    async def test_the_street_says_it_too(self, tls):
        async with serving(lambda parts: replace(parts, transport_security="max-age=60"), tls=tls) as site:
            reply = await site.ask(get("/authorize"))
            assert (reply.status, reply.header("strict-transport-security")) == (401, "max-age=60")

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("https://ai.example.com", "max-age=31536000"),
            ("http://ai.example.com", ""),
            ("https://localhost:8443", ""),
            ("https://127.0.0.1", ""),
        ],
    )
    def test_only_where_it_is_true_for_the_whole_host(self, url, said):
        assert Front(public_url=url, hsts=TlsSettings().hsts()).transport_security == said

    def test_as_the_operator_says(self):
        assert TlsSettings(hsts_seconds=0).hsts() == ""
        assert TlsSettings(hsts_seconds=60, hsts_subdomains=True).hsts() == "max-age=60; includeSubDomains"
        assert TlsSettings(mode="local").hsts() == ""


class TestBytes:
    async def test_large_answers_and_bodies_pass_whole(self, tls):
        size = 1_000_003
        async with serving(with_limits(max_body_bytes=2 * size), tls=tls) as site:
            seen = (await site.ask(post("/", b"x" * size))).json()
        assert seen["size"] == size

    async def test_pipelined_requests_are_answered_in_order(self, tls):
        async with serving(tls=tls) as site:
            visitor = await site.client()
            await visitor.send(b"".join(get(f"/{number}") for number in range(40)))
            assert [(await visitor.reply()).json()["path"] for _ in range(40)] == [f"/{n}" for n in range(40)]

    async def test_a_caller_who_does_not_read_stops_the_service(self, tls):
        written = 0

        async def floods(reader, writer):
            nonlocal written
            await read_request(reader)
            writer.write(STREAM)
            while True:
                writer.write(chunk(b"x" * 65_536))
                await writer.drain()
                written += 65_536

        async with streets.upstream(floods) as url, serving(upstream=url, tls=tls) as site:
            visitor = await site.client()
            visitor.writer.transport.pause_reading()
            await visitor.send(post(CHAT, b"{}", credential=site.book.add()))
            before = -1
            while before != written:
                before = written
                await asyncio.sleep(0.3)
            assert 0 < written < 100_000_000
            await site.pass_time(50)
            await site.pass_time(61)
            await site.pass_time(61)
            await until(lambda: not len(site.street.watch))

    async def test_the_end_is_announced(self, tls):
        async with serving(tls=tls) as site:
            caller = Caller(site.port)
            await caller.shake()
            answer = await caller.ask(get("/", "Connection: close"))
            assert answer.startswith(b"HTTP/1.1 200 ")
            with pytest.raises(SSL.ZeroReturnError):
                await caller.read_on()
            await caller.close()

    async def test_a_caller_who_announces_an_end_is_let_go(self, tls):
        async with serving(tls=tls) as site:
            caller = Caller(site.port)
            await caller.shake()
            await caller.ask(get("/"))
            caller.ssl.shutdown()
            caller.writer.write(taken(caller.ssl))
            await until(lambda: not len(site.street.watch))
            await caller.close()

    async def test_a_changed_record_ends_the_connection(self, tls):
        async with serving(tls=tls) as site:
            caller = Caller(site.port)
            await caller.shake()
            caller.ssl.send(get("/"))
            record = bytearray(taken(caller.ssl))
            record[-1] ^= 1
            caller.writer.write(bytes(record))
            await until(lambda: not len(site.street.watch))
            await caller.close()
        assert tls.overview().failures == {"broken": 1}


def test_the_transport_is_a_whole_one():
    named = {name for name in dir(asyncio.Transport) if not name.startswith("_")} - {"get_protocol", "set_protocol"}
    assert named - {"get_write_buffer_limits"} <= set(vars(TlsTransport)) | {"get_write_buffer_limits"}
