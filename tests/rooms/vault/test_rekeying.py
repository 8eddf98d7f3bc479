"""Changing what opens the ring: at every moment something does, and it is always the same ring."""

import secrets
import time
from pathlib import Path

import pytest

from doorward.vault import opening, rekeying, ringfile
from doorward.vault.errors import KeyRingError, RecoverySheetError, WeakPassphraseError, WrongKeyError
from doorward.vault.locks import choice, key_file, recovery
from doorward.vault.locks.passphrase import PassphraseLock
from doorward.vault.rekeying import Wish
from doorward.vault.settings import VaultSettings
from doorward.vault.site import Site

GOOD = "seven purple walrus engines at dawn"


class KilledError(Exception):
    """Stands for a kill right after a step."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(VaultSettings(), str(tmp_path), f"sqlite:///{tmp_path}/doorward.db")


@pytest.fixture
def made(site: Site) -> opening.Made:
    return opening.ring_of(site, None, time.time(), with_sheet=True)


def by_configuration(site: Site):
    return lambda _file: choice.configured(site)


def by_sheet(sheet: str):
    return lambda file: recovery.of_sheet(sheet, file.ring_id)


def opens(site: Site, lock) -> bool:
    try:
        return bool(ringfile.open_with(ringfile.read(site.ring_path), lock).ring)
    except WrongKeyError:
        return False


@pytest.mark.parametrize("step", ["both", "key", "alone"])
def test_a_new_key_killed_after_any_step_leaves_the_ring_open(site, made, step):
    def watch(name: str) -> None:
        if name == step:
            raise KilledError

    with pytest.raises(KilledError):
        rekeying.rekey(site, Wish("key-file"), by_configuration(site), time.time(), watch)
    assert opening.ring_of(site, made.kept.ring.ring_id, 0).kept.ring == made.kept.ring
    done = rekeying.rekey(site, Wish("key-file"), by_configuration(site), time.time())
    assert done.locks == ("key-file", "recovery")
    assert opening.ring_of(site, made.kept.ring.ring_id, 0).kept.ring == made.kept.ring
    assert not opens(site, made.lock)


def test_a_lost_key_is_made_anew_from_the_sheet(site, made):
    site.key_path.unlink()
    rekeying.rekey(site, Wish("key-file"), by_sheet(made.sheet), time.time())
    assert opening.ring_of(site, made.kept.ring.ring_id, 0).kept.ring == made.kept.ring


def test_another_kind_takes_the_place_of_the_former_and_the_sheet_stays(site, made):
    done = rekeying.rekey(site, Wish("passphrase", GOOD), by_configuration(site), time.time())
    assert done.locks == ("passphrase", "recovery")
    assert opens(site, PassphraseLock(GOOD))
    assert not opens(site, made.lock)
    assert not opens(site, PassphraseLock(GOOD + "!"))
    assert opens(site, recovery.of_sheet(made.sheet, done.ring_id))
    key = secrets.token_hex(32)
    rekeying.rekey(site, Wish("environment", key), by_sheet(made.sheet), time.time())
    other = Site(VaultSettings(unlock="environment", key=key), site.data_directory, site.database_url)
    assert opening.ring_of(other, made.kept.ring.ring_id, 0).kept.ring == made.kept.ring


def test_a_new_sheet_ends_the_former(site, made):
    done = rekeying.rekey(site, Wish(new_recovery=True), by_configuration(site), time.time())
    assert done.sheet not in {"", made.sheet}
    assert opens(site, recovery.of_sheet(done.sheet, done.ring_id))
    assert not opens(site, recovery.of_sheet(made.sheet, done.ring_id))
    assert opens(site, made.lock)


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (Wish("passphrase", "letmein2026"), WeakPassphraseError), (Wish("passphrase"), WrongKeyError),
        (Wish("environment"), WrongKeyError), (Wish("environment", "00" * 32), KeyRingError),
        (Wish("cloud"), KeyRingError), (Wish("recovery"), KeyRingError),
    ],
)  # fmt: skip
def test_a_bad_new_key_changes_nothing(site, made, wish, error):
    before = {path: path.read_bytes() for path in Path(site.data_directory).iterdir()}
    with pytest.raises(error):
        rekeying.rekey(site, wish, by_configuration(site), time.time())
    assert {path: path.read_bytes() for path in Path(site.data_directory).iterdir()} == before


def test_who_cannot_open_the_ring_changes_nothing(site, made):
    before = {path: path.read_bytes() for path in Path(site.data_directory).iterdir()}
    other = recovery.sheet(secrets.token_bytes(32), made.kept.ring.ring_id, 0)
    for opens_with, error in (
        (by_sheet(other), WrongKeyError),
        (by_sheet("nothing"), RecoverySheetError),
        (lambda _file: key_file.of_key(secrets.token_bytes(32)), WrongKeyError),
    ):
        with pytest.raises(error):
            rekeying.rekey(site, Wish("key-file"), opens_with, time.time())
    assert {path: path.read_bytes() for path in Path(site.data_directory).iterdir()} == before


def test_the_passphrases_costs_are_bounded(site):
    key, context = secrets.token_bytes(32), b"context"
    entry = PassphraseLock(GOOD).wrap(key, context)
    assert entry.parameters["memory_kib"] >= 19 * 1024
    assert PassphraseLock(GOOD).unwrap(entry, context) == key
    for change in ({"memory_kib": 1_024}, {"memory_kib": 2**30}, {"passes": 1}, {"passes": 10**6}, {"lanes": 0}):
        bad = type(entry)(kind=entry.kind, parameters={**entry.parameters, **change}, wrapped=entry.wrapped)
        with pytest.raises(KeyRingError, match="out of bounds"):
            PassphraseLock(GOOD).unwrap(bad, context)


def test_letters_composed_in_another_way_are_the_same_passphrase():
    key = secrets.token_bytes(32)
    entry = PassphraseLock("sieben lila Walro\u00df Tr\u00e4ume").wrap(key, b"")
    assert PassphraseLock("sieben lila Walro\u00df Tra\u0308ume").unwrap(entry, b"") == key
