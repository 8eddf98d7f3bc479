"""The lock `environment`: the key comes from outside, in DOORWARD_VAULT_KEY or in the file that …_KEY_FILE names.

Whoever starts Doorward keeps it (a container's `/run/secrets/…`, a service manager's credentials): it is never made
here.
"""

from typing import Final

from doorward.vault.envelope import KEY_BYTES
from doorward.vault.errors import KeyRingError, WrongKeyError
from doorward.vault.locks.lock import KeyLock, key_of_text
from doorward.vault.site import Site

KIND: Final = "environment"
ADVICE: Final = "32 random bytes in hexadecimal or base 64: run `openssl rand -hex 32`"
_FEWEST_DIFFERENT_BYTES: Final = 12  # of 32 random bytes, fewer than this many are different once in 10^17 keys


def configured(site: Site, *, makes: bool = False) -> KeyLock:
    """The lock of a configuration; `makes` changes nothing, because the key is never made here.

    Raises:
        WrongKeyError: there is no such key. KeyRingError: what is there is none.
    """
    del makes
    text = site.settings.key
    if not text:
        raise WrongKeyError("`vault.unlock` is `environment`, and neither DOORWARD_VAULT_KEY nor its file is given.")
    if problem := weakness(text):
        raise KeyRingError(f"The key of the key ring {problem}: give {ADVICE}.")
    return KeyLock(KIND, key_of_text(text) or b"", {})


def weakness(text: str) -> str:
    """Why a text must not be used as a key; empty if nothing speaks against it. Never quotes it."""
    key = key_of_text(text)
    if key is None:
        return f"is not {KEY_BYTES} bytes in hexadecimal or base 64"
    return "does not look random" if len(set(key)) < _FEWEST_DIFFERENT_BYTES else ""
