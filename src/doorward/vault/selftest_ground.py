"""Where the self-test works: a scratch database with people, each of whom has a letter."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection

from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock, SystemClock
from doorward.hall.errors import DoorwardError, SealBrokenError
from doorward.hall.model import Letter
from doorward.stores.outbox import Outbox
from doorward.stores.postbox_tables import WAITING, NewLetter, add_letter, forget, letters
from doorward.stores.sealed import open_cells
from doorward.stores.sql import Database
from doorward.stores.upgrade import prepare
from doorward.vault.selftest_tables import all_letters
from doorward.vault.service import Vault
from doorward.vault.shred import Shredding
from doorward.vault.shred_list import FILE_NAME, ShredList

PEOPLE: Final = 40
WORDS: Final = "a canary in the coal mine"


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, whether it held, and how much was tried."""

    name: str
    is_met: bool
    figure: str = ""


@dataclass(slots=True)
class Ground:
    """The scratch house. `clock` moves only when a check steps it."""

    folder: Path
    clock: SteppedClock
    vault: Vault
    database: Database
    kept: ShredList
    shredding: Shredding

    @property
    def url(self) -> str:
        """Of the scratch database."""
        return f"sqlite:///{self.folder / 'scratch.db'}"

    @classmethod
    async def open(cls, folder: Path) -> Self:
        """Make the tables and the people.

        Raises:
            StoreSetupError, StoreUnavailableError: the directory cannot be used.
        """
        clock = SteppedClock(SystemClock().now())
        vault = Vault.in_memory(clock)
        kept = ShredList(folder / FILE_NAME, lambda: vault.ring)
        database = Database.open(f"sqlite:///{folder / 'scratch.db'}", vault)
        try:
            await prepare(database, upgrades_postgresql=True)
            await database.write(vault.bind)
            await database.write(lambda connection: _settle_people(connection, clock.now()))
        except BaseException:
            await database.close()
            raise
        return cls(folder, clock, vault, database, kept, _shredding(vault, database, clock, kept))

    async def reopen(self) -> None:
        """Open the database again, after it was closed for a restore, as a start of the house does.

        Raises:
            ShredListError: the list is damaged.
        """
        self.vault.data_keys.forget()
        self.database = Database.open(self.url, self.vault)
        self.shredding = _shredding(self.vault, self.database, self.clock, self.kept)
        await self.shredding.load()

    async def texts(self) -> list[str]:
        """Everybody's letter, opened with keys from the rows.

        Raises:
            SealBrokenError, ShreddedError: one does not open.
        """

        def work(connection: Connection) -> list[str]:
            self.vault.data_keys.forget()
            return open_cells(connection, all_letters(connection), letters.c.text)

        return await self.database.read(work)

    def all_bytes(self, *, but: Path | None = None) -> bytes:
        """All bytes of all files."""
        files = (path for path in sorted(self.folder.rglob("*")) if path.is_file() and path != but)
        return b"".join(path.read_bytes() for path in files)


def subject_of(number: int) -> str:
    """The subject of a person's key."""
    return f"acc_{number:026}"


def text_of(number: int) -> str:
    """What stands in a person's letter."""
    return f"{WORDS}, {number:03}"


def refuses(work: Callable[[], object], error: type[DoorwardError] = SealBrokenError) -> bool:
    """Whether `work` raises that error."""
    try:
        work()
    except error:
        return True
    return False


def _settle_people(connection: Connection, now: float) -> None:
    for number in range(PEOPLE):
        letter = Letter("somebody@example.com", "A letter", text_of(number))
        add_letter(connection, NewLetter(f"ltr_{number:026}", letter, subject_of(number), now), WAITING)


def _shredding(vault: Vault, database: Database, clock: SteppedClock, kept: ShredList) -> Shredding:
    made = Shredding(vault, database, Outbox(database, Bus(), clock, "selftest"), clock, kept)
    made.forgets = (forget,)
    return made
