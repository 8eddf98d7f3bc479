"""Names of cohorts, and the rules (a data file) that say which ones the detector looks at.

A canonical key is `*`, or terms in the order of `Feature` joined by `&`: `mail=example.org&form=6..8`. Values are
percent-encoded, so that a key can stand in a URL, a log line and an event. Rules are `rules/*.toml`, editable
without touching code; `RULES_SCHEMA` is their JSON Schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote, unquote

import msgspec

from doorward.gate.errors import CohortSyntaxError, RulesError
from doorward.gate.model import EVERYBODY, Cohort, Feature, Level, Posture, Row, Signals

KEY_LIMIT: Final = 600
_SAFE: Final = "/.:-_+@"
_TIMES: Final = frozenset({Feature.FORM, Feature.SOLVER})
_ORDER: Final = {feature: place for place, feature in enumerate(Feature)}


def key_of(cohort: Cohort) -> str:
    """The canonical key of a cohort."""
    if not cohort.terms:
        return EVERYBODY
    parts = []
    for feature, lowest, highest in sorted(cohort.terms, key=lambda term: _ORDER[term[0]]):
        value = f"{lowest}..{highest}" if feature in _TIMES else quote(lowest, safe=_SAFE)
        parts.append(f"{feature.value}={value}")
    return "&".join(parts)


def parse_key(text: str) -> Cohort:
    """The cohort of a key, in any order of terms.

    Raises:
        CohortSyntaxError: not a key, with what is wrong with it.
    """
    if text == EVERYBODY:
        return Cohort()
    if not text or len(text) > KEY_LIMIT:
        raise CohortSyntaxError(f"a cohort's name has 1 to {KEY_LIMIT} characters", field="cohort")
    terms = tuple(_parse_term(part) for part in text.split("&"))
    features = [feature for feature, _, _ in terms]
    if len(set(features)) != len(features):
        raise CohortSyntaxError("a cohort names each feature at most once", field="cohort")
    return Cohort(tuple(sorted(terms, key=lambda term: _ORDER[term[0]])))


def _parse_term(part: str) -> tuple[Feature, str, str]:
    name, equals, raw = part.partition("=")
    if not equals or name not in {feature.value for feature in Feature}:
        known = ", ".join(feature.value for feature in Feature)
        raise CohortSyntaxError(f"`{part[:60]}` is not feature=value; features are {known}", field="cohort")
    feature = Feature(name)
    if feature in _TIMES:
        lowest, dots, highest = raw.partition("..")
        highest = highest if dots else lowest
        if not (_is_bin(lowest) and _is_bin(highest)) or int(lowest) > int(highest):
            raise CohortSyntaxError(f"`{part[:60]}` needs a range of time bins such as 6..8", field="cohort")
        return feature, str(int(lowest)), str(int(highest))
    value = unquote(raw).strip()
    if feature is not Feature.CLIENT:
        value = value.lower()
    if not value or any(not letter.isprintable() for letter in value):
        raise CohortSyntaxError(f"`{name}` needs a value", field="cohort")
    return feature, value, value


def _is_bin(text: str) -> bool:
    return (text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()) and -1 <= int(text[:4]) <= 99


class PostureIndex:
    """A posture made ready for `decide`: rows are found by their first term, in a few look-ups per arrival."""

    __slots__ = ("_by_term", "_everybody", "_ranges", "posture")

    def __init__(self, posture: Posture) -> None:
        self.posture = posture
        self._everybody = posture.rows.get(EVERYBODY)
        self._by_term: dict[tuple[str, str], list[tuple[Cohort, Row]]] = {}
        self._ranges: list[tuple[Cohort, Row]] = []
        for key, row in posture.rows.items():
            if key != EVERYBODY:
                self._add(parse_key(key), row)

    def _add(self, cohort: Cohort, row: Row) -> None:
        feature, value, _ = cohort.terms[0]
        if feature in _TIMES:
            self._ranges.append((cohort, row))
        else:
            self._by_term.setdefault((feature.value, value), []).append((cohort, row))

    def strictest(self, signals: Signals) -> Row | None:
        """The strictest row in force for an arrival; of equals the one named more narrowly. None: open."""
        best = self._everybody
        if best is not None and best.change.expires_at <= signals.at:
            best = None
        for name in ("mail", "network", "client", "language"):
            for cohort, row in self._by_term.get((name, getattr(signals, name)), ()):
                best = _stricter(best, cohort, row, signals)
        for cohort, row in self._ranges:
            best = _stricter(best, cohort, row, signals)
        return best


def _stricter(best: Row | None, cohort: Cohort, row: Row, signals: Signals) -> Row | None:
    if row.change.expires_at <= signals.at or not cohort.holds(signals):
        return best
    return row if best is None or row.change.level.rank >= best.change.level.rank else best


class _Combination(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    features: Annotated[list[Feature], msgspec.Meta(min_length=1, max_length=3)]
    strictest: Level = Level.PROBATION
    minimum_members: Annotated[int, msgspec.Meta(ge=4, le=1_000)] = 8


class _RulesFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}(\.\d+)?$")]
    tails: dict[Feature, Annotated[float, msgspec.Meta(gt=0, le=1)]]
    cohort: Annotated[list[_Combination], msgspec.Meta(min_length=1, max_length=32)]


RULES_SCHEMA: Final = msgspec.json.schema(_RulesFile)


@dataclass(frozen=True, slots=True)
class Combination:
    """Features that together may name a cohort, and how strict the detector may be with it."""

    features: tuple[Feature, ...]
    strictest: Level
    minimum_members: int


@dataclass(frozen=True, slots=True)
class Rules:
    """Which cohorts the detector looks at. `tails` is the share of people that one unknown value may hold."""

    version: str
    tails: Mapping[Feature, float]
    combinations: tuple[Combination, ...]


def parse_rules(text: str) -> Rules:
    """Rules from TOML.

    Raises:
        RulesError: not TOML, not of the schema, or contradicting itself.
    """
    try:
        file = msgspec.toml.decode(text, type=_RulesFile)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise RulesError(f"the cohort rules cannot be read: {error}") from error
    combinations = tuple(
        Combination(tuple(entry.features), entry.strictest, entry.minimum_members) for entry in file.cohort
    )
    _check(combinations, file.tails)
    return Rules(file.version, dict(file.tails), combinations)


def _check(combinations: tuple[Combination, ...], tails: Mapping[Feature, float]) -> None:
    seen: set[frozenset[Feature]] = set()
    for combination in combinations:
        names = "+".join(combination.features)
        features = frozenset(combination.features)
        if len(features) != len(combination.features):
            raise RulesError(f"cohort {names} names a feature twice")
        if features & _TIMES:
            raise RulesError(f"cohort {names}: times are found by the detector, rules name who, not how")
        if features in seen:
            raise RulesError(f"cohort {names} stands there twice")
        if missing := features - tails.keys():
            raise RulesError(f"cohort {names}: [tails] lacks {', '.join(sorted(missing))}")
        if combination.strictest is Level.WAITLIST:
            raise RulesError(f"cohort {names}: a conviction means probation at most; the wait-list is a person's lever")
        seen.add(features)


def load_rules(path: Path | None = None) -> Rules:
    """The packaged rules, or those of a file."""
    if path is not None:
        return parse_rules(path.read_text(encoding="utf-8"))
    packaged = resources.files("doorward.gate") / "rules" / "cohorts.toml"
    return parse_rules(packaged.read_text(encoding="utf-8"))
