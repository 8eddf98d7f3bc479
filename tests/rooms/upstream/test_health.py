"""Health: two thresholds that cannot flap, and probes of a service that behaves well, badly or not at all."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.upstream.health import Health, HealthRules, judged, probe
from doorward.upstream.pool import Origin

RULES = st.builds(HealthRules, st.integers(1, 5), st.integers(1, 5))
SIGNS = st.lists(st.sampled_from(["", "connect", "timeout"]), max_size=60)


def walk(signs: list[str], rules: HealthRules) -> list[Health]:
    states = [Health()]
    for sign in signs:
        states.append(judged(states[-1], sign, rules))
    return states


@given(SIGNS, RULES)
def test_it_leaves_only_after_so_many_failures_in_a_row_and_returns_after_so_many_successes(signs, rules):
    states = walk(signs, rules)
    for at in range(1, len(states)):
        before, after = states[at - 1], states[at]
        if before.is_healthy and not after.is_healthy:
            last = signs[at - rules.failures_to_leave : at]
            assert len(last) == rules.failures_to_leave
            assert all(last)
        if not before.is_healthy and after.is_healthy:
            last = signs[at - rules.successes_to_return : at]
            assert last == [""] * rules.successes_to_return


@given(SIGNS, RULES)
def test_it_does_change_when_a_threshold_is_reached(signs, rules):
    assert not walk(signs + ["connect"] * rules.failures_to_leave, rules)[-1].is_healthy
    assert walk(signs + [""] * rules.successes_to_return, rules)[-1].is_healthy


@given(SIGNS, RULES)
def test_one_streak_is_always_empty_and_neither_grows_without_end(signs, rules):
    for state in walk(signs, rules):
        assert 0 in {state.failures, state.successes}
        assert state.failures <= rules.failures_to_leave
        assert state.successes <= rules.successes_to_return


def test_signs_that_alternate_change_nothing():
    assert all(state.is_healthy for state in walk(["connect", ""] * 50, HealthRules(2, 2)))


def test_the_reason_of_the_last_failure_is_kept():
    assert judged(Health(), "status_503", HealthRules(3, 2)).reason == "status_503"


@asynccontextmanager
async def answering(data: bytes | None):
    """A server that reads a request's head and says this, or nothing; yields its address and the heads."""
    heads: list[bytes] = []
    serving: set[asyncio.Task[None]] = set()
    called = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        called.set()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # the asker may leave at any moment
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            if data is not None:
                writer.write(data)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    finally:
        await called.wait()
        server.close()
        await asyncio.gather(*serving)
        await server.wait_closed()


class TestProbe:
    async def test_a_service_that_is_there(self, simulate):
        url = (await simulate(api_key="sk-1")).url
        assert await probe(Origin.parse(url), "models", "sk-1", 30) == ""
        assert await probe(Origin.parse(url), "/health", "", 30) == ""

    async def test_a_refused_key_is_a_sign_of_life(self, simulate):
        url = (await simulate(api_key="sk-1")).url
        assert await probe(Origin.parse(url), "models", "wrong", 30) == ""

    async def test_a_service_that_has_gone(self, simulate):
        simulator = await simulate()
        await simulator.stop()
        assert await probe(Origin.parse(simulator.url), "models", "", 30) == "connect"

    @pytest.mark.parametrize(
        ("data", "fault"),
        [
            (b"HTTP/1.1 200 OK\r\n\r\n", ""),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", ""),
            (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "status_503"),
            (b"HTTP/1.1 100 Continue\r\n\r\n", "status_100"),
            (b"220 mail.example.com ESMTP\r\n", "broken"),
            (b"HTTP/1.1 2\r\n", "broken"),
            (b"x" * 100_000, "broken"),
            (b"\xff\xfe\r\n", "broken"),
            (None, "timeout"),
        ],
    )
    async def test_what_it_says_decides(self, data, fault):
        async with answering(data) as (url, _):
            assert await probe(Origin.parse(url), "models", "", 30 if data else 0.05) == fault

    async def test_what_is_asked(self):
        async with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (url, heads):
            await probe(Origin.parse(f"{url}/v1"), "models", "sk-1", 30)
            await probe(Origin.parse(f"{url}/v1"), "/health", "", 30)
        first, second = (head.decode().split("\r\n") for head in heads)
        assert first[0] == "GET /v1/models HTTP/1.1"
        assert f"host: {url.removeprefix('http://')}" in first
        assert "authorization: Bearer sk-1" in first
        assert second[0] == "GET /health HTTP/1.1"
        assert not any(line.startswith("authorization") for line in second)
