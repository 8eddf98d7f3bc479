"""Whoever was shredded stays unreadable, also in a backup that was made before; everybody else comes back."""

import asyncio
from dataclasses import dataclass

import pytest
from sqlalchemy import URL

from doorward.accounts import tables as accounts
from doorward.accounts.model import Account
from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock
from doorward.hall.errors import ShreddedError
from doorward.hall.ids import new_id
from doorward.hall.model import Lane, Letter, Role
from doorward.stores import postbox_tables as postbox
from doorward.stores.outbox import Outbox
from doorward.stores.sql import Database
from doorward.stores.upgrade import upgrade
from doorward.vault.backups.making import make, source_for
from doorward.vault.backups.recipients import RingRecipient
from doorward.vault.backups.restoring import Care, drill, restore
from doorward.vault.backups.settings import BackupSettings
from doorward.vault.ring import Ring
from doorward.vault.service import Vault
from doorward.vault.shred import Shredding, replay
from doorward.vault.shred_list import ShredList
from rows import FORGETS


@dataclass
class Person:
    name: str
    account_id: str
    email: str


class House:
    """One process on a database; `close` it before a restore, and make another one after."""

    def __init__(self, url: str, ring: Ring, clock: SteppedClock, kept: ShredList) -> None:
        self.url, self.ring, self.clock, self.kept = url, ring, clock, kept
        self.vault = Vault(ring, clock)
        self.database = Database.open(url, self.vault)
        outbox = Outbox(self.database, Bus(), clock, new_id("node"))
        self.shredding = Shredding(self.vault, self.database, outbox, clock, kept)
        self.shredding.forgets = FORGETS

    async def open(self) -> "House":
        await self.database.write(self.vault.bind)
        return self

    async def sign_up(self, name: str) -> Person:
        person = Person(name, new_id("acc", self.clock.now()), f"{name}-{new_id('x')}@example.com")
        account = Account(person.account_id, person.email, Lane.EXISTING, Role.MEMBER, self.clock.now())
        letter = Letter(person.email, "subject", f"dear {person.email}")
        new = postbox.NewLetter(new_id("ltr"), letter, self.vault.subject_of(name), self.clock.now())

        def work(connection):
            assert accounts.add_account(connection, account, self.vault.index("accounts.mailbox", name))
            postbox.add_letter(connection, new, postbox.SUNK)

        await self.database.write(work)
        return person

    async def shred(self, person: Person) -> None:
        subjects = [person.account_id, self.vault.subject_of(person.name)]
        receipt = await self.database.write(lambda c: self.shredding.shred(c, subjects, "person"))
        await self.shredding.settled(receipt)

    async def email_of(self, person: Person) -> str | None:
        found = await self.database.read(lambda c: accounts.account_of_id(c, person.account_id))
        return found.email if found else None

    async def letters_of(self, person: Person) -> list[str]:
        found = await self.database.read(lambda c: postbox.sunk_letters(c, 0, person.email, 10))
        return [letter.text for letter in found]

    async def has_key(self, person: Person) -> bool:
        try:
            await self.database.write(lambda c: self.vault.key_for(c, person.account_id))
        except ShreddedError:
            return False
        return True


class Site:
    """A database, its ring, its shred list, and its backups."""

    def __init__(self, url, folder, clock):
        self.url, self.clock, self.ring = url, clock, Ring.fresh()
        self.file = folder / "old.dwbackup"
        self.undo = folder / "undo.dwbackup"
        self.kept = ShredList(folder / "ring" / "shreds.jsonl", lambda: self.ring)
        self.source = source_for(url, self.ring, BackupSettings())

    async def house(self) -> House:
        return await House(self.url, self.ring, self.clock, self.kept).open()

    async def back_up(self):
        return await asyncio.to_thread(make, self.source, self.file, self.clock.now())

    async def restore(self, file=None):
        care = Care(lambda connection: replay(connection, self.kept.read(), FORGETS), self.undo)
        return await asyncio.to_thread(
            restore, self.source, file or self.file, RingRecipient(self.ring), care, self.clock.now()
        )


@pytest.fixture
def site(database_url, tmp_path, clock):
    upgrade(database_url)
    return Site(database_url, tmp_path, clock)


async def test_an_old_backup_brings_everybody_back_but_the_shredded(site, clock):
    house = await site.house()
    ada, bob = await house.sign_up("ada"), await house.sign_up("bob")
    await site.back_up()
    clock.step(60)
    await house.shred(ada)
    eve = await house.sign_up("eve")  # after the backup: not in it
    await house.database.close()
    await site.restore()
    house = await site.house()  # not even loaded: the rows came back without ada
    assert await house.email_of(ada) is None
    assert await house.letters_of(ada) == []
    assert not await house.has_key(ada)
    assert await house.email_of(bob) == bob.email
    assert await house.letters_of(bob) == [f"dear {bob.email}"]
    assert await house.email_of(eve) is None
    await house.database.close()


async def test_the_undo_of_a_restore_keeps_to_the_list_too(site, clock):
    house = await site.house()
    ada, bob = await house.sign_up("ada"), await house.sign_up("bob")
    await house.database.close()
    await site.back_up()
    done = await site.restore()
    house = await site.house()
    clock.step(60)
    await house.shred(ada)
    await house.database.close()
    await site.restore(site.undo)
    assert done.undo == str(site.undo)
    house = await site.house()
    assert await house.email_of(ada) is None
    assert await house.email_of(bob) == bob.email
    await house.database.close()


async def test_a_drill_of_an_old_backup_brings_nobody_back(site, clock):
    """The scratch database has the shredded person's rows and key for a moment; it is gone when the drill ends."""
    house = await site.house()
    ada = await house.sign_up("ada")
    await site.back_up()
    clock.step(60)
    await house.shred(ada)
    assert (await asyncio.to_thread(drill, site.file, RingRecipient(site.ring), site.url)).rows > 0
    assert await house.email_of(ada) is None
    await house.database.close()


async def test_who_came_back_after_being_shredded_is_not_in_the_old_rows(site, clock):
    house = await site.house()
    ada = await house.sign_up("ada")
    await site.back_up()
    clock.step(60)
    await house.shred(ada)
    clock.step(60)
    again = await house.sign_up("ada")
    await house.database.close()
    await site.restore()
    house = await site.house()
    assert (await house.email_of(ada), await house.email_of(again)) == (None, None)
    await house.database.close()
    await site.restore(site.undo)
    house = await site.house()
    assert (await house.email_of(ada), await house.email_of(again)) == (None, again.email)
    await house.database.close()


def test_a_source_does_not_print_its_password(tmp_path, clock):
    url = URL.create("postgresql", "door", "hunter2", "db.example").render_as_string(hide_password=False)
    assert "hunter2" not in repr(source_for(url, Ring.fresh(), BackupSettings()))
