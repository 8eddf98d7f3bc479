"""Finds the lock that `vault.unlock` names: `key-file` is the module `key_file` in this package, and so on."""

import importlib
import pkgutil
from typing import Final

from doorward.vault import locks
from doorward.vault.errors import KeyRingError
from doorward.vault.locks.lock import Lock
from doorward.vault.site import Site

_NO_KINDS: Final = frozenset({"choice", "lock", "recovery"})  # a recovery sheet is for emergencies, not for starts


def kinds() -> tuple[str, ...]:
    """The words that `vault.unlock` takes."""
    found = (module.name for module in pkgutil.iter_modules(locks.__path__))
    return tuple(sorted(name.replace("_", "-") for name in found if name not in _NO_KINDS))


def configured(site: Site, *, makes: bool = False) -> Lock:
    """The lock of a configuration. `makes`: for a new ring, so what is missing is made (or asked for) if that can be.

    Raises:
        VaultLockedError: the passphrase is not at hand. KeyRingError: the key cannot be had.
    """
    kind = site.settings.unlock
    if kind not in kinds():
        raise KeyRingError(f"`vault.unlock` is {kind!r}, and there are {', '.join(kinds())}.")
    module = importlib.import_module(f"{locks.__name__}.{kind.replace('-', '_')}")
    lock: Lock = module.configured(site, makes=makes)
    return lock
