"""The AI service behind the door: what an account may use, what it used, and whether the service is there.

1. The relay asks and tells on its hot path, so all of that is answered from memory (`RelayHooks`).
2. What was used is written behind, in batches; a process that is killed loses at most one such interval of usage,
   in the account's favour. The totals that come back are what all processes have written.
3. The state of the service is judged from relayed requests and, without traffic, from probes. A change is published;
   while the database is away the fact waits in memory, for serving people does not.
"""

from collections import Counter, deque
from typing import Final

import structlog
from sqlalchemy import Connection

from doorward.hall.bus import Bus
from doorward.hall.clock import Clock
from doorward.hall.events import PersonShredded, UpstreamHealthChanged
from doorward.hall.jobs import Job
from doorward.hall.model import Lane, Standing, Usage
from doorward.stores.outbox import Outbox
from doorward.stores.sql import Database
from doorward.upstream import scopes, tables
from doorward.upstream.budgets import Budgets, Delta, Limits, ShortageKind, day_of
from doorward.upstream.exchange import RelayLimits
from doorward.upstream.health import Health, HealthRules, judged, probe
from doorward.upstream.pool import Origin, PoolLimits
from doorward.upstream.recordings import Recordings, recorder_of
from doorward.upstream.relay import Relay
from doorward.upstream.relay_model import Denial
from doorward.upstream.settings import UpstreamSettings
from doorward.upstream.trust import client_context

_RETRY_AWAY_SECONDS: Final = 5
_TRIM_EVERY_SECONDS: Final = 3_600.0
_TRIM_ROWS: Final = 5_000
_FACTS_KEPT: Final = 100
_MESSAGES: Final = {
    ShortageKind.ALLOWANCE: "The allowance of tokens for today (UTC) is used up, or held back by running requests.",
    ShortageKind.RATE: "Too many requests in a short time. Wait for the time that `Retry-After` gives.",
    ShortageKind.CONCURRENCY: "Too many requests at once. Wait until one of them has ended.",
}
_CODES: Final = {
    ShortageKind.ALLOWANCE: "upstream.allowance.used_up",
    ShortageKind.RATE: "upstream.rate",
    ShortageKind.CONCURRENCY: "upstream.concurrency",
}
_AWAY: Final = Denial(
    503, "upstream.away", "The AI service cannot be reached just now. Try again in a few seconds.", _RETRY_AWAY_SECONDS
)

_log = structlog.get_logger("doorward.upstream")


class Upstream:
    """The room's service. Answers `hall.doors.Meter` and the relay's `RelayHooks`."""

    def __init__(self, settings: UpstreamSettings, clock: Clock, database: Database, outbox: Outbox) -> None:
        """`settings.url` must name a service by now (the built-in simulator's, if the operator named none).

        Raises:
            ValueError: it is no address. UpstreamTlsError: the files for TLS to it cannot be used.
        """
        self._settings = settings
        self._clock = clock
        self._database = database
        self._outbox = outbox
        self._origin = Origin.parse(settings.url, client_context(settings))
        recorder = recorder_of(settings)
        self.recordings = Recordings(settings, clock, database, outbox, recorder)
        self.relay = Relay(self._origin, self, relay_limits(settings), settings.api_key, recorder)
        self._rules = HealthRules(settings.health_failures_to_leave, settings.health_successes_to_return)
        self._next_probe_at = 0.0
        self._facts: deque[UpstreamHealthChanged] = deque(maxlen=_FACTS_KEPT)
        self._counts: Counter[str] = Counter()
        self.health = Health()
        self.budgets = Budgets(lane_limits(settings))

    async def close(self) -> None:
        """End what runs, write what waits, and close the connections to the service.

        Raises:
            StoreUnavailableError: the database is away; what waited is lost, in the accounts' favour.
        """
        await self.relay.close()
        await self.flush()
        await self.recordings.write()

    async def load(self) -> None:
        """Know again what accounts with a capped allowance used today.

        Raises:
            StoreUnavailableError: the database is away.
        """
        today = day_of(self._clock.now())
        capped = [lane for lane, limits in self.budgets.limits.items() if limits.tokens_per_day is not None]
        self.budgets.correct(await self._database.read(lambda c: tables.usage_on(c, today, capped)))

    def hear(self, bus: Bus) -> None:
        """Hear of people who are gone: what this process holds of them goes too."""
        bus.on_each_node(PersonShredded, self._forget)

    async def _forget(self, fact: PersonShredded) -> None:
        self.recordings.forget(fact.subjects)

    def jobs(self) -> list[Job]:
        """What must be done again and again."""
        watching = min(1.0, self._settings.health_interval_seconds)
        return [
            Job("upstream.flush", self._settings.flush_seconds, self.flush, on_each_node=True),
            Job("upstream.health", watching, self.watch, on_each_node=True),
            Job("upstream.trim", _TRIM_EVERY_SECONDS, self.trim),
            *self.recordings.jobs(),
        ]

    # 1. What the relay asks and tells

    def permits(self, standing: Standing, path: str) -> bool:
        """Whether the credential's scopes cover this path."""
        return scopes.permits(standing.scopes, path)

    def allowance_left(self, standing: Standing) -> int | None:
        """Tokens left in the current UTC day; None without a cap. Changes nothing."""
        return self.budgets.left(standing.account_id, standing.lane, self._clock.now())

    def begin(self, standing: Standing) -> Denial | None:
        """Begin a request (None), or say why not. Exactly one `record` follows what has begun."""
        if not self.health.is_healthy:
            self._counts["denied_away"] += 1
            return _AWAY
        shortage = self.budgets.begin(standing.account_id, standing.lane, self._clock.now())
        if shortage is None:
            return None
        self._counts[f"denied_{shortage.kind.value}"] += 1
        return Denial(429, _CODES[shortage.kind], _MESSAGES[shortage.kind], shortage.retry_after_seconds)

    def record(self, standing: Standing, tokens: int, ok: bool) -> None:
        """A begun request has ended: what it used, and whether it was answered as a whole."""
        self.budgets.settle(standing.account_id, standing.lane, self._clock.now(), (max(0, tokens), ok))
        self._counts["ok" if ok else "failed"] += 1
        self._counts["tokens"] += max(0, tokens)

    def observe(self, fault: str) -> None:
        """How the service itself did: empty for an answer, else `connect`, `tls_…`, `timeout`, `cut` or `broken`."""
        is_news = not fault and (self.health.failures or not self.health.is_healthy)
        if is_news or fault == "connect" or fault.startswith("tls_"):
            self._judge(fault)
        self._next_probe_at = 0.0 if fault else self._clock.now() + self._settings.health_interval_seconds

    # 2. What was used

    async def usage_of(self, account_id: str, lane: Lane | None = None) -> Usage:
        """Usage in the current UTC day and in total; `lane` tells whose cap to name (else the last one seen).

        Raises:
            StoreUnavailableError: the database is away.
        """
        today = day_of(self._clock.now())
        sums = await self._database.read(lambda c: tables.sums_of(c, account_id, today))
        known = self.budgets.accounts.get(account_id)
        waiting = self.budgets.pending.get((account_id, today))
        lane = lane or (known.lane if known else sums.lane) or Lane.EXISTING
        return Usage(
            tokens_today=known.tokens if known and known.day == today else sums.tokens_today,
            tokens_per_day=self.budgets.limits[lane].tokens_per_day,
            requests_ok=sums.requests_ok + (waiting.requests_ok if waiting else 0),
            requests_refused=sums.requests_refused + (waiting.requests_refused if waiting else 0),
            active_days=sums.active_days,
            is_recorded=self.recordings.recorder is not None,
        )

    async def flush(self) -> None:
        """Write what waits, and learn what other processes wrote of the same accounts.

        Raises:
            StoreUnavailableError: the database is away; nothing is lost, the next flush tries again.
        """
        while batch := self.budgets.take_pending(tables.BATCH):
            await self._write(batch)
        self.budgets.forget(self._clock.now())

    async def _write(self, batch: list[Delta]) -> None:
        is_written = False
        try:
            totals = await self._database.write(lambda connection: tables.add_usage(connection, batch))
            is_written = True
        finally:
            if not is_written:
                self.budgets.give_back(batch)
        self.budgets.correct(totals)

    async def trim(self) -> None:
        """Delete usage that is older than the retention."""
        before = day_of(self._clock.now()) - self._settings.usage_retention_days
        while await self._database.write(lambda c: tables.trim(c, before, _TRIM_ROWS)):
            pass

    # 3. Whether the service is there

    async def watch(self) -> None:
        """Probe if it is time (at once after a fault, every look while it is away), and publish what changed.

        Raises:
            StoreUnavailableError: the database is away; the facts are published when it is back.
        """
        if not self.health.is_healthy or self._clock.now() >= self._next_probe_at:
            self._next_probe_at = self._clock.now() + self._settings.health_interval_seconds
            settings = self._settings
            self._judge(
                await probe(self._origin, settings.health_path, settings.api_key, settings.health_timeout_seconds)
            )
        if self._facts:
            facts = list(self._facts)
            await self._database.write(lambda c: self._publish(c, facts))
            self._facts = deque((fact for fact in self._facts if fact not in facts), _FACTS_KEPT)

    def _publish(self, connection: Connection, facts: list[UpstreamHealthChanged]) -> None:
        self._outbox.publish(connection, *facts)

    def _judge(self, fault: str) -> None:
        before, self.health = self.health, judged(self.health, fault, self._rules)
        if before.is_healthy == self.health.is_healthy:
            return
        reason = fault or "answered"
        _log.warning("health_changed", is_healthy=self.health.is_healthy, reason=reason)
        upstream = f"{self._origin.host}:{self._origin.port}"
        self._facts.append(
            UpstreamHealthChanged(
                at=self._clock.now(), upstream=upstream, healthy=self.health.is_healthy, reason=reason
            )
        )

    def vitals(self) -> dict[str, float]:
        """How those who belong are served, for the live door: milliseconds to the first byte."""
        return {
            f"existing_p{quantile * 100:.0f}_ms": seconds * 1000
            for quantile, seconds in self.relay.first_byte().items()
        }

    def figures(self) -> dict[str, float]:
        """Counts since the start and states of now, for metrics and the console."""
        counted = ("ok", "failed", "tokens", "denied_allowance", "denied_rate", "denied_concurrency", "denied_away")
        return {
            "upstream_healthy": float(self.health.is_healthy),
            "upstream_running": float(self.budgets.running()),
            "upstream_accounts_in_memory": float(len(self.budgets.accounts)),
            "upstream_usage_waiting": float(len(self.budgets.pending)),
            **{f"upstream_{name}_total": float(self._counts[name]) for name in counted},
            **self.relay.figures(),
            **self.recordings.figures(),
        }


def lane_limits(settings: UpstreamSettings) -> dict[Lane, Limits]:
    """The limits of each lane as the operator set them."""
    return {
        Lane.EXISTING: Limits(
            tokens_per_day=settings.existing_tokens_per_day or None,
            requests_at_once=settings.existing_concurrent_requests,
            reserved_tokens=settings.reserved_tokens_per_request,
        ),
        Lane.PROBATION: Limits(
            tokens_per_day=settings.probation_tokens_per_day,
            requests_per_minute=settings.probation_requests_per_minute,
            requests_at_once=settings.probation_concurrent_requests,
            reserved_tokens=settings.reserved_tokens_per_request,
        ),
    }


def relay_limits(settings: UpstreamSettings) -> RelayLimits:
    """How long the relay waits, and over how many connections, as the operator set it."""
    return RelayLimits(
        first_byte_timeout_seconds=settings.first_byte_timeout_seconds,
        idle_timeout_seconds=settings.idle_timeout_seconds,
        pool=PoolLimits(
            max_connections=settings.max_connections, connect_timeout_seconds=settings.connect_timeout_seconds
        ),
    )
