"""A configuration in words: what a setting means, what all of them may be, and what they are now."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec

from doorward.config.fields import Field, catalogue, nearest, sections
from doorward.config.settings import Config
from doorward.hall.errors import NotFoundError

HIDDEN: Final = "(hidden)"

_PASSWORD_IN_URL: Final = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^/@\s]*?:)[^/\s]*@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One setting, for a reader."""

    name: str
    variable: str
    description: str
    takes: str
    default: Any
    is_secret: bool

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def explain(name: str) -> list[Explanation]:
    """What `server.port`, `DOORWARD_SERVER_PORT` or the whole section `server` means.

    Raises:
        NotFoundError: no setting has that name; the message may know which was meant.
    """
    wanted = name.strip().strip("[]")
    found = [
        field
        for field in catalogue().values()
        if wanted in {field.dotted, field.variable, f"{field.variable}_FILE", field.name[0]}
    ]
    if not found:
        advice = nearest(tuple(wanted.split(".", 1)))
        raise NotFoundError(f"no setting is called that; {advice}")
    return [_explanation(field) for field in found]


def _explanation(field: Field) -> Explanation:
    default = msgspec.to_builtins(field.default)
    return Explanation(
        field.dotted, field.variable, field.description, _takes(field.schema()), default, field.is_secret
    )


def _takes(schema: Mapping[str, Any]) -> str:
    """A JSON Schema of one setting in words."""
    if "enum" in schema:
        return " or ".join(msgspec.json.encode(choice).decode() for choice in schema["enum"])
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    kind = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}.get(
        schema.get("type", ""),
        "list of " + _takes(schema.get("items", {})) if schema.get("type") == "array" else "value",
    )
    if low is not None or high is not None:
        above = "above" if "exclusiveMinimum" in schema else "from"
        kind += f" {above} {low}" * (low is not None) + f" to {high}" * (high is not None)
    return kind


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the whole file, for editors and for checks in other people's pipelines."""
    (reference,), definitions = msgspec.json.schema_components([Config], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "doorward.toml",
        **reference,
        "$defs": msgspec.to_builtins(definitions),
    }


def show(config: Config) -> dict[str, Any]:
    """The values in force, by section, with secrets hidden (also a password inside an address)."""
    values: dict[str, Any] = {section: {} for section in sections()}
    for field in catalogue().values():
        value: Any = config
        for part in field.name:
            value = getattr(value, part)
        shown = HIDDEN if field.is_secret and value else _without_passwords(msgspec.to_builtins(value))
        if len(field.name) == 1:
            values[field.name[0]] = shown
        else:
            values[field.name[0]][field.name[1]] = shown
    return values


def _without_passwords(value: Any) -> Any:
    if isinstance(value, str):
        return _PASSWORD_IN_URL.sub(rf"\g<head>{HIDDEN}@", value)
    if isinstance(value, dict):
        return {key: _without_passwords(inner) for key, inner in value.items()}
    return [_without_passwords(inner) for inner in value] if isinstance(value, list) else value
