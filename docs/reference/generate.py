# ruff: noqa: INP001  # a script beside the pages that it writes, not a package
"""Writes the pages beside it from the code, so that the reference cannot be wrong about names.

`make docs` runs it. tests/architecture/test_documentation.py fails when a page differs from what the code says.
"""

import ast
import importlib
import inspect
import pkgutil
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec
import typer.main

import doorward
from doorward.cli import app
from doorward.config.settings import Config
from doorward.edge.problems import kinds
from doorward.hall import events

HERE = Path(__file__).parent
NOTE = "<!-- Written by generate.py from the code: run `make docs` to renew it. -->\n"


def settings_page() -> str:
    """Every setting, in the order of the file that an operator writes."""
    lines = [
        "# Settings",
        NOTE,
        "Settings come from a TOML file (`doorward serve --config doorward.toml`) and from the environment, which",
        "wins. A variable is named after its section and setting; append `_FILE` to name a file that holds the value,",
        "for secrets. Every setting has a default. `doorward config check` reports all mistakes at once, with their",
        "lines; `doorward config explain SETTING` prints a row of this page.",
        "",
    ]
    config = typing.cast("msgspec.inspect.StructType", msgspec.inspect.type_info(Config))
    top = [field for field in config.fields if not isinstance(field.type, msgspec.inspect.StructType)]
    lines += ["## Top level", "", *_settings_table(top, ""), ""]
    for field in config.fields:
        if isinstance(field.type, msgspec.inspect.StructType):
            lines += [f"## `[{field.name}]`", "", inspect.getdoc(field.type.cls) or "", ""]
            lines += [*_settings_table(field.type.fields, field.name), ""]
    return "\n".join(lines)


def _settings_table(fields: typing.Iterable[msgspec.inspect.Field], section: str) -> list[str]:
    lines = ["| setting | what it is | type | default |", "|---|---|---|---|"]
    for field in fields:
        kind, description = field.type, ""
        if isinstance(kind, msgspec.inspect.Metadata):
            kind, description = kind.type, str((kind.extra_json_schema or {}).get("description", ""))
        variable = "_".join(part.upper() for part in ("doorward", section, field.name) if part)
        name = f"<a id='{section}.{field.name}'></a>`{field.name}`<br>`{variable}`"
        lines.append(f"| {name} | {_cell(description)} | {_cell(type_words(kind))} | {_default(field)} |")
    return lines


def _default(field: msgspec.inspect.Field) -> str:
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    text = msgspec.json.encode(value).decode()
    return "empty" if text in {'""', "[]", "{}"} else f"`{_cell(text)}`"


NAMES = {
    msgspec.inspect.BoolType: "true or false",
    msgspec.inspect.IntType: "whole number",
    msgspec.inspect.FloatType: "number",
    msgspec.inspect.StrType: "text",
    msgspec.inspect.NoneType: "nothing",
}


def type_words(kind: msgspec.inspect.Type) -> str:
    """A setting's type and limits in words."""
    inspected = msgspec.inspect
    if isinstance(kind, inspected.Metadata):
        words = type_words(kind.type)
    elif isinstance(kind, inspected.LiteralType | inspected.EnumType):
        values = kind.values if isinstance(kind, inspected.LiteralType) else [member.value for member in kind.cls]
        words = " or ".join(f"`{value}`" for value in values)
    elif isinstance(kind, inspected.UnionType):
        words = " or ".join(type_words(part) for part in kind.types)
    elif isinstance(kind, inspected.CollectionType):
        words = f"list of {type_words(kind.item_type)}{_limits(kind)}"
    elif isinstance(kind, inspected.DictType):
        words = f"table of {type_words(kind.key_type)} to {type_words(kind.value_type)}"
    else:
        words = NAMES[type(kind)] + _limits(kind)
    return words


def _limits(kind: msgspec.inspect.Type) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    parts = [f"{sign} {limit:,}" for name, sign in signs.items() if (limit := getattr(kind, name, None)) is not None]
    unit = "characters" if isinstance(kind, msgspec.inspect.StrType) else "entries"
    if (longest := getattr(kind, "max_length", None)) is not None:
        parts.append(f"at most {longest:,} {unit}")
    if shortest := getattr(kind, "min_length", None):
        parts.append(f"at least {shortest:,}")
    if pattern := getattr(kind, "pattern", None):
        parts.append(f"`{pattern}`")
    return f", {', '.join(parts)}" if parts else ""


def events_page() -> str:
    """Every event with its fields; what a field means is the comment beside it in the source."""
    lines = [
        "# Events",
        NOTE,
        "A fact that a room publishes in the transaction of the change itself. It is delivered at least once;",
        "`event_id` tells a repetition. `at` is the moment in Unix seconds. Frequent facts are summarised per second.",
        "",
    ]
    comments = _comments(Path(events.__file__))
    for name, kind in sorted(events.EVENT_TYPES.items()):
        lines += [f"## `{name}`", "", _paragraph(kind), "", "| field | type | meaning |", "|---|---|---|"]
        for field, annotation in inspect.get_annotations(kind).items():
            if field != "name":
                words = getattr(annotation, "__name__", "") if isinstance(annotation, type) else str(annotation)
                meaning = comments.get((kind.__name__, field), "")
                lines.append(f"| `{field}` | `{_plain(annotation, words)}` | {_cell(meaning)} |")
        lines.append("")
    return "\n".join(lines)


def _plain(annotation: object, words: str) -> str:
    return str(annotation) if typing.get_origin(annotation) else words


def _comments(path: Path) -> dict[tuple[str, str], str]:
    text = path.read_text(encoding="utf-8")
    rows = text.splitlines()
    return {
        (kind.name, field.target.id): rows[field.lineno - 1].partition("#")[2].strip()
        for kind in ast.walk(ast.parse(text))
        if isinstance(kind, ast.ClassDef)
        for field in kind.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and "#" in rows[field.lineno - 1]
    }


def errors_page() -> str:
    """Every error code that an answer can carry."""
    import_everything()
    lines = [
        "# Errors",
        NOTE,
        "The API answers with problem details (RFC 9457): `type` ends in the code, `detail` says what is wrong,",
        "`advice` what to do. Under `/v1/` the same code stands in `error.code`, in the shape that OpenAI's clients",
        "expect. Every 429 and 503 carries `Retry-After`.",
        "",
        "| code | status | meaning | advice |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{code}` | {kind.status} | {_cell(_paragraph(kind))} | {_cell(kind.advice)} |"
        for code, kind in kinds().items()
    ]
    return "\n".join([*lines, ""])


def import_everything() -> None:
    """Import every module, so that every error class is known."""
    for module in pkgutil.walk_packages(doorward.__path__, "doorward."):
        if not module.name.endswith("__main__") and not module.name.startswith("doorward.migrations"):
            importlib.import_module(module.name)


def commands_page() -> str:
    """Every command with its example and options."""
    lines = [
        "# Commands",
        NOTE,
        "`doorward COMMAND --help` prints the same. `--json` prints one JSON document to standard output, for scripts.",
        "",
    ]
    for path, command in commands():
        context = click.Context(command, info_name=path)
        text, _, example = inspect.cleandoc(command.help or "").replace("\b", "").partition("Example: ")
        example = (command.epilog or example).removeprefix("Example: ").strip()
        lines += [
            f"## `{path}`",
            "",
            text.strip(),
            "",
            "```",
            command.get_usage(context),
            "",
            f"$ {example}",
            "```",
            "",
        ]
        rows = [row for parameter in command.get_params(context) if (row := parameter.get_help_record(context))]
        lines += [
            "| option | meaning |",
            "|---|---|",
            *(f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows),
            "",
        ]
    return "\n".join(lines)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its whole name."""
    yield from _leaves("doorward", typer.main.get_command(app))


def _leaves(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, child in sorted(command.commands.items()):
        if not child.hidden:
            yield from _leaves(f"{path} {name}", child)


def _paragraph(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("\\[", "[").replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "events.md": events_page,
    "errors.md": errors_page,
    "commands.md": commands_page,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")


if __name__ == "__main__":
    main()
