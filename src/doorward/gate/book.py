"""The book of the posture: its rows in the database, the snapshot in memory, and the way both stay the same.

1. Every change is one transaction: read what is in force, judge (`posture`, pure), append a row, publish the fact.
2. The snapshot in memory follows at once here, and on other nodes when they hear of it: by a message of the
   counters (at most once, fast) and by the event (at least once).
3. Database away: the snapshot goes on serving; its rows expire by themselves, for `decide` looks at their time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from doorward.gate import posture as rules
from doorward.gate import tables
from doorward.gate.cohorts import PostureIndex, key_of, parse_key
from doorward.gate.model import Change, Level, Posture, Row
from doorward.gate.posture import History, Pace, Wish
from doorward.hall.bus import Bus
from doorward.hall.clock import Clock
from doorward.hall.errors import UnavailableError
from doorward.hall.events import PostureReopened, PostureTightened
from doorward.stores.counters import Counters
from doorward.stores.outbox import Outbox
from doorward.stores.sql import Database

CHANNEL = "gate.posture"
_log = structlog.get_logger("doorward.gate")
_REMEMBERED_CHANGES = 2_000

Plan = Callable[[Connection, Posture], list[Change]]  # what to change, given what is in force


@dataclass(frozen=True, slots=True)
class Lever:
    """What a person, a playbook or a drill asks for."""

    level: Level
    cohort: str
    reason: str
    expires_in_seconds: float
    set_by: str


class PostureBook:
    """The posture of the house."""

    def __init__(self, database: Database, counters: Counters, outbox: Outbox, clock: Clock, pace: Pace) -> None:
        self._database = database
        self._counters = counters
        self._outbox = outbox
        self._clock = clock
        self._pace = pace
        self._histories: dict[str, History] = {}
        self.index = PostureIndex(Posture())

    @property
    def current(self) -> Posture:
        """The snapshot that is served."""
        return self.index.posture

    def hear(self, bus: Bus) -> None:
        """Follow the changes that other nodes make."""
        bus.on_each_node(PostureTightened, self._heard)
        bus.on_each_node(PostureReopened, self._heard)

    async def load(self) -> None:
        """Read the posture and the recent past from the database."""
        since = self._clock.now() - self._pace.memory

        def work(connection: Connection) -> tuple[Posture, list[Row]]:
            recent = tables.read_history(connection, since=since, limit=_REMEMBERED_CHANGES)
            return tables.read_posture(connection), recent

        posture, recent = await self._database.read(work)
        self._histories = {}
        for row in reversed(recent):
            self._remember(row.change)
        self._serve(posture)

    def _serve(self, posture: Posture) -> None:
        """Serve a snapshot, unless a newer one has overtaken it on its way from the database."""
        if posture.version >= self.current.version:
            self.index = PostureIndex(posture)

    async def follow(self) -> None:
        """Load again whenever another node says that it changed the posture; runs until cancelled."""
        async for message in self._counters.subscribe(CHANNEL):
            if message != str(self.current.version).encode():
                await self._reload()

    async def pull(self, lever: Lever) -> Row:
        """Carry out what a person asks for.

        Raises:
            PostureChangeError: no reason, or no expiry in bounds. CohortSyntaxError: not a cohort.
        """
        at = self._clock.now()
        cohort = key_of(parse_key(lever.cohort))
        parse_key(cohort)  # percent-encoding may have made it too long to be read back
        expires_at = at + lever.expires_in_seconds
        change = Change(at, cohort, lever.level, lever.reason.strip(), (), expires_at, lever.set_by)
        rules.checked(change, self._pace)
        rows = await self._write(lambda _connection, _posture: [change])
        return rows[0]

    async def undo(self, version: int, set_by: str) -> Row:
        """Take one change back.

        Raises:
            NothingToUndoError: it is not in force.
        """
        at = self._clock.now()

        def take_back(connection: Connection, posture: Posture) -> list[Change]:
            row = tables.read_change(connection, version)
            before = None if row is None else tables.change_before(connection, version, row.change.cohort)
            return [rules.undoing(posture, version, before, at, set_by)]

        return (await self._write(take_back))[0]

    async def wish(self, wishes: Sequence[Wish]) -> None:
        """Carry out what the detector wants, as far as the rules let it."""
        due = [wish for wish in wishes if self._judge(self.current, wish) is not None]
        renewals = [(wish, verdict) for wish in due if isinstance(verdict := self._judge(self.current, wish), float)]
        if renewals:
            await self._renew({wish.cohort: expires_at for wish, expires_at in renewals})
        changing = [wish for wish in due if isinstance(self._judge(self.current, wish), Change)]
        if changing:
            await self._write(lambda _, posture: self._changes(posture, changing))

    async def expire(self) -> None:
        """Write down the reopenings that are due."""
        at = self._clock.now()
        if rules.lapsed(self.current, at):
            await self._write(lambda _, posture: rules.lapsed(posture, at))

    async def history(self, limit: int = 100, before: int | None = None) -> list[Row]:
        """Changes, newest first."""
        return await self._database.read(lambda connection: tables.read_history(connection, before=before, limit=limit))

    def _judge(self, posture: Posture, wish: Wish) -> Change | float | None:
        verdict = rules.judged(posture, wish, self._histories.get(wish.cohort), self._pace)
        row = posture.rows.get(wish.cohort)
        if isinstance(verdict, float) and row is not None:
            # A row is written for a renewal only when half of the hold is over: not every second.
            is_due = row.change.expires_at - wish.at < self._pace.hold / 2
            return verdict if is_due and verdict > row.change.expires_at else None
        return verdict

    def _changes(self, posture: Posture, wishes: Iterable[Wish]) -> list[Change]:
        judged = (self._judge(posture, wish) for wish in wishes)
        return [rules.checked(change, self._pace) for change in judged if isinstance(change, Change)]

    async def _renew(self, expiries: dict[str, float]) -> None:
        versions = {self.current.rows[cohort].version: at for cohort, at in expiries.items()}

        def work(connection: Connection) -> None:
            for version, expires_at in versions.items():
                tables.move_expiry(connection, version, expires_at)

        await self._database.write(work)
        posture = self.current
        for cohort, expires_at in expiries.items():
            posture = rules.renewed(posture, cohort, expires_at)
        self.index = PostureIndex(posture)
        await self._tell(b"renewed")

    async def _write(self, plan: Plan) -> list[Row]:
        """One transaction of changes; the snapshot follows."""

        def work(connection: Connection) -> tuple[Posture, list[Row]]:
            posture = tables.read_posture(connection)
            rows = []
            for change in plan(connection, posture):
                before = posture.level(change.cohort, change.at) if change.level is not Level.OPEN else None
                held = posture.rows.get(change.cohort)
                from_level = before or (held.change.level if held is not None else Level.OPEN)
                version = tables.add_change(connection, change, from_level)
                posture = rules.applied(posture, change, version)
                rows.append(Row(version, change, from_level, change.at))
                self._outbox.publish(connection, event_of(rows[-1]))
            return posture, rows

        posture, rows = await self._database.write(work)
        self._serve(posture)
        for row in rows:
            self._remember(row.change)
            _log.info("posture_changed", cohort=row.change.cohort, level=row.change.level.value, version=row.version)
        await self._tell(str(posture.version).encode())
        return rows

    def _remember(self, change: Change) -> None:
        self._histories[change.cohort] = rules.remembered(self._histories.get(change.cohort), change, self._pace)
        if len(self._histories) > _REMEMBERED_CHANGES:
            del self._histories[next(iter(self._histories))]

    async def _tell(self, message: bytes) -> None:
        try:
            await self._counters.publish(CHANNEL, message)
        except UnavailableError as error:  # the event tells the others a little later
            _log.warning("posture_message_lost", code=error.code)

    async def _heard(self, event: PostureTightened | PostureReopened) -> None:
        if event.version > self.current.version:
            await self._reload()

    async def _reload(self) -> None:
        try:
            await self.load()
        except UnavailableError as error:  # rule 3
            _log.warning("posture_kept", code=error.code, version=self.current.version)


def event_of(row: Row) -> PostureTightened | PostureReopened:
    """The fact of a change."""
    change = row.change
    evidence = dict(change.evidence)
    if change.level.rank > row.from_level.rank:
        return PostureTightened(
            at=change.at, version=row.version, cohort=change.cohort, from_level=row.from_level.value,
            to_level=change.level.value, reason=change.reason, evidence=evidence, expires_at=change.expires_at,
            set_by=change.set_by,
        )  # fmt: skip
    return PostureReopened(
        at=change.at, version=row.version, cohort=change.cohort, from_level=row.from_level.value,
        to_level=change.level.value, reason=change.reason, evidence=evidence, set_by=change.set_by,
    )  # fmt: skip
