"""Attackers who want the service down: stolen keys, forged proofs, slow connections."""

import asyncio
import secrets

from doorward.siege.client import Actor, Call, Endpoint, TransportError
from doorward.siege.crowd import arrival_times
from doorward.siege.existing import Residents
from doorward.siege.ground import Ground, Troop
from doorward.siege.model import Phase

_CALL_TIMEOUT_SECONDS = 8.0
_DRIP_SECONDS = 1.0


async def stolen_keys_flood(ground: Ground, residents: Residents, troop: Troop) -> None:
    """Call the API with stolen keys from many addresses."""
    attack, flood = ground.record.span(Phase.ATTACK), ground.scenario.flood
    if attack is None or flood is None or not residents.stolen_keys:
        return
    rng = ground.crowd("floods").rng
    value = {"model": ground.model, "max_tokens": 16, "messages": [{"role": "user", "content": "again"}]}
    call = Call.json("/v1/chat/completions", value, _CALL_TIMEOUT_SECONDS)
    for moment in arrival_times(rng, attack.start_s, attack.end_s, flood.stolen_key_calls_per_second, [1.0]):
        await ground.until(moment)
        actor = ground.crowd("floods").stranger()
        actor.bearer = rng.choice(residents.stolen_keys)
        troop.send(_count(ground, "stolen keys", actor, call))


async def forged_flood(ground: Ground, troop: Troop) -> None:
    """Hand in forms with tickets and proofs that nobody ever gave out."""
    attack, flood = ground.record.span(Phase.ATTACK), ground.scenario.flood
    if attack is None or flood is None:
        return
    for moment in arrival_times(
        ground.crowd("floods").rng, attack.start_s, attack.end_s, flood.forged_per_second, [1.0]
    ):
        await ground.until(moment)
        form = {
            "ticket": secrets.token_urlsafe(45),
            "proof": secrets.token_urlsafe(300),
            "email": "nobody@mail.example",
        }
        call = Call.json("/api/v1/signup", form, _CALL_TIMEOUT_SECONDS)
        troop.send(_count(ground, "forged proofs", ground.crowd("floods").stranger(), call))


async def slow_connections(ground: Ground, troop: Troop) -> None:
    """Open connections that drip: half of them never end their headers, half never end their body."""
    attack, flood = ground.record.span(Phase.ATTACK), ground.scenario.flood
    if attack is None or flood is None:
        return
    await ground.until(attack.start_s)
    for number in range(flood.slow_connections):
        troop.send(_drip(ground, ground.crowd("floods").stranger(), attack.end_s, in_body=number % 2 == 1))


async def _count(ground: Ground, kind: str, actor: Actor, call: Call) -> None:
    try:
        answer = await ground.target.client.send(actor, call)
        came = f"http-{answer.status}"
    except TransportError as error:
        came = type(error).__name__.removesuffix("Error").lower()
    ground.record.tallies[f"{kind}/{came}"] += 1


async def _drip(ground: Ground, actor: Actor, until_s: float, *, in_body: bool) -> None:
    """Hold one slow connection, opening another whenever the target closes it."""
    while ground.now_s() < until_s:
        began_s = ground.now_s()
        kind = "slow body" if in_body else "slow headers"
        try:
            was_closed = await _one_slow(ground, actor, until_s, in_body=in_body)
        except OSError:
            ground.record.tallies[f"{kind}/unreachable"] += 1
            was_closed = True
        else:
            ground.record.tallies[f"{kind}/{'closed by the target' if was_closed else 'held to the end'}"] += 1
        if was_closed:
            await ground.until(began_s + _DRIP_SECONDS)


async def _one_slow(ground: Ground, actor: Actor, until_s: float, *, in_body: bool) -> bool:
    """Whether the target closed the connection before the attack ended."""
    endpoint = ground.target.client.endpoint
    reader, writer = await asyncio.open_connection(endpoint.connect_host, endpoint.port, ssl=endpoint.secure or None)
    try:
        writer.write(_opening(endpoint, actor, in_body=in_body))
        while ground.now_s() < until_s:
            try:
                async with asyncio.timeout(_DRIP_SECONDS):
                    if not await reader.read(4096):
                        return True
            except TimeoutError:
                writer.write(b"x")
    except ConnectionError:
        return True
    else:
        return False
    finally:
        writer.transport.abort()


def _opening(endpoint: Endpoint, actor: Actor, *, in_body: bool) -> bytes:
    lines = [
        "POST /signup HTTP/1.1",
        f"Host: {endpoint.authority}",
        f"X-Forwarded-For: {actor.address}",
        f"User-Agent: {actor.user_agent}",
    ]
    if in_body:
        lines += ["Content-Type: application/x-www-form-urlencoded", "Content-Length: 4000", "", "ticket="]
    else:
        lines += ["X-Slow: "]
    return "\r\n".join(lines).encode("latin-1")
