"""The relay: requests of people who belong go to the AI service, answers come back, and no byte of a body changes.

The way of one exchange:

1. The street hands over a checked head and the caller's standing (`Relay.open`). Scope and allowance are asked from
   memory; a denial is the answer at once.
2. The head is written anew: hop-by-hop headers (RFC 9110 section 7.6.1), the caller's credential and everything that
   speaks of proxies are dropped; Host, the service's own key and the request id are set; the rest is kept as it is.
3. The body streams through in both directions. Each side's back-pressure pauses the other. A `Content-Length` is
   kept, a chunked body is chunked anew; what is inside is not looked at.
4. Beside the answer runs a small window over its last bytes, in which the number of tokens is looked for at the end.
5. Whoever goes away, the other side is told the truth: a caller who leaves has the AI service's connection closed at
   once; an AI service that leaves before its first byte is a 502 or 503 with `Retry-After`, in the middle of a stream
   of events it is an error event and a connection that ends without the end of the body.

A request is sent a second time only if its connection, taken from the pool, turned out closed, no byte of an answer
had come, and repeating it is harmless by its method (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1).
"""

import math
from collections import deque
from typing import Final

from doorward.hall.model import Lane, Standing
from doorward.upstream import errors
from doorward.upstream.errors import RelayFault
from doorward.upstream.exchange import Caller, Exchange, RelayLimits
from doorward.upstream.heads import RelayRequest, kept_lines
from doorward.upstream.pool import Origin, Pool, PoolLimits
from doorward.upstream.recording import Recorder
from doorward.upstream.relay_model import Denial, RelayHooks

__all__ = ["Caller", "Denial", "Exchange", "Origin", "PoolLimits", "Relay", "RelayHooks", "RelayLimits", "RelayRequest"]

_LATENCIES: Final = 1_024


class Relay:
    """All exchanges with one AI service. Its time is `tick`, which the street calls about once a second."""

    def __init__(
        self,
        origin: Origin,
        hooks: RelayHooks,
        limits: RelayLimits,
        api_key: str = "",
        recorder: Recorder | None = None,
    ) -> None:
        """`api_key` is what the AI service wants to see; it is never shown to callers. `recorder`: where copies go.

        Raises:
            ValueError: the key cannot stand in a header.
        """
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise ValueError("the upstream's API key has characters that cannot stand in a header")
        self.origin = origin
        self.hooks = hooks
        self.limits = limits
        self.recorder = recorder
        self.authorization = b"authorization: Bearer " + api_key.encode() + b"\r\n" if api_key else b""
        self.pool = Pool(origin, limits.pool)
        self.now = 0.0
        self.running: set[Exchange] = set()
        self._ended: dict[str, int] = {}
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)

    def open(self, request: RelayRequest, caller: Caller) -> Exchange | RelayFault:
        """Begin an exchange, or say why not (the street sends that as the answer)."""
        if not self.hooks.permits(request.standing, request.path):
            return errors.SCOPE_MISSING
        denial = self.hooks.begin(request.standing)
        if denial is not None:
            return RelayFault(denial.status, denial.code, denial.message, denial.retry_after_seconds)
        exchange = Exchange(self, request, caller)
        self.running.add(exchange)
        self.pool.acquire(exchange)
        return exchange

    def prepared(self, method: bytes, target: bytes, lines: list[bytes]) -> tuple[bytes, ...]:
        """What of a request's head is the same for each request with these bytes: for `RelayRequest.prepared`."""
        return kept_lines(method, target, lines, self.origin)

    def tick(self, elapsed_seconds: float) -> None:
        """Time has passed: gives up exchanges that wait too long, and closes connections that nobody uses."""
        self.now += elapsed_seconds
        self.pool.tick(self.now)
        for exchange in [each for each in self.running if each.deadline < self.now]:
            exchange.time_out()

    def ended(self, exchange: Exchange, outcome: str) -> None:
        """An exchange is over: `ok`, `gone` (the caller left) or the code of a fault."""
        self.running.discard(exchange)
        self._ended[outcome] = self._ended.get(outcome, 0) + 1

    def answered_after(self, standing: Standing, seconds: float) -> None:
        """The first byte of an answer came after this time; kept for accounts in the existing lane."""
        if standing.lane is Lane.EXISTING:
            self._latencies.append(seconds)

    def cut_all(self) -> None:
        """The time to drain is over: end every exchange as cut, with an error that says so."""
        for exchange in list(self.running):
            exchange.end_now()

    def figures(self) -> dict[str, float]:
        """Counts since the start, and the existing lane's time to first byte in the last exchanges, in seconds."""
        figures = {f'relay_exchanges_total{{outcome="{name}"}}': float(count) for name, count in self._ended.items()}
        figures["relay_exchanges_running"] = float(len(self.running))
        for quantile, seconds in self.first_byte().items():
            figures[f'relay_first_byte_seconds{{lane="existing",quantile="{quantile}"}}'] = seconds
        return figures | self.pool.figures()

    def first_byte(self) -> dict[float, float]:
        """The existing lane's time to first byte in the last exchanges: seconds by quantile; empty before the first."""
        ordered = sorted(self._latencies)
        return {q: ordered[math.ceil(q * len(ordered)) - 1] for q in (0.5, 0.99)} if ordered else {}

    async def close(self) -> None:
        """End what runs and close every connection to the AI service."""
        self.cut_all()
        await self.pool.close()
