"""Argon2id within bounds: the same work for everybody, refusal at once when the queue is full."""

import asyncio
import os
import sys
import threading

import pytest

from doorward.accounts.errors import HashQueueFullError
from doorward.accounts.hashing import Hasher


@pytest.fixture
def hasher():
    made = Hasher(memory_kib=19_456, passes=2, threads=1, queue=2)
    yield made
    made.close()


async def test_only_the_right_password_matches(hasher):
    stored = await hasher.hash("violet anchor")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify("violet anchor", stored)
    assert not await hasher.verify("violet anchoR", stored)
    assert await hasher.hash("violet anchor") != stored


async def test_nobody_has_the_empty_hash(hasher, monkeypatch):
    seen = []
    real = hasher._argon2.verify
    monkeypatch.setattr(hasher, "_argon2", type("Spy", (), {"verify": lambda _, s, p: seen.append(s) or real(s, p)})())
    assert not await hasher.verify("", "")
    assert not await hasher.verify("violet anchor", "")
    assert seen == [hasher._dummy] * 2  # the same work as for an account


async def test_a_broken_hash_matches_nothing(hasher):
    assert not await hasher.verify("violet anchor", "$argon2id$nonsense")


async def test_a_full_queue_refuses_at_once_but_keeps_room_for_known_devices(hasher):
    gate = threading.Event()
    hasher._pool.submit(gate.wait)
    strangers = [asyncio.ensure_future(hasher.verify("x", "")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(HashQueueFullError) as caught:
        await hasher.verify("x", "")
    assert (caught.value.status, caught.value.retry_after_seconds) == (503, 2)
    owner = asyncio.ensure_future(hasher.verify("x", "", known=True))
    gate.set()
    assert await asyncio.gather(*strangers, owner) == [False] * 3
    assert (hasher.waiting, hasher.turned_away) == (0, 1)
    assert not await hasher.verify("x", "")


async def test_older_parameters_are_outdated(hasher):
    other = Hasher(memory_kib=19_456, passes=3, threads=1)
    stored = await other.hash("violet anchor")
    other.close()
    assert hasher.is_outdated(stored)
    assert await hasher.verify("violet anchor", stored)
    assert not hasher.is_outdated(await hasher.hash("violet anchor"))


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
async def test_hash_threads_are_patient_and_nobody_else(hasher):
    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    theirs = await hasher._run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), known=False)
    assert theirs == 19
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine < 19
