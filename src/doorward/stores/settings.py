"""Where things are kept, and how mail leaves the house."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from doorward.hall.hidden import Unprinted


class StoresSettings(Unprinted, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[stores]`."""

    database: Annotated[
        str,
        Meta(
            max_length=2000,
            description="URL of the rows: `sqlite:///path`, `postgresql://user@host/name`; empty: a SQLite file in "
            "`data_directory`.",
        ),
    ] = ""
    counters: Annotated[
        str,
        Meta(max_length=2000, description="URL of the counters: `memory://`, `valkey://host:6379/0` or `redis://…`."),
    ] = "memory://"
    data_directory: Annotated[
        str, Meta(min_length=1, max_length=1000, description="Directory of everything that Doorward keeps in files.")
    ] = "doorward-data"
    upgrades_at_start: Annotated[
        bool,
        Meta(description="Whether `serve` brings a PostgreSQL database up to date by itself; SQLite always is."),
    ] = False
    event_retention_days: Annotated[
        int, Meta(ge=1, le=365, description="Days for which delivered events stay in the outbox.")
    ] = 7

    def database_url(self) -> str:
        """The URL of the rows, with the default filled in."""
        return self.database or f"sqlite:///{Path(self.data_directory) / 'doorward.db'}"


class MailSettings(Unprinted, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[mail]`."""

    smtp_url: Annotated[
        str,
        Meta(
            max_length=2000,
            description="`smtp://[user:password@]host[:587]` (STARTTLS, required unless the host is loopback) or "
            "`smtps://…[:465]` (TLS); `?ca_file=path` trusts a private authority. Empty: letters stay in the sink.",
        ),
    ] = ""
    sender: Annotated[str, Meta(min_length=3, max_length=320, description="The From line of every mail.")] = (
        "Doorward <doorward@localhost>"
    )
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=300, description="Seconds to wait for each answer of the mail server.")
    ] = 20.0
    connections: Annotated[int, Meta(ge=1, le=50, description="Connections to the mail server at one time.")] = 4
    attempts: Annotated[
        int, Meta(ge=1, le=50, description="Tries per letter before it is given up (temporary refusals).")
    ] = 8
    letter_lifetime_hours: Annotated[
        int, Meta(ge=1, le=240, description="Hours after which an undelivered letter is given up.")
    ] = 24
    sink_letters: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Letters that the local sink keeps; older ones go first.")
    ] = 10_000
    sink_retention_days: Annotated[
        int, Meta(ge=1, le=365, description="Days for which the local sink keeps letters.")
    ] = 7
