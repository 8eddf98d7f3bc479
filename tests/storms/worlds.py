"""Invented worlds for the gate: people with real spreads of behaviour, programs with their own, in simulated time.

Nothing here is a field measurement. The people of a world differ from the packaged prior on purpose (other mail
domains, another pace), for the prior will be wrong everywhere.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from doorward.gate.model import Signals
from doorward.gate.sense import sense
from doorward.hall.model import Arrival, Attempt

START = 1_800_000_000.0
FIRST = [
    "anna",
    "ben",
    "carla",
    "dmitri",
    "elena",
    "farid",
    "grace",
    "hong",
    "ines",
    "jonas",
    "kofi",
    "lin",
    "maria",
    "nadia",
    "omar",
    "petra",
    "quentin",
    "rosa",
    "sam",
    "tara",
    "ulrich",
    "vera",
    "wei",
    "xin",
    "yara",
    "zoe",
]
LAST = [
    "smith",
    "garcia",
    "muller",
    "chen",
    "kowalski",
    "okafor",
    "silva",
    "novak",
    "tanaka",
    "haddad",
    "berg",
    "rossi",
    "dubois",
    "ivanov",
    "kim",
    "lopez",
    "ng",
    "patel",
]
CLIENTS = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36": 30,
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36": 27,
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1": 20,
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15": 9,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0": 7,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0": 7,
}
DOMAINS = {
    "gmail.com": 38,
    "outlook.com": 11,
    "qq.com": 12,
    "163.com": 6,
    "icloud.com": 7,
    "yahoo.com": 5,
    "mailo.example": 6,
    "uni.example": 3,
}
LANGUAGES = {"en-US,en;q=0.9": 45, "zh-CN,zh;q=0.9": 27, "de-DE,de": 10, "es-ES,es": 10, "ja": 8}
ODD_CLIENT = "Mozilla/5.0 (Linux; Android 15; PressApp) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"


@dataclass(frozen=True, slots=True)
class People:
    """How people are drawn."""

    rate: float  # per second
    form_median: float = 24.0
    form_sigma: float = 0.65
    device_us: float = 220.0
    device_sigma: float = 0.65
    press_share: float = 0.0  # share that comes by one app
    press_device_sigma: float = 0.25  # one make of device
    new_domain_share: float = 0.0  # share with a mail domain that nobody had before
    new_country_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Bots:
    """How a program's sign-ups are drawn."""

    rate: float
    domains: Sequence[str] = ("lane.example", "swift.example", "hutch.example")
    shares_domains: bool = False  # draws its mail domains where people draw theirs
    form_median: float = 3.0
    form_sigma: float = 0.12
    device_us: float = 70.0
    device_sigma: float = 0.1
    addresses: int = 10_000
    one_name_shape: bool = True
    copies_clients: bool = True
    start: float = 60.0
    stop: float = 120.0
    period: float = 0.0  # of an on/off attack, half on and half off; 0: always on


@dataclass(frozen=True, slots=True)
class Comer:
    """One attempt of a world."""

    signals: Signals
    is_bot: bool
    confirm_seconds: float


def people_at(rng: random.Random, people: People, times: Iterator[float]) -> Iterator[Comer]:
    """People at these moments."""
    for at in times:
        agent, device_sigma = pick(rng, CLIENTS), people.device_sigma
        language, domain = (
            pick(rng, LANGUAGES),
            pick(rng, DOMAINS) if rng.random() < 0.9 else f"d{rng.randrange(5_000)}.example",
        )
        if rng.random() < people.press_share:
            agent, device_sigma = ODD_CLIENT, people.press_device_sigma
        if rng.random() < people.new_domain_share:
            domain = "newmail.example"
        address = f"{rng.randrange(1, 200)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        if rng.random() < people.new_country_share:
            language, domain, address = (
                "vi-VN,vi",
                "vietpost.example",
                f"113.{rng.randrange(160, 192)}.{rng.randrange(256)}.9",
            )
        micros = people.device_us * math.exp(rng.gauss(0, device_sigma))
        form = max(1.0, people.form_median * math.exp(rng.gauss(0, people.form_sigma)))
        who = Arrival("r", at, Attempt.SIGNUP, address, agent, language, email=f"{human_name(rng)}@{domain}")
        yield _comer(rng, who, form, micros, is_bot=False)


def bots_at(rng: random.Random, bots: Bots, times: Iterator[float]) -> Iterator[Comer]:
    """A program's attempts at these moments."""
    pool = [
        f"{rng.randrange(1, 200)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        for _ in range(bots.addresses)
    ]
    for at in times:
        agent = pick(rng, CLIENTS) if bots.copies_clients else "python-requests/2.32"
        domain = pick(rng, DOMAINS) if bots.shares_domains else rng.choice(bots.domains)
        local = (
            "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=8)) + f"{rng.randrange(1000):03d}"
            if bots.one_name_shape
            else human_name(rng)
        )
        form = bots.form_median * math.exp(rng.gauss(0, bots.form_sigma))
        micros = bots.device_us * math.exp(rng.gauss(0, bots.device_sigma))
        who = Arrival("r", at, Attempt.SIGNUP, rng.choice(pool), agent, "en-US,en;q=0.9", email=f"{local}@{domain}")
        yield _comer(rng, who, form, micros, is_bot=True)


def _comer(rng: random.Random, who: Arrival, form: float, micros: float, *, is_bot: bool) -> Comer:
    counter = rng.randrange(1, 201)
    confirm = rng.uniform(1.0, 3.0) if is_bot else rng.lognormvariate(2.5, 0.6)
    return Comer(sense(who, form, (micros * counter / 1000, counter)), is_bot, confirm)


def human_name(rng: random.Random) -> str:
    """A local part as people choose it."""
    first, last = rng.choice(FIRST), rng.choice(LAST)
    return rng.choice(
        (
            f"{first}.{last}",
            f"{first}{last}",
            f"{first[0]}{last}",
            f"{first}{rng.randrange(100)}",
            f"{first}{last}{rng.randrange(1950, 2012)}",
            f"{last}_{first}",
            f"{first}.{last}{rng.randrange(100)}",
            f"{last}{rng.randrange(1000)}",
            str(rng.randrange(10**7, 10**10)),
            first,
        )
    )


def pick(rng: random.Random, weights: dict[str, int]) -> str:
    """One of the keys, by weight."""
    return rng.choices(list(weights), list(weights.values()))[0]


def poisson(rng: random.Random, rate: float, start: float, stop: float) -> Iterator[float]:
    """Moments of a Poisson process."""
    at = start + rng.expovariate(rate)
    while at < stop:
        yield at
        at += rng.expovariate(rate)


def switched(times: Iterator[float], period: float, start: float) -> Iterator[float]:
    """Only the moments of the first half of each period; all of them if the period is 0."""
    return (at for at in times if period == 0 or (at - start) % period < period / 2)


@dataclass(frozen=True, slots=True)
class World:
    """People before and after a surge, and bots."""

    calm: People
    surge: People
    bots: tuple[Bots, ...] = ()
    surge_start: float = 60.0
    surge_stop: float = 120.0
    length: float = 240.0
    calm_history: int = 400  # people whose accounts were in good standing before the story begins

    def comers(self, seed: int) -> list[Comer]:
        """Everybody who comes, in order."""
        rng = random.Random(seed)
        parts = [
            people_at(rng, self.calm, poisson(rng, self.calm.rate, START, START + self.surge_start)),
            people_at(
                rng, self.surge, poisson(rng, self.surge.rate, START + self.surge_start, START + self.surge_stop)
            ),
            people_at(rng, self.calm, poisson(rng, self.calm.rate, START + self.surge_stop, START + self.length)),
        ]
        for bots in self.bots:
            times = poisson(rng, bots.rate, START + bots.start, START + bots.stop)
            parts.append(bots_at(rng, bots, switched(times, bots.period, START + bots.start)))
        return sorted((comer for part in parts for comer in part), key=lambda comer: comer.signals.at)

    def history(self, seed: int) -> list[Signals]:
        """The people whom the baseline has learned from before."""
        rng = random.Random(seed + 1_000_003)
        times = iter([START - 86_400 + place for place in range(self.calm_history)])
        return [comer.signals for comer in people_at(rng, self.calm, times)]
