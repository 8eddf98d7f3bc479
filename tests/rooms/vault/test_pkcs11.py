"""A ring whose key lies in a token (SoftHSM): it opens, it is refused, it is out of reach, and each is told apart."""

import os
import secrets
from collections.abc import Iterator

import pytest

from doorward.vault.errors import KeyRingError, KeyServiceAwayError, WrongKeyError
from doorward.vault.locks import pkcs11
from doorward.vault.locks.pkcs11 import Pkcs11Lock
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
