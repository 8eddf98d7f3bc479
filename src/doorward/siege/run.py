"""One siege from beginning to end.

1. Settle the existing users (not counted in the time).
2. Let people, existing users and attackers come, each by their own clock, through the phases.
3. When the time is up nobody new comes; who is under way may finish, and the existing users chat on until the door
   has reopened or patience ends.
4. Call everybody off, and hand back what was written down.
"""

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from doorward.siege.attackers import botnet_comes, stuffing_comes
from doorward.siege.client import Actor, Client
from doorward.siege.crowd import Margins, published_margins, real_margins
from doorward.siege.existing import Residents, owners_log_in, residents_chat, settle
from doorward.siege.floods import forged_flood, slow_connections, stolen_keys_flood
from doorward.siege.ground import Ground, Troop
from doorward.siege.mailboxes import Mailboxes
from doorward.siege.model import RunRecord
from doorward.siege.ownership import prove, resolve
from doorward.siege.people import people_come
from doorward.siege.proofs import SolverPool
from doorward.siege.scenario import Scenario
from doorward.siege.target import Target
from doorward.siege.watch import POLL_SECONDS, PostureWatch, watch_lag
from doorward.siege.witness import Witness

SOLVER_QUEUE = 10_000
OWN_PAGES = ("/metrics", "/healthz", "/readyz", "/openapi.json")  # what the target says of itself


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run against whom. `admin_key` is never shown."""

    target: str
    scenario: Scenario
    seconds: float
    seed: int
    admin_key: str
    admin_key_id: str = ""
    data: Path | None = None
    witness: Witness | None = None  # who remembers secrets and errors, for a search afterwards

    def __repr__(self) -> str:
        return f"Plan({self.target!r}, {self.scenario.name!r}, {self.seconds:g} s, seed {self.seed})"


class Onlooker(Protocol):
    """Somebody who is told how it goes (a screen)."""

    def preparing(self, what: str) -> None:
        """What is being made ready."""
        ...

    def started(self, ground: Ground, watch: PostureWatch) -> None:
        """The siege begins: `ground` and `watch` may be read from now on."""
        ...


async def lay_siege(plan: Plan, onlooker: Onlooker) -> RunRecord:
    """Run the plan.

    Raises:
        NotOurTargetError, DataFileError, NoSinkError, NoPostureError, PreparationError, TransportError: it could
            not be run; each says why.
    """
    margins = margins_of(plan)
    endpoint, is_loopback = await resolve(plan.target)
    async with AsyncExitStack() as stack:
        client = Client(endpoint)
        client.witness = plan.witness
        stack.push_async_callback(client.close)
        if not is_loopback:
            await prove(client, plan.admin_key, plan.admin_key_id)
        ground, bots = await _make_ready(plan, margins, client, stack)
        admin = Actor("127.0.0.1", "doorward-siege", bearer=plan.admin_key)
        ground.mailboxes = Mailboxes(ground.target, admin)
        watch = PostureWatch(ground, admin)
        await watch.begin()
        await ground.mailboxes.skip_old()
        await _attend(ground, watch, bots, onlooker)
        if plan.witness is not None:
            plan.witness.pages += [(path, (await ground.target.page(admin, path)).body) for path in OWN_PAGES]
    return ground.record


def margins_of(plan: Plan) -> Margins:
    """The margins that the crowds of this plan are drawn from.

    Raises:
        DataFileError: a file of `plan.data` is absent or not right.
    """
    if plan.data is not None:
        return real_margins(plan.scenario, plan.data)
    return published_margins(plan.scenario, Random(f"{plan.seed}/margins"))  # noqa: S311  # a simulation's dice


async def _make_ready(plan: Plan, margins: Margins, client: Client, stack: AsyncExitStack) -> tuple[Ground, SolverPool]:
    net = plan.scenario.botnet
    people = SolverPool(1, SOLVER_QUEUE)
    bots = SolverPool(net.solvers if net else 1, net.queue_limit if net else 1)
    for pool in (people, bots):
        stack.push_async_callback(pool.stop)
        await pool.start()
    record = RunRecord(
        plan.scenario.name, plan.seed, plan.seconds, plan.scenario.spans(plan.seconds), data_sources=margins.sources
    )
    target = Target(client)
    nobody = Actor("127.0.0.1", "doorward-siege")
    ground = Ground(
        plan.scenario, record, target, Mailboxes(target, nobody), margins, people, salt=secrets.token_hex(4)
    )
    return ground, bots


async def _attend(ground: Ground, watch: PostureWatch, bots: SolverPool, onlooker: Onlooker) -> None:
    watchers, crowds = Troop(), _Crowds(Troop(), Troop(), Troop())
    try:
        watchers.send(ground.mailboxes.watch())
        onlooker.preparing(f"settling {ground.scenario.existing.users} existing users")
        residents = await settle(ground)
        watchers.send(watch_lag(ground))
        ground.restart_clock()
        watchers.send(watch.watch())
        onlooker.started(ground, watch)
        _set_out(ground, residents, bots, crowds)
        await ground.until(ground.record.seconds)
        await _see_it_out(ground, watch, crowds)
        await watch.look()
    finally:
        await crowds.call_off()
        await watchers.finish(0)


@dataclass(frozen=True, slots=True)
class _Crowds:
    residents: Troop
    people: Troop
    attackers: Troop

    async def call_off(self) -> None:
        for troop in (self.attackers, self.people, self.residents):
            await troop.finish(0)


def _set_out(ground: Ground, residents: Residents, bots: SolverPool, crowds: _Crowds) -> None:
    residents_chat(ground, residents, crowds.residents)
    crowds.residents.send(owners_log_in(ground, residents, crowds.residents))
    crowds.people.send(people_come(ground, crowds.people, crowds.residents))
    attackers = crowds.attackers
    attackers.send(botnet_comes(ground, bots, attackers))
    attackers.send(stuffing_comes(ground, bots, residents, attackers))
    attackers.send(stolen_keys_flood(ground, residents, attackers))
    attackers.send(forged_flood(ground, attackers))
    attackers.send(slow_connections(ground, attackers))


async def _see_it_out(ground: Ground, watch: PostureWatch, crowds: _Crowds) -> None:
    """Let people finish, and wait for the door to reopen as long as the scenario is patient."""
    await crowds.attackers.finish(0)
    await crowds.people.finish(ground.scenario.people.patience_seconds)
    patience_s = ground.record.seconds * (1 + ground.scenario.reopen_patience_share)
    while not watch.is_open and ground.now_s() < patience_s:
        await asyncio.sleep(POLL_SECONDS)
        await watch.look()
