"""Request bodies, read strictly, into msgspec structs.

What two parsers could read in two ways is refused (RFC 8259 sections 4, 8 and 9 name the differences): a key twice,
NaN and infinities, lone surrogates, a byte order mark, bytes that are no UTF-8, anything after the value, numbers
beyond double precision, and nesting deeper than any of our shapes.

1. Bytes: within the limit, UTF-8, no BOM.
2. JSON: depth counted on the raw text before the parser may recurse; then parsed with duplicate and constant checks.
3. Form: `application/x-www-form-urlencoded` as the URL standard has it; a field twice only where the shape takes
   a list.
4. Shape: msgspec converts and names the place of the first thing that does not fit.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn, TypeVar, get_args, get_origin
from urllib.parse import unquote_to_bytes

import msgspec

from doorward.edge.errors import TooLargeError, UnsupportedMediaError
from doorward.hall.errors import InvalidInputError

T = TypeVar("T")

LIMIT_BYTES: Final = 64 * 1024
DEEPEST: Final = 16
MOST_FIELDS: Final = 64
_LONGEST_NUMBER: Final = 64
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PLACE: Final = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_FIELD: Final = re.compile(r"(?:missing required|contains unknown) field `([^`]*)`")
# The string part is possessive and its end optional, so that it never gives up and scans again: linear time.
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def read(body: bytes, content_type: str, shape: type[T], limit_bytes: int = LIMIT_BYTES) -> T:
    """A body as `shape`, by its content type: JSON or a form.

    Raises:
        UnsupportedMediaError: neither. InvalidInputError: what is wrong, and where.
    """
    if len(body) > limit_bytes:
        raise TooLargeError(f"The body is larger than {limit_bytes} bytes.")
    kind, parameters = _media_type(content_type)
    if parameters.get("charset", "utf-8") not in ("utf-8", "utf8"):
        raise UnsupportedMediaError("The body must be in UTF-8.")
    if kind == "application/json":
        return _shaped(parse_json(body), shape, is_strict=True)
    if kind == "application/x-www-form-urlencoded":
        return _shaped(_gathered(parse_form(body), shape), shape, is_strict=False)
    raise UnsupportedMediaError


def parse_json(body: bytes) -> Any:
    """One JSON value, read strictly.

    Raises:
        InvalidInputError: what is wrong, and where.
    """
    text = _text(body, "body")
    _check_depth(text)
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite, parse_int=_short
        )
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"Not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None
    _check_surrogates(value)
    return value


def parse_form(body: bytes) -> list[tuple[str, str]]:
    """The fields of a urlencoded form, in order.

    Raises:
        InvalidInputError: too many fields, a broken escape, bytes that are no UTF-8, or a NUL.
    """
    pieces = body.split(b"&") if body else []
    if len(pieces) > MOST_FIELDS:
        raise InvalidInputError(f"The form has more than {MOST_FIELDS} fields.")
    pairs = []
    for piece in pieces:
        name, _, value = piece.partition(b"=")
        pairs.append((_decoded(name, "a field's name"), _decoded(value, "a field's value")))
    return pairs


def _media_type(content_type: str) -> tuple[str, dict[str, str]]:
    kind, *rest = (part.strip() for part in content_type[:256].lower().split(";"))
    pairs = (part.partition("=") for part in rest)
    return kind, {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def _text(data: bytes, where: str) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        raise InvalidInputError(f"There is a byte order mark in front of the {where}.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"The {where} is not UTF-8 at byte {error.start}.") from None


def _decoded(data: bytes, where: str) -> str:
    if _BAD_ESCAPE.search(data):
        raise InvalidInputError(f"There is a `%` without two hexadecimal digits in {where}.")
    try:
        text = unquote_to_bytes(data.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"There are bytes that are not UTF-8 in {where}.") from None
    if "\0" in text:
        raise InvalidInputError(f"There is a NUL in {where}.")
    return text


def _check_depth(text: str) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        mark = match.group()
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark, 0)
        if depth > DEEPEST:
            raise InvalidInputError(f"Nested deeper than {DEEPEST} levels at character {match.start()}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidInputError(f"The key {_shown(twice)} stands twice in one object.", field=_shown(twice))
    return result


def _no_constant(name: str) -> NoReturn:
    raise InvalidInputError(f"{name} is not JSON.")


def _finite(text: str) -> float:
    number = float(text) if len(text) <= _LONGEST_NUMBER else math.inf
    if math.isinf(number):
        raise InvalidInputError("A number is too large or has too many digits.")
    return number


def _short(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise InvalidInputError("A number is too large or has too many digits.")
    return int(text)


def _check_surrogates(value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidInputError("A text has half of a surrogate pair in it.") from None
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_surrogates(key)
            _check_surrogates(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_surrogates(inner)


def _shown(text: str, longest: int = 40) -> str:
    """Text from outside, fit for an error message: short and printable."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])


def _takes_many(kind: Any) -> bool:
    return any((get_origin(part) or part) in (list, tuple, set, frozenset) for part in (kind, *_unwrapped(kind)))


def _unwrapped(kind: Any) -> Iterable[Any]:
    for part in get_args(kind):
        yield part
        yield from _unwrapped(part) if not isinstance(part, str) else ()


def _gathered(pairs: list[tuple[str, str]], shape: type[Any]) -> dict[str, Any]:
    """Form fields by name: lists where the shape has them, absent where they are empty and may be."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    gathered: dict[str, Any] = {}
    for name, value in pairs:
        field = fields.get(name)
        if field is not None and _takes_many(field.type):
            gathered.setdefault(name, []).append(value)
        elif name in gathered:
            raise InvalidInputError(f"The field {_shown(name)} is there twice.", field=_shown(name))
        elif value or field is None or field.required:
            gathered[name] = value
    return gathered


def _shaped(value: Any, shape: type[T], *, is_strict: bool) -> T:
    try:
        return msgspec.convert(value, shape, strict=is_strict)
    except msgspec.ValidationError as error:
        text = str(error)
        place, named = _PLACE.search(text), _FIELD.search(text)
        field = _shown(place.group(1) if place else named.group(1) if named else "")
        message = _shown(text[: place.start()] if place else text, longest=200)
        raise InvalidInputError(f"{message}: `{field}`." if place and field else f"{message}.", field=field) from None
