"""Bodies are read in one way only, and whatever is sent, the answer is a value or an InvalidInputError."""

import json
import math
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from doorward.edge.bodies import DEEPEST, MOST_FIELDS, parse_form, parse_json, read
from doorward.edge.errors import TooLargeError, UnsupportedMediaError
from doorward.hall.errors import InvalidInputError

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(max_length=10)]
    days: int | None = None
    scopes: list[str] = []
    remember: bool = False


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_json_round_trip(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(
    st.binary(max_size=400)
    | st.text('{}[]",:\\\\u0123456789eE+-.trufalsn \\ud800').map(lambda text: text.encode(errors="replace"))
)
def test_json_never_crashes(body: bytes) -> None:
    try:
        value = parse_json(body)
    except InvalidInputError:
        event("refused")
    else:
        assert json.loads(body) == value


@given(st.binary(max_size=300))
def test_form_never_crashes(body: bytes) -> None:
    try:
        pairs = parse_form(body)
    except InvalidInputError:
        event("refused")
    else:
        assert len(pairs) <= MOST_FIELDS


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8))
def test_form_round_trip(pairs: list[tuple[str, str]]) -> None:
    from urllib.parse import urlencode

    kept = [(name, value) for name, value in pairs if "\0" not in name + value]
    assert parse_form(urlencode(kept).encode()) == kept


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"a":1,"a":2}', "`?a"),
        (b'{"x":{"deep":1,"deep":1}}', "deep"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"[1e999]", "number"),
        (b"[" + b"9" * 5000 + b"]", "number"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'"\xff"', "byte 1"),
        (b"{} {}", "column 4"),
        (b"", "line 1"),
        (b'{"a":1,}', "column"),
        (b"'a'", "column 1"),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "character 16"),
        (b'{"a":' * 100_000, "levels"),
    ],
)
def test_json_refuses(body: bytes, where: str) -> None:
    with pytest.raises(InvalidInputError, match=where):
        parse_json(body)


def test_brackets_in_texts_are_not_depth() -> None:
    text = "[" * 100 + '"\\'
    assert parse_json(json.dumps([text]).encode()) == [text]


def test_depth_limit_is_exact() -> None:
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"name=a&name=b", "name"),
        (b"name=%zz", "hexadecimal"),
        (b"name=%ff", "UTF-8"),
        (b"name=a%00b", "NUL"),
        (b"name=a&more=1", "more"),
        (b"name=" + b"a" * 11, "name"),
        (b"name=a&days=soon", "days"),
        (b"days=3", "name"),
        (b"&".join(b"f%d=1" % number for number in range(MOST_FIELDS + 1)), "fields"),
    ],
)
def test_form_refuses(body: bytes, where: str) -> None:
    with pytest.raises(InvalidInputError, match=where):
        read(body, FORM, Shape)


def test_form_fits_the_shape() -> None:
    shaped = read(b"name=+%E9%97%A8&days=30&scopes=chat&scopes=models&remember=true", FORM, Shape)
    assert shaped == Shape(" 门", 30, ["chat", "models"], True)


def test_an_empty_optional_field_is_absent() -> None:
    assert read(b"name=a&days=", FORM, Shape) == Shape("a")


def test_json_fits_the_shape_strictly() -> None:
    assert read(b'{"name":"a","days":3}', "application/json; charset=utf-8", Shape) == Shape("a", 3)
    with pytest.raises(InvalidInputError) as caught:
        read(b'{"name":"a","days":"3"}', JSON, Shape)
    assert caught.value.field == "days"
    assert "`days`" in caught.value.message


@pytest.mark.parametrize("body", [b'{"days":1}', b'{"name":"a","name2":1}'])
def test_the_field_at_fault_is_named(body: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(body, JSON, Shape)
    assert caught.value.field.startswith("name")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16"]
)
def test_other_kinds_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedMediaError):
        read(b"{}", kind, Shape)


def test_size_limit() -> None:
    with pytest.raises(TooLargeError):
        read(b" " * 101, JSON, Shape, limit_bytes=100)


@given(st.text(max_size=60))
def test_messages_hold_only_printable_text(key: str) -> None:
    body = json.dumps({key: 1}).encode()
    with pytest.raises(InvalidInputError) as caught:
        read(body, JSON, Shape)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_large_numbers_stay_numbers() -> None:
    assert parse_json(b"[123456789012345678901234567890]") == [123456789012345678901234567890]
    assert math.isclose(parse_json(b"[1e300]")[0], 1e300)
