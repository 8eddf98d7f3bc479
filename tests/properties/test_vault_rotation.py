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
STAGES = ["begin", "rewrap", "destroy", "reseal", "wait", "settle", "done", "done"]


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
    """Two nodes on one SQLite file: the rotation runs on the first, the second hears of nothing but shreds.

    A third process reads with an empty memory after every rule, so that what the second remembers stays as old as its
    own reading and writing leave it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="doorward-rotation-"))
        self.clock = SteppedClock()
        self.nodes: list[Node] = []  # the third one is the reader
        self.state: dict | None = None
        self.people: list[Person] = []
        self.shredded: list[Person] = []

    def do(self, work):
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        url, ring = f"sqlite:///{self.folder / 'rows.db'}", Ring.fresh()
        self.nodes = [Node(url, ring, self.clock) for _ in range(3)]
        self.do(self.nodes[0].database.write(METADATA.create_all))
        self.do(self.nodes[0].database.write(self.nodes[0].vault.bind))
        self.sign_up(node=1)

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
        for other in self.nodes:
            other.vault.data_keys.forget([person.account_id])  # what its event tells every node
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

    @rule(
        with_data_keys=st.sampled_from([True, True, False]), until=st.sampled_from(STAGES),
        dies_after=st.sampled_from([None, None, 0, 1, 2, 3]), remembers=st.booleans(),
    )  # fmt: skip
    def rotate(self, with_data_keys: bool, until: str, dies_after: int | None, remembers: bool) -> None:
        """Begin or go on, to a stage or to the end; the process may die within the next step.

        What comes then has the state from before that step, as DBOS keeps it, or none: that database was lost.
        """
        self.state = self.state or Rotation.first(with_data_keys=with_data_keys)
        while self.state is not None and (self.state["stage"] != until or until == "done"):
            self.state = self.do(self.nodes[0].rotation().step(self.after_a_while(self.state)))
            if self.state.get("done"):
                self.state = None
        if self.state is not None and dies_after is not None:
            self.die_within_a_step(dies_after)
            self.state = self.state if remembers else None

    def die_within_a_step(self, transactions: int) -> None:
        with contextlib.suppress(DiedError):
            self.do(self.nodes[0].rotation(transactions).step(self.after_a_while(self.state)))
        self.nodes[0].vault.data_keys.forget()
        self.nodes[0].vault.keks.forget()

    @rule(seconds=st.sampled_from([1, 100, 290, 310]))
    def time_passes(self, seconds: int) -> None:
        self.clock.step(seconds)

    def after_a_while(self, state: dict) -> dict:
        if state["stage"] == "wait":
            self.clock.step(max(0.0, state["until"] - self.clock.now()))
        return state

    # --- what holds ---

    @precondition(lambda self: self.people)
    @rule(data=st.data(), node=st.integers(0, 1))
    def read(self, data, node: int) -> None:
        self.is_read(data.draw(st.sampled_from(self.people)), self.nodes[node])

    @invariant()
    def everybody_is_read(self) -> None:
        if self.nodes:
            self.nodes[2].vault.data_keys.forget()
            self.nodes[2].vault.keks.forget()
        for person in self.people:
            self.is_read(person, self.nodes[2])

    def is_read(self, person: Person, node: Node) -> None:
        account = self.do(node.database.read(lambda c: accounts.account_of_id(c, person.account_id)))
        assert account.email == person.address
        letters = self.do(node.database.read(lambda c: postbox.sunk_letters(c, 0, person.address, 99)))
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
            self.everybody_is_read()
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
TestRotations.settings = settings(max_examples=40, stateful_step_count=20)
