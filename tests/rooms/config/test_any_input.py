"""Whatever stands in the file and the environment: a configuration or a ConfigError, nothing else."""

import string
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doorward.config import Config, ConfigError, load
from doorward.config.fields import catalogue, sections
from doorward.config.loading import examine

SCALARS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(lambda number: repr(number).replace("e+", "e")),
    st.booleans().map(lambda value: str(value).lower()),
    st.text(max_size=20).map(lambda text: msgspec.json.encode(text.encode("utf-8", "replace").decode()).decode()),
    st.sampled_from(["nan", "-inf", "1979-05-27", "07:32:00", "[[[[1]]]]", "{ a = 1 }", "'''\nx'''", "0x10", "1e999"]),
    st.sampled_from(
        [
            "'postgresql://h:x/d'",
            "'https://a:b@c:99999/'",
            "'sqlite:///'",
            "'valkey://'",
            "'::/0'",
            "''",
            "'\\u0000'",
            "'//'",
        ]
    ),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"))
KNOWN = st.sampled_from([".".join(name) for name in catalogue()])
KEYS = KNOWN | st.text(string.ascii_lowercase + "._-", min_size=1, max_size=12)


def outcome(text: bytes, environment: dict[str, str], path: Path) -> object:
    """What loading gives; the secret is kept beside the file."""
    path.write_bytes(text)
    environment = {"DOORWARD_STORES_DATA_DIRECTORY": str(path.parent / "data"), **environment}
    try:
        return load(path, environment)
    except ConfigError as error:
        return error


def is_proper(found: object) -> bool:
    if isinstance(found, ConfigError):
        return bool(found.mistakes) and all(mistake.problem for mistake in found.mistakes)
    return isinstance(found, Config) and len(found.secret) >= 32


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Judging a secret costs more than all the rest, and has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("doorward.config.secret._guesses_log10", lambda _: 99.0)
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """One file for all examples."""
    return tmp_path_factory.mktemp("any") / "doorward.toml"


@given(st.binary(max_size=200))
def test_any_bytes(path, data):
    assert is_proper(outcome(data, {}, path))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(KEYS, VALUES), max_size=6))
def test_any_statements(path, pairs):
    text = "\n".join(f"{key} = {value}" for key, value in pairs)
    assert is_proper(outcome(text.encode("utf-8", "replace"), {}, path))


@given(
    st.dictionaries(
        st.sampled_from(sorted(field.variable for field in catalogue().values())), st.text(max_size=40), max_size=5
    )
)
def test_any_values_of_known_variables(path, environment):
    environment.pop("DOORWARD_STORES_DATA_DIRECTORY", None)
    assert is_proper(outcome(b"", environment, path))


NAMES = st.text(string.ascii_uppercase + "_0", max_size=20).map(lambda name: f"DOORWARD_{name}")


@given(st.dictionaries(NAMES, st.text(max_size=10), max_size=5))
def test_any_variables(environment):
    assert all(mistake.problem for mistake in examine(None, environment).mistakes)


def test_bytes_that_are_no_utf8_in_a_variable():
    (mistake,) = examine(None, {"DOORWARD_UPSTREAM_API_KEY": "\udcff"}).errors
    assert mistake.problem == "is not UTF-8"


def test_a_number_of_thousands_of_digits(path):
    assert is_proper(outcome(b"[server]\nport = " + b"9" * 5_000, {}, path))


def test_brackets_without_end(path):
    assert is_proper(outcome(b"a = " + b"[" * 100_000, {}, path))


def test_every_section_is_a_table():
    for section in sections():
        assert isinstance(getattr(Config(), section), msgspec.Struct)
