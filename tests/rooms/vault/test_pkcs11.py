"""A ring whose key lies in a token (SoftHSM): it opens, it is refused, it is out of reach, and each is told apart."""

import os
import secrets
from collections.abc import Iterator

import msgspec
import pytest

from doorward.hall.clock import SteppedClock
from doorward.hall.errors import VaultLockedError
from doorward.vault.errors import KeyRingError, KeyServiceAwayError, WrongKeyError
from doorward.vault.locks import pkcs11
from doorward.vault.locks.pkcs11 import Pkcs11Lock
from doorward.vault.opening import open_vault
from doorward.vault.settings import VaultSettings
from doorward.vault.site import Site
from softhsm import PIN, SoftHsm


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    pytest.importorskip("pkcs11", reason="the extra `pkcs11` is not installed")
    token = SoftHsm(tmp_path_factory.mktemp("hsm"))
    before = dict(os.environ)
    os.environ.update(token.environment)  # the module reads it when it is loaded, once in a process
    yield token
    os.environ.clear()
    os.environ.update(before)


def test_a_key_goes_around_and_is_bound_to_its_context(hsm):
    lock, key = Pkcs11Lock(hsm.module, "doorward", "ring", PIN), secrets.token_bytes(32)
    entry = lock.wrap(key, b"one")
    assert entry.parameters == {"token": "doorward", "key": "ring"}
    assert key not in entry.wrapped
    assert lock.unwrap(entry, b"one") == key
    with pytest.raises(WrongKeyError):
        lock.unwrap(entry, b"another")
    for place in (0, 20, len(entry.wrapped) - 1):
        changed = bytearray(entry.wrapped)
        changed[place] ^= 1
        with pytest.raises(WrongKeyError):
            lock.unwrap(type(entry)(kind=entry.kind, parameters={}, wrapped=bytes(changed)), b"one")
    with pytest.raises(WrongKeyError):
        lock.unwrap(type(entry)(kind=entry.kind, parameters={}, wrapped=entry.wrapped[:-1]), b"one")


def test_what_is_refused_is_told_from_what_is_away(hsm):
    key = secrets.token_bytes(32)
    with pytest.raises(WrongKeyError, match="PinIncorrect"):
        Pkcs11Lock(hsm.module, "doorward", "ring", "0000-0000").wrap(key, b"")
    with pytest.raises(WrongKeyError, match="NoSuchKey"):
        Pkcs11Lock(hsm.module, "doorward", "other", PIN).wrap(key, b"")
    with pytest.raises(KeyServiceAwayError, match="NoSuchToken"):
        Pkcs11Lock(hsm.module, "elsewhere", "ring", PIN).wrap(key, b"")
    with pytest.raises(KeyServiceAwayError):
        Pkcs11Lock("/nowhere/module.so", "doorward", "ring", PIN).wrap(key, b"")


async def test_a_ring_in_a_token_opens_survives_an_outage_and_ends_with_the_key(hsm, tmp_path):
    clock = SteppedClock(1.8e9)
    settings = msgspec.convert({**hsm.settings(), "revoked_minutes": 5}, VaultSettings)
    url = f"sqlite:///{tmp_path / 'doorward.db'}"
    vault = await open_vault(settings, str(tmp_path), url, clock)
    again = await open_vault(settings, str(tmp_path), url, clock)
    assert again.ring == vault.ring
    keeper = vault.keeper
    hsm.go_away()
    try:
        clock.step(3_600)
        await keeper.check()
        assert (keeper.state, vault.is_locked) == ("away", False)
    finally:
        hsm.come_back()
    await keeper.check()
    assert keeper.state == "sound"
    hsm.revoke_key()
    await keeper.check()
    assert (keeper.state, vault.is_locked) == ("refused", False)
    clock.step(5 * 60)
    await keeper.check()
    assert vault.is_locked
    with pytest.raises(VaultLockedError):
        vault.index("accounts.email", "a@example.com")
    with pytest.raises(WrongKeyError):
        await open_vault(settings, str(tmp_path), url, clock)
    hsm.make_key()


def test_a_token_that_was_away_is_taken_again(hsm):
    lock, key = Pkcs11Lock(hsm.module, "doorward", "ring", PIN), secrets.token_bytes(32)
    entry = lock.wrap(key, b"")
    hsm.go_away()
    try:
        for _ in range(2):
            with pytest.raises(KeyServiceAwayError):
                lock.unwrap(entry, b"")
    finally:
        hsm.come_back()
    assert lock.unwrap(entry, b"") == key
    hsm.revoke_key()
    with pytest.raises(WrongKeyError):
        lock.unwrap(entry, b"")
    hsm.make_key()  # another key of the same name
    with pytest.raises(WrongKeyError):
        lock.unwrap(entry, b"")


def test_nothing_of_it_shows_the_pin():
    assert PIN not in repr(Pkcs11Lock("m", "t", "k", PIN))
    with pytest.raises(KeyRingError, match="pkcs11_token"):
        pkcs11.configured(Site(VaultSettings(unlock="pkcs11", pkcs11_module="m", pin=PIN), "d", "sqlite://"))
