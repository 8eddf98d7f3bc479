"""Recorded conversations from tape to deletion.

1. What the recorder holds is fetched about once a second: its text is taken out, redacted in a thread of its own,
   sealed under its person's key and written. While the database is away it waits, within the recorder's bound.
2. A row lives for the retention; then, or with its person, it goes. A person's key that is destroyed makes what lies in
   old copies unreadable.
3. Who reads one is on record: the reading is published as a fact in the same transaction, before the words are shown.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from doorward.hall.clock import Clock
from doorward.hall.errors import NotFoundError, ShreddedError
from doorward.hall.events import RecordingOpened
from doorward.hall.ids import new_id
from doorward.hall.jobs import Job
from doorward.stores.outbox import Outbox
from doorward.stores.sql import Database
from doorward.upstream import recording_tables as tables
from doorward.upstream import redaction
from doorward.upstream.recording import Exchanged, Recorder, RecordingRules
from doorward.upstream.recording_model import Recording, RecordingFacts
from doorward.upstream.settings import UpstreamSettings
from doorward.upstream.transcript import text_of

_BATCH: Final = 50
_WRITE_EVERY_SECONDS: Final = 1.0
_EXPIRE_EVERY_SECONDS: Final = 60.0
_EXPIRED_AT_ONCE: Final = 1_000
_HOUR_SECONDS: Final = 3_600


@dataclass(frozen=True, slots=True)
class Recordings:
    """All recordings of one house. `recorder` is None where nothing is recorded; what is there stays readable."""

    settings: UpstreamSettings
    clock: Clock
    database: Database
    outbox: Outbox
    recorder: Recorder | None

    def jobs(self) -> list[Job]:
        """What must be done again and again."""
        expiring = Job("upstream.recordings.expire", _EXPIRE_EVERY_SECONDS, self.expire)
        writing = Job("upstream.recordings.write", _WRITE_EVERY_SECONDS, self.write, on_each_node=True)
        return [expiring] if self.recorder is None else [expiring, writing]

    # 1. Writing

    async def write(self) -> None:
        """Write what has been recorded.

        Raises:
            StoreUnavailableError: the database is away; the rest waits for the next time.
        """
        recorder = self.recorder
        while recorder is not None and (batch := recorder.take(_BATCH)):
            is_written = False
            try:
                made = await asyncio.to_thread(self._made, batch)
                written = await self.database.write(partial(_add, made))
                is_written = True
            finally:
                if not is_written:
                    recorder.give_back(batch)
            recorder.settle(batch)
            recorder.counts["written"] += written

    def _made(self, batch: list[Exchanged]) -> list[Recording]:
        redact: Callable[[str], str] = str
        rules = ""
        if self.settings.recording_redacts:
            redactor = redaction.packaged()
            redact, rules = redactor, redactor.version
        longest, now = self.settings.recording_max_bytes, self.clock.now()
        until = now + self.settings.recording_hours * _HOUR_SECONDS
        return [
            Recording(
                _facts_of(each, now, until, rules),
                redact(text_of(each.prompt, longest)),
                redact(text_of(each.answer, longest)),
            )
            for each in batch
        ]

    # 2. Going

    async def expire(self) -> None:
        """Delete what has been kept for its time.

        Raises:
            StoreUnavailableError: the database is away.
        """
        now = self.clock.now()
        while await self.database.write(lambda c: tables.expire(c, now, _EXPIRED_AT_ONCE)):
            pass

    def forget(self, account_ids: Iterable[str]) -> None:
        """These accounts' people are gone: what waits in memory of them is not written."""
        if self.recorder is not None:
            for account_id in account_ids:
                self.recorder.forget(account_id)

    # 3. For the operator

    async def listed(self, account_id: str = "", limit: int = 100) -> list[RecordingFacts]:
        """What there is, the newest first: of an account, or of all. No words.

        Raises:
            StoreUnavailableError: the database is away.
        """
        return await self.database.read(lambda c: tables.facts(c, account_id, limit))

    async def read(self, recording_id: str, reader: str) -> Recording:
        """A recording with its words; that `reader` read it is published.

        Raises:
            NotFoundError: there is none of that id. ShreddedError: its person's key was destroyed.
            StoreUnavailableError: the database is away, so that the reading cannot be put on record.
        """

        def work(connection: Connection) -> Recording:
            found = tables.one(connection, recording_id)
            if found is None:
                raise NotFoundError("There is no recording of that id.")
            fact = RecordingOpened(
                at=self.clock.now(), recording_id=recording_id, account_id=found.facts.account_id, reader=reader
            )
            self.outbox.publish(connection, fact)
            return found

        return await self.database.write(work)

    async def delete(self, recording_id: str) -> None:
        """Delete one.

        Raises:
            NotFoundError: there is none of that id. StoreUnavailableError: the database is away.
        """
        if not await self.database.write(lambda c: tables.remove(c, recording_id)):
            raise NotFoundError("There is no recording of that id.")

    async def delete_of(self, account_id: str) -> int:
        """Delete those of an account; returns how many there were.

        Raises:
            StoreUnavailableError: the database is away.
        """
        return await self.database.write(lambda c: tables.remove_of(c, account_id))

    async def delete_all(self) -> int:
        """Delete every recording; returns how many there were.

        Raises:
            StoreUnavailableError: the database is away.
        """
        return await self.database.write(tables.remove_all)

    def figures(self) -> dict[str, float]:
        """Counts since the start; none where nothing is recorded."""
        return {} if self.recorder is None else self.recorder.figures()


def recorder_of(settings: UpstreamSettings) -> Recorder | None:
    """The recorder that the operator asked for, if any."""
    if settings.recording == "off":
        return None
    return Recorder(
        RecordingRules(
            body_bytes=settings.recording_max_bytes,
            memory_bytes=settings.recording_memory_bytes,
            share=settings.recording_share,
        )
    )


def _add(recordings: list[Recording], connection: Connection) -> int:
    """Keep those whose person is still there; returns how many."""
    try:
        tables.add(connection, recordings)  # seals all before it writes any
    except ShreddedError:
        return sum(_added(connection, one) for one in recordings)
    return len(recordings)


def _added(connection: Connection, recording: Recording) -> bool:
    try:
        tables.add(connection, [recording])
    except ShreddedError:  # the person went while the exchange ran
        return False
    return True


def _facts_of(each: Exchanged, now: float, until: float, rules: str) -> RecordingFacts:
    return RecordingFacts(
        recording_id=new_id("rec"),
        account_id=each.account_id,
        at=now,
        expires_at=until,
        request_id=each.request_id,
        path=each.path,
        status=each.status,
        outcome=each.outcome,
        prompt_bytes=each.prompt.size_bytes,
        answer_bytes=each.answer.size_bytes,
        rules=rules,
    )
