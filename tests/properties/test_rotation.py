"""Rotations, crashes, new people, shreds and reads in any order: only who is shredded becomes unreadable."""

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from sqlalchemy import Column, Connection, Table, Text, insert, select

from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock
from doorward.stores.outbox import Outbox
from doorward.stores.schema import METADATA
from doorward.stores.sealed import Sealed, open_cells, sealed
from doorward.vault import rotate
from doorward.vault.rotate import Pace, Rotation
from doorward.vault.tables import all_keks, count_keys
from rows import open_rows, shredding_of, vault_of

TINY = Pace(keys=2, people=1, share=0.99)
GONE = "(shredded)"


class Rotating(RuleBasedStateMachine):
    """A house whose keys are replaced, against a dictionary of who wrote what."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.batches, rotate._BATCHES_PER_STEP = rotate._BATCHES_PER_STEP, 1  # so that a crash can be after each
        self.table = Table(
            "test_rotating_notes",
            METADATA,
            Column("who", Text, primary_key=True),
            Column("words", Sealed(row="who", subject="who"), nullable=False),
        )
        self.wanted: dict[str, str] = {}
        self.state: dict[str, Any] | None = None

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def opens(self) -> None:
        self.clock = SteppedClock()
        self.database = self.do(open_rows("sqlite://"))
        outbox = Outbox(self.database, Bus(), self.clock, "node_1")
        self.rotation = Rotation(vault_of(self.database), self.database, outbox, self.clock, TINY)
        self.shredding = shredding_of(self.database, outbox, self.clock)

    @rule(count=st.integers(1, 5))
    def new_people(self, count: int) -> None:
        names = [f"acc_{len(self.wanted) + number:03}" for number in range(count)]

        def work(connection: Connection) -> None:
            for name in names:
                values = sealed(connection, self.table, {"who": name, "words": f"of {name}"})
                connection.execute(insert(self.table).values(**values))

        self.do(self.database.write(work))
        self.wanted |= {name: f"of {name}" for name in names}

    @precondition(lambda self: self.state is None)
    @rule(with_data_keys=st.booleans())
    def begins(self, with_data_keys: bool) -> None:
        self.state = Rotation.first(with_data_keys=with_data_keys)

    @precondition(lambda self: self.state is not None)
    @rule(is_remembered=st.booleans())
    def steps(self, is_remembered: bool) -> None:  # not remembered: killed after the step's effect
        if self.state["stage"] == "wait":
            self.clock.step(400)
        after = self.do(self.rotation.step(self.state))
        if is_remembered:
            self.state = None if after.get("done") else after

    @rule()
    def forgets_where_it_was(self) -> None:
        self.state = None

    @rule()
    def keys_leave_memory(self) -> None:
        vault_of(self.database).data_keys.forget()
        vault_of(self.database).keks.forget()

    @precondition(lambda self: any(words != GONE for words in self.wanted.values()))
    @rule(data=st.data())
    def shreds(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([name for name, words in self.wanted.items() if words != GONE]))
        self.clock.step(1)
        self.do(self.database.write(lambda connection: self.shredding.shred(connection, [name], "person")))
        vault_of(self.database).data_keys.forget([name])
        self.wanted[name] = GONE

    @rule()
    def everybody_reads(self) -> None:
        def work(connection: Connection) -> dict[str, str]:
            rows = connection.execute(select(self.table)).all()
            texts = open_cells(connection, rows, self.table.c.words, shredded=GONE)
            return dict(zip((row.who for row in rows), texts, strict=True))

        assert self.do(self.database.read(work)) == self.wanted

    def teardown(self) -> None:
        if hasattr(self, "database"):
            state = self.state or Rotation.first(with_data_keys=False)
            while not state.get("done"):
                if state["stage"] == "wait":
                    self.clock.step(400)
                state = self.do(self.rotation.step(state))
            self.keys_leave_memory()
            self.everybody_reads()
            assert len(self.do(self.database.read(all_keks))) == 1
            assert len(self.do(self.database.read(count_keys))) <= 1
            self.do(self.database.close())
        METADATA.remove(self.table)
        self.loop.close()
        rotate._BATCHES_PER_STEP = self.batches


TestRotating = Rotating.TestCase
TestRotating.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
