"""Where one instance keeps its key ring and its rows: what commands and the opening are told."""

from dataclasses import dataclass
from pathlib import Path

from doorward.vault.settings import VaultSettings


@dataclass(frozen=True, slots=True)
class Site:
    """One instance, as its configuration names it."""

    settings: VaultSettings
    data_directory: str
    database_url: str

    @property
    def ring_path(self) -> Path:
        """The key ring's file."""
        return self.settings.ring_path(self.data_directory)

    @property
    def key_path(self) -> Path:
        """The file of the key that opens it, where there is one."""
        return self.settings.path_of_key(self.data_directory)
