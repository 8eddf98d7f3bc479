"""Evidence in nats: how much better "one program" explains a cohort's behaviour than the best innocent story does.

Every test compares two stories of the same numbers and returns the logarithm of their ratio, less the logarithm of
how many places were searched. What people do is never taken as known exactly: their shares are Dirichlet with a
bounded concentration, so that natural differences between groups of people saturate instead of adding up with n.

1. Narrowness: times of a program cluster; people's spread over octaves. The innocent story may have its people
   faster or slower than usual (the baseline shifted to where it fits best), but not more alike. Dirichlet-multinomial
   against a narrow bell with 5 % outliers.
2. Spike: for a cohort that people share with a program, the share of its times inside one range (beta-binomial).
3. Sameness: the commonest shape of local parts holds more of the cohort than any shape holds of people.
4. Rhythm: gaps between arrivals more regular than chance (gamma against exponential). Bursts are never evidence:
   a press link makes them too.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

_lgamma = math.lgamma
Shares = tuple[float, ...]  # of people, per bin
CONCENTRATION: Final = 30.0
_OUTLIERS: Final = 0.05
_WIDTHS: Final = (0.5, 0.9, 1.4)  # standard deviations in bins; a bin is 0.35 nats of time
_PLACES: Final = 20  # where a cluster could lie, for the price of having searched
_NARROWER: Final = 0.7
_MOST_RANGE: Final = 4


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a cohort's times cluster: `nats` of evidence, the range of bins, and the share of members inside."""

    nats: float
    lowest: int
    highest: int
    share: float
    expected: float = 0.0  # share of people in that range


def narrowness(counts: Mapping[int, int], people: Shares) -> Cluster:
    """Test 1. `counts` per bin; `people` is the share of people per bin (sums to 1)."""
    total = sum(counts.values())
    centre = median_bin(counts)
    best, middle, width = -math.inf, float(centre), _WIDTHS[0]
    limit, bins, items = _NARROWER * spread(people), len(people), list(counts.items())
    for sigma in _WIDTHS:
        if sigma > limit:
            continue
        for step in range(-3, 4):
            mean = centre + step / 2
            value = 0.0
            for bin_, count in items:
                value += count * _log_bell(bin_ - mean, sigma, bins)
            if value > best:
                best, middle, width = value, mean, sigma
    if best == -math.inf:
        return Cluster(0.0, centre, centre, 1.0)
    searched = math.log(_PLACES * len(_WIDTHS))
    nats = best - searched - _innocent(counts, people, centre)
    lowest, highest = math.floor(middle - 2.5 * width), math.ceil(middle + 2.5 * width)
    inside = sum(count for bin_, count in counts.items() if lowest <= bin_ <= highest)
    return Cluster(nats, lowest, highest, inside / total)


def _innocent(counts: Mapping[int, int], people: Shares, centre: int) -> float:
    """The best score of people like those of the baseline who are all faster or slower by some bins."""
    shift = centre - median_share(people)
    total = sum(counts.values())
    best = -math.inf
    for step in range(shift - 2, shift + 3):
        value = _lgamma(CONCENTRATION) - _lgamma(CONCENTRATION + total)
        for bin_, count in counts.items():
            share = people[bin_ - step] if 0 <= bin_ - step < len(people) else 0.0
            weight = CONCENTRATION * (0.98 * share + 0.02 / len(people))
            value += _lgamma(weight + count) - _lgamma(weight)
        best = max(best, value)
    return best


@lru_cache(maxsize=4_096)
def _log_bell(distance: float, sigma: float, bins: int) -> float:
    """Logarithm of the share of a bin at a distance from the middle of a bell, with outliers anywhere."""
    scale = sigma * math.sqrt(2)
    inside = (math.erf((distance + 0.5) / scale) - math.erf((distance - 0.5) / scale)) / 2
    return math.log((1 - _OUTLIERS) * inside + _OUTLIERS / bins)


def spike(counts: Mapping[int, int], people: Shares, doubt: float = 0.0) -> Cluster:
    """Test 2: the range of at most four bins that holds more of the cohort than it holds of people.

    `doubt` (0 to 1): how little is known of where people's times lie; at 1 only the spread is believed, so that the
    range counts as holding what the fullest range of its width holds of people.
    """
    total = sum(counts.values())
    fullest = _fullest(people)
    searched = math.log(len(people) * _MOST_RANGE)
    best = Cluster(0.0, 0, 0, 0.0)
    for lowest in counts:
        for width in range(_MOST_RANGE):
            highest = lowest + width
            inside = sum(counts.get(bin_, 0) for bin_ in range(lowest, highest + 1))
            share = (1 - doubt) * sum(people[lowest : highest + 1]) + doubt * fullest[width]
            nats = surplus(inside, total, share) - searched
            if nats > best.nats:
                best = Cluster(nats, lowest, highest, inside / total, share)
    return best


def surplus_in(counts: Mapping[int, int], people: Shares, within: tuple[int, int], doubt: float = 0.0) -> float:
    """Test 2 in a range that something else has named, so that no search has to be paid for."""
    lowest, highest = within
    inside = sum(counts.get(bin_, 0) for bin_ in range(lowest, highest + 1))
    share = (1 - doubt) * sum(people[lowest : highest + 1]) + doubt * _fullest(people)[highest - lowest]
    return surplus(inside, sum(counts.values()), share)


@lru_cache(maxsize=64)
def _fullest(people: Shares) -> tuple[float, ...]:
    """What the fullest range of one, two, three and four bins holds of people."""
    places = range(len(people))
    return tuple(max(sum(people[place : place + width + 1]) for place in places) for width in range(_MOST_RANGE))


def sameness(shapes: Mapping[str, int], people: Mapping[str, float]) -> tuple[float, str]:
    """Test 3: nats, and the commonest shape."""
    shape, count = max(shapes.items(), key=lambda item: (item[1], item[0]))
    expected = max(0.12, people.get(shape, 0.0))
    return surplus(count, sum(shapes.values()), expected) - math.log(20), shape


def rhythm(times: Sequence[float]) -> tuple[float, float]:
    """Test 4: nats, and the regularity (1: chance, more: clockwork) of arrival times in Unix seconds."""
    gaps = [max(1e-3, later - earlier) for earlier, later in pairwise(sorted(times))]
    if len(gaps) < 6:
        return 0.0, 1.0
    mean = sum(gaps) / len(gaps)
    closeness = max(1e-3, math.log(mean) - sum(map(math.log, gaps)) / len(gaps))
    shape = (3 - closeness + math.sqrt((closeness - 3) ** 2 + 24 * closeness)) / (12 * closeness)
    if shape < 1.8:
        return 0.0, shape
    shape = min(shape, 50.0)
    per_gap = shape * math.log(shape) - _lgamma(shape) - (shape - 1) * closeness - shape + 1
    return min(len(gaps), CONCENTRATION) * per_gap - math.log(8), shape


def surplus(inside: int, total: int, share: float) -> float:
    """Nats by which `inside` of `total` exceeds what people's share explains; 0 where it does not exceed it."""
    if inside <= share * total:
        return 0.0
    share = min(max(share, 1e-5), 1 - 1e-5)
    # The order of arrivals is given in both stories, so neither has a binomial coefficient.
    free = -math.log(total + 1) - _log_choose(total, inside)
    people = _log_beta(CONCENTRATION * share + inside, CONCENTRATION * (1 - share) + total - inside)
    people -= _log_beta(CONCENTRATION * share, CONCENTRATION * (1 - share))
    return free - people


def _log_choose(total: int, inside: int) -> float:
    return _lgamma(total + 1) - _lgamma(inside + 1) - _lgamma(total - inside + 1)


def _log_beta(left: float, right: float) -> float:
    return _lgamma(left) + _lgamma(right) - _lgamma(left + right)


def median_bin(counts: Mapping[int, int]) -> int:
    """The bin that holds the median."""
    half, seen = sum(counts.values()) / 2, 0
    for bin_ in sorted(counts):
        seen += counts[bin_]
        if seen >= half:
            return bin_
    return 0


@lru_cache(maxsize=64)
def median_share(shares: Shares) -> int:
    """The index that holds the median of a distribution."""
    half, seen = sum(shares) / 2, 0.0
    for place, share in enumerate(shares):
        seen += share
        if seen >= half:
            return place
    return 0


@lru_cache(maxsize=64)
def spread(shares: Shares) -> float:
    """A robust standard deviation in bins: half of the range that holds the middle 68 %."""
    total = sum(shares) or 1.0
    edges: list[float] = []
    seen = 0.0
    targets = [0.16 * total, 0.84 * total]
    for place, share in enumerate(shares):
        while len(edges) < 2 and seen + share >= targets[len(edges)]:
            part = (targets[len(edges)] - seen) / share if share else 0.0
            edges.append(place - 0.5 + part)
        seen += share
    return (edges[1] - edges[0]) / 2 if len(edges) == 2 else 0.0


def tally(values: Sequence[int]) -> Counter[int]:
    """Counts per bin of the times that were measured."""
    return Counter(value for value in values if value >= 0)
