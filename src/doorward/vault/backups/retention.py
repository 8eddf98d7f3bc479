"""Which backups are kept: the last of each of so many days, weeks and months, and always the newest.

1. Only files are looked at that carry our kind of name and this key ring's id in their head: whatever else lies in the
   directory, undo files too, is somebody's, and stays.
2. Days, weeks (ISO 8601) and months are those that have a backup, in UTC: a pause makes nothing go early.
3. The newest backup stays, and so does the newest one that came through a drill, whatever the numbers say.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from doorward.vault.backups.errors import BackupError
from doorward.vault.backups.making import SUFFIX
from doorward.vault.backups.restoring import head_of
from doorward.vault.backups.settings import BackupSettings

_NAME: Final = re.compile(rf"doorward-[0-9]{{8}}T[0-9]{{6}}Z{re.escape(SUFFIX)}")


@dataclass(frozen=True, slots=True)
class Kept:
    """One of our files."""

    path: Path
    made_at: float
    opened_by: str  # ring or age


def name_at(at: float) -> str:
    """The name of a backup that is made by itself."""
    return f"doorward-{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}{SUFFIX}"


def own_backups(directory: Path, ring_id: str) -> list[Kept]:
    """The backups of this instance in a directory, the oldest first."""
    found = []
    for path in directory.glob(f"*{SUFFIX}"):
        if _NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            try:
                head = head_of(path)
            except BackupError:  # damaged, or no backup: nothing that we would delete
                continue
            if head.ring == ring_id:
                found.append(Kept(path, head.made_at, head.opened_by))
    return sorted(found, key=lambda one: (one.made_at, one.path))


def doomed(backups: Iterable[Kept], settings: BackupSettings, proved: str = "") -> list[Kept]:
    """Those that may go. `proved`: the file name of the newest one that came through a drill."""
    newest_first = sorted(backups, key=lambda one: (one.made_at, one.path), reverse=True)
    stays = {one.path for one in newest_first[:1]} | {one.path for one in newest_first if one.path.name == proved}
    spans: tuple[tuple[Callable[[datetime], object], int], ...] = (
        (lambda day: day.date(), settings.keep_daily),
        (lambda day: day.isocalendar()[:2], settings.keep_weekly),
        (lambda day: (day.year, day.month), settings.keep_monthly),
    )
    for span_of, number in spans:
        last: dict[object, Path] = {}
        for one in newest_first:
            last.setdefault(span_of(datetime.fromtimestamp(one.made_at, UTC)), one.path)
        stays |= set(list(last.values())[:number])
    return [one for one in newest_first if one.path not in stays]
