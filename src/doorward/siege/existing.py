"""People who belong already: they sign up before the siege begins, then chat all along; owners log in on devices.

The accounts whose keys are stolen are prepared too, but are not among those measured: a flood with somebody's own
key is met by the limits of that key.
"""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Final

from doorward.siege.chat import chat
from doorward.siege.client import Actor
from doorward.siege.crowd import Newcomer, arrival_times
from doorward.siege.ground import Ground, Troop
from doorward.siege.login import LogIn
from doorward.siege.model import LoginRecord, Outcome, Phase
from doorward.siege.proofs import NoProofError
from doorward.siege.signup import Means, SignUp
from doorward.siege.target import GaveUpError, patiently

TRIES: Final = 3


class PreparationError(Exception):
    """The people of the siege could not be settled; the message says what the target answered."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody with a password and a device that the target knows."""

    email: str
    password: str
    device: Actor


@dataclass(slots=True)
class Residents:
    """Who belongs when the siege begins."""

    chatters: list[Actor] = field(default_factory=list)
    owners: list[Owner] = field(default_factory=list)
    stolen_keys: list[str] = field(default_factory=list)


async def settle(ground: Ground) -> Residents:
    """Sign everybody up, one after another at the scenario's pace, as people do.

    Raises:
        PreparationError: somebody could not be settled.
    """
    existing, flood = ground.scenario.existing, ground.scenario.flood
    residents = Residents()
    roles = ["chatter"] * existing.users + ["owner"] * existing.owners
    roles += ["careless"] * (flood.stolen_keys if flood else 0)
    ground.crowd("residents").rng.shuffle(roles)
    troop = Troop()
    for role in roles:
        troop.send(_settle_one(ground, role, residents))
        await asyncio.sleep(ground.crowd("residents").rng.expovariate(existing.prepare_per_second))
    await troop.finish(2 * ground.scenario.people.patience_seconds + 30)
    if len(residents.chatters) < existing.users or len(residents.owners) < existing.owners:
        raise PreparationError("the existing users could not all be signed up in time")
    ground.model = await _first_model(ground, residents.chatters[0])
    return residents


async def _settle_one(ground: Ground, role: str, residents: Residents) -> None:
    why = ""
    for _ in range(TRIES):
        visitor = ground.crowd("residents").person()
        if role == "owner" and not visitor.password:
            visitor = replace(visitor, password=ground.crowd("residents").password(), way="api")
        means = Means(ground.target, ground.mailboxes, ground.solvers, ground.scenario.people.patience_seconds)
        ending = await SignUp(visitor, means).run()
        if ending.outcome is Outcome.ADMITTED:
            try:
                await _equip(ground, role, visitor, residents)
            except GaveUpError as error:
                why = str(error)
                continue
            return
        why = ending.why or ending.outcome.value
    raise PreparationError(f"an existing user could not be signed up: {why}")


async def _equip(ground: Ground, role: str, visitor: Newcomer, residents: Residents) -> None:
    actor = visitor.actor
    if role == "owner":
        residents.owners.append(Owner(visitor.email, visitor.password, actor))
        return
    if role == "chatter" and ground.crowd("residents").rng.random() < ground.scenario.existing.session_share:
        residents.chatters.append(actor)
        return
    value = {"name": "siege", "scopes": ["chat", "models"]}
    reply = await patiently(lambda: ground.target.post(actor, "/api/v1/keys", value), 20.0)
    if reply.status != 201:
        raise PreparationError(f"no API key could be made: HTTP {reply.status}, {reply.code}")
    key = reply.text("key")
    if role == "careless":
        residents.stolen_keys.append(key)
    else:
        residents.chatters.append(Actor(actor.address, actor.user_agent, actor.languages, bearer=key))


async def _first_model(ground: Ground, actor: Actor) -> str:
    reply = await patiently(lambda: ground.target.get(actor, "/v1/models"), 10.0)
    models = reply.data.get("data")
    if reply.status != 200 or not isinstance(models, list) or not models:
        raise PreparationError(f"the AI service behind the target lists no models: HTTP {reply.status}, {reply.code}")
    return str(models[0].get("id", ""))


def residents_chat(ground: Ground, residents: Residents, troop: Troop) -> None:
    """Have every resident chat at a steady pace until called off."""
    for actor in residents.chatters:
        troop.send(_chat_on(ground, actor, ground.crowd("residents").rng.random()))


async def _chat_on(ground: Ground, actor: Actor, offset: float) -> None:
    every = ground.scenario.existing.chat_every_seconds
    moment, number = offset * every, 0
    while True:
        await ground.until(moment)
        ground.record.chats.append(await chat(ground, actor, number))
        number += 1
        moment = max(moment + every, ground.now_s())


async def owners_log_in(ground: Ground, residents: Residents, troop: Troop) -> None:
    """Have owners log in on their own devices while passwords are being stuffed."""
    attack, stuffing = ground.record.span(Phase.ATTACK), ground.scenario.stuffing
    if attack is None or stuffing is None or not residents.owners:
        return
    rng = ground.crowd("owners").rng
    for moment in arrival_times(rng, attack.start_s, attack.end_s, stuffing.owner_logins_per_second, [1.0]):
        await ground.until(moment)
        troop.send(_owner_logs_in(ground, rng.choice(residents.owners)))


async def _owner_logs_in(ground: Ground, owner: Owner) -> None:
    at_s = ground.now_s()
    got_in, why = False, "unfinished"
    try:
        why = await LogIn(ground.target, ground.solvers, ground.mailboxes).run(
            owner.device, owner.email, owner.password
        )
        got_in = not why
    except (GaveUpError, NoProofError) as error:
        why = str(error)
    finally:
        ground.record.logins.append(LoginRecord(at_s, True, got_in, why))
