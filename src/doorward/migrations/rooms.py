"""Every module that defines tables. Importing this one fills `METADATA`."""

from importlib import import_module
from typing import Final

MODULES: Final = (
    "doorward.vault.tables",
    "doorward.vault.acme_tables",
    "doorward.vault.shred_tables",
    "doorward.vault.honey_tables",
    "doorward.vault.backups.tables",
    "doorward.stores.outbox_tables",
    "doorward.stores.postbox_tables",
    "doorward.stores.scrub_tables",
    "doorward.gate.tables",
    "doorward.accounts.tables",
    "doorward.accounts.credential_tables",
    "doorward.upstream.tables",
    "doorward.upstream.recording_tables",
)


def import_tables() -> None:
    """Let every room describe its tables."""
    for module in MODULES:
        import_module(module)
