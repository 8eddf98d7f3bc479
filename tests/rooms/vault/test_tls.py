"""The certificate that is shown: what is taken, what is refused, and changing it while it is in use."""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

import streets
from certificates import ONE_DAY, Authority, pem
from doorward.hall.clock import SystemClock
from doorward.vault.tls import ServedTls
from doorward.vault.tls_pair import CertificateError, checked_pair
from doorward.vault.tls_settings import TlsSettings
from streets import get, serving

SWAPS = 20


class Shelf:
    """The two files of a server, written as an administrator or an ACME client writes them."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.certificate, self.key = folder / "shown.pem", folder / "shown.key"
        self.settings = TlsSettings(mode="files", certificate=str(self.certificate), key=str(self.key))

    def put(self, made, *, only_key: bool = False) -> None:
        """Key first, each at once."""
        self._replace(self.key, made.key_file.read_bytes())
        if not only_key:
            self._replace(self.certificate, made.certificate_file.read_bytes())

    @staticmethod
    def _replace(path: Path, text: bytes) -> None:
        draft = path.with_suffix(".draft")
        draft.write_bytes(text)
        draft.replace(path)

    def open(self) -> ServedTls:
        return ServedTls.open(self.settings, "", SystemClock())


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    return Shelf(tmp_path)


def text(made) -> bytes:
    return made.certificate_file.read_bytes()


class TestWhatIsTaken:
    def test_a_pair_with_its_chain(self, shelf):
        made = shelf.authority.sign("server", "ai.example.com", "192.0.2.1")
        now = SystemClock().now()
        pair = checked_pair(text(made) + text(shelf.authority.root), pem(made.key), now)
        assert pair.names == ("ai.example.com", "192.0.2.1")
        assert len(pair.chain) == 2
        assert len(pair.fingerprint) == 64
        assert 0 < pair.expires_at - now < 86_401

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda a, m: (text(m), pem(a.sign("other").key)), "not the certificate's key"),
            (lambda a, m: (b"nothing", pem(m.key)), "no certificates in PEM"),
            (lambda a, m: (text(m)[:-40], pem(m.key)), "no certificates in PEM"),
            (lambda a, m: (text(m), b"nothing"), "no private key"),
            (lambda a, m: (text(m), pem(m.key, b"locked")), "passphrase"),
            (lambda a, m: (text(m) + text(a.sign("other")), pem(m.key)), "not in order"),
            (lambda a, m: (text(m) * 11, pem(m.key)), "more than 10"),
        ],
    )  # fmt: skip
    def test_others_are_refused_with_the_reason(self, shelf, change, reason):
        certificate, key = change(shelf.authority, shelf.authority.sign("server"))
        with pytest.raises(CertificateError, match=reason):
            checked_pair(certificate, key, SystemClock().now())

    def test_time_is_judged(self, shelf):
        ended = shelf.authority.sign("ended", starts=-3 * ONE_DAY, ends=-timedelta(seconds=1))
        early = shelf.authority.sign("early", starts=ONE_DAY, ends=2 * ONE_DAY)
        for made, reason in ((ended, "ended on"), (early, "begins on")):
            with pytest.raises(CertificateError, match=reason):
                checked_pair(text(made), pem(made.key), SystemClock().now())

    def test_weak_keys_are_refused(self, shelf):
        made = shelf.authority.sign("server")
        for key in (ec.generate_private_key(ec.SECP224R1()), rsa.generate_private_key(65_537, 1_024)):
            with pytest.raises(CertificateError, match="or stronger"):
                checked_pair(text(made), pem(key), SystemClock().now())

    @given(certificate=st.binary(max_size=400), key=st.binary(max_size=400))
    def test_any_bytes_are_refused_in_words(self, certificate, key):
        with pytest.raises(CertificateError):
            checked_pair(certificate, b"-----BEGIN PRIVATE KEY-----\n" + key, 1.8e9)

    def test_without_files_it_does_not_open(self, shelf):
        with pytest.raises(CertificateError, match="cannot be read"):
            shelf.open()


class TestReload:
    async def test_what_did_not_change_is_left_alone(self, shelf):
        shelf.put(shelf.authority.sign("first"))
        tls = shelf.open()
        await tls.reload()
        assert tls.overview().reloads == 0

    async def test_a_key_without_its_certificate_waits(self, shelf):
        shelf.put(shelf.authority.sign("first"))
        tls = shelf.open()
        before = tls.overview().fingerprint
        second = shelf.authority.sign("second")
        shelf.put(second, only_key=True)
        for _ in range(3):
            await tls.reload()
        waiting = tls.overview()
        assert (waiting.fingerprint, waiting.reloads) == (before, 0)
        assert "not the certificate's key" in waiting.refused
        assert tls.figures()["tls_certificate_refused"] == 1
        assert tls.figures()["tls_certificate_refusals_total"] == 1  # told once, not each second
        shelf.put(second)
        await tls.reload()
        assert tls.overview().fingerprint != before
        assert (tls.overview().refused, tls.overview().reloads) == ("", 1)

    @pytest.mark.parametrize("bad", ["missing", "junk", "ended"])
    async def test_a_bad_pair_changes_nothing(self, shelf, bad):
        shelf.put(shelf.authority.sign("first"))
        tls = shelf.open()
        before = tls.overview().fingerprint
        if bad == "missing":
            shelf.certificate.unlink()
        elif bad == "junk":
            shelf.certificate.write_bytes(b"junk")
        else:
            shelf.put(shelf.authority.sign("ended", starts=-3 * ONE_DAY, ends=-ONE_DAY))
        await tls.reload()
        assert tls.overview().fingerprint == before
        assert tls.overview().refused
        async with serving(tls=tls) as site:
            assert (await site.ask(get("/"))).status == 200

    async def test_nobody_is_dropped(self, shelf):
        """Requests on kept and on new connections, without a pause, while the certificate changes twenty times."""
        shelf.put(shelf.authority.sign("number 0"))
        tls = shelf.open()
        served, is_over, shown = [0, 0], False, set()
        async with serving(tls=tls) as site:

            async def keeps() -> None:
                client = await site.client()
                while not is_over:
                    await client.send(get("/"))
                    assert (await client.reply()).status == 200
                    served[0] += 1

            async def comes_anew() -> None:
                while not is_over:
                    client = await site.client()
                    shown.add(client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
                    await client.send(get("/"))
                    assert (await client.reply()).status == 200
                    served[1] += 1
                    await client.close()
                    site.clients.remove(client)

            async with asyncio.TaskGroup() as visitors:
                for visit in (keeps, keeps, comes_anew, comes_anew):
                    visitors.create_task(visit())
                for number in range(1, SWAPS + 1):
                    made = shelf.authority.sign(f"number {number}")
                    shelf.put(made)
                    await tls.reload()
                    context = streets.trusting()
                    _, writer = await asyncio.open_connection("127.0.0.1", site.port, ssl=context)
                    leaf = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
                    assert leaf == ssl.PEM_cert_to_DER_cert(text(made).decode())
                    writer.close()
                    await asyncio.sleep(0.02)
                is_over = True
        assert tls.overview().reloads == SWAPS
        assert len(shown) > 3
        assert min(served) >= SWAPS
        assert tls.overview().failures == {}

    async def test_ticket_keys_change_each_day(self, shelf, clock):
        shelf.put(shelf.authority.sign("first", ends=10 * ONE_DAY))
        clock.step(SystemClock().now() - clock.now())
        tls = ServedTls.open(shelf.settings, "", clock)
        before = tls.connection().get_context()
        clock.step(23 * 3_600)
        await tls.reload()
        assert tls.connection().get_context() is before
        clock.step(2 * 3_600)
        await tls.reload()
        assert tls.connection().get_context() is not before
