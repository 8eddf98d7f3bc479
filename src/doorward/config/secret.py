"""The master secret: judged when an operator gives it, made once when nobody does.

1. A given secret must look random: long, many different characters, not one piece repeated, no word that stands in
   manuals, and costly to guess by a tool that knows word lists and keyboard walks (zxcvbn).
2. Without one, and only with stores that one machine has to itself, a random secret is kept in the data directory. It
   appears there whole or not at all: written and flushed under another name, then linked to its own.
"""

import math
import os
import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from zxcvbn import zxcvbn

from doorward.hall.secrets import MINIMUM_LENGTH

EXAMPLE: Final = "put-the-output-of-openssl-rand-base64-48-here"
PLACEHOLDERS: Final = (
    "changeme", "changethis", "replaceme", "replacethis", "placeholder", "example", "insecure", "notsecret",
    "yoursecret", "mysecret", "supersecret", "topsecret", "secretkey", "password", "doorward", "insertyour",
    "puttheoutput", "opensslrand",
)  # fmt: skip
MINIMUM_DISTINCT: Final = 8
MINIMUM_ENTROPY_BITS: Final = 80.0
MINIMUM_GUESSES_LOG10: Final = 20.0  # 10^20 guesses: a million GPUs at 10^6 guesses a second need years
FILE_BYTES: Final = 4_096


def weakness(secret: str) -> str:
    """1. Why this secret must not be used; empty if nothing speaks against it. Never quotes it."""
    plain = "".join(letter for letter in secret.lower() if letter.isalnum())
    if len(secret) < MINIMUM_LENGTH:
        return f"has {len(secret)} characters and needs at least {MINIMUM_LENGTH}"
    judgements: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: any(word in plain for word in PLACEHOLDERS), "is a placeholder from a manual, which everybody knows"),
        (lambda: len(set(secret)) < MINIMUM_DISTINCT, f"has fewer than {MINIMUM_DISTINCT} different characters"),
        (lambda: _repeats(secret), "repeats one piece again and again"),
        (lambda: _entropy_bits(secret) < MINIMUM_ENTROPY_BITS, "has too little variety in its characters"),
        (lambda: _guesses_log10(secret) < MINIMUM_GUESSES_LOG10, "is made of words or patterns that can be guessed"),
    )
    return next((problem for is_weak, problem in judgements if is_weak()), "")


def _repeats(secret: str) -> bool:
    """Whether the secret is one piece written at least twice, the last time perhaps cut short."""
    return any(secret.startswith(secret[size:]) for size in range(1, len(secret) // 2 + 1))


def _entropy_bits(secret: str) -> float:
    """Shannon's entropy of the characters as they are distributed in the secret, in bits for the whole."""
    counts = Counter(secret).values()
    return -sum(count * math.log2(count / len(secret)) for count in counts)


def _guesses_log10(secret: str) -> float:
    """How many guesses zxcvbn expects to need, as a power of ten; it takes 72 characters.

    Its time grows steeply with the length and each command starts here, so a beginning that is strong enough settles
    it.
    """
    beginning = float(zxcvbn(secret[:MINIMUM_LENGTH])["guesses_log10"])
    return beginning if beginning >= MINIMUM_GUESSES_LOG10 else float(zxcvbn(secret[:72])["guesses_log10"])


def read_or_make(directory: Path) -> str:
    """2. The secret that this machine keeps for itself in `directory`, made if there is none.

    Raises:
        OSError: it cannot be read or kept.
        ValueError: what is there cannot be it; the text says why.
    """
    path = directory / "secret"
    try:
        return read(path)
    except FileNotFoundError:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
        return read(path)


def read(path: Path) -> str:
    """The secret kept in a file that only its owner can read.

    Raises:
        OSError: it cannot be read. FileNotFoundError: there is none.
        ValueError: others can read the file, or it holds no such secret.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise ValueError(f"can be read by others; run `chmod 600 {path}`")
        data = file.read(FILE_BYTES + 1)
    if len(data) > FILE_BYTES or not data.isascii():
        raise ValueError("does not hold a secret")
    secret = data.decode("ascii").strip()
    if reason := weakness(secret):
        raise ValueError(reason)
    return secret


def _make(path: Path) -> None:
    """Keep a fresh secret under `path`, unless another process was faster."""
    draft = path.with_name(f"secret.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_urlsafe(48).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
