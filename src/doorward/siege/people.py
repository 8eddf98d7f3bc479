"""People who want an account, get one, and use it."""

import asyncio

from doorward.siege.chat import chat
from doorward.siege.crowd import Newcomer, arrival_times
from doorward.siege.ground import Ground, Troop
from doorward.siege.model import Outcome, Phase, Side, SignupRecord
from doorward.siege.signup import Ending, Means, SignUp


def people_times(ground: Ground) -> list[float]:
    """When people come: evenly in the calm, in the shape of the surge over surge and attack, evenly after."""
    people, record, crowd = ground.scenario.people, ground.record, ground.crowd("people")
    rng = crowd.rng
    times: list[float] = []
    surge = [span for span in record.spans if span.phase in {Phase.SURGE, Phase.ATTACK}]
    for span in record.spans:
        if span.phase is Phase.CALM:
            times += arrival_times(rng, span.start_s, span.end_s, people.calm_per_second, [1.0])
        elif span.phase is Phase.AFTER:
            times += arrival_times(rng, span.start_s, span.end_s, people.after_per_second, [1.0])
    if surge:
        start_s, end_s = surge[0].start_s, surge[-1].end_s
        times += arrival_times(rng, start_s, end_s, people.surge_per_second, crowd.margins.surge_shape)
    return sorted(times)


async def people_come(ground: Ground, troop: Troop, inside: Troop) -> None:
    """Send people on their way until the siege ends; who got in chats on in the troop `inside`."""
    for moment in people_times(ground):
        await ground.until(moment)
        troop.send(_person(ground, ground.crowd("people").person(), inside))


async def _person(ground: Ground, visitor: Newcomer, inside: Troop) -> None:
    began_s = ground.now_s()
    means = Means(ground.target, ground.mailboxes, ground.solvers, ground.scenario.people.patience_seconds)
    ending = Ending(Outcome.LOST, why="unfinished")
    try:
        ending = await SignUp(visitor, means).run()
    finally:
        ground.record.signups.append(
            SignupRecord(Side.PERSON, began_s, ground.now_s(), ending.outcome, ending.delay_s, visitor.way, ending.why)
        )
    if ending.outcome in {Outcome.ADMITTED, Outcome.PROBATION}:
        inside.send(_use_it(ground, visitor))


async def _use_it(ground: Ground, visitor: Newcomer) -> None:
    for number in range(ground.scenario.people.chats_each):
        done = await chat(ground, visitor.actor, number)
        ground.record.tallies["newcomers' chats/ok" if done.is_ok else f"newcomers' chats/{done.why}"] += 1
        await asyncio.sleep(ground.scenario.people.chat_pause_seconds)
