"""Files that only their owner can read, and that are either whole or not there."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from doorward.vault.errors import FileThereError, KeyRingError

_LARGEST_BYTES: Final = 1 << 20
_OTHERS_READ: Final = 0o077
_OTHERS_WRITE: Final = 0o022


def read_private(path: Path) -> bytes:
    """The contents of a small file that nobody else can read.

    Raises:
        KeyRingError: missing, a link, too large, or others can read it.
    """
    data, mode = _read(path, os.O_NOFOLLOW)
    if mode & _OTHERS_READ:
        raise KeyRingError(f"{path} can be read by others; run `chmod 600 {path}`.")
    return data


def read_guarded(path: Path) -> bytes:
    """The contents of a small file that others may read but not change.

    Raises:
        KeyRingError: missing, too large, or others can change it.
    """
    data, mode = _read(path)
    if mode & _OTHERS_WRITE:
        raise KeyRingError(f"{path} can be changed by others; run `chmod 600 {path}`.")
    return data


def write_private(path: Path, data: bytes, *, replaces: bool = False) -> None:
    """Write a file whole or not at all, flushed to the disk.

    Raises:
        FileThereError: it is there already (unless `replaces`). KeyRingError: the disk refuses.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _make_directory(path.parent)
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
        flush_directory(path.parent)
    except FileExistsError as error:
        raise FileThereError(f"{path} is there already.") from error
    except OSError as error:
        raise KeyRingError(f"{path} cannot be written: {error.strerror}.") from error


def drafts_of(path: Path) -> list[Path]:
    """What writes that were killed have left beside a file; safe to delete when no command runs."""
    return sorted(path.parent.glob(f".{path.name}.????????????????"))


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Have a directory's key ring to ourselves among all processes of this machine; made where missing.

    Raises:
        KeyRingError: it cannot be made or opened.
    """
    try:
        _make_directory(directory)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KeyRingError(f"{directory} cannot be used: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise KeyRingError(f"{directory} cannot be locked: {error.strerror}.") from error
        yield
    finally:
        os.close(handle)


def _make_directory(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _read(path: Path, flags: int = 0) -> tuple[bytes, int]:
    """A small file's contents and mode."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
        with os.fdopen(handle, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else "no such path"
        raise KeyRingError(f"{path} cannot be read: {reason}.") from error
    if len(data) > _LARGEST_BYTES:
        raise KeyRingError(f"{path} is too large to be what it should be.")
    return data, mode


def flush_directory(path: Path) -> None:
    """Have the disk keep which files a directory holds."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
