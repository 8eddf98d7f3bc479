"""From what was written to a configuration, or to the list of everything that is wrong with it.

1. Read the file, then the environment over it; note values that do not fit.
2. Build the sections from the good values and the defaults.
3. Look at the settings together; leave out what rests on a value that was refused already.
4. Judge the master secret, or take the one that this machine keeps for itself.
5. Errors refuse the start; warnings do not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from doorward.config import secret as master
from doorward.config.crosschecks import Finding, findings
from doorward.config.fields import Name, catalogue
from doorward.config.mistakes import ConfigError, Gravity, Mistake
from doorward.config.settings import Config
from doorward.config.sources import ENVIRONMENT, Reading, read_environment, read_file

DEFAULT_FILE = "doorward.toml"


@dataclass(frozen=True, slots=True)
class Examination:
    """What a look at a configuration shows. `config` holds defaults where values were refused."""

    config: Config
    mistakes: tuple[Mistake, ...]

    @property
    def errors(self) -> tuple[Mistake, ...]:
        """The mistakes that refuse a start."""
        return tuple(mistake for mistake in self.mistakes if mistake.gravity is Gravity.ERROR)

    @property
    def warnings(self) -> tuple[Mistake, ...]:
        """The mistakes that do not."""
        return tuple(mistake for mistake in self.mistakes if mistake.gravity is Gravity.WARNING)


def find_file(environment: Mapping[str, str], directory: Path | None = None) -> Path | None:
    """The file that `DOORWARD_CONFIG` names, else `doorward.toml` in `directory` (default: here) if it is there."""
    if named := environment.get("DOORWARD_CONFIG"):
        return Path(named)
    path = (directory or Path()) / DEFAULT_FILE
    return path if path.is_file() else None


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """The configuration, with a master secret: made and kept in the data directory if none is given (step 4).

    Raises:
        ConfigError: with every mistake.
    """
    examination = examine(path, environment, makes_secret=True)
    if examination.errors:
        raise ConfigError(examination.errors)
    return examination.config


def examine(path: Path | None, environment: Mapping[str, str], *, makes_secret: bool = False) -> Examination:
    """Everything that is wrong or questionable. Writes nothing unless `makes_secret`, and then only without errors."""
    reading = Reading()
    if path is not None:
        read_file(path, reading)
    read_environment(environment, reading)
    config = _built({name: found.value for name, found in reading.found.items() if name not in reading.faulty})
    if reading.is_whole:
        fitting = [finding for finding in findings(config) if not reading.faulty & set(finding.names)]
        reading.mistakes += [_placed(finding, reading) for finding in fitting]
        reading.faulty |= {finding.names[0] for finding in fitting if finding.gravity is Gravity.ERROR}
        if ("secret",) not in reading.faulty:
            config = _with_secret(config, reading, makes_secret=makes_secret)
    ordered = sorted(reading.mistakes, key=lambda mistake: (mistake.source == ENVIRONMENT, mistake.line or 0))
    return Examination(config, tuple(ordered))


def cautions(config: Config) -> tuple[Mistake, ...]:
    """The warnings about a configuration that was loaded already, for the log of a start."""
    reading = Reading()
    return tuple(_placed(finding, reading) for finding in findings(config) if finding.gravity is Gravity.WARNING)


def _built(values: dict[Name, Any]) -> Config:
    """2. The sections from values that fit."""
    parts: dict[str, Any] = {}
    for info in msgspec.structs.fields(Config):
        if (info.name,) in catalogue():
            parts[info.name] = values.get((info.name,), info.default)
        else:
            parts[info.name] = info.type(**{name[1]: value for name, value in values.items() if name[0] == info.name})
    return Config(**parts)


def _placed(finding: Finding, reading: Reading) -> Mistake:
    """3. A finding at the place where its first configured setting stands."""
    setting = catalogue()[finding.names[0]]
    found = next((reading.found[name] for name in finding.names if name in reading.found), None)
    source, line = (found.source, found.line) if found else ("defaults", None)
    key = setting.variable if source == ENVIRONMENT else setting.dotted
    return Mistake(source, line, key, finding.problem, finding.suggestion, finding.gravity)


def _with_secret(config: Config, reading: Reading, *, makes_secret: bool) -> Config:
    """4. Judge the secret that is given, or take this machine's own."""
    advice = "make one with `openssl rand -base64 48`"
    if config.secret:
        if reason := master.weakness(config.secret):
            reading.mistakes.append(_placed(Finding((("secret",),), reason, advice), reading))
        return config
    if not _is_embedded(config):
        names: tuple[Name, ...] = (("secret",), ("stores", "database"), ("stores", "counters"))
        if reading.faulty & set(names):
            return config
        problem = "is needed with shared stores: each machine would make its own and refuse the others' tickets"
        reading.mistakes.append(_placed(Finding(names, problem, advice), reading))
        return config
    return _with_own_secret(config, reading, makes_secret=makes_secret)


def _with_own_secret(config: Config, reading: Reading, *, makes_secret: bool) -> Config:
    directory = Path(config.stores.data_directory)
    is_clean = not any(mistake.gravity is Gravity.ERROR for mistake in reading.mistakes)
    try:
        kept = master.read_or_make(directory) if makes_secret and is_clean else master.read(directory / "secret")
        return msgspec.structs.replace(config, secret=kept)
    except FileNotFoundError:
        return config  # `load` will make it
    except OSError as error:
        problem = f"cannot be kept: {error.strerror or 'unknown reason'}"
    except ValueError as error:
        problem = str(error)
    path = str(directory / "secret")
    reading.mistakes.append(Mistake(path, None, "", problem, "set `secret`, or correct `stores.data_directory`"))
    return config


def _is_embedded(config: Config) -> bool:
    """Whether one machine has the stores to itself."""
    is_own_file = config.stores.database_url().startswith("sqlite:")
    return is_own_file and config.stores.counters.startswith("memory:")
