"""Through the table layer, on both databases: a sealed value opens in its own cell only, and nothing else opens."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select, update

from doorward.hall.errors import SealBrokenError, ShreddedError, VaultLockedError
from doorward.stores.sealed import NOTHING, Envelope, Sealed, open_cell, open_cells, open_rows, sealed
from doorward.stores.sql import Database
from doorward.vault import tables as vault_tables
from doorward.vault.service import Vault

OWN = MetaData()  # not the house's: these tables are the test's alone
PEOPLE = ("acc_one", "acc_two")


def _table(name: str) -> Table:
    return Table(
        name,
        OWN,
        Column("row_id", Integer, primary_key=True),
        Column("person", Text, nullable=False),
        Column("first", Sealed(row="row_id", subject="person"), nullable=False),
        Column("second", Sealed(row="row_id", subject="person"), nullable=False),
    )


TABLES = (_table("sealed_here"), _table("sealed_there"))
CELLS = [(table, row, column) for table in (0, 1) for row in range(4) for column in ("first", "second")]
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["\0", "a\0\0\0", "\0" * 64, "\x80", "\x80\0", "👩‍👩‍👧‍👦", "确认码", " ", "a" * 31, "a" * 32, "a" * 33]
)
MANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Rows:
    """Two tables of four rows; the odd rows belong to one person, the even ones to another."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.vault = Vault.in_memory()
        self.database = Database.open(url, self.vault)

        def work(connection):
            vault_tables.METADATA.create_all(connection)
            OWN.create_all(connection)
            self.vault.bind(connection)
            for table in TABLES:
                for row in range(4):
                    values = {"row_id": row, "person": PEOPLE[row % 2], "first": f"1st {row}", "second": f"2nd {row}"}
                    connection.execute(insert(table), sealed(connection, table, values))

        self.write(work)

    def write(self, work):
        return self.loop.run_until_complete(self.database.write(work))

    def envelope(self, cell) -> bytes:
        return self.write(lambda connection: bytes(getattr(_row(connection, cell), cell[2])))

    def put(self, cell, envelope: bytes) -> None:
        table, row, column = cell
        statement = update(TABLES[table]).where(TABLES[table].c.row_id == row)
        self.write(lambda connection: connection.execute(statement.values({column: Envelope(envelope)})))

    def opened(self, cell) -> str:
        return self.write(lambda c: open_cell(c, _row(c, cell), TABLES[cell[0]].c[cell[2]]))

    def close(self) -> None:
        self.loop.run_until_complete(self.database.close())
        self.loop.close()


def _row(connection, cell):
    return connection.execute(select(TABLES[cell[0]]).where(TABLES[cell[0]].c.row_id == cell[1])).one()


@pytest.fixture
def rows(database_url):
    made = Rows(database_url)
    yield made
    made.close()


@MANY
@given(source=st.sampled_from(CELLS), target=st.sampled_from(CELLS))
def test_a_moved_envelope_never_opens(rows, source, target):
    moved, kept = rows.envelope(source), rows.envelope(target)
    rows.put(target, moved)
    try:
        if source == target:
            assert rows.opened(target).endswith(str(target[1]))
        else:
            with pytest.raises(SealBrokenError):
                rows.opened(target)
    finally:
        rows.put(target, kept)


def test_no_move_at_all_is_overlooked(rows):
    """Every pair of cells once: other row, other column, other table, other person."""
    envelopes = {cell: rows.envelope(cell) for cell in CELLS}
    keys = rows.write(lambda connection: rows.vault.keys_of(connection, PEOPLE))
    opened = 0
    for source in CELLS:
        for target in CELLS:
            rows.put(target, envelopes[source])
            if source == target:
                opened += bool(rows.opened(target))
            else:
                with pytest.raises(SealBrokenError):
                    rows.opened(target)
            rows.put(target, envelopes[target])
    assert opened == len(CELLS)
    assert keys.keys() == set(PEOPLE)


@MANY
@given(cell=st.sampled_from(CELLS), place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(rows, cell, place, bit):
    kept = rows.envelope(cell)
    changed = bytearray(kept)
    changed[place % len(kept)] ^= 1 << bit
    rows.put(cell, bytes(changed))
    try:
        with pytest.raises(SealBrokenError):
            rows.opened(cell)
    finally:
        rows.put(cell, kept)


@MANY
@given(cell=st.sampled_from(CELLS), length=st.integers(1, 10_000), more=st.binary(max_size=40))
def test_a_cut_or_lengthened_envelope_is_found(rows, cell, length, more):
    kept = rows.envelope(cell)
    changed = kept[: length % len(kept)] or kept + b"\0"
    rows.put(cell, changed + more if changed + more != kept else kept[:-1])
    try:
        with pytest.raises(SealBrokenError):
            rows.opened(cell)
    finally:
        rows.put(cell, kept)


@MANY
@given(texts=st.tuples(TEXTS, TEXTS))
def test_any_text_comes_back(rows, texts):
    table = TABLES[0]

    def work(connection):
        values = {"row_id": 9, "person": "acc_one", "first": texts[0], "second": texts[1]}
        connection.execute(table.delete().where(table.c.row_id == 9))
        connection.execute(insert(table), sealed(connection, table, values))
        found = connection.execute(select(table).where(table.c.row_id == 9)).all()
        assert all(
            text.encode() not in envelope for text, envelope in zip(texts, found[0][2:], strict=True) if len(text) > 4
        )
        return open_rows(connection, found, [table.c.first, table.c.second])

    assert rows.write(work) == [list(texts)]


def test_a_letter_of_a_mebibyte_comes_back(rows):
    table, letter = TABLES[0], "é\0" * (2**20 // 3)

    def work(connection):
        values = {"row_id": 10, "person": "acc_one", "first": letter, "second": ""}
        connection.execute(insert(table), sealed(connection, table, values))
        row = connection.execute(select(table).where(table.c.row_id == 10)).one()
        return open_cells(connection, [row], table.c.first) + open_cells(connection, [row], table.c.second)

    assert rows.write(work) == [letter, ""]


def test_what_cannot_be_text_is_refused_when_it_is_written(rows):
    values = {"row_id": 11, "person": "acc_one", "first": "\ud800", "second": ""}
    with pytest.raises(UnicodeEncodeError):
        rows.write(lambda connection: sealed(connection, TABLES[0], values))


def test_plain_text_that_was_forgotten_on_the_way_is_refused_by_the_type(rows):
    values = {"row_id": 12, "person": "acc_one", "first": b"plain", "second": NOTHING}
    with pytest.raises(Exception, match="must be sealed"):
        rows.write(lambda connection: connection.execute(insert(TABLES[0]), values))


def test_rows_of_a_destroyed_key_say_so_or_are_shown_as_told(rows):
    def harm(connection):
        keys = vault_tables.data_keys
        connection.execute(keys.delete().where(keys.c.subject == "acc_two"))

    rows.write(harm)
    rows.vault.data_keys.forget()
    table = TABLES[0]

    def work(connection):
        found = connection.execute(select(table).order_by(table.c.row_id)).all()
        with pytest.raises(ShreddedError):
            open_cells(connection, found, table.c.first)
        return open_cells(connection, found, table.c.first, shredded="(deleted)")

    assert rows.write(work) == ["1st 0", "(deleted)", "1st 2", "(deleted)"]


def test_without_a_vault_nothing_is_read_or_written(rows, database_url):
    blind = Database.open(database_url)
    cell = CELLS[0]

    async def work():
        with pytest.raises(VaultLockedError):
            await blind.read(lambda c: open_cell(c, _row(c, cell), TABLES[0].c.first))
        with pytest.raises(VaultLockedError):
            await blind.write(lambda c: sealed(c, TABLES[0], {"row_id": 13, "person": "acc_one", "first": "x"}))
        await blind.close()

    rows.loop.run_until_complete(work())
