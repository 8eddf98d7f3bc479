"""Shredding on rows: who was shredded is never read again, whatever is restored; everybody else always is."""

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from doorward.accounts import tables as accounts
from doorward.accounts.model import Account
from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock
from doorward.hall.errors import SealBrokenError, ShreddedError
from doorward.hall.events import PersonShredded
from doorward.hall.ids import new_id
from doorward.hall.model import Cell, Lane, Letter, Role
from doorward.migrations.rooms import import_tables
from doorward.stores import postbox_tables as postbox
from doorward.stores.outbox import Outbox
from doorward.stores.schema import METADATA
from doorward.stores.sql import Database
from doorward.vault import shred_tables
from doorward.vault.errors import ShredListError
from doorward.vault.receipts import public_key_of, verified
from doorward.vault.ring import Ring
from doorward.vault.service import Vault
from doorward.vault.shred import Shredding
from doorward.vault.shred_list import ShredList
from rows import FORGETS

import_tables()
NAMES = ["ada", "bob", "eve"]


class House:
    """One process on a database: vault, outbox and shredding."""

    def __init__(self, url: str, ring: Ring, clock: SteppedClock, path: Path) -> None:
        self.clock = clock
        self.vault = Vault(ring, clock)
        self.database = Database.open(url, self.vault)
        self.bus = Bus()
        self.outbox = Outbox(self.database, self.bus, clock, new_id("node"))
        self.kept = ShredList(path, lambda: ring)
        self.shredding = Shredding(self.vault, self.database, self.outbox, clock, self.kept)
        self.shredding.forgets = FORGETS
        self.shredding.hear(self.bus)

    async def open(self) -> "House":
        await self.database.write(METADATA.create_all)
        await self.database.write(self.vault.bind)
        await self.shredding.load()
        await self.outbox.mark()
        return self

    async def sign_up(self, name: str) -> "Person":
        """An account and a letter, each with a value that nobody else has."""
        account_id, value = new_id("acc", self.clock.now()), f"{name}-{new_id('x')}@example.com"
        account = Account(account_id, value, Lane.EXISTING, Role.MEMBER, self.clock.now())
        subject = self.vault.subject_of(name)
        letter = postbox.NewLetter(new_id("ltr"), Letter(value, "subject", f"dear {value}"), subject, self.clock.now())

        def work(connection):
            assert accounts.add_account(connection, account, self.vault.index("accounts.mailbox", name))
            postbox.add_letter(connection, letter, postbox.SUNK)
            email = connection.execute(select(accounts.accounts.c.email)).scalars().all()
            text = select(postbox.letters.c.text).where(postbox.letters.c.letter_id == letter.letter_id)
            mine = select(accounts.accounts.c.email).where(accounts.accounts.c.account_id == account_id)
            assert email
            return connection.execute(mine).scalar_one(), connection.execute(text).scalar_one()

        sealed = await self.database.write(work)
        return Person(name, account_id, subject, value, letter.letter_id, *map(bytes, sealed))

    async def shred(self, person: "Person"):
        subjects = [person.account_id, person.subject]
        receipt = await self.database.write(lambda c: self.shredding.shred(c, subjects, "person"))
        return await self.shredding.settled(receipt)

    async def email_of(self, account_id: str) -> str | None:
        found = await self.database.read(lambda c: accounts.account_of_id(c, account_id))
        return found.email if found else None

    async def letters_of(self, value: str) -> list[str]:
        found = await self.database.read(lambda c: postbox.sunk_letters(c, 0, value, 10))
        return [letter.text for letter in found]

    async def opens(self, person: "Person") -> list[str]:
        """What a thief reads who kept a person's envelopes and has the whole house's keys of today."""

        def work(connection):
            keys = self.vault.keys_of(connection, [person.account_id, person.subject])
            cells = (
                (person.account_id, Cell("accounts", "email", person.account_id), person.sealed_email),
                (person.subject, Cell("letters", "text", person.letter_id), person.sealed_text),
            )
            texts = []
            for subject, cell, envelope in cells:
                with contextlib.suppress(ShreddedError, SealBrokenError, KeyError):
                    texts.append(keys[subject].unseal(cell, envelope))
            return texts

        return await self.database.read(work)


@dataclass(frozen=True)
class Person:
    """Somebody who signed up, and the envelopes that a thief of that day would have."""

    name: str
    account_id: str
    subject: str
    value: str
    letter_id: str
    sealed_email: bytes
    sealed_text: bytes


@pytest.fixture
async def house(database_url, tmp_path, clock):
    opened = await House(database_url, Ring.fresh(), clock, tmp_path / "shreds.jsonl").open()
    yield opened
    await opened.database.close()


def another(house: House) -> House:
    """Another process on the same rows, with a memory and a list of its own."""
    path = house.kept.path.with_name("other.jsonl")
    return House(house.database.url.render_as_string(hide_password=False), house.vault.ring, house.clock, path)


async def test_a_shredded_person_is_gone_and_the_others_are_not(house):
    ada, bob = await house.sign_up("ada"), await house.sign_up("bob")
    assert len(await house.opens(ada)) == 2
    receipt = await house.shred(ada)
    assert await house.opens(ada) == []
    assert await house.email_of(ada.account_id) is None
    assert await house.letters_of(ada.value) == []
    assert await house.email_of(bob.account_id) == bob.value
    assert receipt.destroyed["accounts"] == receipt.destroyed["letters"] == 1
    assert receipt.cleared_at is None


async def test_the_receipt_is_complete_once_old_pages_are_clear(house):
    receipt = await house.shred(await house.sign_up("ada"))
    house.clock.step(3)
    assert await house.shredding.clear() == 1
    assert await house.shredding.clear() == 0
    number, last = await house.shredding.overview()
    assert (number, last.receipt_id, last.cleared_at) == (1, receipt.receipt_id, house.clock.now())
    document = await house.database.read(shred_tables.newest_receipt)
    assert verified(document, public_key_of(house.vault.ring)) == last


async def test_an_accounts_id_is_never_used_again(house):
    ada = await house.sign_up("ada")
    await house.shred(ada)
    with pytest.raises(ShreddedError):
        await house.database.write(lambda c: house.vault.key_for(c, ada.account_id))


async def test_what_is_rolled_back_was_not_shredded(house):
    ada = await house.sign_up("ada")

    def half(connection):
        house.shredding.shred(connection, [ada.account_id, ada.subject], "person")
        raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError):
        await house.database.write(half)
    assert len(await house.opens(ada)) == 2
    assert await house.shredding.overview() == (0, None)
    await house.shredding.load()
    assert not house.kept.is_there


async def test_every_node_drops_the_key_and_keeps_the_list(house):
    ada = await house.sign_up("ada")
    other = await another(house).open()
    assert len(await other.opens(ada)) == 2  # now its cache holds the keys
    await house.shred(ada)
    assert await other.outbox.deliver_each() >= 1
    assert await other.opens(ada) == []
    assert other.kept.read() == house.kept.read()
    assert [one.subjects for one in other.kept.read()] == [tuple(sorted((ada.account_id, ada.subject)))]
    await other.database.close()


async def test_a_read_that_was_under_way_does_not_bring_the_key_back_to_memory(house):
    ada = await house.sign_up("ada")
    house.vault.data_keys.forget()

    def slow(connection):
        found = house.vault.keys_of(connection, [ada.account_id])
        house.vault.data_keys.forget([ada.account_id])  # the shred happens while this transaction still reads
        return found

    await house.database.write(slow)
    assert len(house.vault.data_keys) == 0


async def test_a_start_after_a_crash_writes_the_list_that_was_missing(house):
    ada = await house.sign_up("ada")
    await house.database.write(lambda c: house.shredding.shred(c, [ada.account_id, ada.subject], "person"))
    assert not house.kept.is_there  # died before `settled`
    again = await another(house).open()
    assert len(again.kept.read()) == 1
    await again.database.close()


async def test_a_list_that_cannot_be_written_keeps_the_receipt_open(house):
    house.kept.path.mkdir()
    receipt = await house.shred(await house.sign_up("ada"))
    assert receipt.cleared_at is None
    with pytest.raises(ShredListError):
        await house.shredding.clear()
    house.kept.path.rmdir()
    assert await house.shredding.clear() == 1
    assert len(house.kept.read()) == 1


async def test_a_node_whose_clock_is_behind_does_not_lose_who_came_back(house):
    ada = await house.sign_up("ada")
    ahead = SteppedClock(house.clock.now() + 30)
    other = House(house.database.url.render_as_string(hide_password=False), house.vault.ring, ahead, house.kept.path)
    await (await other.open()).shred(ada)
    await house.outbox.deliver_each()
    again = await house.sign_up("ada")
    made_at = await house.database.read(lambda c: shred_tables.newest_key(c, [again.subject]))
    assert made_at > await house.database.read(lambda c: shred_tables.last_shred(c, again.subject))
    await other.database.close()


async def test_the_event_names_nobody(house):
    heard = []

    async def hear(event):
        heard.append(event)

    house.bus.on_each_node(PersonShredded, hear)
    ada = await house.sign_up("ada")
    await house.shred(ada)
    await house.outbox.deliver_each()
    assert [event.subjects for event in heard] == [[ada.account_id, ada.subject]]
    assert "ada" not in str(heard)


class Restores(RuleBasedStateMachine):
    """Sign up, shred, come back, back up, restore: in any order, on SQLite."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="doorward-shred-"))
        self.ring, self.clock = Ring.fresh(), SteppedClock()
        self.live: dict[str, Person] = {}
        self.shredded: list[Person] = []
        self.backups: list[tuple[Path, dict[str, Person]]] = []
        self.house: House | None = None

    def do(self, work):
        self.clock.step(1)
        return self.loop.run_until_complete(work)

    @property
    def path(self) -> Path:
        return self.folder / "rows.db"

    @initialize()
    def begin(self) -> None:
        self.house = House(f"sqlite:///{self.path}", self.ring, self.clock, self.folder / "shreds.jsonl")
        self.do(self.house.open())

    @rule(name=st.sampled_from(NAMES))
    def sign_up(self, name: str) -> None:
        if name not in self.live:
            self.live[name] = self.do(self.house.sign_up(name))

    @rule(name=st.sampled_from(NAMES))
    def shred(self, name: str) -> None:
        if name in self.live:
            person = self.live.pop(name)
            self.do(self.house.shred(person))
            self.shredded.append(person)

    @rule()
    def back_up(self) -> None:
        target = self.folder / f"backup-{len(self.backups)}"
        with (
            contextlib.closing(sqlite3.connect(self.path)) as source,
            contextlib.closing(sqlite3.connect(target)) as to,
        ):
            source.backup(to)
        self.backups.append((target, dict(self.live)))

    @precondition(lambda self: self.backups)
    @rule(data=st.data())
    def restore(self, data) -> None:
        backup, then = data.draw(st.sampled_from(self.backups))
        self.do(self.house.database.close())
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        shutil.copy(backup, self.path)
        self.begin()
        gone = {person.account_id for person in self.shredded}
        self.live = {name: person for name, person in then.items() if person.account_id not in gone}

    @rule()
    def restart(self) -> None:
        self.do(self.house.database.close())
        self.begin()

    @rule()
    def clear(self) -> None:
        self.do(self.house.shredding.clear())

    @invariant()
    def the_living_are_read(self) -> None:
        for person in self.live.values():
            assert self.do(self.house.email_of(person.account_id)) == person.value
            assert self.do(self.house.letters_of(person.value)) == [f"dear {person.value}"]
            assert len(self.do(self.house.opens(person))) == 2

    @invariant()
    def the_shredded_are_not(self) -> None:
        for person in self.shredded:
            assert self.do(self.house.opens(person)) == []
            assert self.do(self.house.email_of(person.account_id)) is None
            assert self.do(self.house.letters_of(person.value)) == []

    def teardown(self) -> None:
        if self.house is not None:
            self.loop.run_until_complete(self.house.database.close())
        self.loop.close()
        shutil.rmtree(self.folder)


TestRestores = Restores.TestCase
TestRestores.settings = settings(max_examples=25, stateful_step_count=20)
