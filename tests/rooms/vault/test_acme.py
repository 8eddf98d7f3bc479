"""Ordering, renewing and revoking certificates at a real authority (Caddy), with our own port-80 listener."""

import asyncio
import contextlib
import json
import os
import socket
import time
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from sqlalchemy import select

import authorities
import streets
from authorities import Reply
from doorward.edge.redirect import Redirect
from doorward.edge.server import listen
from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock
from doorward.hall.events import CertificateFailed, CertificateNearlyExpired, CertificateRenewed
from doorward.stores.errors import StoreUnavailableError
from doorward.stores.outbox import Outbox
from doorward.vault import acme_tables as rows
from doorward.vault import local_ca
from doorward.vault.acme import AcmeParts, Certificates
from doorward.vault.acme_errors import (
    AcmeOffError,
    AlreadyOrderingError,
    AuthorityError,
    NoCertificateError,
    NotDueError,
)
from doorward.vault.acme_settings import AcmeSettings
from doorward.vault.tls_pair import checked_pair
from rows import open_rows

ORIGIN = "https://ai.example.com"
HOUR = 3_600.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority that issues for a day, for names under example.com only."""
    with authorities.authority(
        tmp_path_factory.mktemp("authority"), policy="allow {\n domains *.example.com\n }"
    ) as running:
        yield running


@dataclass
class Site:
    """Certificates of one instance, and what it needs for them."""

    certificates: Certificates
    parts: AcmeParts
    clock: SteppedClock
    heard: list[object]
    outbox: Outbox

    def node(self, **settings: object) -> Certificates:
        """Another process on the same database, with files of its own."""
        own = self.parts.certificate_path.parent / str(id(settings))
        values = msgspec.to_builtins(self.parts.settings) | settings
        return Certificates(
            AcmeParts(
                settings=msgspec.convert(values, AcmeSettings),
                certificate_path=own / "certificate.pem",
                key_path=own / "key.pem",
                database=self.parts.database,
                outbox=self.outbox,
                clock=self.clock,
                owner=f"node_{id(settings)}",
            )
        )

    def leaf(self) -> x509.Certificate:
        """What the files hold; key and certificate fit."""
        certificate, key = self.parts.certificate_path.read_bytes(), self.parts.key_path.read_bytes()
        return checked_pair(certificate, key, time.time()).chain[0]

    async def told(self) -> list[object]:
        """The events so far."""
        await self.outbox.deliver_each()
        return self.heard


@contextlib.asynccontextmanager
async def at(authority, database, folder: Path, /, **settings: object):
    """A site whose port 80 the authority asks."""
    clock, bus, heard = SteppedClock(time.time()), Bus(), []
    for kind in (CertificateRenewed, CertificateFailed, CertificateNearlyExpired):

        async def hear(event) -> None:
            heard.append(event)

        bus.on_each_node(kind, hear)
    outbox = Outbox(database, bus, clock, "node_test")
    await outbox.mark()
    parts = AcmeParts(
        settings=msgspec.convert(authority.settings(**settings), AcmeSettings),
        certificate_path=folder / "tls" / "certificate.pem",
        key_path=folder / "tls" / "key.pem",
        database=database,
        outbox=outbox,
        clock=clock,
        owner="node_first",
    )
    certificates = Certificates(parts)
    listener = listen("127.0.0.1", 0)
    redirect = await Redirect.open(listener, ORIGIN, certificates.challenges)
    authority.names.target = listener.getsockname()[1]
    try:
        yield Site(certificates, parts, clock, heard, outbox)
    finally:
        await redirect.close()


@pytest.fixture
async def rows_only(sqlite_url):
    """A database in SQLite: for tests that are not about rows."""
    opened = await open_rows(sqlite_url)
    yield opened
    await opened.close()


@pytest.fixture
async def site(authority, rows_only, tmp_path):
    """A site in SQLite."""
    async with at(authority, rows_only, tmp_path) as opened:
        yield opened


@pytest.fixture
async def each_site(authority, database, tmp_path):
    """A site on each kind of database."""
    async with at(authority, database, tmp_path) as opened:
        yield opened


class TestOrder:
    async def test_a_certificate_is_ordered_kept_and_written(self, each_site, authority):
        issued = await each_site.certificates.order()
        assert each_site.leaf().not_valid_after_utc.timestamp() == issued.not_after
        assert {path.stat().st_mode & 0o777 for path in each_site.parts.key_path.parent.glob("*.pem")} == {0o600}
        assert authority.names.asked[-1][0] == "ai.example.com"
        (event,) = await each_site.told()
        assert (event.name, event.domains, event.expires_at) == (
            "vault.certificate.renewed", ["ai.example.com"], issued.not_after,
        )  # fmt: skip
        assert int(event.serial, 16) == each_site.leaf().serial_number
        assert await each_site.certificates.challenges(10) == {}
        assert each_site.certificates.figures()['acme_orders_total{result="issued"}'] == 1

    async def test_nothing_of_it_lies_open_in_the_rows(self, site):
        await site.certificates.order()
        private = site.parts.key_path.read_bytes().splitlines()[1]

        def found(connection) -> list[bytes]:
            tables = (rows.certificates, rows.accounts)
            return [bytes(row.private_key) for table in tables for row in connection.execute(select(table))]

        sealed = await site.parts.database.read(found)
        assert len(sealed) == 2
        assert not any(b"PRIVATE" in each or private in each for each in sealed)

    async def test_several_names_are_in_one_certificate(self, authority, rows_only, tmp_path):
        async with at(authority, rows_only, tmp_path, domains=["WWW.example.com", "ai.example.com"]) as site:
            await site.certificates.order()
            names = site.leaf().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert sorted(names.get_values_for_type(x509.DNSName)) == ["ai.example.com", "www.example.com"]

    async def test_a_rehearsal_keeps_nothing(self, authority, rows_only, tmp_path):
        async with at(authority, rows_only, tmp_path) as site:
            issued = await site.certificates.rehearse()
            assert issued.domains == ("ai.example.com",)
            assert not site.parts.certificate_path.exists()
            assert await rows_only.read(rows.certificate) is None
            assert await site.told() == []

    async def test_nothing_is_ordered_where_nothing_is_wanted(self, authority, rows_only, tmp_path):
        async with at(authority, rows_only, tmp_path) as site:
            off = site.node(domains=[])
            assert off.jobs() == []
            for verb in (off.order, off.rehearse):
                with pytest.raises(AcmeOffError):
                    await verb()

    async def test_one_process_orders_and_all_write_their_files(self, each_site):
        other = each_site.node()
        done = await asyncio.gather(each_site.certificates.order(), other.order(), return_exceptions=True)
        assert sorted(type(each).__name__ for each in done) == ["AlreadyOrderingError", "Certificate"]
        await each_site.certificates.put_files()
        await other.put_files()
        copies = [each.parts.certificate_path.read_text() for each in (each_site,)]
        assert {*copies, other._parts.certificate_path.read_text()} == {each_site.parts.certificate_path.read_text()}
        assert len(await each_site.told()) == 1

    async def test_an_order_is_not_made_before_it_is_due(self, site):
        await site.certificates.order()
        with pytest.raises(NotDueError):
            await site.certificates.order()
        first = site.leaf().serial_number
        await site.certificates.order(forced=True)
        assert site.leaf().serial_number != first


class TestRenewal:
    async def test_it_comes_when_a_third_of_the_life_is_left(self, site):
        await site.certificates.renew()
        first = site.leaf()
        await site.certificates.renew()
        site.clock.step(15 * HOUR)
        await site.certificates.renew()
        assert site.leaf().serial_number == first.serial_number
        site.clock.step(1.5 * HOUR)
        await site.certificates.renew()
        assert site.leaf().serial_number != first.serial_number
        assert site.leaf().public_key() != first.public_key()
        assert [event.name for event in await site.told()] == ["vault.certificate.renewed"] * 2

    async def test_other_names_are_ordered_at_once(self, authority, rows_only, tmp_path):
        async with at(authority, rows_only, tmp_path) as site:
            await site.certificates.renew()
            other = site.node(domains=["ai.example.com", "chat.example.com"])
            await other.renew()
            found = await rows_only.read(rows.certificate)
            assert found.domains == ("ai.example.com", "chat.example.com")

    async def test_what_was_lost_between_two_files_is_mended(self, site):
        """Killed after the key and before the certificate: the rows put both right again."""
        await site.certificates.order()
        whole = site.parts.certificate_path.read_bytes()
        site.parts.certificate_path.write_text("")
        site.parts.key_path.write_text("half")
        await site.certificates.put_files()
        assert site.parts.certificate_path.read_bytes() == whole
        site.leaf()

    async def test_an_issued_certificate_is_not_ordered_again_when_the_rows_are_away(
        self, authority, rows_only, tmp_path, monkeypatch
    ):
        async with at(authority, rows_only, tmp_path) as site:
            kept = rows.put_certificate

            def away(*_: object) -> None:
                raise StoreUnavailableError

            monkeypatch.setattr(rows, "put_certificate", away)
            with pytest.raises(StoreUnavailableError):
                await site.certificates.order()
            await site.certificates.put_files()
            first = site.leaf().serial_number
            with pytest.raises(StoreUnavailableError):
                await site.certificates.renew()
            monkeypatch.setattr(rows, "put_certificate", kept)
            await site.certificates.renew()
            assert site.leaf().serial_number == first
            assert len(await site.told()) == 1
            assert len(authority.names.asked) == len(set(authority.names.asked))


class TestRevoke:
    async def test_a_revoked_certificate_is_ordered_anew(self, site):
        await site.certificates.order()
        first = site.leaf().serial_number
        await site.certificates.revoke(1)
        with pytest.raises(AuthorityError, match="alreadyRevoked"):
            await site.certificates.revoke(1)
        site.clock.step(61)
        await site.certificates.renew()
        assert site.leaf().serial_number != first

    async def test_there_must_be_one(self, authority, rows_only, tmp_path):
        async with at(authority, rows_only, tmp_path) as site:
            with pytest.raises(NoCertificateError):
                await site.certificates.revoke(0)


class TestFailure:
    async def test_a_name_that_is_not_ours_is_refused(self, authority, rows_only, tmp_path):
        async with at(authority, rows_only, tmp_path, domains=["ai.example.org"]) as site:
            with pytest.raises(AuthorityError, match=r"rejectedIdentifier"):
                await site.certificates.order()

    async def test_a_listener_that_cannot_be_reached_is_told_in_the_authoritys_words(self, site, authority):
        authority.names.target = None
        with pytest.raises(AuthorityError, match=r"\(connection\).*could not connect"):
            await site.certificates.order()
        (event,) = await site.told()
        assert (event.name, event.problem, event.failures) == ("vault.certificate.failed", "connection", 1)
        assert event.retry_at >= site.clock.now() + 300

    async def test_somebody_elses_listener_is_told_too(self, authority, rows_only, tmp_path):
        async def nothing(_limit: int) -> dict[str, str]:
            return {}

        async with at(authority, rows_only, tmp_path) as site:
            listener = listen("127.0.0.1", 0)
            other = await Redirect.open(listener, ORIGIN, nothing)
            authority.names.target = listener.getsockname()[1]
            with pytest.raises(AuthorityError, match=r"unauthorized|incorrectResponse|connection"):
                await site.certificates.order()
            await other.close()

    @pytest.mark.slow
    async def test_failures_are_spread_over_restarts_and_machines(self, site, authority):
        authority.names.target = None
        await site.certificates.renew()
        other = site.node()
        await other.renew()
        assert len(await site.told()) == 1
        with pytest.raises(NotDueError) as waits:
            await other.order()
        assert 300 <= waits.value.retry_after_seconds <= 331
        site.clock.step(331)
        await other.renew()
        first, second = await site.told()
        assert second.retry_at - site.clock.now() >= 600
        assert (first.failures, second.failures) == (1, 2)

    async def test_an_authority_that_is_away_changes_nothing(self, authority, rows_only, tmp_path):
        nobody = authorities.free_port()
        async with at(authority, rows_only, tmp_path) as site:
            await site.certificates.order()
            before = site.leaf()
            site.clock.step(19 * HOUR)
            gone = site.node(directory=f"https://localhost:{nobody}/directory")
            await gone.renew()
            assert site.leaf() == before
            names = [(event.name, getattr(event, "problem", "")) for event in await site.told()]
            assert names == [
                ("vault.certificate.renewed", ""),
                ("vault.certificate.failed", "away"),
                ("vault.certificate.nearly_expired", "away"),
            ]

    async def test_an_authority_that_we_do_not_trust_hears_nothing(self, authority, rows_only, tmp_path):
        async with at(authority, rows_only, tmp_path, ca_file="") as site:
            with pytest.raises(AuthorityError, match="untrusted"):
                await site.certificates.order()

    async def test_a_lease_of_somebody_who_died_ends(self, each_site):
        now = each_site.clock.now()
        await each_site.parts.database.write(lambda c: rows.lease(c, "node_dead", now, now + 100))
        with pytest.raises(AlreadyOrderingError):
            await each_site.certificates.order()
        each_site.clock.step(101)
        await each_site.certificates.order()


@pytest.fixture
def odd(authority, tmp_path):
    """The authority, with faults."""
    with authorities.between(authority, tmp_path / "between") as running:
        yield running


@pytest.fixture
async def odd_site(authority, odd, rows_only, tmp_path):
    """A site whose authority has faults."""
    async with at(authority, rows_only, tmp_path, **odd.settings) as opened:
        yield opened


def only(part: str, reply: Reply, times: int = 1_000):
    """A fault: paths with this part get this answer, so many times."""
    left = [None] * times

    def fault(path: str, _reply: Reply) -> Reply | None:
        return reply if part in path and left and left.pop() is None else None

    return fault


class TestOddAuthority:
    async def test_a_stale_nonce_is_tried_again(self, odd, odd_site):
        odd.faults.append(only("new-order", Reply.problem(400, "badNonce"), times=1))
        await odd_site.certificates.order()
        assert odd.seen.count("/acme/local/new-order") == 2

    async def test_not_without_end(self, odd, odd_site):
        odd.faults.append(only("new-order", Reply.problem(400, "badNonce")))
        with pytest.raises(AuthorityError, match="badNonce"):
            await odd_site.certificates.order()
        assert odd.seen.count("/acme/local/new-order") == 2

    async def test_no_nonce_at_all(self, odd, odd_site):
        odd.faults.append(only("new-nonce", Reply(200, [], b"")))
        with pytest.raises(AuthorityError, match="odd_answer"):
            await odd_site.certificates.order()

    @pytest.mark.parametrize("wait", ["5000", "date"])
    async def test_its_wish_for_a_pause_is_respected(self, odd, odd_site, wait):
        text = wait if wait.isdigit() else formatdate(time.time() + 5_030, usegmt=True)
        odd.faults.append(only("new-order", Reply.problem(429, "rateLimited", Retry_After=text)))
        await odd_site.certificates.renew()
        (event,) = await odd_site.told()
        assert event.problem == "rateLimited"
        assert 5_000 <= event.retry_at - odd_site.clock.now() <= 5_550
        odd_site.clock.step(4_900)
        await odd_site.certificates.renew()
        assert len(await odd_site.told()) == 1

    async def test_a_breakdown_is_no_odd_answer(self, odd, odd_site):
        odd.faults.append(only("directory", Reply(503, [("Retry-After", "1200")], b"<h1>sorry</h1>")))
        await odd_site.certificates.renew()
        (event,) = await odd_site.told()
        assert event.problem == "away"
        assert event.retry_at - odd_site.clock.now() >= 1_200

    async def test_a_mail_address_in_its_words_goes_nowhere(self, odd, odd_site):
        odd.faults.append(only("new-account", Reply.problem(400, "invalidContact")))
        with pytest.raises(AuthorityError) as refused:
            await odd_site.certificates.order()
        assert "not for …" in refused.value.message
        assert "@" not in refused.value.message

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff" * 100], ids=range(5))
    @pytest.mark.parametrize("part", ["directory", "authz"])
    async def test_nonsense_is_an_odd_answer(self, odd, odd_site, body, part):
        def fault(path: str, reply: Reply) -> Reply | None:
            return Reply(reply.status, reply.headers, body) if part in path else None

        odd.faults.append(fault)
        with pytest.raises(AuthorityError, match=r"odd_answer|away"):
            await odd_site.certificates.order()

    async def test_plain_http_is_not_spoken(self, odd, odd_site):
        def fault(path: str, reply: Reply) -> Reply | None:
            reply.body = reply.body.replace(b"https://", b"http://")
            return reply if "directory" in path else None

        odd.faults.append(fault)
        with pytest.raises(AuthorityError, match="no https"):
            await odd_site.certificates.order()
        assert odd.seen == ["/acme/local/directory"]

    async def test_a_certificate_of_somebody_else_is_not_shown(self, odd, odd_site, tmp_path):
        local_ca.ensure(tmp_path / "other", ("ai.example.com",), time.time())
        other = (tmp_path / "other" / local_ca.CERTIFICATE).read_bytes()

        def fault(path: str, reply: Reply) -> Reply | None:
            return Reply(200, reply.headers, other) if "certificate" in path else None

        odd.faults.append(fault)
        with pytest.raises(AuthorityError, match="no certificate of ours"):
            await odd_site.certificates.order()
        assert not odd_site.parts.certificate_path.exists()

    async def test_it_may_say_when_to_renew(self, odd, odd_site):
        """RFC 9773: the window that it suggests counts, however much life is left."""
        await odd_site.certificates.order()
        first = odd_site.leaf().serial_number
        window = {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}

        def fault(path: str, reply: Reply) -> Reply | None:
            if "directory" in path:
                base = odd.settings["directory"].removesuffix("directory")
                values = json.loads(reply.body) | {"renewalInfo": f"{base}renewal-info"}
                return Reply(200, reply.headers, json.dumps(values).encode())
            if "renewal-info/" in path:
                body = json.dumps({"suggestedWindow": window}).encode()
                return Reply(200, [("Content-Type", "application/json"), ("Retry-After", "21600")], body)
            return None

        odd.faults.append(fault)
        await odd_site.certificates.renew()
        assert odd_site.leaf().serial_number != first

    async def test_one_that_never_answers_is_given_up(self, authority, rows_only, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"https://localhost:{silent.getsockname()[1]}/directory"
            async with at(authority, rows_only, tmp_path, directory=url, order_timeout_seconds=5.0) as site:
                asking = asyncio.create_task(site.certificates.order())
                await streets.until(children)
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
        await streets.until(lambda: not children())


def children() -> list[Path]:
    """The processes of ours that speak to authorities."""
    mine = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [child for child in mine if b"acme_process" in Path(f"/proc/{child}/cmdline").read_bytes()]
