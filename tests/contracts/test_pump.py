"""The pump behind outbox and postbox: it works when rung, looks by itself, and survives what its work raises."""

import asyncio
import threading

from doorward.stores import pump as pump_module
from doorward.stores.errors import StoreUnavailableError
from doorward.stores.pump import Pump

NEVER_SECONDS = 3600.0


class Work:
    def __init__(self, wait_seconds: float = NEVER_SECONDS) -> None:
        self.runs = 0
        self.wait_seconds = wait_seconds
        self.trouble: list[Exception] = []
        self.ran = asyncio.Event()

    async def __call__(self) -> float:
        self.runs += 1
        self.ran.set()
        if self.trouble:
            raise self.trouble.pop(0)
        return self.wait_seconds

    async def has_run(self, times: int) -> None:
        async with asyncio.timeout(30):
            while self.runs < times:
                self.ran.clear()
                await self.ran.wait()


async def test_it_works_at_once_and_whenever_it_is_rung():
    work = Work()
    pump = Pump("test", work)
    pump.ring_from_thread()  # nobody is there yet
    pump.start()
    pump.start()
    await work.has_run(1)
    pump.ring()
    await work.has_run(2)
    ringer = threading.Thread(target=pump.ring_from_thread)
    ringer.start()
    await work.has_run(3)
    ringer.join()
    await pump.stop()
    assert work.runs == 3
    pump.ring_from_thread()
    await pump.stop()


async def test_it_looks_by_itself():
    work = Work(wait_seconds=0.001)
    pump = Pump("test", work)
    pump.start()
    await work.has_run(5)
    await pump.stop()


async def test_it_survives_its_works_troubles(monkeypatch):
    monkeypatch.setattr(pump_module, "_FAILED_SECONDS", 0.001)
    work = Work()
    work.trouble = [StoreUnavailableError(), RuntimeError("unexpected"), StoreUnavailableError()]
    pump = Pump("test", work)
    pump.start()
    await work.has_run(4)
    await pump.stop()
    assert work.trouble == []


async def test_a_ring_while_it_works_is_not_lost():
    at_work, go_on = asyncio.Event(), asyncio.Event()
    runs = []

    async def slow() -> float:
        runs.append(1)
        at_work.set()
        await go_on.wait()
        return NEVER_SECONDS

    pump = Pump("test", slow)
    pump.start()
    await at_work.wait()
    pump.ring()
    at_work.clear()
    go_on.set()
    await asyncio.wait_for(at_work.wait(), 30)
    await pump.stop()
    assert len(runs) == 2


async def test_stopping_lets_the_work_in_hand_finish():
    at_work, go_on, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow() -> float:
        at_work.set()
        await go_on.wait()
        finished.set()
        return NEVER_SECONDS

    pump = Pump("test", slow)
    pump.start()
    await at_work.wait()
    stopping = asyncio.create_task(pump.stop())
    await asyncio.sleep(0)
    go_on.set()
    await stopping
    assert finished.is_set()


async def test_stopping_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(pump_module, "_STOP_SECONDS", 0.01)
    at_work = asyncio.Event()

    async def stuck() -> float:
        at_work.set()
        await asyncio.Event().wait()
        return NEVER_SECONDS

    pump = Pump("test", stuck)
    pump.start()
    await at_work.wait()
    await asyncio.wait_for(pump.stop(), 30)
