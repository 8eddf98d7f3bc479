"""Usage per account and UTC day. All processes add to the same rows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    RowMapping,
    String,
    Table,
    delete,
    func,
    select,
    tuple_,
)

from doorward.hall.model import Lane
from doorward.stores.schema import METADATA, upsert
from doorward.upstream.budgets import Delta

BATCH: Final = 500
_DAY_SECONDS: Final = 86_400
_LAST_DAY: Final = 2**31 - 1

USAGE: Final = Table(
    "upstream_usage",
    METADATA,
    Column("account_id", String(40), primary_key=True),
    Column("day", Integer, primary_key=True),  # days since the Unix epoch
    Column("lane", String(16), nullable=False),  # in which the account last used something that day
    Column("tokens", BigInteger, nullable=False),
    Column("requests_ok", BigInteger, nullable=False),
    Column("requests_refused", BigInteger, nullable=False),
    Index(None, "day", "lane"),
)


@dataclass(frozen=True, slots=True)
class Sums:
    """What the rows say of one account, over all days kept."""

    requests_ok: int
    requests_refused: int
    active_days: int  # days with at least one request that was answered
    tokens_today: int
    lane: Lane | None  # of the newest row; None: no row at all


def add_usage(connection: Connection, deltas: Sequence[Delta]) -> list[Delta]:
    """Add the deltas to their rows; returns the new totals of the same accounts and days."""
    if not deltas:
        return []
    ordered = sorted(deltas, key=lambda delta: (delta.day, delta.account_id))  # one order for all: no deadlocks
    statement = upsert(connection, USAGE)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[USAGE.c.account_id, USAGE.c.day],
            set_={
                "lane": statement.excluded.lane,
                "tokens": USAGE.c.tokens + statement.excluded.tokens,
                "requests_ok": USAGE.c.requests_ok + statement.excluded.requests_ok,
                "requests_refused": USAGE.c.requests_refused + statement.excluded.requests_refused,
            },
        ),
        [
            {
                "account_id": delta.account_id,
                "day": delta.day,
                "lane": delta.lane.value,
                "tokens": delta.tokens,
                "requests_ok": delta.requests_ok,
                "requests_refused": delta.requests_refused,
            }
            for delta in ordered
        ],
    )
    return list(_totals(connection, ordered))


def _totals(connection: Connection, deltas: Sequence[Delta]) -> Iterator[Delta]:
    accounts = sorted({delta.account_id for delta in deltas})
    days = {delta.day for delta in deltas}
    for start in range(0, len(accounts), BATCH):
        part = accounts[start : start + BATCH]
        found = connection.execute(select(USAGE).where(USAGE.c.account_id.in_(part), USAGE.c.day.in_(days)))
        yield from map(_delta, found.mappings())


def usage_on(connection: Connection, day: int, lanes: Iterable[Lane]) -> list[Delta]:
    """What the accounts that were last in one of these lanes used on a day."""
    names = [lane.value for lane in lanes]
    return [
        _delta(row)
        for row in connection.execute(select(USAGE).where(USAGE.c.day == day, USAGE.c.lane.in_(names))).mappings()
    ]


def sums_of(connection: Connection, account_id: str, today: int) -> Sums:
    """The sums over an account's rows."""
    active = func.count().filter(USAGE.c.requests_ok > 0)
    tokens = func.coalesce(func.sum(USAGE.c.tokens).filter(USAGE.c.day == today), 0)
    ok, refused = (func.coalesce(func.sum(column), 0) for column in (USAGE.c.requests_ok, USAGE.c.requests_refused))
    of_account = USAGE.c.account_id == account_id
    row = connection.execute(select(ok, refused, active, tokens).where(of_account)).one()
    lane = connection.execute(
        select(USAGE.c.lane).where(of_account).order_by(USAGE.c.day.desc()).limit(1)
    ).scalar_one_or_none()
    return Sums(int(row[0]), int(row[1]), int(row[2]), int(row[3]), Lane(lane) if lane else None)


def trim(connection: Connection, before_day: int, limit: int) -> int:
    """Delete rows of days before `before_day`, at most `limit`; returns how many went."""
    key = (USAGE.c.account_id, USAGE.c.day)
    old = connection.execute(select(*key).where(USAGE.c.day < before_day).limit(limit)).all()
    if old:
        connection.execute(delete(USAGE).where(tuple_(*key).in_([tuple(row) for row in old])))
    return len(old)


def forget(connection: Connection, subjects: Sequence[str], until: float) -> dict[str, int]:
    """Delete what these accounts used up to that moment (Unix seconds); returns table -> rows."""
    day = min(until, _LAST_DAY * _DAY_SECONDS) // _DAY_SECONDS
    gone = delete(USAGE).where(USAGE.c.account_id.in_(list(subjects)), USAGE.c.day <= int(day))
    return {USAGE.name: connection.execute(gone).rowcount}


def _delta(row: RowMapping) -> Delta:
    return Delta(
        account_id=row["account_id"],
        day=row["day"],
        lane=Lane(row["lane"]),
        tokens=row["tokens"],
        requests_ok=row["requests_ok"],
        requests_refused=row["requests_refused"],
    )
