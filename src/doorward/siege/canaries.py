"""Canaries: values that must lie nowhere in clear, looked for wherever something could have been written down.

1. A canary is looked for in every form in which a program might write it: as it is, as UTF-16, in hexadecimal, in base
   64 at each of its three alignments, percent-encoded, and escaped for JSON and HTML.
2. A hit names the kind, the form, the file and the place, never the value: the report may be kept.
3. Files are read as they are, whatever they hold: a database's free pages and its write-ahead log too.
"""

import base64
import html
import json
import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, quote_plus

import msgspec
from msgspec import Meta

from doorward.hall.hidden import Hidden

SHORTEST: Final = 7  # bytes of a form; anything shorter is found by chance
MOST_HITS: Final = 200
_HEX: Final = "hex:"


@dataclass(frozen=True, slots=True)
class Canary:
    """One value and what it is."""

    kind: str
    value: Hidden[bytes]


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """Where one was found."""

    kind: str
    form: str
    place: str  # a file, or what the siege saw
    offset: int


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked for, where, and what was found."""

    kinds: dict[str, int]  # how many values of each
    places: int
    bytes_read: int
    hits: list[Hit]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found in something that was read."""
        return not self.hits and self.places > 0


class CanaryFileError(Exception):
    """The file of canaries cannot be used; the message says why, without a value of it."""


_Value = Annotated[str, Meta(min_length=SHORTEST, max_length=10_000)]
_Values = dict[Annotated[str, Meta(min_length=1, max_length=60)], _Value | list[_Value]]


def read_canaries(path: Path) -> list[Canary]:
    """Canaries from a JSON file: kind -> a value, or a list of them; `hex:…` gives bytes.

    Raises:
        CanaryFileError: no such file, or it is not of that form.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Values)
        return [
            Canary(kind, Hidden(bytes.fromhex(text.removeprefix(_HEX)) if text.startswith(_HEX) else text.encode()))
            for kind, values in found.items()
            for text in ([values] if isinstance(values, str) else values)
        ]
    except OSError as error:
        raise CanaryFileError(f"the file of canaries cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise CanaryFileError(f"{path} is not a JSON object of texts with {SHORTEST} characters or more") from error


def forms(value: bytes) -> dict[str, bytes]:
    """Rule 1: each form in which `value` could have been written, by name; equal forms once."""
    found = {"raw": value, "hex": value.hex().encode(), "hex in capitals": value.hex().upper().encode()}
    for shift in range(3):
        text = _base64(value, shift)
        found[f"base 64, shifted by {shift}"] = text
        found[f"base 64 for URLs, shifted by {shift}"] = text.translate(bytes.maketrans(b"+/", b"-_"))
    found |= dict(_texts(value))
    seen: set[bytes] = set()
    return {
        name: form
        for name, form in found.items()
        if len(form) >= SHORTEST and not (form in seen or seen.add(form))  # type: ignore[func-returns-value]
    }


def _base64(value: bytes, shift: int) -> bytes:
    """The characters of base 64 that depend on `value` alone when it stands `shift` bytes behind a group's start."""
    text = base64.b64encode(bytes(shift) + value)
    return text[-(-shift * 8 // 6) : (shift + len(value)) * 8 // 6]


def _texts(value: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return
    yield "UTF-16", text.encode("utf-16-le")
    yield "percent-encoded", quote(text, safe="").encode()
    yield "percent-encoded in small letters", _small_escapes(quote(text, safe="")).encode()
    yield "percent-encoded, as a form", quote_plus(text).encode()
    yield "JSON", json.dumps(text)[1:-1].encode()
    yield "JSON, slashes escaped", json.dumps(text)[1:-1].replace("/", "\\/").encode()
    yield "JSON, all escaped", "".join(f"\\u{ord(letter):04x}" for letter in text).encode()
    yield "JSON in JSON", json.dumps(json.dumps(text)[1:-1])[1:-1].encode()
    yield "HTML", html.escape(text).encode()


def _small_escapes(text: str) -> str:
    pieces = text.split("%")
    return pieces[0] + "".join(f"%{piece[:2].lower()}{piece[2:]}" for piece in pieces[1:])


@dataclass(slots=True)
class Searcher:
    """Looks for canaries and counts what it read."""

    canaries: list[Canary]
    _needles: list[tuple[str, str, bytes]] = field(default_factory=list)
    _hits: list[Hit] = field(default_factory=list)
    _places: int = 0
    _bytes: int = 0

    def __post_init__(self) -> None:
        self._needles = [
            (canary.kind, name, form) for canary in self.canaries for name, form in forms(canary.value.reveal()).items()
        ]

    def read(self, place: str, data: "bytes | mmap.mmap") -> None:
        """Look in one piece of data."""
        self._places += 1
        self._bytes += len(data)
        for kind, form, needle in self._needles:
            offset = data.find(needle)
            if offset >= 0 and len(self._hits) < MOST_HITS:
                self._hits.append(Hit(kind=kind, form=form, place=place, offset=offset))

    def read_files(self, paths: Iterable[Path], excepted: Iterable[Path] = ()) -> None:
        """Look in files, and in all files below directories, but not in those that are meant to hold a canary.

        Raises:
            OSError: one of `paths` is not there, or a file cannot be read.
        """
        spared = {path.resolve() for path in excepted}
        for path in paths:
            for file in sorted(_files(path)):
                if file.resolve() not in spared and file.stat().st_size:
                    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
                        self.read(str(file), data)

    def outcome(self) -> Search:
        """What came of it."""
        kinds: dict[str, int] = {}
        for canary in self.canaries:
            kinds[canary.kind] = kinds.get(canary.kind, 0) + 1
        return Search(kinds=kinds, places=self._places, bytes_read=self._bytes, hits=list(self._hits))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
    path.stat()  # says so if it is not there
    return [path]


def as_values(search: Search) -> dict[str, Any]:
    """As JSON values."""
    values: dict[str, Any] = msgspec.to_builtins(search)
    return values | {"clean": search.is_clean}
