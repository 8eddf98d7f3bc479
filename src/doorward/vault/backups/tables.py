"""The rows of backups: what was made and tried, and who is at it. The backups themselves are files."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Double, Index, Table, Text, delete, insert, or_, select, update

from doorward.stores.schema import METADATA, upsert

BACKUP: Final = "backup"
DRILL: Final = "drill"
DONE: Final = "done"
_NAME: Final = "backups"

runs: Final = Table(
    "vault_backup_runs",
    METADATA,
    Column("run_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # backup or drill
    Column("node", Text, nullable=False),  # the process that did it
    Column("began_at", Double, nullable=False),
    Column("ended_at", Double, nullable=False),
    Column("outcome", Text, nullable=False),  # done, or an error's code
    Column("file", Text, nullable=False),  # its name in the directory
    Column("size_bytes", BigInteger, nullable=False),
    Column("rows_bytes", BigInteger, nullable=False),  # before compression; 0 for a drill
    Index(None, "kind", "began_at"),
)

leases: Final = Table(
    "vault_backup_leases",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("leased_by", Text, nullable=False),
    Column("leased_until", Double, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A backup or a drill that ended; times are Unix seconds."""

    run_id: str
    kind: str
    node: str
    began_at: float
    ended_at: float
    outcome: str
    file: str = ""
    size_bytes: int = 0
    rows_bytes: int = 0

    @property
    def is_done(self) -> bool:
        """Whether it went well."""
        return self.outcome == DONE


def add_run(connection: Connection, run: Run, forget_before: float) -> None:
    """Write a run down, and forget those that began before."""
    values = {column.name: getattr(run, column.name) for column in runs.columns}
    connection.execute(insert(runs).values(values))
    connection.execute(delete(runs).where(runs.c.began_at < forget_before))


def last_run(connection: Connection, kind: str, outcome: str | None = None) -> Run | None:
    """The last run of a kind, with that outcome if one is given."""
    wanted = [runs.c.kind == kind] + ([] if outcome is None else [runs.c.outcome == outcome])
    query = select(runs).where(*wanted).order_by(runs.c.began_at.desc(), runs.c.run_id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else Run(**dict(zip(runs.columns.keys(), row, strict=True)))


def lease(connection: Connection, owner: str, now: float, until: float) -> bool:
    """Take or prolong the right to make and try backups; False if another process has it."""
    blank = {"leased_by": "", "leased_until": 0.0}
    connection.execute(upsert(connection, leases).values(name=_NAME, **blank).on_conflict_do_nothing())
    is_free = or_(leases.c.leased_by == owner, leases.c.leased_until <= now)
    taken = connection.execute(
        update(leases).where(leases.c.name == _NAME, is_free).values(leased_by=owner, leased_until=until)
    )
    return taken.rowcount == 1


def release(connection: Connection, owner: str) -> None:
    """Give the right back."""
    free = update(leases).where(leases.c.name == _NAME, leases.c.leased_by == owner)
    connection.execute(free.values(leased_by="", leased_until=0.0))
