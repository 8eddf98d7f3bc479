"""What is personal or secret is not printed: no record shows it, whoever formats, logs or raises it."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator

import msgspec
import pytest

import doorward
from doorward.hall.hidden import Hidden

# Fields that hold such values wherever they occur. (The siege's records are of people who do not exist.)
PERSONAL = frozenset(
    {"password", "passphrase", "email", "recipient", "token", "ticket", "proof", "invitation", "api_key", "secret",
     "user_agent", "device", "session", "smtp_url", "password_hash", "pin", "code_digest"}
)  # fmt: skip
NOT_VALUES = {"Parts", "Stores"}  # ends of names of records of services, not of values


def records() -> Iterator[type]:
    """Every dataclass and struct of the house."""
    for module in pkgutil.walk_packages(doorward.__path__, "doorward."):
        if ".siege" in module.name or ".migrations" in module.name or module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            is_record = isinstance(value, type) and (
                dataclasses.is_dataclass(value) or issubclass(value, msgspec.Struct)
            )
            if is_record and value.__module__ == module.name:
                yield value


def shown(record: type) -> list[str]:
    """The personal fields that its printed form would show."""
    if dataclasses.is_dataclass(record):
        if not hasattr(record.__repr__, "__wrapped__"):  # not the one that `dataclass` writes
            return []
        return [field.name for field in dataclasses.fields(record) if field.repr and field.name in PERSONAL]
    if record.__repr__ is not msgspec.Struct.__repr__:
        return []
    return [name for name in record.__struct_fields__ if name in PERSONAL]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(each, id=f"{each.__module__}.{each.__name__}")
        for each in records()
        if not each.__name__.endswith(tuple(NOT_VALUES))
    ],
)
def test_no_record_prints_what_is_personal(record):
    assert shown(record) == []


def test_a_hidden_value_shows_itself_only_when_asked():
    hidden = Hidden("canary")
    assert f"{hidden} {hidden!r} {hidden:>20} {[hidden]} { ({'a': hidden}) }".count("canary") == 0
    assert hidden.reveal() == "canary"
