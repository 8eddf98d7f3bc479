"""Readers of the real series that a siege may draw from (`--data DIR`). Each says which file it lacks.

Nothing of these files ships with Doorward. Their sources and licences stand in the scenario files and, for a
folder of them, in its own README.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from statistics import fmean
from typing import Final, TextIO

MASTODON: Final = "surge/mastodon-users-hourly.csv"
TWEETS: Final = "surge/tweets-5min/AAPL.csv"
HONEYPOT: Final = "attack/honeypot-sessions.csv"
IPSUM: Final = "networks/attackers-ipsum.tsv"
WEB_CLIENTS: Final = "benign/web-clients.log"

_SURGE_START: Final = 1_667_620_800  # 5 November 2022, 04:00 UTC: the two steepest days of the surge
_SURGE_HOURS: Final = 48
_SPIKE_BEFORE, _SPIKE_AFTER = 6, 14  # five-minute steps around the highest one
_PACE_SECONDS, _PACE_STEPS = 600, 24  # hours, as the surge is days: both are played in a minute
_HIGHEST: Final = 3.0  # multipliers are cut here: two cores carry tens of arrivals a second, not hundreds
_CRAWLER: Final = re.compile(
    r"bot|crawl|spider|slurp|feed|rss|archive|curl|wget|python|java/|ruby|perl|monitor", re.IGNORECASE
)
_COMBINED: Final = re.compile(r'^(\S+) .*?"(?:[^"\\]|\\.)*" \d{3} \S+ "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)"\s*$')


class DataFileError(Exception):
    """A data file is absent or not what it should be; the message names it."""


def surge_shape(folder: Path) -> list[float]:
    """New accounts per hour over two days of a real sign-up surge, over their mean."""
    counts = []
    previous: int | None = None
    for row in _rows(folder / MASTODON, ("timestamp", "usercount")):
        moment, total = int(row["timestamp"]), int(row["usercount"])
        if previous is not None and _SURGE_START <= moment < _SURGE_START + _SURGE_HOURS * 3600:
            counts.append(max(0, total - previous))
        previous = total
    return _over_mean(counts, folder / MASTODON)


def spike_shape(folder: Path) -> list[float]:
    """Posts per five minutes around the highest spike of a benign series, over their mean."""
    counts = [int(row["value"]) for row in _rows(folder / TWEETS, ("timestamp", "value"))]
    top = counts.index(max(counts)) if counts else 0
    return _over_mean(counts[max(0, top - _SPIKE_BEFORE) : top + _SPIKE_AFTER], folder / TWEETS)


def attack_pacing(folder: Path) -> list[float]:
    """Sessions per ten minutes in the busiest four hours of a real distributed attack, over their mean."""
    sessions = _rows(folder / HONEYPOT, ("unix_seconds",))
    steps = Counter(int(float(row["unix_seconds"]) // _PACE_SECONDS) for row in sessions)
    if not steps:
        raise DataFileError(f"{folder / HONEYPOT}: holds no sessions")
    first = max(steps, key=lambda start: sum(steps[start + number] for number in range(_PACE_STEPS)))
    return _over_mean([steps[first + number] for number in range(_PACE_STEPS)], folder / HONEYPOT)


def attacker_addresses(folder: Path, wanted: int) -> list[str]:
    """Up to `wanted` addresses of real attackers: the honeypot's own first, then those on block lists."""
    found: dict[str, None] = {}
    for row in _rows(folder / HONEYPOT, ("source_ip",)):
        found.setdefault(row["source_ip"])
    with _opened(folder / IPSUM) as lines:
        for line in lines:
            if not line.startswith("#"):
                found.setdefault(line.split("\t", 1)[0].strip())
    addresses = [address for address in found if _is_public(address)]
    if not addresses:
        raise DataFileError(f"{folder / IPSUM}: holds no public IPv4 addresses")
    return addresses[:wanted]


def web_clients(folder: Path) -> tuple[list[str], dict[str, float]]:
    """Visitors' addresses, and their client builds with how many addresses use each; crawlers are left out."""
    agents: dict[str, str] = {}
    with _opened(folder / WEB_CLIENTS) as lines:
        for line in lines:
            match = _COMBINED.match(line)
            if match and match[2].startswith("Mozilla/") and not _CRAWLER.search(match[2]) and _is_public(match[1]):
                agents.setdefault(match[1], match[2][:300])
    if not agents:
        raise DataFileError(f"{folder / WEB_CLIENTS}: holds no visitors in the combined log format")
    return list(agents), dict(Counter(agents.values()))


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    with _opened(path) as lines:
        reader = csv.DictReader(lines)
        missing = [column for column in columns if column not in (reader.fieldnames or [])]
        if missing:
            raise DataFileError(f"{path}: lacks the column {', '.join(missing)}")
        try:
            yield from reader
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataFileError(f"{path}: {error}") from error


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise DataFileError(f"{path}: {error.strerror} (give --data a folder that has this file)") from error


def _over_mean(counts: list[int], path: Path) -> list[float]:
    mean = fmean(counts) if counts else 0.0
    if mean <= 0:
        raise DataFileError(f"{path}: holds nothing for the stretch of time that the siege replays")
    return [min(_HIGHEST, round(value / mean, 3)) for value in counts]


def _is_public(text: str) -> bool:
    try:
        return IPv4Address(text).is_global
    except AddressValueError:
        return False
