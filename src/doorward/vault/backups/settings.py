"""When backups are made, where they go, and how long they stay."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from doorward.hall.hidden import Unprinted


class BackupSettings(Unprinted, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[backup]`."""

    directory: Annotated[
        str,
        Meta(
            max_length=1000,
            description="Directory of the backups; better on another disk. Empty: `backups` in"
            " `stores.data_directory`.",
        ),
    ] = ""
    every_hours: Annotated[
        float, Meta(ge=0, le=8_760, description="Hours from one backup to the next; 0: none are made by themselves.")
    ] = 24.0
    keep_daily: Annotated[
        int, Meta(ge=0, le=3_660, description="Days whose last backup is kept. The newest backup always is.")
    ] = 7
    keep_weekly: Annotated[int, Meta(ge=0, le=520, description="Weeks whose last backup is kept.")] = 5
    keep_monthly: Annotated[int, Meta(ge=0, le=120, description="Months whose last backup is kept.")] = 12
    recipients: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...],
        Meta(
            max_length=20,
            description="Public keys of age (`age1…`) that backups are sealed for instead of the key ring: then this"
            " machine cannot open them. Needs `doorward[age]`.",
        ),
    ] = ()
    drill_every_days: Annotated[
        float,
        Meta(
            ge=0,
            le=366,
            description="Days from one restore drill to the next; 0: none. Only backups that the key ring opens are"
            " tried.",
        ),
    ] = 7.0

    def directory_in(self, data_directory: str) -> Path:
        """The directory, with the default filled in."""
        return Path(self.directory) if self.directory else Path(data_directory) / "backups"
