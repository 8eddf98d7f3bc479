"""The authority of this machine's own: who trusts it trusts a few names, and no others even if its key is stolen."""

import contextlib
import json
import stat
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from doorward.hall.clock import SystemClock
from doorward.vault import local_ca
from doorward.vault.tls_commands import tls_app
from doorward.vault.tls_pair import CertificateError
from doorward.vault.tls_settings import TlsSettings
from doorward.vault.tls_site import TlsSite

DAY = 86_400
NOW = SystemClock().now()


def root_of(directory) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / local_ca.AUTHORITY).read_bytes())


def verified(root: x509.Certificate, leaf: x509.Certificate, host: str) -> None:
    """As a browser that trusts this root would."""
    builder = PolicyBuilder().store(Store([root]))
    builder.build_server_verifier(x509.DNSName(host)).verify(leaf, [])


class TestWhatIsMade:
    def test_its_certificate_is_trusted_for_its_names(self, tmp_path):
        pair = local_ca.ensure(tmp_path, ["Dev.Example.com."], NOW)
        assert set(pair.names) == {"dev.example.com", *local_ca.ALWAYS}
        for host in ("localhost", "dev.example.com"):
            verified(root_of(tmp_path), pair.chain[0], host)
        assert pair.expires_at - NOW == pytest.approx(7 * DAY, abs=2)

    def test_keys_are_for_their_owner_only(self, tmp_path):
        local_ca.ensure(tmp_path, [], NOW)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes == {
            "authority.pem": 0o644, "authority-key.pem": 0o600, "certificate.pem": 0o644, "key.pem": 0o600
        }  # fmt: skip

    def test_a_stolen_key_makes_no_certificate_for_others(self, tmp_path):
        local_ca.ensure(tmp_path, [], NOW)
        key = serialization.load_pem_private_key((tmp_path / "authority-key.pem").read_bytes(), None)
        thief = local_ca._Signer(root_of(tmp_path), key)
        local_ca._issue(tmp_path, thief, ("bank.example.com", "localhost"), NOW)
        leaf = x509.load_pem_x509_certificates((tmp_path / "certificate.pem").read_bytes())[0]
        with pytest.raises(VerificationError):
            verified(root_of(tmp_path), leaf, "bank.example.com")

    def test_it_is_renewed_before_its_end_and_not_sooner(self, tmp_path):
        first = local_ca.ensure(tmp_path, ["dev.test"], NOW)
        root = root_of(tmp_path)
        assert local_ca.ensure(tmp_path, [], NOW + 4 * DAY).fingerprint == first.fingerprint
        second = local_ca.ensure(tmp_path, [], NOW + 6 * DAY)
        assert second.fingerprint != first.fingerprint
        assert second.names == first.names
        assert root_of(tmp_path) == root
        long_after = local_ca.ensure(tmp_path, [], NOW + 900 * DAY)
        assert root_of(tmp_path) != root
        assert long_after.expires_at > NOW + 900 * DAY

    def test_further_names_need_another_authority(self, tmp_path):
        local_ca.ensure(tmp_path, [], NOW)
        root = root_of(tmp_path)
        assert "new.test" in local_ca.ensure(tmp_path, ["new.test"], NOW).names
        assert root_of(tmp_path) != root

    def test_half_written_files_are_made_anew(self, tmp_path):
        local_ca.ensure(tmp_path, [], NOW)
        (tmp_path / "key.pem").write_bytes(b"")
        assert local_ca.ensure(tmp_path, [], NOW).chain

    @pytest.mark.parametrize(
        "host", ["", "a b", "-x.example", "*.example.com", "exa_mple", "x" * 64, "a..b", "é.example"]
    )
    def test_what_is_no_host_is_refused(self, tmp_path, host):
        with pytest.raises(CertificateError, match="must be a name"):
            local_ca.ensure(tmp_path, [host], NOW)

    @given(st.text(max_size=300))
    def test_any_text_is_a_host_or_refused(self, text):
        with contextlib.suppress(CertificateError):
            assert set(local_ca.ALWAYS) <= set(local_ca.checked_hosts([text]))


class TestCommands:
    @pytest.fixture
    def site(self, tmp_path) -> TlsSite:
        return TlsSite(TlsSettings(mode="local"), str(tmp_path), "127.0.0.1", 1, "https://dev.test")

    def run(self, site, *words: str) -> dict:
        done = CliRunner().invoke(tls_app(lambda: site), [*words, "--json"])
        return json.loads(done.output) | {"exit": done.exit_code}

    def test_local_makes_it_and_says_where(self, site):
        made = self.run(site, "local", "--host", "more.test")
        assert set(made["names"]) == {"dev.test", "more.test", *local_ca.ALWAYS}
        assert made["authority"].endswith("/tls/local/authority.pem")
        told = CliRunner().invoke(tls_app(lambda: site), ["local"]).output
        assert "--cacert" in told
        assert "update-ca-certificates" in told

    def test_local_refuses_what_is_no_host(self, site):
        refused = self.run(site, "local", "--host", "no host")
        assert (refused["exit"], refused["error"]["code"]) == (1, "tls.certificate")

    def test_status_says_what_is_wrong(self, site):
        found = self.run(site, "status")
        assert (found["exit"], found["ok"]) == (1, False)
        assert "cannot be read" in found["files"]["problem"]
        assert found["served"]["problem"]
        off = replace(site, settings=TlsSettings(mode="off"))
        assert self.run(off, "status") == {
            "exit": 0, "ok": True, "mode": "off", "files": {"is_on": False}, "served": {}
        }  # fmt: skip
        local_ca.ensure(site.settings.certificate_path(site.data_directory).parent, ["dev.test"], NOW)
        assert "dev.test" in self.run(site, "status")["files"]["names"]
