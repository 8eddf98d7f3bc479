"""TLS to the AI service: a real TLS server, good and bad certificates, and what health says of each."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest

import streets
from certificates import ONE_DAY, Authority
from doorward.hall.clock import SystemClock
from doorward.upstream.health import probe
from doorward.upstream.pool import Origin
from doorward.upstream.settings import UpstreamSettings
from doorward.upstream.trust import UpstreamTlsError, client_context
from doorward.vault.tls import ServedTls
from doorward.vault.tls_settings import TlsSettings
from streets import CHAT, OK, Service, post, serving


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def serves(made, *, asks: str = ""):
    """An AI service with this certificate; `asks`: the authority whose certificates callers must show."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.certificate_file, made.key_file)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asks)
    service = Service(OK)

    async def serve(reader, writer):
        try:
            await service(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], service
    finally:
        server.close()


def settings_of(port: int, host: str = "localhost", **values: str) -> UpstreamSettings:
    return UpstreamSettings(url=f"https://{host}:{port}/v1", **values)


async def asked(settings: UpstreamSettings) -> str:
    return await probe(Origin.parse(settings.url, client_context(settings)), "models", "", 5)


class TestHealthSaysWhy:
    async def test_a_good_service(self, authority):
        async with serves(authority.sign("service")) as (port, _):
            assert await asked(settings_of(port, ca_file=authority.file)) == ""

    async def test_an_authority_that_nobody_told_us_of(self, authority, tmp_path):
        (tmp_path / "other").mkdir()
        other = Authority(tmp_path / "other", "other authority")
        async with serves(authority.sign("service")) as (port, _):
            assert await asked(settings_of(port)) == "tls_untrusted"
            assert await asked(settings_of(port, ca_file=other.file)) == "tls_untrusted"

    async def test_a_certificate_that_ended(self, authority):
        async with serves(authority.sign("old", starts=-3 * ONE_DAY, ends=-ONE_DAY)) as (port, _):
            assert await asked(settings_of(port, ca_file=authority.file)) == "tls_expired"

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    async def test_a_certificate_for_another_host(self, authority, host):
        async with serves(authority.sign("else", "ai.example.com")) as (port, _):
            assert await asked(settings_of(port, host, ca_file=authority.file)) == "tls_wrong_name"

    async def test_our_own_certificate_is_missed_taken_and_refused(self, authority, tmp_path):
        (tmp_path / "other").mkdir()
        stranger = Authority(tmp_path / "other", "other authority").sign("stranger")
        mine = authority.sign("doorward")
        made = authority.sign("service")
        files = {"certificate": str(made.certificate_file), "key": str(made.key_file)}
        tls = TlsSettings(mode="files", client_authority=authority.file, **files)
        # Our own listener plays the service: unlike asyncio's it says in an alert what it missed, as others do.
        async with serving(tls=ServedTls.open(tls, "", SystemClock())) as site:
            assert await asked(settings_of(site.port, ca_file=authority.file)) == "tls_client_certificate"
            for shown, fault in ((mine, ""), (stranger, "tls_client_certificate")):
                files = {"client_certificate": str(shown.certificate_file), "client_key": str(shown.key_file)}
                assert await asked(settings_of(site.port, ca_file=authority.file, **files)) == fault

    async def test_no_tls_at_all(self, authority):
        async def plain(reader, writer):
            await reader.read(5)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async with streets.upstream(plain) as url:
            port = int(url.rpartition(":")[2].partition("/")[0])
            assert await asked(settings_of(port)) == "tls_failed"
            assert await asked(settings_of(1)) == "connect"


class TestFiles:
    @pytest.mark.parametrize("name", ["ca_file", "client_certificate"])
    def test_files_that_are_missing_or_no_good_are_named(self, tmp_path, name):
        path = tmp_path / "file.pem"
        for write in (lambda: None, lambda: path.write_text("junk")):
            write()
            with pytest.raises(UpstreamTlsError, match=r"file\.pem"):
                client_context(settings_of(1, **{name: str(path)}))

    def test_a_key_of_another_certificate_is_refused(self, authority):
        files = {"client_certificate": str(authority.sign("a").certificate_file)}
        with pytest.raises(UpstreamTlsError):
            client_context(settings_of(1, client_key=str(authority.sign("b").key_file), **files))

    def test_without_tls_nothing_is_read(self):
        assert client_context(UpstreamSettings(url="http://127.0.0.1/v1", ca_file="/nowhere")) is None


class TestRelay:
    async def test_it_relays_over_mutual_tls_and_says_why_not(self, authority, monkeypatch):
        mine = authority.sign("doorward")
        files = {"client_certificate": str(mine.certificate_file), "client_key": str(mine.key_file)}
        async with serves(authority.sign("service"), asks=authority.file) as (port, service):
            settings = settings_of(port, ca_file=authority.file, **files)
            origin = Origin.parse(settings.url, client_context(settings))
            with monkeypatch.context() as patched:
                patched.setattr(Origin, "parse", classmethod(lambda _cls, _url: origin))
                async with serving(upstream=settings.url) as site:
                    reply = await site.ask(post(CHAT, b"{}", credential=site.book.add()))
                    assert (reply.status, reply.body) == (200, b"{}")
            assert len(service.requests) == 1
            async with serving(upstream=settings.url) as site:  # which trusts the system's authorities only
                reply = await site.ask(post(CHAT, b"{}", credential=site.book.add()))
                assert reply.status == 503
                assert site.hooks.observed == ["tls_untrusted"]
