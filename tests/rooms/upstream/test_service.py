"""The room as a whole, on both databases: what is used is written once, known again, and shared between processes."""

import pytest

from doorward.hall.bus import Bus
from doorward.hall.events import UpstreamHealthChanged
from doorward.hall.model import Lane, Role, Standing
from doorward.stores.errors import StoreUnavailableError
from doorward.stores.outbox import Outbox
from doorward.upstream.service import Upstream
from doorward.upstream.settings import UpstreamSettings

DAY = 86_400
NOWHERE = "http://127.0.0.1:9/v1"


def standing(account: str = "acc_1", lane: Lane = Lane.PROBATION, *scopes: str) -> Standing:
    return Standing(account, "ses_1", lane, Role.MEMBER, frozenset(scopes or {"*"}), 2e9)


@pytest.fixture
async def outbox(database, clock):
    return Outbox(database, Bus(), clock, "node-1")


@pytest.fixture
async def build(database, clock, outbox):
    """Builds the room as another process would, on the same rows; what is unnamed is generous."""
    built: list[Upstream] = []

    def build(url: str = NOWHERE, **settings: object) -> Upstream:
        generous = {"probation_requests_per_minute": 10_000, "probation_concurrent_requests": 100}
        built.append(Upstream(UpstreamSettings(url=url, **generous | settings), clock, database, outbox))
        return built[-1]

    yield build
    for upstream in built:
        await upstream.relay.close()


def use(upstream: Upstream, who: Standing, tokens: int, ok: bool = True) -> None:
    assert upstream.begin(who) is None
    upstream.record(who, tokens, ok)


class TestUsage:
    async def test_what_was_used_is_told_before_and_after_it_is_written(self, build):
        upstream = build(probation_tokens_per_day=1_000)
        use(upstream, standing(), 100)
        use(upstream, standing(), 20, ok=False)
        before = await upstream.usage_of("acc_1")
        await upstream.flush()
        after = await upstream.usage_of("acc_1")
        assert (before.tokens_today, before.requests_ok) == (after.tokens_today, after.requests_ok) == (120, 1)
        assert (after.tokens_per_day, after.active_days, before.active_days) == (1_000, 1, 0)

    async def test_writing_twice_writes_once(self, build):
        upstream = build()
        use(upstream, standing(), 100)
        await upstream.flush()
        await upstream.flush()
        assert (await build().usage_of("acc_1")).tokens_today == 100

    async def test_many_accounts_are_written_in_batches(self, build):
        upstream = build()
        for number in range(1_203):
            use(upstream, standing(f"acc_{number}"), number)
        await upstream.flush()
        assert upstream.figures()["upstream_usage_waiting"] == 0
        assert (await build().usage_of("acc_1202")).tokens_today == 1_202

    async def test_after_a_restart_probation_goes_on_where_it_was(self, build):
        upstream = build(probation_tokens_per_day=1_000)
        use(upstream, standing(), 950)
        use(upstream, standing("acc_2", Lane.EXISTING), 950)
        await upstream.flush()
        restarted = build(probation_tokens_per_day=1_000)
        await restarted.load()
        assert restarted.allowance_left(standing()) == 50
        assert list(restarted.budgets.accounts) == ["acc_1"]  # without a cap there is nothing to know

    async def test_two_processes_share_one_allowance(self, build):
        one, two = build(probation_tokens_per_day=1_000), build(probation_tokens_per_day=1_000)
        use(one, standing(), 600)
        use(two, standing(), 300)
        await one.flush()
        await two.flush()
        assert two.allowance_left(standing()) == 100
        use(one, standing(), 0)
        await one.flush()
        assert one.allowance_left(standing()) == 100

    async def test_while_the_database_is_away_use_is_kept_and_written_later(self, build, database, monkeypatch):
        upstream = build()

        async def away(_: object) -> None:
            raise StoreUnavailableError

        use(upstream, standing(), 70)
        with monkeypatch.context() as patch:
            patch.setattr(database, "write", away)
            with pytest.raises(StoreUnavailableError):
                await upstream.flush()
            use(upstream, standing(), 7)
            assert upstream.figures()["upstream_usage_waiting"] == 1
        await upstream.flush()
        assert (await build().usage_of("acc_1")).tokens_today == 77

    async def test_days_are_counted_apart_and_old_ones_go(self, build, clock):
        upstream = build(usage_retention_days=2)
        for _ in range(5):
            use(upstream, standing(), 10)
            await upstream.flush()
            clock.step(DAY)
        await upstream.trim()
        usage = await upstream.usage_of("acc_1")
        assert (usage.tokens_today, usage.active_days, usage.requests_ok) == (0, 2, 2)

    async def test_refused_requests_count_and_do_not_make_a_day_active(self, build):
        upstream = build(probation_tokens_per_day=0)
        assert upstream.begin(standing()) is not None
        await upstream.flush()
        usage = await upstream.usage_of("acc_1")
        assert (usage.requests_ok, usage.requests_refused, usage.active_days) == (0, 1, 0)

    async def test_the_cap_is_that_of_the_lane(self, build):
        upstream = build(probation_tokens_per_day=5, existing_tokens_per_day=0)
        assert (await upstream.usage_of("acc_1", Lane.PROBATION)).tokens_per_day == 5
        assert (await upstream.usage_of("acc_1", Lane.EXISTING)).tokens_per_day is None
        use(upstream, standing(), 1)
        assert (await upstream.usage_of("acc_1")).tokens_per_day == 5
        await upstream.flush()
        assert (await build(probation_tokens_per_day=5).usage_of("acc_1")).tokens_per_day == 5

    async def test_closing_writes_what_waits(self, build):
        upstream = build()
        use(upstream, standing(), 100)
        await upstream.close()
        assert (await build().usage_of("acc_1")).tokens_today == 100


class TestDenials:
    @pytest.mark.parametrize(
        ("settings", "code"),
        [
            ({"probation_tokens_per_day": 0}, "upstream.allowance.used_up"),
            ({"probation_concurrent_requests": 1}, "upstream.concurrency"),
            ({"probation_requests_per_minute": 1}, "upstream.rate"),
        ],
    )
    async def test_each_limit_has_its_code_and_a_time(self, build, settings, code):
        upstream = build(**settings)
        upstream.begin(standing())
        denial = upstream.begin(standing())
        assert (denial.status, denial.code) == (429, code)
        assert denial.retry_after_seconds >= 1

    async def test_the_existing_lane_has_no_share_in_probations_limits(self, build):
        upstream = build(probation_tokens_per_day=0, probation_concurrent_requests=1, probation_requests_per_minute=1)
        who = standing("acc_9", Lane.EXISTING)
        assert [upstream.begin(who) for _ in range(50)] == [None] * 50
        assert upstream.allowance_left(who) is None

    async def test_scopes_open_paths(self, build):
        upstream = build()
        assert upstream.permits(standing("acc_1", Lane.EXISTING, "chat"), "/v1/chat/completions")
        assert not upstream.permits(standing("acc_1", Lane.EXISTING, "admin"), "/v1/chat/completions")


class TestHealth:
    async def test_it_goes_away_and_comes_back_with_a_fact_each(self, build, simulate, clock, outbox, database):
        heard: list[UpstreamHealthChanged] = []
        bus = Bus()

        async def hear(event: UpstreamHealthChanged) -> None:
            heard.append(event)

        bus.on_each_node(UpstreamHealthChanged, hear)
        listening = Outbox(database, bus, clock, "node-2")
        await listening.mark()

        simulator = await simulate()
        upstream = build(simulator.url, health_failures_to_leave=2, health_successes_to_return=2)
        await upstream.watch()
        assert upstream.begin(standing()) is None
        for _ in range(2):
            upstream.observe("connect")
        denial = upstream.begin(standing())
        assert (denial.status, denial.code, denial.retry_after_seconds) == (503, "upstream.away", 5)
        await upstream.watch()
        assert not upstream.health.is_healthy
        await upstream.watch()
        assert upstream.begin(standing()) is None
        await listening.deliver_each()
        assert [(event.healthy, event.reason) for event in heard] == [(False, "connect"), (True, "answered")]
        assert heard[0].upstream == simulator.url.removeprefix("http://").removesuffix("/v1")

    async def test_a_service_that_is_gone_is_found_without_traffic(self, build, simulate, clock):
        simulator = await simulate()
        upstream = build(simulator.url, health_failures_to_leave=2, health_interval_seconds=5)
        await simulator.stop()
        for _ in range(2):
            await upstream.watch()
            clock.step(5)
        assert not upstream.health.is_healthy
        assert upstream.figures()["upstream_healthy"] == 0

    async def test_faults_of_one_request_only_bring_the_next_probe(self, build, simulate):
        upstream = build((await simulate()).url, health_failures_to_leave=1)
        await upstream.watch()
        for fault in ("timeout", "cut", "broken", "status"):
            upstream.observe(fault)
        assert upstream.health.is_healthy
        await upstream.watch()
        assert upstream.health.successes == 2

    async def test_answers_to_requests_spare_the_probes(self, build, clock):
        upstream = build(NOWHERE, health_failures_to_leave=1, health_interval_seconds=5)
        upstream.observe("")
        clock.step(4)
        await upstream.watch()
        assert upstream.health.is_healthy
        clock.step(1)
        await upstream.watch()
        assert not upstream.health.is_healthy

    async def test_the_fact_waits_while_the_database_is_away(self, build, database, monkeypatch, outbox):
        upstream = build(NOWHERE, health_failures_to_leave=1)
        published: list[str] = []
        monkeypatch.setattr(outbox, "publish", lambda _, *facts: published.extend(fact.reason for fact in facts))

        async def away(_: object) -> None:
            raise StoreUnavailableError

        with monkeypatch.context() as patch:
            patch.setattr(database, "write", away)
            with pytest.raises(StoreUnavailableError):
                await upstream.watch()
        assert not upstream.health.is_healthy
        assert published == []
        await upstream.watch()
        await upstream.watch()
        assert published == ["connect"]


async def test_jobs_run_and_figures_are_numbers(build, simulate):
    upstream = build((await simulate()).url)
    jobs = {job.name: job for job in upstream.jobs()}
    assert {name: job.on_each_node for name, job in jobs.items()} == {
        "upstream.flush": True,
        "upstream.health": True,
        "upstream.trim": False,
        "upstream.recordings.expire": False,
    }
    for job in jobs.values():
        await job.work()
    assert all(isinstance(value, float) for value in upstream.figures().values())


async def test_an_address_that_is_none_is_refused(build):
    with pytest.raises(ValueError, match="address"):
        build("ftp://example.com")


def test_settings_do_not_print_the_key():
    assert "sk-1" not in repr(UpstreamSettings(api_key="sk-1"))
