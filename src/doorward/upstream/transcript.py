"""The text of a conversation: from the body of a request or an answer, as far as it is text.

1. A body of JSON gives its words: of a chat each message as `role: text`, of another request every text in it. What was
   cut off cannot be parsed; then the strings that are whole are taken one after the other.
2. A stream of server-sent events gives the pieces of its answers joined, each choice for itself.
3. Pictures, sounds and files are noted and not kept, whether they are a body or stand inside of one.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

_NOT_KEPT: Final = "[{}, not kept]"
_LONGEST_WORD: Final = 1_000  # characters without a space: a file in base 64, not a word
_WORDLESS: Final = re.compile(rf"(?<!\S)\S{{{_LONGEST_WORD},}}+")
_STRING: Final = re.compile(rb'"((?:[^"\\]|\\.)*+)"(\s*+:)?', re.DOTALL)
_DEPTH: Final = 32
_TEXT_TYPES: Final = ("text/plain", "text/event-stream", "application/x-ndjson")
_JSON: Final = re.compile(r"application/(?:[\w.+-]*\+)?json")
_CONVERSATION: Final = ("error", "instructions", "messages", "input", "prompt", "choices", "output")
# What of a request is a conversation's setting rather than its words.
_SETTINGS: Final = frozenset(
    {"model", "role", "type", "id", "object", "created", "user", "tool_choice", "encoding_format", "finish_reason",
     "system_fingerprint", "service_tier", "response_format", "detail", "format", "call_id", "tool_call_id"}
)  # fmt: skip


class _Delta(msgspec.Struct, forbid_unknown_fields=True):
    content: str


class _Choice(msgspec.Struct):
    index: int
    delta: _Delta


class _Usual(msgspec.Struct):
    """Nearly every event of a stream: one piece of one answer, and nothing else that is said."""

    choices: list[_Choice]
    delta: msgspec.UnsetType = msgspec.UNSET  # an event that has this says more
    error: msgspec.UnsetType = msgspec.UNSET


_USUAL: Final = msgspec.json.Decoder(_Usual)


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request or an answer, as much as was kept of it."""

    data: bytes
    size_bytes: int  # of the whole
    content_type: str  # as sent
    encoding: str = ""  # Content-Encoding

    @property
    def is_cut(self) -> bool:
        """Whether some of it was not kept."""
        return len(self.data) < self.size_bytes


def text_of(body: Body, longest: int) -> str:
    """The words of a body, at most `longest` characters."""
    kind = body.content_type.partition(";")[0].strip().lower()
    if not body.size_bytes:
        return ""
    data = _plain(body, longest)
    if data is None or not (_JSON.fullmatch(kind) or kind in _TEXT_TYPES):
        return _NOT_KEPT.format(f"{_safe(kind) or 'unknown'}, {body.size_bytes} bytes")
    if kind == "text/event-stream":
        text = _of_events(data)
    elif _JSON.fullmatch(kind):
        text = _of_json(data)
    else:
        text = data.decode("utf-8", "replace")
    return text[:longest].replace("\0", "")  # PostgreSQL takes none, and no text needs one


def _plain(body: Body, longest: int) -> bytes | None:
    """The bytes without their compression; None if it is one that we cannot read. At most four bytes a character."""
    coding = body.encoding.strip().lower()
    if coding in {"", "identity"}:
        return body.data
    if coding not in {"gzip", "x-gzip", "deflate"}:
        return None
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body.data, 4 * longest)
    except zlib.error:
        return None


def _safe(kind: str) -> str:
    return kind if re.fullmatch(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}", kind) else ""


def _of_json(data: bytes) -> str:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "\n".join(_strings(data))
    return "\n".join(_words(value))


def _words(value: Any) -> Iterator[str]:
    known = [name for name in _CONVERSATION if name in value] if isinstance(value, dict) else []
    for name in known:
        yield from _turns(value[name], _DEPTH)
    if not known:
        yield from _texts(value, _DEPTH)


def _turns(value: Any, depth: int) -> Iterator[str]:
    """Each message with who says it."""
    for turn in value if isinstance(value, list) else [value]:
        if isinstance(turn, dict):
            message = turn.get("message")
            said: dict[str, Any] = message if isinstance(message, dict) else turn
            who = said.get("role")
            text = " ".join(_texts(said, depth))
            if text:
                yield f"{who[:40]}: {text}" if isinstance(who, str) and who else text
        else:
            yield from _texts(turn, depth)


def _texts(value: Any, depth: int) -> Iterator[str]:
    """Every text in a value, in its order."""
    if isinstance(value, str):
        yield _text(value)
    elif depth and isinstance(value, dict):
        kind = value.get("type")
        for name, inner in value.items():
            if name not in _SETTINGS and not (name == "data" and kind != "text"):
                yield from _texts(inner, depth - 1)
            elif name == "data":
                yield _NOT_KEPT.format("data")
    elif depth and isinstance(value, list):
        for inner in value:
            yield from _texts(inner, depth - 1)


def _text(text: str) -> str:
    if len(text) < _LONGEST_WORD and text[:5] != "data:":
        return text
    if text.startswith("data:"):
        return _NOT_KEPT.format(_safe(text[5:100].partition(";")[0]) or "data")
    return _WORDLESS.sub(_NOT_KEPT.format("data"), text)


def _strings(data: bytes) -> Iterator[str]:
    """1. The whole strings of JSON that was cut off, without the names of members."""
    for match in _STRING.finditer(data):
        if match[2] is None:
            try:
                yield _text(msgspec.json.decode(b'"' + match[1] + b'"', type=str))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # not a string after all: the cut went through it


def _of_events(data: bytes) -> str:
    choices: dict[str, list[str]] = {}
    for line in data.splitlines():
        if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
            try:
                usual = _USUAL.decode(line[5:]).choices
                if len(usual) == 1:
                    choices.setdefault(f"choice {usual[0].index}", []).append(_text(usual[0].delta.content))
                    continue
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass  # it says something else, which is looked at below
            try:
                event = msgspec.json.decode(line[5:])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # the last event of a stream that was cut
            if isinstance(event, dict):
                for place, piece in _pieces(event):
                    choices.setdefault(place, []).append(piece)
    return "\n".join("".join(pieces) for pieces in choices.values())


def _pieces(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """2. What one event adds to which answer."""
    if isinstance(event.get("delta"), str):  # the Responses API
        yield f"output {event.get('output_index')} {event.get('type')}", event["delta"]
    if "error" in event:
        yield "error", "error: " + " ".join(_texts(event["error"], _DEPTH))
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict):
            added = choice.get("delta", choice.get("text"))
            yield f"choice {choice.get('index')}", "".join(_texts(added, _DEPTH))
