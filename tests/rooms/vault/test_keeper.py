"""The key's service is away, or says no: who is served meanwhile, and when the vault locks itself.

A whole house behind its real street; time is a clock that is stepped.
"""

import asyncio
import importlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import requests

from doorward.config import Config
from doorward.edge.app import build_letters
from doorward.edge.server import Ways, _Server, listen
from doorward.hall.clock import SteppedClock
from doorward.house import House
from doorward.vault import locks
from doorward.vault.locks import recovery

FOLDER = Path(__file__).parents[2] / "locks"
HOUR = 3_600


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A key service that was added by one file."""
    monkeypatch.setattr(locks, "__path__", [*locks.__path__, str(FOLDER)])
    module = importlib.import_module("doorward.vault.locks.cloud_kms")
    monkeypatch.setattr(module, "SERVICE", module.Service({"ring": secrets.token_bytes(32)}))
    return module.SERVICE


@dataclass
class Door:
    """A served house, and somebody who belongs."""

    house: House
    clock: SteppedClock
    url: str
    key: str = ""

    async def get(self, path: str, **headers: str) -> requests.Response:
        return await asyncio.to_thread(requests.get, f"{self.url}{path}", headers=headers, timeout=30)

    async def belongs(self) -> int:
        """The answer to somebody whose API key is in the book."""
        return (await self.get("/v1/models", Authorization=f"Bearer {self.key}")).status_code

    async def figures(self) -> dict[str, float]:
        lines = (await self.get("/metrics")).text.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name.removeprefix("doorward_"): float(value) for name, value in pairs}

    async def ready(self) -> dict[str, Any]:
        answer = await self.get("/readyz")
        assert answer.status_code == 200  # those who belong are served whatever the vault does
        return answer.json()

    async def link(self) -> None:
        """Something that needs the vault: a sealed row is written and read."""
        await self.house.accounts.welcome.admin_link("somebody@example.com")

    async def pass_time(self, seconds: float, every: float = 60) -> None:
        """Let time pass; the job looks at the key at its own pace."""
        while seconds > 0:
            self.clock.step(min(every, seconds))
            await self.house.stores.vault.keeper.check()
            seconds -= every


@asynccontextmanager
async def door(directory: Path, **vault: object) -> AsyncIterator[Door]:
    values = {
        "secret": secrets.token_urlsafe(48), "server": {"port": 0},
        "stores": {"data_directory": str(directory)}, "vault": vault,
    }  # fmt: skip
    config, clock = msgspec.convert(values, Config), SteppedClock(1.8e9)
    house = await House.open(config, build_letters(), clock=clock)
    listener = listen(config.server.host, 0)
    server = _Server(house, listener, Ways())
    running = asyncio.create_task(server.run())
    try:
        while not server.started:  # noqa: ASYNC110  # uvicorn says it by a flag
            await asyncio.sleep(0.01)
        found = Door(house, clock, f"http://127.0.0.1:{listener.getsockname()[1]}")
        link, _ = await house.accounts.welcome.admin_link("admin@example.com")
        await asyncio.to_thread(_come_in, found, urlsplit(link).path)
        yield found
    finally:
        server.should_exit = True
        await running
        listener.close()
        await house.close()


def _come_in(found: Door, path: str) -> None:
    with requests.Session() as session:
        assert session.post(found.url + path, allow_redirects=False).status_code == 303
        form, headers = {"name": "tests", "scopes": ["*"]}, {"Sec-Fetch-Site": "same-origin"}
        answer = session.post(f"{found.url}/api/v1/keys", json=form, headers=headers)
        assert answer.status_code == 201, answer.text
        found.key = answer.json()["key"]


async def test_an_outage_of_a_day_leaves_everybody_served_and_then_those_who_belong(tmp_path, service):
    async with door(tmp_path, unlock="cloud-kms", lock_options=["key=ring"]) as found:
        service.is_away = True
        await found.pass_time(23.9 * HOUR, every=600)
        await found.link()
        assert await found.belongs() == 200
        state = await found.ready()
        assert state["parts"]["vault"] == "key away"
        assert state["lanes"] == {"existing": "ok", "signups": "ok"}
        assert (await found.figures())["vault_key_unconfirmed_seconds"] == pytest.approx(23.9 * HOUR, abs=700)

        await found.pass_time(600)
        assert found.house.stores.vault.is_locked
        with pytest.raises(Exception, match="key ring is locked"):
            await found.link()
        assert await found.belongs() == 200
        await asyncio.sleep(1.1)  # readiness asks its parts once a second
        state = await found.ready()
        assert state["parts"]["vault"] == "away"
        assert state["lanes"] == {"existing": "ok", "signups": "degraded"}
        assert (await found.figures())["vault_locked"] == 1
        assert (await found.get("/signup")).status_code in {200, 503}  # a page or a clear refusal, never a crash

        service.is_away = False
        await found.pass_time(60)
        assert not found.house.stores.vault.is_locked
        await found.link()
        assert (await found.figures())["vault_locked"] == 0


async def test_a_revoked_key_locks_the_vault_after_its_grace(tmp_path, service):
    async with door(tmp_path, unlock="cloud-kms", lock_options=["key=ring"], revoked_minutes=10) as found:
        key = service.keys.pop("ring")
        await found.pass_time(9 * 60)
        await found.link()
        assert (await found.figures())["vault_key_refused"] == 1
        service.is_away = True  # an answer that fails to come does not stop the clock
        await found.pass_time(3 * 60)
        assert found.house.stores.vault.is_locked
        assert await found.belongs() == 200
        service.is_away, service.keys["ring"] = False, secrets.token_bytes(32)  # another key of that name
        await found.pass_time(60)
        assert found.house.stores.vault.is_locked
        service.keys["ring"] = key
        await found.pass_time(60)
        await found.link()


async def test_a_mistake_that_is_undone_in_time_has_no_effect(tmp_path, service):
    async with door(tmp_path, unlock="cloud-kms", lock_options=["key=ring"]) as found:
        for _ in range(3):
            key = service.keys.pop("ring")
            await found.pass_time(8 * 60)
            service.keys["ring"] = key
            await found.pass_time(60)
        assert not found.house.stores.vault.is_locked
        assert found.house.stores.vault.keeper.locks_at() is None


async def test_the_recovery_sheet_opens_a_vault_whose_service_is_gone(tmp_path, service):
    from doorward.vault import rekeying
    from doorward.vault.locks import choice
    from doorward.vault.site import Site

    async with door(tmp_path, unlock="cloud-kms", lock_options=["key=ring"]) as found:
        site = Site(found.house.config.vault, str(tmp_path), "")
        wish = rekeying.Wish(new_recovery=True)
        done = rekeying.rekey(site, wish, lambda _file: choice.configured(site), 1.8e9)
        service.is_away = True
        await found.pass_time(25 * HOUR, every=600)
        assert found.house.stores.vault.is_locked
        found.house.stores.vault.keeper.open_with(recovery.of_sheet(done.sheet, done.ring_id))
        await found.link()
        await found.pass_time(23 * HOUR, every=600)  # the time limits began anew
        await found.link()


async def test_a_key_that_was_given_once_is_not_asked_for_again(tmp_path):
    async with door(tmp_path) as found:
        (tmp_path / "keyring.key").unlink()
        await found.pass_time(48 * HOUR, every=HOUR)
        await found.link()
        assert (await found.ready())["parts"]["vault"] == "ok"
