"""Watching the target's posture, and the siege's own lateness."""

import asyncio
import time
from typing import Any, Final

from doorward.siege.client import Actor, TransportError
from doorward.siege.ground import Ground
from doorward.siege.model import LagRecord, PostureChange
from doorward.siege.scoring import OPEN

POLL_SECONDS: Final = 0.5
LAG_STEP_SECONDS: Final = 0.1
_CLOCK_TRUST_SECONDS: Final = 120.0
_HISTORY: Final = "/api/v1/admin/posture/history"


class NoPostureError(Exception):
    """The target's posture cannot be read; the message says what to do."""


class PostureWatch:
    """Reads the history of the posture and keeps the level of each cohort."""

    def __init__(self, ground: Ground, admin: Actor) -> None:
        self._ground = ground
        self._admin = admin
        self._seen = 0
        self.levels: dict[str, str] = {}

    async def begin(self) -> None:
        """Note what the posture was before the siege.

        Raises:
            NoPostureError: it cannot be read.
        """
        reply = await self._ground.target.get(self._admin, _HISTORY)
        if reply.status != 200:
            raise NoPostureError(
                f"cannot read the target's posture (HTTP {reply.status}, {reply.code}): the siege needs a key with the "
                "scope `admin` (--admin-key or DOORWARD_SIEGE_ADMIN_KEY)"
            )
        self._seen = max((int(row["version"]) for row in _rows(reply.data)), default=0)

    async def watch(self) -> None:
        """Poll until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """Read what is new; an outage is noted, and the history read once it is over."""
        try:
            reply = await self._ground.target.get(self._admin, _HISTORY)
        except TransportError:
            self._ground.record.tallies["posture/not readable for a moment"] += 1
            return
        for row in sorted(_rows(reply.data), key=lambda row: int(row["version"])):
            if int(row["version"]) > self._seen:
                self._seen = int(row["version"])
                self._take(row)

    @property
    def is_open(self) -> bool:
        """Whether every cohort that was tightened in the siege is open again."""
        return all(level == OPEN for level in self.levels.values())

    def _take(self, row: dict[str, Any]) -> None:
        cohort, before, after = str(row["cohort"])[:200], str(row["from"])[:20], str(row["to"])[:20]
        self.levels[cohort] = after
        if before != after:  # a renewal is no change
            reason = str(row.get("reason", ""))[:200]
            self._ground.record.posture.append(PostureChange(self._moment(row), cohort, before, after, reason))

    def _moment(self, row: dict[str, Any]) -> float:
        """The target's own time of the change if its clock agrees with ours, else when we saw it."""
        now_s = self._ground.now_s()
        at_s = now_s - (time.time() - float(row.get("at", 0.0)))
        return at_s if abs(now_s - at_s) < _CLOCK_TRUST_SECONDS else now_s


async def watch_lag(ground: Ground) -> None:
    """Note how late the siege's own loop wakes, until cancelled."""
    while True:
        due = time.perf_counter() + LAG_STEP_SECONDS
        await asyncio.sleep(LAG_STEP_SECONDS)
        lag = max(0.0, time.perf_counter() - due)
        ground.record.lags.append(LagRecord(ground.now_s(), lag * 1000))


def _rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    rows = data.get("history", [])
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
