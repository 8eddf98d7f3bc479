"""The lock `key-file`: 64 hexadecimal digits in a file that only its owner can read, made at the first start."""

import contextlib
from pathlib import Path
from typing import Final

from doorward.vault.envelope import new_key
from doorward.vault.errors import FileThereError, KeyRingError
from doorward.vault.locks.lock import KeyLock, key_of_text
from doorward.vault.privatefile import read_private, write_private
from doorward.vault.site import Site

KIND: Final = "key-file"


def configured(site: Site, *, makes: bool = False) -> KeyLock:
    """The lock of a configuration. `makes`: make the file where it is missing.

    Raises:
        KeyRingError: no such file, others can read it, or it holds no key.
    """
    return of_file(site.key_path, makes=makes)


def of_file(path: Path, *, makes: bool = False) -> KeyLock:
    """The lock whose key lies in a file. `makes`: make the file where it is missing.

    Raises:
        KeyRingError: no such file, others can read it, or it holds no key.
    """
    if makes and not path.exists():
        with contextlib.suppress(FileThereError):  # another process was faster: then it is that one's key
            write_private(path, text_of(new_key()))
    try:
        key = key_of_text(read_private(path).decode("ascii"))
    except UnicodeDecodeError:
        key = None
    if key is None:
        raise KeyRingError(f"{path} does not hold a key (64 hexadecimal digits).")
    return of_key(key)


def of_key(key: bytes) -> KeyLock:
    """The lock of a key that goes into such a file later."""
    return KeyLock(KIND, key, {})


def text_of(key: bytes) -> bytes:
    """What such a file holds."""
    return key.hex().encode() + b"\n"
