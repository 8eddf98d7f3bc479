"""(Window of signals, baseline, cohorts in force) → proposals. Pure. Evidence, not volume.

1. People's own growth is estimated robustly: for each feature the weighted median over its values of (share in the
   window / share of people), and of these the least. A surge of people scales all values alike and leaves it at 1.
2. Candidates are cohorts that hold more of the window than people at that growth explain. That only *starts* the
   search: a new country, a new client or a press link does the same.
3. A candidate is judged by behaviour, each kind by itself: form time, solver, shape of names, rhythm. Solver and
   shape have innocent stories (one make of device; one firm's way to name people): they are never enough. Form time
   and rhythm have none. Conviction needs two kinds, one of them without an innocent story.
4. A cohort that people share with a program is narrowed to the range of form times where the program lies; form time
   is then weighed by the spike alone, and the other kinds on the members inside (a judge must not use what chose
   the accused).
5. How many people the cohort would hit is estimated twice, from the baseline and from the members who do not behave
   alike; the lesser counts. Over the limit it becomes dearer at most, and over ten times the limit nothing happens.
   One kind that has an innocent story changes nothing; two such kinds, or one that has none, make a cohort dearer.
   What has stopped coming is not proposed, however much evidence the window still holds.
6. One program has many names. What a guilty cohort shows of a program's form times, or what all the rare names in
   excess show together, others may be held against: a cohort in excess that lies in that range is weighed there
   without the price of having searched for it.
7. Cohorts in force are weighed again on what still comes in, at the lower threshold: that renews them.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final

from doorward.gate import evidence
from doorward.gate.baseline import Baseline
from doorward.gate.cohorts import Combination, Rules
from doorward.gate.model import Cohort, Feature, Level, Proposal, Signals

_EACH_KIND: Final = 5.0
_EXCESS: Final = 1.5  # this many times what people explain, and some more, is worth a look: no evidence yet
_EXCESS_MEMBERS: Final = 3
_MOST_CANDIDATES: Final = 12
_MOST_PROPOSALS: Final = 4
_RENEWAL_MEMBERS: Final = 4
_ALIKE: Final = 0.85  # share of a cohort in one range of times at which the cohort need not be narrowed to it
_UNCERTAIN: Final = 3.0  # people more than were seen: the rule of three
_WITHOUT_EXCUSE: Final = frozenset({"form time", "rhythm"})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """In nats, but for `people`: the largest share of people a conviction may hit."""

    suspicion: float
    conviction: float
    renewal: float
    people: float


@dataclass(frozen=True, slots=True)
class Window:
    """What the detector looks at: attempts, the cohorts in force, and the baseline with its rules."""

    attempts: Sequence[Signals]
    in_force: Mapping[str, tuple[Cohort, Level]]
    baseline: Baseline
    rules: Rules
    thresholds: Thresholds
    fresh_after: float  # what was last seen before this is over


@dataclass(frozen=True, slots=True)
class Finding:
    """A candidate, weighed."""

    cohort: Cohort
    members: int
    kinds: Mapping[str, float]
    people_hit: float  # expected share of all people
    seen_at: float
    shown: tuple[tuple[str, str], ...]
    forms: tuple[int, int] | None = None  # where the form times cluster most, in bins

    @property
    def score(self) -> float:
        """The sum of the kinds that count."""
        return sum(self.kinds.values())

    @property
    def is_guilty(self) -> bool:
        """Two kinds, one of them without an innocent story."""
        return len(self.kinds) >= 2 and not self.kinds.keys().isdisjoint(_WITHOUT_EXCUSE)


def detect(window: Window) -> list[Proposal]:
    """Proposals: renewals of cohorts in force first, then new ones, the strongest first."""
    renewals, rest = _renewals(window)
    return renewals + _fresh(window, rest)


def _renewals(window: Window) -> tuple[list[Proposal], list[Signals]]:
    """Weigh the cohorts in force (7); returns also the attempts that no convicted one holds."""
    proposals = []
    rest = list(window.attempts)
    for cohort, level in window.in_force.values():
        members = [signals for signals in window.attempts if cohort.holds(signals)]
        is_conviction = level.rank >= Level.PROBATION.rank
        if is_conviction:
            rest = [signals for signals in rest if not cohort.holds(signals)]
        if len(members) < _RENEWAL_MEMBERS or not cohort.terms:
            continue
        # A narrowed cohort is weighed among those around it, or its own borders would pass for a cluster.
        wider = Cohort(tuple(term for term in cohort.terms if term[0] is not Feature.FORM))
        around = [signals for signals in window.attempts if wider.holds(signals)] if wider != cohort else members
        finding = weigh(cohort, members, around, window.baseline, is_renewal=True)
        bar = window.thresholds.conviction if is_conviction else window.thresholds.suspicion
        if finding.score >= bar * window.thresholds.renewal:
            proposals.append(_proposal(finding, level, "evidence goes on"))
    return proposals, rest


def _fresh(window: Window, attempts: Sequence[Signals]) -> list[Proposal]:
    if not attempts:
        return []
    people = growth(attempts, window.baseline) * len(attempts)
    weighed = [
        (finding, combination, places)
        for combination, cohort, places in _candidates(window, attempts, people)
        for finding in _weighed(cohort, [attempts[place] for place in places], window.baseline, people)
        if finding.seen_at > window.fresh_after
    ]
    programs = _programs([(finding, combination) for finding, combination, _ in weighed], window)
    programs |= _pooled(weighed, attempts, window)
    found: list[tuple[Proposal, frozenset[int]]] = []
    for finding, combination, places in weighed:
        members = [attempts[place] for place in places]
        judged = _judged(_held_against(finding, members, programs, window.baseline), combination, window.thresholds)
        if judged is not None:
            found.append((judged, frozenset(_inside(finding.cohort, attempts, places))))
    return _disjoint(found)


def _programs(findings: Sequence[tuple[Finding, Combination]], window: Window) -> set[tuple[int, int]]:
    """The ranges of form times of those who are guilty by themselves."""
    guilty = set()
    for finding, combination in findings:
        proposal = _judged(finding, combination, window.thresholds)
        if proposal is not None and proposal.level.rank >= Level.PROBATION.rank and finding.forms is not None:
            guilty.add(finding.forms)
    return guilty


def _pooled(
    weighed: Sequence[tuple[Finding, Combination, list[int]]], attempts: Sequence[Signals], window: Window
) -> set[tuple[int, int]]:
    """The range of form times of all rare names in excess together, if together they are guilty.

    They were chosen for being rare and many, not for how they behave, so nothing that chose them judges them.
    """
    rare = {
        place
        for finding, combination, places in weighed
        if len(combination.features) == 1
        and len(finding.cohort.terms) == 1
        and finding.people_hit <= window.thresholds.people
        for place in places
    }
    members = [attempts[place] for place in sorted(rare)]
    if len(members) < _RENEWAL_MEMBERS:
        return set()
    pool = weigh(Cohort(), members, members, window.baseline)
    is_program = pool.is_guilty and pool.score >= window.thresholds.conviction and pool.forms is not None
    return {pool.forms} if is_program and pool.forms is not None else set()


def _held_against(
    finding: Finding, members: Sequence[Signals], programs: set[tuple[int, int]], baseline: Baseline
) -> Finding:
    """A finding with its form times weighed in the ranges of known programs too (6)."""
    forms = evidence.tally([signals.form for signals in members])
    is_narrowed = any(term[0] is Feature.FORM for term in finding.cohort.terms)
    if is_narrowed or not programs or sum(forms.values()) < _RENEWAL_MEMBERS:
        return finding
    people = baseline.times("form")
    nats = max(evidence.surplus_in(forms, people, within, baseline.doubt) for within in programs)
    nats -= math.log(len(programs))
    if nats <= max(_EACH_KIND, finding.kinds.get("form time", 0.0)):
        return finding
    shown = tuple(entry for entry in finding.shown if entry[0] != "form time")
    return replace(
        finding,
        kinds={**finding.kinds, "form time": nats},
        shown=(*shown, ("form time", f"{nats:.1f} nats, where another cohort's are")),
    )


def _inside(cohort: Cohort, attempts: Sequence[Signals], places: Sequence[int]) -> Sequence[int]:
    """Of the places whose identity is the cohort's, those whose form time is too, if it names one."""
    for feature, lowest, highest in cohort.terms:
        if feature is Feature.FORM:
            bins = range(int(lowest), int(highest) + 1)
            return [place for place in places if attempts[place].form in bins]
    return places


def _disjoint(found: list[tuple[Proposal, frozenset[int]]]) -> list[Proposal]:
    """The strictest and largest first; none whose members are mostly explained by those before it."""
    chosen: list[Proposal] = []
    explained: set[int] = set()
    for proposal, places in sorted(found, key=_first):
        if len(places - explained) > len(places) / 2 and len(chosen) < _MOST_PROPOSALS:
            chosen.append(proposal)
            explained |= places
    return chosen


def _first(item: tuple[Proposal, frozenset[int]]) -> tuple[int, int, int, float]:
    proposal, places = item
    return (-proposal.level.rank, -len(places), len(proposal.cohort.terms), -proposal.score)


def growth(attempts: Sequence[Signals], baseline: Baseline) -> float:
    """The share of the window that is people, at least (1). 1 while nothing stands out."""
    least = 1.0
    for feature in (Feature.MAIL, Feature.CLIENT, Feature.LANGUAGE):
        counts = Counter(map(attrgetter(str(feature)), attempts))
        shares = sorted(
            (counts.get(value, 0) / len(attempts) / share, share)
            for value, share in baseline.values(feature).items()
            if share >= 0.01
        )
        half, seen = sum(share for _, share in shares) / 2, 0.0
        for ratio, share in shares:
            seen += share
            if seen >= half:
                least = min(least, ratio)
                break
    return least


def _candidates(
    window: Window, attempts: Sequence[Signals], people: float
) -> list[tuple[Combination, Cohort, list[int]]]:
    """Cohorts that hold more than people explain (2), the largest excess first."""
    found = []
    for combination in window.rules.combinations:
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        read = attrgetter(*(str(feature) for feature in combination.features))
        is_single = len(combination.features) == 1
        for place, signals in enumerate(attempts):
            values = read(signals)
            groups[(values,) if is_single else values].append(place)
        for values, places in groups.items():
            if len(places) < combination.minimum_members or "" in values:
                continue
            share = _share(combination.features, values, window.baseline)
            expected = share * people
            if len(places) >= _EXCESS * expected + _EXCESS_MEMBERS:
                terms = tuple(
                    (feature, value, value) for feature, value in zip(combination.features, values, strict=True)
                )
                found.append((len(places) - expected, combination, Cohort(terms), places))
    found.sort(key=lambda item: (len(item[2].terms), -item[0]))
    # Cohorts of the same members are one candidate: the one that says it with the fewest words.
    fewest = {tuple(item[3]): item for item in reversed(found)}
    largest = sorted(fewest.values(), key=lambda item: (-item[0], len(item[2].terms)))
    return [(combination, cohort, places) for _, combination, cohort, places in largest[:_MOST_CANDIDATES]]


def _share(features: Sequence[Feature], values: Sequence[str], baseline: Baseline) -> float:
    share = 1.0
    for feature, value in zip(features, values, strict=True):
        share *= baseline.share(feature, value)
    return share


def _weighed(cohort: Cohort, members: Sequence[Signals], baseline: Baseline, people: float) -> list[Finding]:
    """The cohort as it is, and narrowed to the range of form times where a program may lie (4)."""
    share = _share([term[0] for term in cohort.terms], [term[1] for term in cohort.terms], baseline)
    whole = weigh(cohort, members, members, baseline)
    findings = [replace(whole, people_hit=_people_hit(whole, share, people))]
    forms = evidence.tally([signals.form for signals in members])
    if forms:
        cluster = evidence.spike(forms, baseline.times("form"), baseline.doubt)
        if cluster.nats >= _EACH_KIND:
            term = (Feature.FORM, str(cluster.lowest), str(cluster.highest))
            narrowed = Cohort((*cohort.terms, term))
            inside = [signals for signals in members if cluster.lowest <= signals.form <= cluster.highest]
            finding = weigh(narrowed, inside, members, baseline)
            findings.append(replace(finding, people_hit=share * cluster.expected))
    return findings


def _people_hit(finding: Finding, share: float, people: float) -> float:
    """The share of all people that the cohort would hit, at most (5)."""
    shown = dict(finding.shown)
    unlike = (1 - float(shown["alike"])) * finding.members if "alike" in shown else float(finding.members)
    return min(share, (unlike + _UNCERTAIN) / max(1.0, people))


def weigh(
    cohort: Cohort,
    members: Sequence[Signals],
    around: Sequence[Signals],
    baseline: Baseline,
    *,
    is_renewal: bool = False,
) -> Finding:
    """The evidence of each kind (3). `around`: the members before the cohort was narrowed by form time."""
    kinds: dict[str, float] = {}
    shown: list[tuple[str, str]] = [("members", str(len(members)))]
    forms = evidence.tally([signals.form for signals in around])
    form_range = None
    is_narrowed = any(term[0] is Feature.FORM for term in cohort.terms)
    if len(forms) and sum(forms.values()) >= _RENEWAL_MEMBERS:
        cluster = evidence.spike(forms, baseline.times("form"), baseline.doubt)
        form_range = (cluster.lowest, cluster.highest) if cluster.nats > 0 else None
        narrow = evidence.narrowness(forms, baseline.times("form"))
        if not is_narrowed and (cluster.share < _ALIKE or narrow.nats > cluster.nats):
            cluster = narrow
        kinds["form time"] = cluster.nats
        if not is_narrowed:
            shown.append(("alike", f"{cluster.share:.3f}"))
    kinds["solver"] = max(_solver(members, baseline, name) for name in ("solver", "spent"))
    kinds["names"], shape = evidence.sameness(Counter(signals.shape for signals in members), baseline.shapes())
    kinds["rhythm"], regularity = evidence.rhythm([signals.at for signals in members])
    bar = 0.0 if is_renewal else _EACH_KIND
    counting = {kind: nats for kind, nats in kinds.items() if nats > bar}
    shown += [(kind, f"{nats:.1f} nats") for kind, nats in counting.items()]
    if "names" in counting:
        shown.append(("shape", shape))
    if "rhythm" in counting:
        shown.append(("regularity", f"{regularity:.1f}"))
    return Finding(cohort, len(members), counting, 0.0, _seen_at(members), tuple(shown), form_range)


def _seen_at(members: Sequence[Signals]) -> float:
    """When the third newest member came: one straggler does not make an attack fresh again."""
    newest = sorted((signals.at for signals in members), reverse=True)
    return newest[min(2, len(newest) - 1)]


def _solver(members: Sequence[Signals], baseline: Baseline, name: str) -> float:
    counts = evidence.tally([getattr(signals, name) for signals in members])
    if sum(counts.values()) < _RENEWAL_MEMBERS:
        return 0.0
    return evidence.narrowness(counts, baseline.times(name)).nats


def _judged(finding: Finding, combination: Combination, bars: Thresholds) -> Proposal | None:
    """The level that a finding deserves, if any."""
    is_narrowed = len(finding.cohort.terms) > len(combination.features)
    if finding.is_guilty and finding.score >= bars.conviction and finding.people_hit <= bars.people:
        allowed = Level.PROBATION if is_narrowed else combination.strictest
        return _proposal(finding, allowed, "behaves like one program")
    is_suspect = len(finding.kinds) >= 2 or not finding.kinds.keys().isdisjoint(_WITHOUT_EXCUSE)
    if is_suspect and finding.score >= bars.suspicion and finding.people_hit <= 10 * bars.people:
        return _proposal(finding, Level.CAREFUL, "more of them than people explain, and alike")
    return None


def _proposal(finding: Finding, level: Level, reason: str) -> Proposal:
    return Proposal(finding.cohort, level, reason, finding.score, finding.shown, finding.seen_at)
