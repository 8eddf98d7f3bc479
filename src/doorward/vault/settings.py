"""How the key ring is kept and unlocked."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta


class VaultSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[vault]`."""

    ring: Annotated[
        str,
        Meta(max_length=1000, description="File of the key ring; empty: `keyring.json` in `stores.data_directory`."),
    ] = ""
    key_file: Annotated[
        str,
        Meta(
            max_length=1000,
            description="File of the key that opens the ring, made at the first start; empty: `keyring.key` beside it.",
        ),
    ] = ""

    def ring_path(self, data_directory: str) -> Path:
        """The ring's file, with the default filled in."""
        return Path(self.ring) if self.ring else Path(data_directory) / "keyring.json"

    def key_path(self, data_directory: str) -> Path:
        """The key's file, with the default filled in."""
        return Path(self.key_file) if self.key_file else self.ring_path(data_directory).with_name("keyring.key")
