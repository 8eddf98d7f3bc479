"""The words of bodies: of every shape that an AI service speaks, whole or cut, and of none that is not text."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.upstream.transcript import Body, text_of

JSON = "application/json"
STREAM = "text/event-stream; charset=utf-8"


def text(data: bytes, kind: str = JSON, encoding: str = "", size: int = 0, longest: int = 10_000) -> str:
    return text_of(Body(data, size or len(data), kind, encoding), longest)


def of(value: object) -> str:
    return text(json.dumps(value).encode())


def events(*values: object) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values) + b"data: [DONE]\n\n"


def test_a_chat_is_told_turn_by_turn():
    system = {"role": "system", "content": "Be kind."}
    parts = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    asked = of({"model": "m", "stream": True, "messages": [system, {"role": "user", "content": parts}]})
    assert asked == "system: Be kind.\nuser: Look: [image/png, not kept]"


def test_sounds_and_files_are_noted_only():
    sound = {"type": "input_audio", "input_audio": {"data": "UklGR", "format": "wav"}}
    assert of({"messages": [{"role": "user", "content": [sound]}]}) == "user: [data, not kept]"
    assert of({"input": "x" * 1_000}) == "[data, not kept]"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"prompt": ["one", "two"]}, "one\ntwo"),
        ({"input": "embed me"}, "embed me"),
        ({"instructions": "Be brief.", "input": [{"role": "user", "content": "Hi"}]}, "Be brief.\nuser: Hi"),
        ({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}], "usage": {}}, "assistant: Hi"),
        ({"choices": [{"text": "Hi"}]}, "Hi"),
        ({"error": {"message": "too long", "type": "t"}}, "too long"),
        ({"data": [{"embedding": [0.1]}]}, "[data, not kept]"),
        (["a", {"b": "c"}], "a\nc"),
    ],
)
def test_other_shapes(value, words):
    assert of(value) == words


def test_an_answer_that_streamed_is_joined_choice_by_choice():
    deltas = [
        {"choices": [{"index": n % 2, "delta": {"content": piece}}]} for n, piece in enumerate(["He", "B", "llo", "ye"])
    ]
    assert text(events(*deltas), STREAM) == "Hello\nBye"
    response = [{"type": "response.output_text.delta", "output_index": 0, "delta": piece} for piece in ("a ", "b")]
    assert text(events(*response), STREAM) == "a b"


def test_a_stream_that_broke_off_keeps_its_whole_events_and_its_error():
    data = events({"choices": [{"index": 0, "delta": {"content": "Hel"}}]}, {"error": {"message": "broke off"}})
    assert text(data + b'data: {"choices": [{"del', STREAM) == "Hel\nerror: broke off"


def test_what_was_cut_off_gives_its_whole_strings():
    data = b'{"model": "m", "messages": [{"role": "user", "content": "a \\u0040 b"}, {"content": "cut he'
    assert text(data, size=1_000) == "m\nuser\na @ b"


def test_compressed_text_is_unpacked_within_the_bound():
    assert text(gzip.compress(b'{"input": "packed"}'), encoding="gzip") == "packed"
    assert len(text(gzip.compress(b'["' + b"a b " * 1_000_000 + b'"]'), encoding="gzip", longest=100)) <= 100
    assert text(b"\0not gzip", encoding="gzip") == "[application/json, 9 bytes, not kept]"
    assert text(b"?", encoding="br") == "[application/json, 1 bytes, not kept]"


def test_what_is_no_text_is_noted():
    assert text(b"\x89PNG", "image/png") == "[image/png, 4 bytes, not kept]"
    assert text(b"--x", "multipart/form-data; boundary=x") == "[multipart/form-data, 3 bytes, not kept]"
    assert text(b"x", "li@example.cn\n") == "[unknown, 1 bytes, not kept]"
    assert text(b"") == ""


@given(
    st.binary(max_size=400),
    st.sampled_from([JSON, STREAM, "text/plain", "image/png", ""]),
    st.sampled_from(["", "gzip"]),
)
def test_any_bytes_give_a_text(data, kind, encoding):
    assert len(text(data, kind, encoding, longest=50)) <= 80


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["messages", "input", "choices", "role", "content", "data", "delta", "x"]), inner
        )
    ),
    max_leaves=20,
)


@given(JSON_VALUES, st.booleans())
def test_any_json_gives_a_text(value, is_stream):
    assert "\0" not in (text(events(value), STREAM) if is_stream else of(value))
