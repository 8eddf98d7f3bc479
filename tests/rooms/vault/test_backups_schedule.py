"""Backups make and try themselves: when they are due, on one node at a time, and never so that the last one is lost."""

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from doorward.hall.bus import Bus
from doorward.hall.clock import SteppedClock
from doorward.hall.errors import DoorwardError
from doorward.stores.outbox import Outbox
from doorward.stores.outbox_tables import outbox_events as events
from doorward.stores.upgrade import upgrade
from doorward.vault.backups import making
from doorward.vault.backups import service as room
from doorward.vault.backups import tables as rows
from doorward.vault.backups.service import BackupParts, Backups, BackupStoppedError
from doorward.vault.backups.settings import BackupSettings
from rows import open_rows, vault_of

HOUR = 3_600.0
DAY = 24 * HOUR


class Node:
    """One process on the database."""

    def __init__(self, database, clock: SteppedClock, folder: Path, url: str, name: str = "node_1", **settings) -> None:
        self.database = database
        self.clock = clock
        self.folder = folder
        self.backups = Backups(
            BackupParts(
                settings=BackupSettings(**settings), database_url=url, directory=folder, vault=vault_of(database),
                database=database, outbox=Outbox(database, Bus(), clock, name), clock=clock, node=name,
            )
        )  # fmt: skip

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*")) if self.folder.exists() else []

    async def told(self) -> list[str]:
        query = select(events.c.name).where(events.c.name.like("vault.%")).order_by(events.c.position)
        return await self.database.read(lambda connection: list(connection.execute(query).scalars()))

    async def look(self, hours: float = 0.0) -> list[str]:
        self.clock.step(hours * HOUR)
        await self.backups.look()
        return self.names()


@pytest.fixture
async def node(database_url, tmp_path, clock):
    upgrade(database_url)
    database = await open_rows(database_url, clock)
    opened: list[Node] = []

    def make(name: str = "node_1", folder: str = "backups", **settings) -> Node:
        opened.append(Node(database, clock, tmp_path / folder, database_url, name, **settings))
        return opened[-1]

    yield make
    for one in opened:
        await one.backups.stop()
    await database.close()


async def test_one_is_made_when_it_is_due_and_not_before(node):
    one = node(every_hours=6, drill_every_days=0)
    (first,) = await one.look()
    assert await one.look(hours=5.9) == [first]
    assert len(await one.look(hours=0.2)) == 2
    assert await one.told() == ["vault.backup.finished"] * 2
    overview = await one.backups.overview()
    assert (overview.made_at, overview.drilled_at) == (one.clock.now(), None)
    assert overview.size_bytes == (one.folder / one.names()[-1]).stat().st_size


async def test_a_drill_is_made_when_it_is_due(node):
    one = node(every_hours=24, drill_every_days=2)
    await one.look()
    assert await one.told() == ["vault.backup.finished", "vault.drill.passed"]
    for _ in range(3):
        await one.look(hours=24.5)
    assert (await one.told())[2:] == [
        "vault.backup.finished",
        "vault.backup.finished",
        "vault.drill.passed",
        "vault.backup.finished",
    ]
    assert not (await one.backups.overview()).drill_failed
    figures = one.backups.figures()
    assert figures['vault_drills_total{result="done"}'] == 2
    assert figures["vault_backup_last_seconds"] == one.clock.now()


async def test_nothing_is_made_that_is_switched_off(node):
    one = node(every_hours=0, drill_every_days=0)
    assert one.backups.jobs() == []
    assert await one.look(hours=10_000) == []


async def test_a_damaged_backup_fails_its_drill_and_tells(node):
    one = node(every_hours=24 * 365, drill_every_days=1)
    (name,) = await one.look()
    file = one.folder / name
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    await one.look(hours=24.5)
    assert (await one.told())[-1] == "vault.drill.failed"
    assert (await one.backups.overview()).drill_failed
    assert one.backups.figures()['vault_drills_total{result="failed"}'] == 1
    told = await one.told()
    await one.look(hours=23)  # not again and again
    assert await one.told() == told
    await one.look(hours=1.5)
    assert (await one.told()).count("vault.drill.failed") == 2


async def test_after_a_failure_it_is_tried_again_within_the_hour(node, monkeypatch):
    one = node(every_hours=24, drill_every_days=0)

    def fails(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(making, "_write", fails)
        assert await one.look() == []
        assert await one.look(hours=0.5) == []
        assert await one.told() == ["vault.backup.failed"]
        await one.look(hours=0.6)
        assert await one.told() == ["vault.backup.failed"] * 2
    assert await one.look(hours=0.9) == []
    assert len(await one.look(hours=0.2)) == 1


async def test_a_directory_that_cannot_be_written_is_told(node):
    one = node(every_hours=24, drill_every_days=0)
    one.folder.parent.mkdir(exist_ok=True)
    one.folder.write_text("a file, where the directory should be")
    await one.look()
    assert await one.told() == ["vault.backup.failed"]


async def test_two_nodes_make_one_backup(node):
    one, other = node("node_1", every_hours=24), node("node_2", "elsewhere", every_hours=24)
    await asyncio.gather(one.backups.look(), other.backups.look())
    await asyncio.gather(one.backups.look(), other.backups.look())
    assert len(one.names() + other.names()) == 1


async def test_who_is_at_it_keeps_the_others_out_until_it_died(node, clock):
    one, other = node("node_1"), node("node_2", "elsewhere")
    assert await one.database.write(lambda connection: rows.lease(connection, "node_1", clock.now(), clock.now() + 300))
    assert await other.backups.back_up() is None
    clock.step(301)
    assert (await other.backups.back_up()).is_done
    assert (await one.backups.back_up()).is_done  # the other one gave the lease back


async def test_old_ones_go_and_the_newest_stays(node):
    one = node(every_hours=24, drill_every_days=0, keep_daily=3, keep_weekly=0, keep_monthly=0)
    for _ in range(6):
        await one.look(hours=25)
    assert len(one.names()) == 3
    none = node(folder="others", every_hours=1, drill_every_days=0, keep_daily=0, keep_weekly=0, keep_monthly=0)
    for _ in range(3):
        await none.look(hours=25)
    assert len(none.names()) == 1


async def test_the_one_that_was_proved_stays(node):
    one = node(every_hours=24, drill_every_days=3_00, keep_daily=1, keep_weekly=0, keep_monthly=0)
    (proved,) = await one.look()
    for _ in range(3):
        names = await one.look(hours=25)
    assert len(names) == 2
    assert proved in names


async def test_a_service_that_stops_leaves_nothing(node, monkeypatch):
    one = node(every_hours=24)
    began, may_go_on = threading.Event(), threading.Event()

    def make(*arguments, tell, **options):
        began.set()
        may_go_on.wait(30)
        return making.make(*arguments, tell=tell, **options)

    monkeypatch.setattr(room, "make", make)
    working = asyncio.ensure_future(one.backups.back_up())
    await asyncio.to_thread(began.wait, 30)
    stopping = asyncio.ensure_future(one.backups.stop())
    await asyncio.sleep(0)
    may_go_on.set()
    await stopping
    with pytest.raises(BackupStoppedError):
        await working
    assert one.names() == []
    assert await one.told() == []


async def test_recipients_that_are_none_are_told(node):
    one = node(every_hours=24, recipients=("age1nonsense",), drill_every_days=1)
    assert await one.look() == []
    assert await one.told() == ["vault.backup.failed"]
    with pytest.raises(DoorwardError, match="age1"):
        await asyncio.to_thread(one.backups._make, 1.0)


async def test_what_only_others_can_open_is_not_tried(node):
    pyrage = pytest.importorskip("pyrage")
    one = node(every_hours=24, recipients=(str(pyrage.x25519.Identity.generate().to_public()),), drill_every_days=1)
    assert len(await one.look()) == 1
    assert await one.told() == ["vault.backup.finished"]
