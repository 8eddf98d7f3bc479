"""How a result stands to the targets that every scenario shares, said plainly where one was not met. Pure."""

import msgspec

from doorward.siege.scoring import Result, strictness


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One target of the scenario and how the run stands to it. `is_met` is None where it was not put to the test."""

    what: str
    target: str
    got: str
    is_met: bool | None


def findings(result: Result, has_attack: bool) -> list[Finding]:
    """Hold a result against the targets that every scenario shares, and say plainly which were not met."""
    shared = [_existing_ok(result), _challenged(result), _people_in(result), _nobody_lost(result)]
    if not has_attack:
        return [*shared, _nothing_tightened(result)]
    return [*shared, _bots_held(result), _acted(result), _reopened(result), *_stuffing_findings(result)]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % ({part} of {whole})" if whole else "none came"


def _existing_ok(result: Result) -> Finding:
    seen = result.existing
    met = seen.ok >= 0.999 * seen.requests if seen.requests else None
    return Finding(what="existing users served", target="≥ 99.9 %", got=_share(seen.ok, seen.requests), is_met=met)


def _challenged(result: Result) -> Finding:
    seen = result.existing
    met = seen.challenged == 0 if seen.requests else None
    return Finding(what="existing users challenged", target="0", got=str(seen.challenged), is_met=met)


def _people_in(result: Result) -> Finding:
    seen = result.people
    inside = seen.admitted + seen.probation
    met = inside >= 0.95 * seen.attempted if seen.attempted else None
    return Finding(what="people in", target="≥ 95 %", got=_share(inside, seen.attempted), is_met=met)


def _nobody_lost(result: Result) -> Finding:
    seen = result.people
    met = seen.lost == 0 if seen.attempted else None
    return Finding(what="people lost", target="0", got=str(seen.lost), is_met=met)


def _bots_held(result: Result) -> Finding:
    seen = result.bots
    met = seen.admitted <= 0.05 * seen.attempted if seen.attempted else None
    return Finding(what="bots admitted", target="≤ 5 %", got=_share(seen.admitted, seen.attempted), is_met=met)


def _acted(result: Result) -> Finding:
    first = result.first_action_s
    got = "never" if first is None else f"{first:.1f} s"
    return Finding(what="first action", target="≤ 10 s", got=got, is_met=first is not None and first <= 10)


def _reopened(result: Result) -> Finding:
    after = result.reopened_after_s
    if after is not None:
        got = f"{after:.1f} s after the attack"
    else:
        got = "not within the run" if result.posture else "never tightened"
    return Finding(what="reopened by itself", target="yes", got=got, is_met=after is not None)


def _stuffing_findings(result: Result) -> list[Finding]:
    seen = result.stuffing
    tested = seen.attempts > 0
    return [
        Finding(
            what="stuffed log-ins that got in",
            target="0",
            got=f"{seen.takeovers} of {seen.attempts}",
            is_met=seen.takeovers == 0 if tested else None,
        ),
        Finding(
            what="owners kept out",
            target="0",
            got=str(seen.owners_refused),
            is_met=seen.owners_refused == 0 if tested else None,
        ),
    ]


def _nothing_tightened(result: Result) -> Finding:
    tightened = [change for change in result.posture if strictness(change.to_level) > strictness(change.from_level)]
    got = "nothing" if not tightened else f"{len(tightened)} times, first {tightened[0].cohort}: {tightened[0].reason}"
    return Finding(what="tightened without an attack", target="nothing", got=got, is_met=not tightened)
