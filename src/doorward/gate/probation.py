"""Out of probation by good behaviour: a pure rule, and the caretaker that applies it.

An account on probation is a real one with a small allowance. It is promoted when it is old enough and has been used
as people use it: some served requests, on more than one day, few of them refused. Time alone promotes nobody.
"""

from typing import Final

import structlog

from doorward.gate.settings import GateSettings
from doorward.hall.clock import Clock
from doorward.hall.doors import Admissions
from doorward.hall.jobs import Job
from doorward.hall.model import Conduct, Lane

PROMOTED: Final = "good behaviour on probation"
_BATCH: Final = 500
_EVERY_SECONDS: Final = 60.0
_log = structlog.get_logger("doorward.gate")


def deserves_promotion(conduct: Conduct, at: float, settings: GateSettings) -> bool:
    """Whether an account has earned its way out of probation."""
    requests = conduct.requests_ok + conduct.requests_refused
    return (
        at - conduct.created_at >= settings.probation_seconds
        and conduct.requests_ok >= settings.probation_requests
        and conduct.active_days >= settings.probation_active_days
        and conduct.requests_refused <= settings.probation_refused_share * requests
    )


class Caretaker:
    """Looks after accounts on probation."""

    def __init__(self, settings: GateSettings, clock: Clock, admissions: Admissions) -> None:
        self._settings = settings
        self._clock = clock
        self._admissions = admissions

    async def promote(self) -> int:
        """Promote those who deserve it; returns how many."""
        at = self._clock.now()
        ids = await self._admissions.probationers(at - self._settings.probation_seconds, _BATCH)
        conducts = await self._admissions.conduct_of(ids) if ids else []
        good = [conduct.account_id for conduct in conducts if deserves_promotion(conduct, at, self._settings)]
        moved = await self._admissions.move_lane(good, Lane.EXISTING, PROMOTED) if good else 0
        if moved:
            _log.info("probation_ended", accounts=moved)
        return moved

    async def _work(self) -> None:
        await self.promote()

    def jobs(self) -> list[Job]:
        """The promotion, once a minute."""
        return [Job("gate.probation.promote", _EVERY_SECONDS, self._work)]
