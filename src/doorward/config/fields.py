"""Every setting by name: what it takes, what it is by default, and how a text becomes its value."""

import difflib
import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, get_args, get_origin

import msgspec

from doorward.config.settings import Config

Name = tuple[str, ...]  # ("secret",) or ("server", "port")

_SECRET_NAME: Final = re.compile(r"(?:^|_)(?:secret|password|api_key|token|credential)s?$")
_CONSTRAINT: Final = re.compile(r"Expected `(\w+)` (of length )?([<>]=?) (\S+)")
_KINDS: Final = {
    "int": "a whole number", "float": "a number", "str": "a text in quotes", "bool": "true or false", "array": "a list",
    "object": "a table", "null": "nothing", "date": "a date", "datetime": "a date", "time": "a time of day",
}  # fmt: skip
_ORDER: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


class RefusedValueError(ValueError):
    """A value does not fit its setting; the text says why, without the value."""


@dataclass(frozen=True, slots=True)
class Field:
    """One setting."""

    name: Name
    type: Any  # an annotation, as msgspec takes it
    default: Any
    description: str
    is_secret: bool

    @property
    def dotted(self) -> str:
        """The name as TOML writes it: `server.port`."""
        return ".".join(self.name)

    @property
    def variable(self) -> str:
        """The name as the environment writes it: `DOORWARD_SERVER_PORT`."""
        return "_".join(("DOORWARD", *self.name)).upper()

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values."""
        return msgspec.json.schema(self.type)


@cache
def catalogue() -> dict[Name, Field]:
    """Every setting, in the order of the structs."""
    fields: dict[Name, Field] = {}
    for outer in msgspec.structs.fields(Config):
        if isinstance(outer.type, type) and issubclass(outer.type, msgspec.Struct):
            for inner in msgspec.structs.fields(outer.type):
                fields[outer.name, inner.name] = _field((outer.name, inner.name), inner)
        else:
            fields[(outer.name,)] = _field((outer.name,), outer)
    return fields


@cache
def sections() -> tuple[str, ...]:
    """The names of the tables: `server`, `stores` …"""
    return tuple(dict.fromkeys(name[0] for name in catalogue() if len(name) == 2))


def _field(name: Name, info: msgspec.structs.FieldInfo) -> Field:
    default = info.default if info.default is not msgspec.NODEFAULT else info.default_factory()
    schema = msgspec.json.schema(info.type)
    marked = any(
        isinstance(part, msgspec.Meta) and (part.extra or {}).get("secret") for part in get_args(info.type)[1:]
    )
    return Field(name, info.type, default, schema.get("description", ""), marked or bool(_SECRET_NAME.search(name[-1])))


def from_toml(field: Field, value: Any) -> Any:
    """The setting's value from what TOML holds.

    Raises:
        RefusedValueError: it does not fit.
    """
    return _converted(field, value, strict=True)


def from_text(field: Field, text: str) -> Any:
    """The setting's value from an environment variable or a file: lists are JSON or separated by commas.

    Raises:
        RefusedValueError: it does not fit.
    """
    kind = field.type
    while get_origin(kind) is not None and hasattr(kind, "__metadata__"):
        kind = get_args(kind)[0]
    if (get_origin(kind) or kind) in {tuple, list, set, frozenset, dict} or _is_struct(kind):
        if text.lstrip()[:1] in {"[", "{"}:
            try:
                return _converted(field, msgspec.json.decode(text), strict=True)
            except (msgspec.DecodeError, RecursionError) as error:
                raise RefusedValueError("is not valid JSON") from error
        return _converted(field, [part.strip() for part in text.split(",") if part.strip()], strict=False)
    return _converted(field, text, strict=False)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _converted(field: Field, value: Any, *, strict: bool) -> Any:
    try:
        converted = msgspec.convert(value, field.type, strict=strict)
    except (msgspec.ValidationError, RecursionError, OverflowError) as error:
        raise RefusedValueError(_reworded(field, str(error))) from None
    if not _is_finite(converted):
        raise RefusedValueError("must be a finite number")
    return converted


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return all(map(_is_finite, value)) if isinstance(value, tuple | list) else True


def _reworded(field: Field, message: str) -> str:
    """msgspec's message in plain words. It quotes a value for choices only, and those are replaced here."""
    problem, _, where = message.partition(" - at ")
    if choices := field.schema().get("enum"):
        return "must be one of " + ", ".join(str(choice) for choice in choices)
    if found := _CONSTRAINT.match(problem):
        unit = (" characters" if found[1] == "str" else " entries") if found[2] else ""
        text = "must not be empty" if unit and found[4] == "1" else f"must be {_ORDER[found[3]]} {found[4]}{unit}"
    elif found := re.match(r"Expected `([\w |]+)`, got `(\w+)`", problem):
        text = f"must be {_KINDS.get(found[1], found[1])}, not {_KINDS.get(found[2], found[2])}"
    else:
        text = "does not fit"
    place = re.search(r"\[(\d+)\]", where)
    return f"{text} (entry {int(place[1]) + 1})" if place else text


def nearest(name: Name) -> str:
    """What an unknown name was perhaps meant to be, as advice; empty if nothing comes near."""
    known = catalogue()
    elsewhere = [field.dotted for field in known.values() if field.name[-1] == name[-1]]
    if elsewhere:
        return "did you mean " + " or ".join(f"`{dotted}`" for dotted in elsewhere[:3]) + "?"
    if len(name) == 1:
        places = {field.name[-1]: field.dotted for field in known.values()} | {
            section: section for section in sections()
        }
        close = difflib.get_close_matches(name[0], places, 1)
        return f"did you mean `{places[close[0]]}`?" if close else f"there are: secret, {', '.join(sections())}"
    siblings = [field.name[-1] for field in known.values() if field.name[0] == name[0] and len(field.name) == 2]
    close = difflib.get_close_matches(name[-1], siblings, 1)
    close = close or [sibling for sibling in siblings if name[-1] in sibling or sibling in name[-1]][:1]
    return f"did you mean `{name[0]}.{close[0]}`?" if close else f"see `doorward config explain {name[0]}`"
