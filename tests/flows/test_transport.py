"""A person's browser over TLS: plain HTTP leads to https, the sign-up works, and the browser remembers never to go back."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, expect, sync_playwright

import authorities
from acceptance.running import program, running, shell

pytestmark = pytest.mark.browser

NAME = "ai.example.com"
URL = f"https://{NAME}"
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@dataclass
class Door:
    """A Doorward that speaks TLS by this machine's own authority, with a plain listener beside it."""

    directory: Path
    settings: dict[str, str]
    port: int
    plain_port: int

    def trusted(self) -> str:
        """The public key that is shown, as Chromium wants to be told whom to trust."""
        file = self.directory / "doorward-data" / "tls" / "local" / "certificate.pem"
        key = x509.load_pem_x509_certificate(file.read_bytes()).public_key()
        return base64.b64encode(
            hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
        ).decode()

    def admin_link(self) -> str:
        """The one-time link of an administrator."""
        said = shell("doorward admin link --email admin@example.org --json", self.directory, **self.settings)
        return str(json.loads(said)["link"])


@pytest.fixture(scope="module")
def door(tmp_path_factory) -> Iterator[Door]:
    directory, plain_port = tmp_path_factory.mktemp("transport"), authorities.free_port()
    shell(f"doorward tls local --host {NAME}", directory)
    local = directory / "doorward-data" / "tls" / "local"
    settings = {
        "DOORWARD_TLS_MODE": "files",  # as in earnest: of a certificate of this machine's own no HSTS is said
        "DOORWARD_TLS_CERTIFICATE": str(local / "certificate.pem"),
        "DOORWARD_TLS_KEY": str(local / "key.pem"),
        "DOORWARD_SERVER_PUBLIC_URL": URL,
        "DOORWARD_SERVER_REDIRECT_PORT": str(plain_port),
    }
    with running(directory, "serve", **settings) as url:
        yield Door(directory, settings, int(url.rpartition(":")[2]), plain_port)


@pytest.fixture(scope="module")
def browser(door) -> Iterator[Browser]:
    """Chromium that finds the public name here, and trusts the key that is shown here."""
    chromium = program("chromium")
    led = f"MAP {NAME}:443 127.0.0.1:{door.port},MAP {NAME}:80 127.0.0.1:{door.plain_port}"
    more = [f"--host-resolver-rules={led}", f"--ignore-certificate-errors-spki-list={door.trusted()}"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, *more])
        yield started
        started.close()


def test_a_person_comes_by_http_signs_up_over_https_and_never_goes_back(browser, door):
    with browser.new_context() as operator, browser.new_context() as person:
        admin = operator.new_page()
        link = urlsplit(door.admin_link())
        assert f"{link.scheme}://{link.netloc}" == URL
        admin.goto(link.geturl())
        admin.locator("main form button").click()
        expect(admin).to_have_url(re.compile(r"/console"))

        page = person.new_page()
        came = page.goto(f"http://{NAME}/signup")
        assert came.url == f"{URL}/signup"
        assert came.request.redirected_from.response().status == 308
        assert came.header_value("strict-transport-security").startswith("max-age=")
        page.get_by_label("E-mail address").fill("ada@example.org")
        page.get_by_role("main").get_by_role("button", name="Sign up").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Look into your mail")

        letters = f"{URL}/api/v1/admin/letters?recipient=ada%40example.org"
        text = admin.evaluate("address => fetch(address).then(answer => answer.json())", letters)["letters"][-1]["text"]
        page.get_by_label("Code").fill(re.search(r"^\d{4}[ -]?\d{4}$", text, re.MULTILINE)[0])
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Your account")

        (cookie,) = [each for each in person.cookies() if each["name"] == "__Host-doorward"]
        assert (cookie["secure"], cookie["httpOnly"], cookie["path"]) == (True, True, "/")
        assert all(each["secure"] for each in person.cookies())

        again = page.goto(f"http://{NAME}/account")
        assert (again.url, again.status) == (f"{URL}/account", 200)
        assert again.request.redirected_from.response().status == 307  # the browser's own: it did not ask port 80
