"""Files that only their owner can read, and that are either whole or not there."""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from doorward.vault.errors import KeyRingError

_LARGEST_BYTES: Final = 1 << 20


def read_private(path: Path) -> bytes:
    """The contents of a small file that nobody else can read.

    Raises:
        KeyRingError: missing, a link, too large, or others can read it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyRingError(f"{path} cannot be read: {error.strerror}.") from error
    with os.fdopen(handle, "rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise KeyRingError(f"{path} can be read by others; run `chmod 600 {path}`.")
        data = file.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise KeyRingError(f"{path} is too large to be what it should be.")
    return data


def write_private(path: Path, data: bytes, *, replaces: bool = False) -> None:
    """Write a file whole or not at all, flushed to the disk.

    Raises:
        KeyRingError: it is there already (unless `replaces`), or the disk refuses.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replaces:
                draft.replace(path)
            else:
                os.link(draft, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()
        _flush_directory(path.parent)
    except FileExistsError as error:
        raise KeyRingError(f"{path} is there already; nothing was changed.") from error
    except OSError as error:
        raise KeyRingError(f"{path} cannot be written: {error.strerror}.") from error


def _flush_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
