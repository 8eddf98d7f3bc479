"""A key service in one file, as docs/howto/key-ring.md tells how to add one: here it is a few lines of memory.

`[vault] unlock = "cloud-kms"` finds it once this directory is a part of the package `doorward.vault.locks`.
"""

from dataclasses import dataclass, field

from doorward.vault.errors import KeyServiceAwayError, WrongKeyError
from doorward.vault.locks.lock import KeyLock, LockEntry
from doorward.vault.site import Site


@dataclass
class Service:
    """Somebody else's machine."""

    keys: dict[str, bytes] = field(default_factory=dict)
    is_away: bool = False
    asked: int = 0

    def key(self, name: str) -> bytes:
        self.asked += 1
        if self.is_away:
            raise KeyServiceAwayError
        if name not in self.keys:
            raise WrongKeyError("The key service refuses.")
        return self.keys[name]


SERVICE = Service()


@dataclass(frozen=True)
class CloudLock:
    """A lock whose key never leaves the service (the service would do the wrapping; here it lends the key)."""

    name: str
    kind: str = "cloud-kms"
    is_service: bool = True

    def wrap(self, key: bytes, context: bytes) -> LockEntry:
        return KeyLock(self.kind, SERVICE.key(self.name), {"key": self.name}).wrap(key, context)

    def unwrap(self, entry: LockEntry, context: bytes) -> bytes:
        return KeyLock(self.kind, SERVICE.key(self.name), {}).unwrap(entry, context)


def configured(site: Site, *, makes: bool = False) -> CloudLock:
    """What every lock's file offers."""
    del makes
    return CloudLock(site.settings.option("key"))
