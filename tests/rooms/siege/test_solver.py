"""Paying: the solver finds what ALTCHA accepts, and the pool is bounded and ends."""

import asyncio
import io

import altcha
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.siege.proofs import NoProofError, SolverPool, payload
from doorward.siege.solver import UnpayableError, serve, solve


def challenge(counter: int) -> dict:
    return altcha.create_challenge(
        "PBKDF2/SHA-256", 10, counter=counter, hmac_secret="s", hmac_key_secret="k", data={"n": "1"}
    ).to_dict()


@given(st.integers(0, 300))
def test_solutions_are_accepted(counter):
    asked = challenge(counter)
    found, key = solve(asked)
    assert found == counter
    assert altcha.verify_solution(payload(asked, found, key, 12.3), "s", hmac_key_secret="k").verified


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "ARGON2ID"},
        {"nonce": "xyz"},
        {"cost": 10**9},
        {"keyPrefix": ""},
        {"keyLength": 10**6},
        {"salt": None},
    ],
)
def test_dishonest_challenges_are_not_paid(change):
    asked = challenge(3)
    asked["parameters"].update(change)
    with pytest.raises(UnpayableError):
        solve(asked)


@given(st.none() | st.integers() | st.dictionaries(st.sampled_from(["algorithm", "nonce", "cost"]), st.text()))
def test_nonsense_is_not_paid(value):
    with pytest.raises(UnpayableError):
        solve({"parameters": value})


def test_the_worker_answers_line_by_line():
    jobs = [{"id": 1, "challenge": challenge(5)}, {"id": 2, "challenge": {}}]
    sink = io.BytesIO()
    serve(io.BytesIO(b"\n".join(msgspec.json.encode(job) for job in jobs)), sink)
    first, second = [msgspec.json.decode(line) for line in sink.getvalue().splitlines()]
    assert (first["id"], first["counter"]) == (1, 5)
    assert second == {"id": 2, "error": "malformed challenge"}


async def test_the_pool_solves_refuses_a_long_queue_and_ends():
    pool = SolverPool(1, queue_limit=2)
    await pool.start()
    try:
        asked = [challenge(200) for _ in range(6)]
        results = await asyncio.gather(*(pool.solve(one) for one in asked), return_exceptions=True)
        solved = [result for result in results if isinstance(result, tuple)]
        refused = [result for result in results if isinstance(result, NoProofError)]
        assert len(solved) >= 2
        assert len(solved) + len(refused) == 6
        assert refused
        assert all(counter == 200 for counter, _ in solved)
    finally:
        await pool.stop()
    assert pool.solved == len(solved)


async def test_a_caller_who_goes_away_does_not_mix_up_the_next():
    pool = SolverPool(1, queue_limit=10)
    await pool.start()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await pool.solve(challenge(5_000))
        assert (await pool.solve(challenge(7)))[0] == 7
    finally:
        await pool.stop()


async def test_stopping_ends_a_solver_in_mid_price():
    pool = SolverPool(1, queue_limit=10)
    await pool.start()
    impossible = challenge(3)
    impossible["parameters"]["keyPrefix"] = "00" * 32
    impossible["parameters"]["cost"] = 10_000
    work = asyncio.create_task(pool.solve(impossible))
    await asyncio.sleep(0.2)
    await pool.stop()
    with pytest.raises(NoProofError):
        await work
