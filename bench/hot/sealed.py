"""What sealed columns cost: fields read a second through the table layer, envelopes alone, and a blind look-up.

1. A SQLite file with the accounts of 2,000 people, each with a key of their own; all keys are in memory ("warm").
2. Read: select pages of 500 rows with their mail address and password hash, and open both. All that is CPU time of one
   thread, so it is fields a second on one core. Envelopes alone: the same envelopes, without rows.
3. A look-up by mailbox with the blind index, against the same look-up with the index at hand: what the index adds.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, select

sys.path.insert(0, str(Path(__file__).parents[1]))

from doorward.accounts import tables
from doorward.accounts.model import Account
from doorward.hall.model import Cell, Lane, Role
from doorward.migrations.rooms import import_tables
from doorward.stores.schema import METADATA
from doorward.stores.sealed import open_rows
from doorward.stores.sql import Database
from doorward.vault.service import Vault
from served import figures_out

PEOPLE = 2_000
PAGE = 500
ROUNDS = 15
HASH = "$argon2id$v=19$m=19456,t=2,p=1$zMvpnj8/FkVNlMwxc/FEBQ$xDBr5sIkiI74Fa7Xj9RlE+GAnUqB1caUFV77g2Aauyc"
PAGES = [
    select(tables.accounts).order_by(tables.accounts.c.account_id).limit(PAGE).offset(start)
    for start in range(0, PEOPLE, PAGE)
]


def email(number: int) -> str:
    """Somebody's address."""
    return f"person.number{number}@example.org"


def seconds(work: Callable[[], object]) -> float:
    """CPU time of this thread for a piece of work: the median of several rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        work()
        times.append(time.thread_time() - started)
    return statistics.median(times)


def fill(connection: Connection, vault: Vault) -> None:
    """Make the accounts."""
    for number in range(PEOPLE):
        account = Account(f"acc_{number:026}", email(number), Lane.EXISTING, Role.MEMBER, float(number))
        tables.add_account(connection, account, vault.index("accounts.mailbox", account.email), HASH)


def read_pages(connection: Connection) -> int:
    """Read and open everything; returns how many fields."""
    columns = [tables.accounts.c.email, tables.accounts.c.password_hash]
    return sum(len(open_rows(connection, connection.execute(page).all(), columns)) * 2 for page in PAGES)


def measured(connection: Connection, vault: Vault) -> dict[str, tuple[float, str, str, str]]:
    """The figures."""
    fields = read_pages(connection)  # also warms the keys
    reads = fields / seconds(lambda: read_pages(connection))
    rows = [row for page in PAGES for row in connection.execute(page)]
    keys = vault.keys_of(connection, [row.account_id for row in rows])
    cells = [(keys[row.account_id], Cell("accounts", "email", row.account_id), row.email) for row in rows]
    raw = len(cells) / seconds(lambda: [key.unseal(cell, envelope) for key, cell, envelope in cells])
    indices = [vault.index("accounts.mailbox", email(number)) for number in range(PEOPLE)]
    find = tables.account_of_mailbox
    known = seconds(lambda: [find(connection, index) for index in indices])
    blind = seconds(
        lambda: [find(connection, vault.index("accounts.mailbox", email(number))) for number in range(PEOPLE)]
    )
    added = max(0.0, blind - known) / PEOPLE * 1e6
    detail = f"A look-up takes {known / PEOPLE * 1e6:.0f} µs with its index at hand."
    return {
        "sealed_reads_per_s": (round(reads), "/s", "100,000 a second and core", f"{fields} fields, warm keys."),
        "sealed_raw_reads_per_s": (round(raw), "/s", "350,000 a second and core", "Envelopes alone, without rows."),
        "blind_lookup_added_us": (round(added, 1), "µs", "60 µs", detail),
    }


async def main() -> None:
    """Measure and print."""
    import_tables()
    vault = Vault.in_memory()
    with tempfile.TemporaryDirectory() as directory:
        database = Database.open(f"sqlite:///{directory}/rows.db", vault)
        await database.write(METADATA.create_all)
        await database.write(vault.bind)
        await database.write(lambda connection: fill(connection, vault))
        figures_out(await database.read(lambda connection: measured(connection, vault)))
        await database.close()


if __name__ == "__main__":
    asyncio.run(main())
