"""Reading what an operator wrote: a TOML file and the environment. Nothing here is judged beyond its form.

Precedence: the environment over the file, the file over the default. A variable and its `_FILE` twin together are a
mistake, because nobody can tell which one was meant.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from doorward.config.fields import Field, Name, RefusedValueError, catalogue, from_text, from_toml, nearest, sections
from doorward.config.lines import key_lines
from doorward.config.mistakes import Gravity, Mistake

CONFIG_BYTES: Final = 262_144
VALUE_BYTES: Final = 65_536
ENVIRONMENT: Final = "environment"
OUR_OWN: Final = frozenset({"DOORWARD_CONFIG"})

_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
# Kubernetes sets such variables for each Service that it runs, also for one called `doorward`.
_SERVICE_LINK: Final = re.compile(r"_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_\w+)?)?)$")


@dataclass(frozen=True, slots=True)
class Found:
    """A value and where it stands."""

    value: Any
    source: str
    line: int | None


@dataclass(slots=True)
class Reading:
    """What was read so far: good values by name, names whose value is no good, and the mistakes."""

    found: dict[Name, Found] = field(default_factory=dict)
    faulty: set[Name] = field(default_factory=set)
    mistakes: list[Mistake] = field(default_factory=list)
    is_whole: bool = True  # False: the file could not be read, so what is missing may stand there

    def blame(self, setting: Field, place: tuple[str, int | None, str], problem: str) -> None:
        """Note that the value of a setting is no good; `place` is source, line and the key as it is written there."""
        self.faulty.add(setting.name)
        self.mistakes.append(Mistake(*place, problem, setting.description))


def read_file(path: Path, reading: Reading) -> None:
    """Take the settings of a TOML file into `reading`."""
    text = _text_of(path, reading)
    document = None if text is None else _document_of(path, text, reading)
    if text is None or document is None:
        reading.is_whole = False
        return
    lines = key_lines(text)
    for key, value in document.items():
        if key in sections():
            _read_section(path, lines, (key, value), reading)
        else:
            _read_value(path, lines, ((key,), value), reading)


def _document_of(path: Path, text: str, reading: Reading) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reading.mistakes.append(_toml_mistake(path, text, str(error)))
    except ValueError:  # a number of thousands of digits, or a date that no calendar has
        reading.mistakes.append(Mistake(str(path), None, "", "holds a number or a date that cannot be read"))
    return None


def _text_of(path: Path, reading: Reading) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_BYTES + 1)
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        reading.mistakes.append(Mistake(str(path), line, "", "is not UTF-8", "save the file as UTF-8"))
    except OSError as error:
        reading.mistakes.append(Mistake(str(path), None, "", f"cannot be read: {error.strerror or 'unknown reason'}"))
    except ValueError:  # a null byte in the path
        reading.mistakes.append(Mistake(_shown(str(path)), None, "", "is not a path"))
    else:
        if len(data) <= CONFIG_BYTES:
            return text
        reading.mistakes.append(Mistake(str(path), None, "", f"is larger than {CONFIG_BYTES} bytes"))
    return None


def _toml_mistake(path: Path, text: str, message: str) -> Mistake:
    """The parser's message, without what it quotes of the text, and its line."""
    found = _TOML_PLACE.search(message)
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    cause = re.sub(r"""['"].*['"]""", "", message[: found.start()] if found else message).strip()
    return Mistake(
        str(path), line, "", f"is not valid TOML: {cause[:120]}", "texts need quotes; a key stands only once"
    )


def _read_section(path: Path, lines: dict[Name, int], entry: tuple[str, Any], reading: Reading) -> None:
    section, table = entry
    if not isinstance(table, dict):
        problem = f"must be a table: write `[{section}]` and its settings below"
        reading.mistakes.append(Mistake(str(path), lines.get((section,)), section, problem))
        return
    for key, value in table.items():
        _read_value(path, lines, ((section, key), value), reading)


def _read_value(path: Path, lines: dict[Name, int], entry: tuple[Name, Any], reading: Reading) -> None:
    name, value = entry
    line = lines.get(name) or lines.get(name[:1])
    setting = catalogue().get(name)
    if setting is None:
        reading.mistakes.append(Mistake(str(path), line, _shown(".".join(name)), "is no setting", nearest(name)))
        return
    try:
        reading.found[name] = Found(from_toml(setting, value), str(path), line)
    except RefusedValueError as error:
        reading.blame(setting, (str(path), line, setting.dotted), str(error))


def read_environment(environment: Mapping[str, str], reading: Reading) -> None:
    """Take `DOORWARD_*` variables and the files that `DOORWARD_*_FILE` name into `reading`."""
    expected = {setting.variable: setting for setting in catalogue().values()}
    for variable in sorted(environment):
        if not variable.startswith("DOORWARD_") or variable in OUR_OWN:
            continue
        text = environment[variable]
        if setting := expected.get(variable):
            if f"{variable}_FILE" in environment and f"{variable}_FILE" not in expected:
                problem = f"is set together with {variable}_FILE"
                reading.blame(setting, (ENVIRONMENT, None, variable), f"{problem}: unset one of the two")
            else:
                _take(setting, variable, text, reading)
        elif variable.endswith("_FILE") and (setting := expected.get(variable.removesuffix("_FILE"))):
            if setting.variable not in environment:
                _take_file(setting, variable, text, reading)
        else:
            _unknown_variable(variable, reading)


def _take(setting: Field, variable: str, text: str, reading: Reading) -> None:
    place = (ENVIRONMENT, None, variable)
    if len(text) > VALUE_BYTES:
        reading.blame(setting, place, f"is longer than {VALUE_BYTES} characters")
        return
    if any("\ud800" <= letter <= "\udfff" for letter in text):  # how Python shows bytes that are not UTF-8
        reading.blame(setting, place, "is not UTF-8")
        return
    try:
        reading.found[setting.name] = Found(from_text(setting, text), ENVIRONMENT, None)
    except RefusedValueError as error:
        reading.blame(setting, place, str(error))


def _take_file(setting: Field, variable: str, path: str, reading: Reading) -> None:
    try:
        with Path(path).open("rb") as file:
            data = file.read(VALUE_BYTES + 1)
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        reading.blame(setting, (ENVIRONMENT, None, variable), "names a file that is not UTF-8")
    except OSError as error:
        problem = f"names a file that cannot be read: {error.strerror or 'unknown reason'}"
        reading.blame(setting, (ENVIRONMENT, None, variable), problem)
    except ValueError:  # a null byte in the path
        reading.blame(setting, (ENVIRONMENT, None, variable), "is not a path")
    else:
        _take(setting, variable, text.removesuffix("\n").removesuffix("\r"), reading)


def _unknown_variable(variable: str, reading: Reading) -> None:
    """A variable of ours that no setting knows: a mistake in a section of ours, else a caution."""
    if _SERVICE_LINK.search(variable):
        return
    first, _, rest = variable.removeprefix("DOORWARD_").lower().partition("_")
    if first in sections():
        reading.mistakes.append(
            Mistake(ENVIRONMENT, None, _shown(variable), "is no setting", _as_variable(nearest((first, rest))))
        )
    else:
        advice = _as_variable(nearest((f"{first}_{rest}".strip("_"),)))
        reading.mistakes.append(
            Mistake(ENVIRONMENT, None, _shown(variable), "is no setting and is ignored", advice, Gravity.WARNING)
        )


def _as_variable(advice: str) -> str:
    """Dotted names in a piece of advice, written as variables."""
    return re.sub(
        r"`(\w+)\.(\w+)`",
        lambda found: "`" + f"DOORWARD_{found[1]}_{found[2]}`".upper().removesuffix("`") + "`",
        advice,
    )


def _shown(name: str) -> str:
    """A name that somebody typed, safe for a terminal and a log."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return printable if len(printable) <= 80 else printable[:79] + "…"
