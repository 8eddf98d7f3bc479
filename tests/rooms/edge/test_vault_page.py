"""The console's page of the vault and its JSON twin, on a whole house in memory."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest

from doorward.accounts.model import Visitor
from doorward.edge.api_schemas import SCHEMAS
from doorward.edge.app import build_app, build_letters
from doorward.edge.server import build_street, build_view
from doorward.house import House
from doorward.vault.model import BackupsPanel, CertificatesPanel
from doorward.vault.panels import VaultParts, transport_of
from doorward.vault.rotations import KeysOverview
from doorward.vault.tls import TransportOverview
from doorward.vault.web import routes

SAME = {"sec-fetch-site": "same-origin"}
FORM = {**SAME, "content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}
TLS = TransportOverview(
    True,
    names=("door.example",),
    expires_at=2e9,
    handshakes={
        ("TLSv1.3", "X25519MLKEM768", "TLS_AES_128_GCM_SHA256"): 7,
        ("TLSv1.3", "x25519", "TLS_AES_128_GCM_SHA256"): 2,
        ("TLSv1.2", "secp256r1", "ECDHE-RSA-AES128-GCM-SHA256"): 1,
    },
    failures={"not_tls": 3},
)


@pytest.fixture
async def open_house() -> AsyncIterator[House]:
    house = await House.in_memory(build_letters())
    yield house
    await house.close()


@pytest.fixture
async def browser(open_house: House, client: Any) -> Any:
    view = build_view(open_house, lambda: True, build_street(open_house), transport=lambda: TLS)
    return type(client)(build_app(view))


def with_parts(house: House, client: Any, **more: Any) -> Any:
    """A browser in front of this house's vault page alone, with other providers."""
    stores = house.stores
    parts = VaultParts(vault=stores.vault, rotations=house.rotations, shredding=stores.shredding, **more)
    view = build_view(house, lambda: True, build_street(house))
    rooms = tuple(room for room in view.rooms if room.func is not routes)
    return type(client)(build_app(replace(view, rooms=(*rooms, partial(routes, parts)))))


@pytest.fixture
async def admin(open_house: House) -> dict[str, str]:
    url, _ = await open_house.accounts.welcome.admin_link("admin@example.org")
    token = urlsplit(url).path.rpartition("/")[2]
    entered = await open_house.accounts.welcome.accept(token, Visitor(device="", label="test", replaces=""), "en")
    return {"cookie": f"doorward={entered.token}"}


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_the_page_shows_ring_keys_shredding_and_transport(open_house, browser, admin, language):
    page = await browser.get("/console/vault", headers={**admin, "accept-language": language})
    assert page.status == 200
    assert open_house.stores.vault.ring_id in page.text
    assert "X25519MLKEM768" in page.text
    assert 'action="/console/vault/rotations"' in page.text
    assert open_house.stores.shredding.public_key in page.text
    assert "<progress" not in page.text
    assert "style=" not in page.text
    assert page.text.count('<svg role="img"') == 3, "shares of versions, groups and suites"
    assert page.text.count('<details class="twin">') == 3, "each as a table too"


async def test_shares_are_of_all_handshakes(browser, admin):
    shown = (await browser.get("/api/v1/vault", headers=admin)).json["transport"]
    assert shown["post_quantum_percent"] == 70.0
    assert shown["failures"] == {"not_tls": 3}
    groups = {one.name: one.percent for one in transport_of(TLS).groups}
    assert groups == {"X25519MLKEM768": 70.0, "x25519": 20.0, "secp256r1": 10.0}
    nothing = transport_of(TransportOverview(True))
    assert (nothing.groups, nothing.post_quantum_percent) == ((), None)


async def test_what_nobody_provides_is_not_shown(open_house, client, admin):
    bare = with_parts(open_house, client)
    page = await bare.get("/console/vault", headers=admin)
    for name in ("vault-transport", "vault-certificates", "vault-backups"):
        assert f'id="{name}"' not in page.text
    shown = (await bare.get("/api/v1/vault", headers=admin)).json
    assert (shown["transport"], shown["certificates"], shown["backups"]) == (None, None, None)


async def test_certificates_and_backups_are_shown_by_whom_has_them(open_house, client, admin):
    class Ordered:
        async def overview(self) -> CertificatesPanel:
            return CertificatesPanel("https://ca.example/dir", ("door.example",), 2e9, 1.9e9, 2, "rateLimited", 1.8e9)

    async def backups() -> BackupsPanel:
        return BackupsPanel(1.7e9, 5_000_000, 1.6e9, drill_failed=True)

    whole = with_parts(open_house, client, certificates=Ordered(), backups=backups)
    page = await whole.get("/console/vault", headers=admin)
    for words in ("https://ca.example/dir", "door.example", "rateLimited", "5.0 MB", 'class="notice bad"'):
        assert words in page.text
    shown = (await whole.get("/api/v1/vault", headers=admin)).json
    jsonschema_rs.validate({**SCHEMAS["VaultState"], "components": {"schemas": SCHEMAS}}, shown)
    assert (shown["certificates"]["failures"], shown["backups"]["size_bytes"]) == (2, 5_000_000)


async def test_a_locked_vault_is_shown_and_rotates_nothing(open_house, browser, admin):
    assert (await browser.get("/console/vault", headers=admin)).status == 200
    open_house.stores.vault.lock()
    page = await browser.get("/console/vault", headers=admin)
    assert page.status == 200
    assert "doorward vault unlock" in page.text
    assert (await browser.get("/api/v1/vault", headers=admin)).json["ring"]["state"] == "locked"
    answer = await browser.post("/api/v1/vault/rotations", headers={**admin, **JSON, **SAME}, body=b"{}")
    assert (answer.status, answer.json["code"]) == (503, "vault.locked")


async def test_a_rotation_in_between_is_shown_with_what_is_left(open_house, browser, admin):
    async def overview() -> KeysOverview:
        return KeysOverview(4, 1e9, {3: 30, 4: 70}, is_rotating=True)

    open_house.rotations.overview = overview
    page = await browser.get("/console/vault", headers=admin)
    assert '<progress id="vault-progress" max="100" value="70"></progress>' in page.text
    shown = (await browser.get("/api/v1/vault", headers=admin)).json
    keys = shown["keys"]
    assert (keys["rotating"], keys["left"], keys["kek_version"]) == (True, 30, 4)
    assert [one["number"] for one in shown["transport"]["handshakes"]] == [1, 7, 2]


async def test_the_button_replaces_the_key(open_house, browser, admin):
    answers = [await browser.post("/console/vault/rotations", headers={**admin, **FORM}) for _ in range(2)]
    assert [(one.status, one.headers["location"]) for one in answers] == [
        (303, "/console/vault?rotation=begun"), (303, "/console/vault?rotation=running"),
    ]  # fmt: skip
    page = await browser.get("/console/vault?rotation=begun", headers=admin)
    assert "The rotation has begun." in page.text
    await open_house.rotations._task
    shown = (await browser.get("/api/v1/vault", headers=admin)).json
    keys, rotation = shown["keys"], shown["rotation"]
    assert (keys["kek_version"], keys["left"], keys["rotating"]) == (2, 0, False)
    assert (rotation["running"], rotation["done"], rotation["version"]) == (False, True, 2)
    page = await browser.get("/console/vault", headers=admin)
    assert page.status == 200, "who was sealed under the former key is known as before"


async def test_the_api_replaces_the_key_and_refuses_a_second_rotation_meanwhile(open_house, browser, admin):
    rotate = partial(browser.post, "/api/v1/vault/rotations", headers={**admin, **JSON, **SAME}, body=b"{}")
    first = await rotate()
    assert (first.status, first.headers["location"], first.json["running"]) == (202, "/api/v1/vault", True)
    second = await rotate()
    assert (second.status, second.json["code"]) == (409, "durable.busy")
    await open_house.rotations._task
    assert (await open_house.rotations.overview()).kek_version == 2


async def test_the_tick_box_asks_for_data_keys_too(open_house, browser, admin):
    asked: list[bool] = []
    open_house.rotations.begin = lambda *, with_data_keys: asked.append(with_data_keys) or True
    assert (
        await browser.post("/console/vault/rotations", headers={**admin, **FORM}, body=b"with_data_keys=true")
    ).status == 303
    assert asked == [True]


@pytest.mark.parametrize("path", ["/console/vault", "/console/vault/events", "/api/v1/vault"])
async def test_it_is_for_administrators_only(browser, path):
    answer = await browser.get(path, headers={"accept": "application/json"})
    assert answer.status == 401


@pytest.mark.parametrize("path", ["/console/vault/rotations", "/api/v1/vault/rotations"])
async def test_strangers_and_other_sites_rotate_nothing(open_house, browser, admin, path):
    assert (await browser.post(path, headers={**JSON, **SAME}, body=b"{}")).status == 401
    other = {**admin, **JSON, "sec-fetch-site": "cross-site"}
    assert (await browser.post(path, headers=other, body=b"{}")).status == 403
    assert (await open_house.rotations.overview()).kek_version == 1


async def test_the_stream_tells_how_far_it_is(open_house, browser, admin):
    stream = partial(browser.get, "/console/vault/events", headers=admin)
    answer = await stream()  # the client hangs up at once
    assert answer.headers["content-type"].startswith("text/event-stream")
