"""The lock `environment`: the key comes from outside, in `DOORWARD_VAULT_KEY` or in the file of `vault.key_file`.

Such a file (a container's `/run/secrets/…`) is mounted by others, so it is never made here, and its rights are theirs.
"""

from pathlib import Path
from typing import Final

from doorward.vault.envelope import KEY_BYTES
from doorward.vault.errors import KeyRingError, WrongKeyError
from doorward.vault.locks.lock import KeyLock, key_of_text
from doorward.vault.privatefile import read_small
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
    text = site.settings.key or _of_file(site.settings.key_file)
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


def _of_file(path: str) -> str:
    if not path:
        return ""
    try:
        return read_small(Path(path)).decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise KeyRingError(f"{path} does not hold a key.") from error
