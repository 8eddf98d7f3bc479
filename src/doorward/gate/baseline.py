"""What people are like here: shares of what they are, and spreads of how they behave. Learned, bounded, persisted.

1. It learns from accounts in good standing only, one by one, after a quarantine, and never from a cohort that is
   tightened; at most `baseline_learned_per_hour`, so a patient attacker moves it slowly.
2. Fixed memory whatever keys an attacker invents: 512 values per feature (space-saving: a new value takes the place
   of the rarest and inherits its count), 40 bins per time. About 200 kB.
3. Cold start: `rules/prior.toml` is packaged, with the weight of `weight` people. Its shares are round figures from
   published usage statistics of mail providers and of form completion times, not a fit to any deployment. Of times
   only the *spread* is believed: once ten people are known the prior is moved to their median, for how long a form
   takes depends on the form.
4. A value that nobody has shown may still belong to some people: its share is bounded by the rule of three and by the
   feature's tail (`rules/cohorts.toml`).
"""

import math
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Final

import msgspec

from doorward.gate import evidence
from doorward.gate.model import Feature, Signals
from doorward.gate.sense import BINS

_MOST_VALUES: Final = 512
_IDENTITY: Final = (Feature.MAIL, Feature.NETWORK, Feature.CLIENT, Feature.LANGUAGE)
_TIMES: Final = ("form", "solver", "spent")
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Bell(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    median_bin: Annotated[int, msgspec.Meta(ge=0, lt=BINS)]
    spread_bins: Annotated[float, msgspec.Meta(gt=0, le=BINS)]


class Prior(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the baseline holds before it has met anybody."""

    weight: Annotated[float, msgspec.Meta(gt=0, le=10_000)]
    mail: dict[str, _Share]
    language: dict[str, _Share]
    shape: dict[str, _Share]
    times: dict[str, _Bell]


PRIOR_SCHEMA: Final = msgspec.json.schema(Prior)


class _Kept(msgspec.Struct):
    learned: float
    values: dict[str, dict[str, float]]
    times: dict[str, list[float]]


def packaged_prior() -> Prior:
    """The prior of the package."""
    text = (resources.files("doorward.gate") / "rules" / "prior.toml").read_text(encoding="utf-8")
    return msgspec.toml.decode(text, type=Prior)


class Baseline:
    """The shares and spreads of people."""

    def __init__(self, prior: Prior, tails: Mapping[Feature, float]) -> None:
        self._prior = prior
        self._tails = tails
        self.learned = 0.0
        self._values: dict[str, dict[str, float]] = {name: {} for name in (*_IDENTITY, "shape")}
        self._times: dict[str, list[float]] = {name: [0.0] * BINS for name in _TIMES}
        self._cache: dict[str, evidence.Shares] = {}
        self._shapes: dict[str, float] = {}

    def learn(self, signals: Signals) -> None:
        """Take in one person."""
        self.learned += 1
        for name, counts in self._values.items():
            _count(counts, str(getattr(signals, name)))
        for name, bins in self._times.items():
            if (place := getattr(signals, name)) >= 0:
                bins[place] += 1
        self._cache.clear()
        self._shapes = {}

    def fade(self, seconds: float, half_life_seconds: float) -> None:
        """Let what was learned lose weight with age."""
        factor = 0.5 ** (seconds / half_life_seconds)
        self.learned *= factor
        for counts in self._values.values():
            for value in counts:
                counts[value] *= factor
        for bins in self._times.values():
            bins[:] = [count * factor for count in bins]
        self._cache.clear()
        self._shapes = {}

    def share(self, feature: Feature, value: str) -> float:
        """The share of people who have this value; for one never seen, how many could have it at most."""
        prior = self._prior.mail if feature is Feature.MAIL else {}
        prior = self._prior.language if feature is Feature.LANGUAGE else prior
        seen = self._values[feature.value].get(value, 0.0) + self._prior.weight * prior.get(value, 0.0)
        total = self.learned + (self._prior.weight if prior else 0.0)
        tail = min(self._tails.get(feature, 1.0), 3 / (total + 3))
        return max(seen / total if total else 0.0, tail)

    def values(self, feature: Feature) -> dict[str, float]:
        """The shares of the values that have been seen or are in the prior."""
        prior = self._prior.mail if feature is Feature.MAIL else {}
        prior = self._prior.language if feature is Feature.LANGUAGE else prior
        return {value: self.share(feature, value) for value in self._values[feature.value].keys() | prior.keys()}

    def times(self, name: str) -> evidence.Shares:
        """The share of people per time bin of `form`, `solver` or `spent`; sums to 1."""
        shares = self._cache.get(name)
        if shares is None:
            shares = self._cache[name] = self._smoothed(name)
        return shares

    def _smoothed(self, name: str) -> evidence.Shares:
        bell, learned = self._prior.times[name], self._times[name]
        known = sum(learned)
        middle = evidence.median_share(tuple(learned)) if known >= 10 else bell.median_bin
        scale = bell.spread_bins * math.sqrt(2)
        prior = [
            (math.erf((place - middle + 0.5) / scale) - math.erf((place - middle - 0.5) / scale)) / 2
            for place in range(BINS)
        ]
        total = known + self._prior.weight * sum(prior)
        return tuple((count + self._prior.weight * share) / total for count, share in zip(learned, prior, strict=True))

    @property
    def doubt(self) -> float:
        """How little is known of where people's form times lie: 1 at first, 0.5 after ten people."""
        return 10 / (10 + sum(self._times["form"]))

    def shapes(self) -> dict[str, float]:
        """The share of people per shape of local part."""
        if not self._shapes:
            total = self.learned + self._prior.weight
            counts = self._values["shape"]
            self._shapes = {
                shape: (counts.get(shape, 0.0) + self._prior.weight * self._prior.shape.get(shape, 0.0)) / total
                for shape in counts.keys() | self._prior.shape.keys()
            }
        return self._shapes

    def dump(self) -> bytes:
        """Everything learned, to be kept."""
        return msgspec.json.encode(_Kept(self.learned, self._values, self._times))

    def restore(self, payload: bytes) -> None:
        """Take back what `dump` gave.

        Raises:
            msgspec.DecodeError: it is none of ours.
        """
        kept = msgspec.json.decode(payload, type=_Kept)
        self.learned = kept.learned
        for name, counts in self._values.items():
            counts.clear()
            counts.update(kept.values.get(name, {}))
        for name, bins in self._times.items():
            bins[:] = (kept.times.get(name, []) + [0.0] * BINS)[:BINS]
        self._cache.clear()
        self._shapes = {}


def _count(counts: dict[str, float], value: str) -> None:
    """Space-saving (Metwally et al. 2005): exact until full, then the rarest value makes room."""
    if value in counts or len(counts) < _MOST_VALUES:
        counts[value] = counts.get(value, 0.0) + 1
        return
    rarest = min(counts, key=counts.__getitem__)
    counts[value] = counts.pop(rarest) + 1
