"""Rotations as a machine on real rows: whatever is written, shredded and killed between two steps or within one, on
either of two nodes, everybody's values open, and nobody's who was shredded."""

import asyncio
import contextlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from doorward.accounts import tables as accounts
from doorward.accounts.model import Account
from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock
from doorward.hall.errors import SealBrokenError, ShreddedError
from doorward.hall.ids import new_id
from doorward.hall.model import Cell, Lane, Letter, Role
from doorward.migrations.rooms import import_tables
from doorward.stores import postbox_tables as postbox
from doorward.stores.outbox import Outbox
from doorward.stores.schema import METADATA
from doorward.stores.sql import Database
from doorward.vault.ring import Ring
from doorward.vault.rotate import Pace, Rotation
from doorward.vault.service import Vault
from doorward.vault.shred import Shredding
from doorward.vault.tables import all_keks, count_keys, keys_of
from rows import FORGETS

import_tables()
SMALL = Pace(keys=2, people=1, share=0.999)
MOST_PEOPLE = 5
LAST_STEPS = 60


class DiedError(Exception):
    """The process that rotated is gone."""


class Mortal:
    """A database whose process dies before one of its next transactions."""

    def __init__(self, database: Database, transactions: int) -> None:
        self._database = database
        self._left = transactions

    async def write(self, work):
        if self._left == 0:
            raise DiedError
        self._left -= 1
        return await self._database.write(work)

    async def read(self, work):
        return await self._database.read(work)


class Node:
    """One process on the rows, with a memory of its own."""

    def __init__(self, url: str, ring: Ring, clock: SteppedClock) -> None:
        self.clock = clock
        self.vault = Vault(ring, clock)
        self.database = Database.open(url, self.vault)
        self.outbox = Outbox(self.database, Bus(), clock, new_id("node"))
        self.shredding = Shredding(self.vault, self.database, self.outbox, clock, None)
        self.shredding.forgets = FORGETS

    def rotation(self, transactions: int = -1) -> Rotation:
        """A process that rotates and dies after so many transactions; -1: it lives."""
        database = self.database if transactions < 0 else Mortal(self.database, transactions)
        return Rotation(self.vault, database, self.outbox, self.clock, SMALL)


@dataclass
class Person:
    """Somebody, what was written about them, and the envelopes that a thief took at any time."""

    account_id: str
    address: str
    texts: dict[str, str] = field(default_factory=dict)  # letter id -> text
    stolen: set[tuple[str, str, str, bytes]] = field(default_factory=set)  # table, column, row, envelope


class Rotations(RuleBasedStateMachine):
    """Two nodes on one SQLite file; the rotation runs on the first, the second hears of nothing but shreds."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="doorward-rotation-"))
        self.clock = SteppedClock()
        self.nodes: list[Node] = []
        self.state: dict | None = None
        self.people: list[Person] = []
        self.shredded: list[Person] = []

    def do(self, work):
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        url, ring = f"sqlite:///{self.folder / 'rows.db'}", Ring.fresh()
        self.nodes = [Node(url, ring, self.clock) for _ in range(2)]
        self.do(self.nodes[0].database.write(METADATA.create_all))
        self.do(self.nodes[0].database.write(self.nodes[0].vault.bind))

    # --- people ---

    @precondition(lambda self: len(self.people) < MOST_PEOPLE)
    @rule(node=st.integers(0, 1))
    def sign_up(self, node: int) -> None:
        account_id = new_id("acc", self.clock.now())
        person = Person(account_id, f"{account_id}@example.com")
        account = Account(account_id, person.address, Lane.EXISTING, Role.MEMBER, self.clock.now())
        index = self.nodes[node].vault.index("accounts.mailbox", account_id)
        assert self.do(self.nodes[node].database.write(lambda c: accounts.add_account(c, account, index)))
        self.people.append(person)
        self.steal(person)

    @precondition(lambda self: self.people)
    @rule(data=st.data(), node=st.integers(0, 1), words=st.text(st.characters(exclude_categories=["Cs"]), max_size=9))
    def write(self, data, node: int, words: str) -> None:
        person, letter_id = data.draw(st.sampled_from(self.people)), new_id("ltr", self.clock.now())
        text = f"{words} for {letter_id}"
        letter = Letter(person.address, "subject", text)
        new = postbox.NewLetter(letter_id, letter, person.account_id, self.clock.now())
        self.do(self.nodes[node].database.write(lambda c: postbox.add_letter(c, new, postbox.SUNK)))
        person.texts[letter_id] = text
        self.steal(person)

    @precondition(lambda self: self.people)
    @rule(data=st.data(), node=st.integers(0, 1))
    def shred(self, data, node: int) -> None:
        person = data.draw(st.sampled_from(self.people))
        self.steal(person)
        shredding = self.nodes[node].shredding
        self.do(self.nodes[node].database.write(lambda c: shredding.shred(c, [person.account_id], "person")))
        self.nodes[1 - node].vault.data_keys.forget([person.account_id])  # what its event tells the other node
        self.people.remove(person)
        self.shredded.append(person)

    def steal(self, person: Person) -> None:
        account = select(accounts.accounts).where(accounts.accounts.c.account_id == person.account_id)
        letters = select(postbox.letters).where(postbox.letters.c.person == person.account_id)

        def work(connection):
            row = connection.execute(account).one()
            taken = {("accounts", "email", row.account_id, bytes(row.email))}
            return taken | {("letters", "text", one.letter_id, bytes(one.text)) for one in connection.execute(letters)}

        person.stolen |= self.do(self.nodes[0].database.read(work))

    # --- the rotation ---

    @precondition(lambda self: self.state is None)
    @rule(with_data_keys=st.booleans())
    def rotate(self, with_data_keys: bool) -> None:
        self.state = Rotation.first(with_data_keys=with_data_keys)

    @precondition(lambda self: self.state is not None)
    @rule()
    def step(self) -> None:
        self.state = self.do(self.nodes[0].rotation().step(self.after_a_while(self.state)))
        if self.state.get("done"):
            self.state = None

    @precondition(lambda self: self.state is not None)
    @rule(transactions=st.integers(0, 4), remembers=st.booleans())
    def die_within_a_step(self, transactions: int, remembers: bool) -> None:
        """What comes next has the state from before the step, as DBOS keeps it, or none: that database was lost."""
        with contextlib.suppress(DiedError):
            self.do(self.nodes[0].rotation(transactions).step(self.after_a_while(self.state)))
        self.nodes[0].vault.data_keys.forget()
        self.nodes[0].vault.keks.forget()
        if not remembers:
            self.state = None

    @rule(seconds=st.sampled_from([1, 100, 290, 310]))
    def time_passes(self, seconds: int) -> None:
        self.clock.step(seconds)

    def after_a_while(self, state: dict) -> dict:
        if state["stage"] == "wait":
            self.clock.step(max(0.0, state["until"] - self.clock.now()))
        return state

    # --- what holds ---

    @invariant()
    def everybody_is_read_on_both_nodes(self) -> None:
        for node in self.nodes:
            for person in self.people:
                account = self.do(node.database.read(lambda c, p=person: accounts.account_of_id(c, p.account_id)))
                assert account.email == person.address
                letters = self.do(node.database.read(lambda c, p=person: postbox.sunk_letters(c, 0, p.address, 99)))
                assert sorted(one.text for one in letters) == sorted(person.texts.values())

    @invariant()
    def nobody_who_was_shredded_is(self) -> None:
        for node in self.nodes:
            for person in self.shredded:
                keys = self.do(node.database.read(lambda c, n=node, p=person: n.vault.keys_of(c, [p.account_id])))
                for table, column, row, envelope in person.stolen:
                    with contextlib.suppress(ShreddedError, SealBrokenError, KeyError):
                        keys[person.account_id].unseal(Cell(table, column, row), envelope)
                        raise AssertionError(f"{table}.{column} of somebody who was shredded opens")

    def teardown(self) -> None:
        if self.nodes:
            self.finish(self.state or Rotation.first(with_data_keys=True))
            self.finish(Rotation.first(with_data_keys=True))
            keks, counts = (self.do(self.nodes[0].database.read(ask)) for ask in (all_keks, count_keys))
            assert len(keks) == 1
            assert set(counts) <= {keks[0].version}
            everybody = [person.account_id for person in self.people]
            left = self.do(self.nodes[0].database.read(lambda c: keys_of(c, everybody)))
            assert sorted(one.subject for one in left) == sorted(everybody)
            self.everybody_is_read_on_both_nodes()
            self.nobody_who_was_shredded_is()
            for node in self.nodes:
                self.do(node.database.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    def finish(self, state: dict) -> None:
        for _ in range(LAST_STEPS):
            if state.get("done"):
                return
            state = self.do(self.nodes[0].rotation().step(self.after_a_while(state)))
        raise AssertionError(f"the rotation does not end: {state}")


TestRotations = Rotations.TestCase
TestRotations.settings = settings(max_examples=25, stateful_step_count=20)
