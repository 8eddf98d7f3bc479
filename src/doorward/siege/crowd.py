"""Who comes: addresses, client builds, mailboxes, names and times, drawn from margins with a seed.

The margins come from the scenario file (published figures) or from real files; how the parts go together is made
up by this generator, which is why every report calls its crowd a simulation.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import msgspec

from doorward.siege import data_files
from doorward.siege.client import Actor
from doorward.siege.scenario import Scenario, Weighted


class _Names(msgspec.Struct, frozen=True):
    first: str
    last: str
    nicks: str


_NAMES: Final = msgspec.toml.decode((Path(__file__).parent / "names.toml").read_bytes(), type=_Names)
_FIRST: Final = _NAMES.first.split()
_LAST: Final = _NAMES.last.split()
_NICKS: Final = _NAMES.nicks.split()


@dataclass(frozen=True, slots=True)
class Margins:
    """What the crowds are drawn from."""

    surge_shape: list[float]
    pacing: list[float]
    people_addresses: list[str]
    bot_addresses: list[str]
    clients: list[Weighted]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody (or something) about to sign up."""

    actor: Actor
    email: str
    password: str
    form_seconds: float
    code_seconds: float
    device_us: float  # microseconds that one derivation takes on their device
    way: str


@dataclass(slots=True)
class Crowd:
    """Draws newcomers. The same `rng` draws the same crowd, except for the names, which `name_rng` draws."""

    scenario: Scenario
    margins: Margins
    rng: random.Random
    name_rng: random.Random
    used: set[str] = field(default_factory=set)

    def person(self) -> Newcomer:
        """A person."""
        people, rng = self.scenario.people, self.rng
        way = "api"
        if rng.random() < people.page_share:
            way = "no-script" if rng.random() < people.no_script_share else "page"
        actor = Actor(
            rng.choice(self.margins.people_addresses), pick(rng, self.margins.clients), pick(rng, people.languages)
        )
        return Newcomer(
            actor=actor,
            email=f"{self._unique(self._human_name())}@{self._domain(people.mail_domains)}",
            password=self.password() if rng.random() < people.password_share else "",
            form_seconds=log_normal(rng, people.form_median_seconds, people.form_sigma),
            code_seconds=log_normal(rng, people.code_median_seconds, people.code_sigma),
            device_us=log_normal(rng, people.device_median_us, people.device_sigma),
            way=way,
        )

    def bot(self) -> Newcomer:
        """A bot of the scenario's botnet.

        Raises:
            ValueError: the scenario has no botnet.
        """
        net, rng = self.scenario.botnet, self.rng
        if net is None:
            raise ValueError("the scenario has no botnet")
        actor = Actor(rng.choice(self.margins.bot_addresses), pick(rng, net.clients), pick(rng, net.languages))
        letters = "".join(self.name_rng.choices("abcdefghijklmnopqrstuvwxyz", k=8))
        local = f"{letters}{self.name_rng.randrange(1000):03d}"
        return Newcomer(
            actor=actor,
            email=f"{self._unique(local)}@{self._domain(net.mail_domains)}",
            password="",
            form_seconds=log_normal(rng, net.form_median_seconds, net.form_sigma),
            code_seconds=log_normal(rng, net.code_median_seconds, net.code_sigma),
            device_us=log_normal(rng, net.device_median_us, net.device_sigma),
            way="api",
        )

    def stranger(self) -> Actor:
        """An attacker's actor with a fresh jar (stuffing, floods)."""
        rng = self.rng
        clients = self.scenario.botnet.clients if self.scenario.botnet else self.margins.clients
        addresses = self.margins.bot_addresses or self.margins.people_addresses
        return Actor(rng.choice(addresses), pick(rng, clients))

    def password(self) -> str:
        """A password that no common-password list has."""
        words = self.rng.sample(_NICKS, 3)
        return "-".join(words) + f"-{self.rng.randrange(10_000):04d}"

    def _human_name(self) -> str:
        rng = self.name_rng
        first, last, nick = rng.choice(_FIRST), rng.choice(_LAST), rng.choice(_NICKS)
        initial = rng.choice("abcdefghijklmnopqrstuvwxyz")
        year, digits = str(rng.randrange(1960, 2010)), str(rng.randrange(10, 1000))
        shapes = (
            f"{first}.{initial}.{last}",
            f"{first}.{last}{digits[:2]}",
            f"{first}{last}{year}",
            f"{first[0]}{initial}{last}",
            f"{first}{initial}{last}{digits}",
            f"{nick}{rng.choice(_NICKS)}{digits}",
            f"{first}_{nick}",
            f"{last}.{first}.{initial}",
            f"{nick}.{last}{year[2:]}",
        )
        return rng.choice(shapes)

    def _unique(self, local: str) -> str:
        while local in self.used:
            local += str(self.name_rng.randrange(10))
        self.used.add(local)
        return local

    def _domain(self, domains: Sequence[Weighted]) -> str:
        domain = pick(self.rng, domains)
        return domain.replace("*", f"{self.rng.choice(_LAST)}-{self.rng.choice(_NICKS)}{self.rng.randrange(100)}")


def published_margins(scenario: Scenario, rng: random.Random) -> Margins:
    """Margins from the figures in the scenario file; addresses are drawn with the same spread over networks."""
    net = scenario.botnet
    return Margins(
        surge_shape=scenario.people.surge_shape,
        pacing=net.pacing if net else [1.0],
        people_addresses=_addresses(rng, scenario.people.networks, scenario.people.networks),
        bot_addresses=_addresses(rng, net.networks, net.addresses) if net else [],
        clients=scenario.people.clients,
        sources=tuple(source.source for source in scenario.sources),
    )


def real_margins(scenario: Scenario, folder: Path) -> Margins:
    """Margins from the real files in `folder`.

    Raises:
        DataFileError: a file is absent or not what it should be.
    """
    visitors, agents = data_files.web_clients(folder)
    net = scenario.botnet
    shape = data_files.surge_shape(folder) if scenario.has_attack else data_files.spike_shape(folder)
    files = [data_files.WEB_CLIENTS, data_files.MASTODON if scenario.has_attack else data_files.TWEETS]
    files += [data_files.HONEYPOT, data_files.IPSUM] if net else []
    return Margins(
        surge_shape=shape,
        pacing=data_files.attack_pacing(folder) if net else [1.0],
        people_addresses=visitors,
        bot_addresses=data_files.attacker_addresses(folder, net.addresses) if net else [],
        clients=[Weighted(text=agent, weight=count) for agent, count in agents.items()],
        sources=tuple(files),
    )


def pick(rng: random.Random, choices: Sequence[Weighted]) -> str:
    """One of `choices` by weight."""
    return rng.choices([choice.text for choice in choices], [choice.weight for choice in choices])[0]


def log_normal(rng: random.Random, median: float, sigma: float) -> float:
    """A log-normal draw with this median."""
    return median * math.exp(rng.gauss(0, sigma))


def arrival_times(rng: random.Random, start_s: float, end_s: float, rate: float, shape: Sequence[float]) -> list[float]:
    """A Poisson process between two moments whose rate is `rate` times the `shape` laid over the stretch."""
    moments: list[float] = []
    highest = rate * max(shape)
    length = end_s - start_s
    if highest <= 0 or length <= 0:
        return moments
    at = start_s + rng.expovariate(highest)
    while at < end_s:
        step = min(len(shape) - 1, int((at - start_s) / length * len(shape)))
        if rng.random() * highest < rate * shape[step]:
            moments.append(at)
        at += rng.expovariate(highest)
    return moments


def _addresses(rng: random.Random, networks: int, addresses: int) -> list[str]:
    bases: dict[int, None] = {}
    while len(bases) < networks:
        base = rng.randrange(1 << 24) << 8
        if IPv4Address(base).is_global and not IPv4Address(base).is_multicast:
            bases.setdefault(base)
    keys = list(bases)
    found: dict[int, None] = {key + rng.randrange(1, 255): None for key in keys[:addresses]}
    while len(found) < addresses:
        found.setdefault(rng.choice(keys) + rng.randrange(1, 255))
    return [str(IPv4Address(number)) for number in found]
