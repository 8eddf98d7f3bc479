"""What counters promise to the rooms, checked in memory and on a real Redis (or Valkey) alike."""

import asyncio

import pytest
import redis.asyncio

from conftest import MEMORY, REDIS
from doorward.hall.clock import SystemClock
from doorward.stores.counters import open_counters
from doorward.stores.errors import CountersUnavailableError, StoreSetupError

SLOW = 0.01  # a hundred seconds for one: nothing refills while a test runs


@pytest.fixture(params=[MEMORY, REDIS])
def url(request):
    return "memory://" if request.param == "memory" else request.getfixturevalue("redis_url")


@pytest.fixture
async def counters(url):
    opened = open_counters(url, SystemClock())
    yield opened
    await opened.close()


@pytest.fixture
async def neighbour(url, counters):
    """The counters as another process of the house sees them."""
    if url == "memory://":
        yield counters
        return
    opened = open_counters(url, SystemClock())
    yield opened
    await opened.close()


async def eventually(condition) -> None:
    """Until `await condition()` is true: for what ends by the server's own clock."""
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - the server does not tell when a key has ended
            await asyncio.sleep(0.02)


async def test_a_budget_gives_its_burst_and_then_says_how_long_to_wait(counters):
    assert [await counters.take("k", SLOW, 3) for _ in range(3)] == [0.0, 0.0, 0.0]
    wait = await counters.take("k", SLOW, 3)
    assert 90 < wait <= 100


async def test_a_refusal_costs_nothing(counters):
    await counters.take("k", SLOW, 1)
    waits = [await counters.take("k", SLOW, 1) for _ in range(5)]
    assert waits == sorted(waits, reverse=True)
    assert all(90 < wait <= 100 for wait in waits)


async def test_a_budget_refills(counters):
    rate = 20.0
    assert await counters.take("k", rate, 1) == 0.0
    assert 0 < await counters.take("k", rate, 1) <= 1 / rate

    async def gives() -> bool:
        return await counters.take("k", rate, 1) == 0.0

    await eventually(gives)


async def test_a_costly_request_takes_more(counters):
    assert await counters.take("k", SLOW, 10, cost=7) == 0.0
    assert await counters.take("k", SLOW, 10, cost=4) > 0
    assert await counters.take("k", SLOW, 10, cost=3) == 0.0


async def test_budgets_do_not_know_one_another(counters):
    await counters.take("one", SLOW, 1)
    assert await counters.take("other", SLOW, 1) == 0.0


async def test_a_budget_is_shared_by_the_house(counters, neighbour):
    takers = [side.take("k", SLOW, 10) for side in (counters, neighbour) for _ in range(10)]
    waits = await asyncio.gather(*takers)
    assert sum(wait == 0.0 for wait in waits) == 10


@pytest.mark.parametrize(("rate", "burst", "cost"), [(0.0, 1, 1), (-1.0, 1, 1), (1.0, 1, 2), (1.0, 1, 0), (1.0, 0, 1)])
async def test_a_budget_that_never_could_is_a_mistake(counters, rate, burst, cost):
    with pytest.raises(ValueError, match=r"budget|cost"):
        await counters.take("k", rate, burst, cost)


async def test_a_thing_is_spent_once_in_the_whole_house(counters, neighbour):
    tries = await asyncio.gather(*(side.spend("proof", 60) for side in (counters, neighbour) for _ in range(25)))
    assert tries.count(True) == 1
    assert await counters.spend("another proof", 60)


async def test_a_spent_thing_is_forgotten_after_its_time(counters):
    assert await counters.spend("proof", 2)
    assert not await counters.spend("proof", 2)

    async def is_forgotten() -> bool:
        return await counters.spend("proof", 60)

    await eventually(is_forgotten)
    assert not await counters.spend("proof", 60)


async def test_a_counter_counts(counters, neighbour):
    assert await counters.get("n") == 0
    assert await counters.add("n", 5, 60) == 5
    assert await neighbour.add("n", -2, 60) == 3
    assert await counters.get("n") == 3
    await asyncio.gather(*(side.add("n", 1, 60) for side in (counters, neighbour) for _ in range(50)))
    assert await neighbour.get("n") == 103


async def test_a_counter_ends_after_its_first_addition(counters):
    await counters.add("n", 5, 1)

    async def has_ended() -> bool:
        await counters.add("other", 1, 1)
        return await counters.get("n") == 0

    await eventually(has_ended)
    assert await counters.add("n", 2, 60) == 2


async def test_later_additions_do_not_lengthen_a_counters_life(counters):
    await counters.add("n", 1, 1)

    async def begins_anew() -> bool:
        return await counters.add("n", 1, 3600) == 1

    await eventually(begins_anew)


async def test_budgets_spent_things_and_counters_of_one_name_are_three_things(counters):
    assert await counters.take("k", SLOW, 1) == 0.0
    assert await counters.spend("k", 60)
    assert await counters.add("k", 1, 60) == 1
    assert await counters.get("k") == 1


async def test_strange_keys_are_keys(counters):
    for key in ("", " ", "a\r\nDEL *\r\n", "ключ", "k" * 10_000, "\x00"):
        assert await counters.spend(key, 60)
        assert not await counters.spend(key, 60)


async def test_messages_reach_who_listens(counters, neighbour):
    heard: list[bytes] = []
    stranger: list[bytes] = []

    async def listen(channel: str, into: list[bytes]) -> None:
        messages = neighbour.subscribe(channel)
        while True:
            into.append(await anext(messages))

    listeners = [asyncio.create_task(listen("posture", heard)), asyncio.create_task(listen("other", stranger))]

    async def is_heard() -> bool:
        await counters.publish("posture", b"tighten\x00\xff")
        return bool(heard)

    await eventually(is_heard)
    for listener in listeners:
        listener.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)
    assert set(heard) == {b"tighten\x00\xff"}
    assert stranger == []


async def test_nobody_listening_is_no_trouble(counters):
    await counters.publish("posture", b"hello")
    await counters.ping()


async def test_a_thousand_calls_of_one_moment_all_get_their_own_answer(counters):
    spent = await asyncio.gather(*(counters.spend(f"proof-{number % 500}", 60) for number in range(1000)))
    assert spent == [True] * 500 + [False] * 500


@pytest.mark.redis
async def test_a_restarted_redis_is_found_again(redis_url):
    """Scripts and connections are gone after a restart; nothing has to be done about it by hand."""
    counters = open_counters(redis_url, SystemClock())
    assert await counters.take("k", SLOW, 1) == 0.0
    async with redis.asyncio.Redis.from_url(redis_url) as operator:
        await operator.script_flush()
        await operator.client_kill_filter(_type="normal", skipme=True)
    assert await counters.take("k", SLOW, 1) > 0
    assert await counters.add("n", 2, 60) == 2
    await counters.close()


@pytest.mark.redis
async def test_a_subscription_survives_a_lost_connection(redis_url):
    counters = open_counters(redis_url, SystemClock())
    messages = counters.subscribe("posture")
    next_message = asyncio.ensure_future(anext(messages))

    async with redis.asyncio.Redis.from_url(redis_url) as operator:

        async def is_subscribed() -> bool:
            return bool(await operator.pubsub_numsub("doorward:m:posture")) and next(
                iter(dict(await operator.pubsub_numsub("doorward:m:posture")).values())
            )

        await eventually(is_subscribed)
        await operator.client_kill_filter(_type="pubsub")

        async def is_heard() -> bool:
            await counters.publish("posture", b"again")
            return next_message.done()

        await eventually(is_heard)
    assert await next_message == b"again"
    await messages.aclose()
    await counters.close()


async def test_absent_counters_are_said_to_be_away():
    counters = open_counters("redis://127.0.0.1:1/0", SystemClock())
    for call in (counters.ping(), counters.spend("k", 1), counters.take("k", 1, 1), counters.get("k")):
        with pytest.raises(CountersUnavailableError) as caught:
            await call
        assert caught.value.retry_after_seconds
    await counters.close()
    with pytest.raises(CountersUnavailableError):
        await counters.ping()


@pytest.mark.parametrize("url", ["", "memcached://localhost", "redis", "redis://localhost:port/0"])
def test_a_wrong_counters_url_is_refused(url):
    with pytest.raises(StoreSetupError):
        open_counters(url, SystemClock())
