"""The console's page of the vault and its JSON twin, on a whole house in memory."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest

from doorward.accounts.model import Visitor
from doorward.edge.app import build_app, build_letters
from doorward.edge.server import build_street, build_view
from doorward.house import House
from doorward.vault.rotations import KeysOverview
from doorward.vault.tls import TransportOverview

SAME = {"sec-fetch-site": "same-origin"}
FORM = {**SAME, "content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}
TLS = TransportOverview(True, expires_at=2e9, handshakes={("TLSv1.3", "X25519MLKEM768", "TLS_AES_128_GCM_SHA256"): 7})


@pytest.fixture
async def open_house() -> AsyncIterator[House]:
    house = await House.in_memory(build_letters())
    yield house
    await house.close()


@pytest.fixture
async def browser(open_house: House, client: Any) -> Any:
    view = build_view(open_house, lambda: True, build_street(open_house), transport=lambda: TLS)
    return type(client)(build_app(view))


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
    assert "<progress" not in page.text
    assert "style=" not in page.text


async def test_a_rotation_in_between_is_shown_with_what_is_left(open_house, browser, admin):
    async def overview() -> KeysOverview:
        return KeysOverview(4, 1e9, {3: 30, 4: 70}, is_rotating=True)

    open_house.rotations.overview = overview
    page = await browser.get("/console/vault", headers=admin)
    assert '<progress id="vault-progress" max="100" value="70"></progress>' in page.text
    shown = (await browser.get("/api/v1/vault", headers=admin)).json
    assert (shown["rotating"], shown["left"], shown["kek_version"]) == (True, 30, 4)
    assert shown["transport"]["handshakes"][0]["number"] == 7


async def test_the_button_replaces_the_key(open_house, browser, admin):
    assert (await browser.post("/console/vault/rotations", headers={**admin, **FORM})).status == 303
    await open_house.rotations._task
    shown = (await browser.get("/api/v1/vault", headers=admin)).json
    assert (shown["kek_version"], shown["left"], shown["rotating"]) == (2, 0, False)
    page = await browser.get("/console/vault", headers=admin)
    assert page.status == 200, "who was sealed under the former key is known as before"


async def test_the_api_replaces_the_key_and_refuses_a_second_rotation_meanwhile(open_house, browser, admin):
    rotate = partial(browser.post, "/api/v1/vault/rotations", headers={**admin, **JSON, **SAME}, body=b"{}")
    assert (await rotate()).status == 202
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
