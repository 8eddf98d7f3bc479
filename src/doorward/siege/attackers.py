"""Attackers who want accounts: a sign-up botnet that pays and owns mailboxes, and credential stuffing.

What is left unfinished when the attack is called off counts as held: the price, or the queue for it, did that.
"""

from dataclasses import dataclass
from typing import Final

from doorward.siege.client import Actor
from doorward.siege.crowd import Newcomer, arrival_times
from doorward.siege.existing import Residents
from doorward.siege.ground import Ground, Troop
from doorward.siege.login import LogIn
from doorward.siege.model import LoginRecord, Outcome, Phase, Side, SignupRecord
from doorward.siege.proofs import NoProofError, SolverPool
from doorward.siege.signup import Ending, Means, SignUp
from doorward.siege.target import GaveUpError

BOT_PATIENCE_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True)
class _Pair:
    """A leaked pair, and who tries it."""

    stranger: Actor
    email: str
    password: str


async def botnet_comes(ground: Ground, solvers: SolverPool, troop: Troop) -> None:
    """Send bots in their bursts for as long as the attack lasts."""
    attack, net = ground.record.span(Phase.ATTACK), ground.scenario.botnet
    if attack is None or net is None:
        return
    crowd = ground.crowd("botnet")
    for moment in arrival_times(crowd.rng, attack.start_s, attack.end_s, net.per_second, crowd.margins.pacing):
        await ground.until(moment)
        troop.send(_bot(ground, solvers, crowd.bot()))


async def _bot(ground: Ground, solvers: SolverPool, visitor: Newcomer) -> None:
    began_s = ground.now_s()
    means = Means(ground.target, ground.mailboxes, solvers, BOT_PATIENCE_SECONDS)
    ending = Ending(Outcome.REFUSED, why="unfinished")
    try:
        ending = await SignUp(visitor, means).run()
    finally:
        ground.record.signups.append(
            SignupRecord(Side.BOT, began_s, ground.now_s(), ending.outcome, ending.delay_s, visitor.way, ending.why)
        )


async def stuffing_comes(ground: Ground, solvers: SolverPool, residents: Residents, troop: Troop) -> None:
    """Try leaked pairs, one per network address; some are right."""
    attack, stuffing = ground.record.span(Phase.ATTACK), ground.scenario.stuffing
    if attack is None or stuffing is None:
        return
    crowd = ground.crowd("stuffing")
    rng = crowd.rng
    for moment in arrival_times(rng, attack.start_s, attack.end_s, stuffing.per_second, [1.0]):
        await ground.until(moment)
        email, password = crowd.person().email, crowd.password()
        if residents.owners and rng.random() < stuffing.known_share:
            owner = rng.choice(residents.owners)
            email = owner.email
            password = owner.password if rng.random() < stuffing.correct_share else password
        pair = _Pair(crowd.stranger(), email, password)
        troop.send(_try_pair(ground, solvers, pair))


async def _try_pair(ground: Ground, solvers: SolverPool, pair: _Pair) -> None:
    at_s = ground.now_s()
    got_in, why = False, "unfinished"
    try:
        why = await LogIn(ground.target, solvers, None).run(pair.stranger, pair.email, pair.password)
        got_in = not why
    except (GaveUpError, NoProofError) as error:
        why = str(error)
    finally:
        ground.record.logins.append(LoginRecord(at_s, False, got_in, why))
