"""On which line of a TOML text a key stands. `tomllib` reads values but forgets where they were.

1. The text is known to be valid TOML (it was parsed before), so this reader only has to find where statements begin.
2. A statement is a table header or `key = value`. A header sets the path under which the next keys stand.
3. After a key's `=`, its value is skipped until the line ends: strings of all four kinds as a whole, brackets
   by depth.
"""

import re
from typing import Final

Path = tuple[str, ...]

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING: Final = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""(?!")|\'\'\'.*?\'\'\'(?!\')|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\'''', re.DOTALL
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def key_lines(text: str) -> dict[Path, int]:
    """The line (from 1) of every table and key outside inline tables, by its path; the first one wins."""
    text = text.replace("\r\n", "\n")
    lines: dict[Path, int] = {}
    table: Path = ()
    line, counted, at = 1, 0, _end(_BLANK, text, 0)
    while at < len(text):
        line += text.count("\n", counted, at)  # only the text since the last statement, or a long file costs squares
        counted = at
        is_header = text[at] == "["
        if is_header:
            at += 2 if text.startswith("[[", at) else 1
        path, at = _key(text, at)
        if not path:
            break  # not TOML after all: whoever parsed it says so better
        if is_header:
            table = path
        else:
            path = (*table, *path)
        for depth in range(1, len(path) + 1):
            lines.setdefault(path[:depth], line)
        at = _end(_BLANK, text, _statement_end(text, at))
    return lines


def _key(text: str, at: int) -> tuple[Path, int]:
    """2. A dotted key, and where it ends."""
    parts: list[str] = []
    while True:
        at = _end(_SPACE, text, at)
        found = _PART.match(text, at)
        if found is None:
            return (), at
        parts.append(_unquoted(found.group()))
        at = _end(_SPACE, text, found.end())
        if not text.startswith(".", at):
            return tuple(parts), at
        at += 1


def _statement_end(text: str, at: int) -> int:
    """3. The end of the line on which the statement ends."""
    depth = 0
    while at < len(text):
        letter = text[at]
        if letter in "\"'":
            found = _STRING.match(text, at)
            at = found.end() if found else at + 1
            continue
        if letter == "#":
            at = text.find("\n", at)
            if at < 0:
                return len(text)
            continue
        if letter == "\n" and depth <= 0:
            return at
        depth += (letter in "[{") - (letter in "]}")
        at += 1
    return at


def _unquoted(part: str) -> str:
    if part[0] == "'":
        return part[1:-1]
    if part[0] != '"':
        return part
    return _ESCAPE.sub(_unescaped, part[1:-1])


def _unescaped(found: re.Match[str]) -> str:
    digits = found[1] or found[2]
    return chr(int(digits, 16)) if digits else _ESCAPED.get(found[3], found[3])


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
