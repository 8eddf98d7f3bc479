"""Structured logs on standard error: one entry a line, with the request's id, and without what must not be read.

1. Rooms log with `structlog.get_logger("doorward.<room>")`; entries of the standard library (uvicorn, SQLAlchemy) are
   folded in, so there is one stream of one shape.
2. What is logged is cut down by type first: plain values pass, a `Hidden` one is hidden, anything else leaves only its
   type's name, so that an object which happens to hold a secret cannot show it.
3. Of an exception its types, places and lines of source are written; its message only where it is ours
   (`DoorwardError`: written for people, without values) or the operating system's. Any other may quote what it met.
4. Second net: keys that name a secret hide their value, and values that look like one of our credentials, a bearer
   header or a mail address lose that part. Addresses of requests lose their query.
"""

import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import PurePath
from typing import Any, Final, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from doorward.hall.errors import DoorwardError
from doorward.hall.hidden import SHOWN, Hidden

HIDDEN: Final = SHOWN
TEXT_CHARACTERS: Final = 2_000
EXCEPTION_CHARACTERS: Final = 16_000
ENTRIES: Final = 50
DEPTH: Final = 4

_SECRET_KEY: Final = re.compile(
    r"(?:^|[_-])(?:password|passphrase|secret|token|credential|authorization|cookie|api[_-]?key|private[_-]?key|proof|"
    r"ticket|otp|prompt|messages|completion|signature)$",
    re.IGNORECASE,
)
_ERROR_CODE: Final = re.compile(r"[a-z_]+(?:\.[a-z_]+)+")
_SECRET_VALUES: Final = (
    (re.compile(r"\b(dw_live_|dws_)[A-Za-z0-9_-]+"), r"\1…"),
    (re.compile(r"\b((?:bearer|basic)\s+)[^\s\"',;]+", re.IGNORECASE), r"\1…"),
    (re.compile(r"\b(?:[A-Za-z0-9._%+-]{1,64}|[^\s@:/<>\"']{1,64})@(?=[\w.-]*\w)"), "…@"),
    (re.compile(r"(?<=[?&])([\w.-]{1,64})=[^\s&\"'#]+"), r"\1=…"),
)
_URL_PASSWORD: Final = re.compile(r"(\w://[^/\s:@]*):[^/\s@]+@")
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(log_format: str = "json", level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (default: standard error) as `json` or for the `console`."""
    out = stream or sys.stderr
    is_console = log_format == "console"
    last: list[Processor] = (
        [_printable, structlog.dev.ConsoleRenderer(colors=out.isatty())] if is_console else [_in_order, _as_json]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.ExceptionRenderer(_told),
            redact,
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_Lines(out),
        cache_logger_on_first_use=False,  # a second call (tests, a changed level) must reach loggers made before
    )
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, _Fold)] + [_Fold()]
    root.setLevel(_LEVELS[level] if level == "debug" else max(_LEVELS[level], logging.WARNING))  # libraries talk a lot
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(_LEVELS[level])


@contextmanager
def request_context(request_id: str) -> Iterator[None]:
    """Have every entry that is logged inside carry the request's id."""
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        yield


def redact(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    """2. and 4.: the entry with nothing in it that must not be read."""
    return {str(key): _cut(str(key), value, DEPTH) for key, value in entry.items()}


def _cut(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, Hidden):
        return HIDDEN
    if _SECRET_KEY.search(key):
        return HIDDEN if value or value == 0 else value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)[:40]
    if isinstance(value, str | PurePath):
        return _cut_text(key, str(value.value if isinstance(value, Enum) else value))
    return _cut_inside(key, value, depth)


def _cut_text(key: str, text: str) -> str:
    if key == "code" and not _ERROR_CODE.fullmatch(text):
        return HIDDEN
    limit = EXCEPTION_CHARACTERS if key == "exception" else TEXT_CHARACTERS
    if len(text) > limit:
        text = text[:limit] + "…"
    text = _URL_PASSWORD.sub(r"\1:…@", text)
    for pattern, instead in _SECRET_VALUES:
        text = pattern.sub(instead, text)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _cut_inside(key: str, value: Any, depth: int) -> Any:
    """Collections to a limited depth and length; of anything else, what it is."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Enum):
        return _cut(key, value.value, depth)
    if depth and isinstance(value, Mapping):
        return {str(k)[:80]: _cut(str(k), v, depth - 1) for k, v in list(value.items())[:ENTRIES]}
    if depth and isinstance(value, Sequence | set | frozenset):
        return [_cut(key, entry, depth - 1) for entry in list(value)[:ENTRIES]]
    if isinstance(value, BaseException):
        return _cut_text("", summary(value))
    return f"<{type(value).__name__}>"


def traceback_of(error: BaseException) -> str:
    """3. An exception and those that led to it: types, places and lines of source, without what they met."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{summary(current)}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n\nwhich led to:\n\n".join(reversed(parts))


def summary(error: BaseException) -> str:
    """3. The type of an exception, and its message where that quotes nothing."""
    name = type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        return f"{name}: " + "; ".join(map(summary, error.exceptions[:ENTRIES]))
    if isinstance(error, DoorwardError):
        return f"{name}: {error.message}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    return name


def crashed(error: BaseException) -> None:
    """Say that this process ends by an error that nobody expected, without what the error met."""
    structlog.get_logger("doorward").critical("crashed", exc_info=error)


def _told(exc_info: Any) -> str:
    return traceback_of(exc_info[1])


def _name(logger: WrappedLogger, _: str, entry: EventDict) -> EventDict:
    entry.setdefault("logger", getattr(logger, "name", ""))
    return entry


def _in_order(_: WrappedLogger, __: str, entry: EventDict) -> EventDict:
    first = {key: entry.pop(key) for key in ("at", "level", "logger", "event", "request_id") if key in entry}
    return {**first, **entry}


def _as_json(_: WrappedLogger, __: str, entry: EventDict) -> str:
    return msgspec.json.encode(entry).decode()


def _printable(_: WrappedLogger, __: str, entry: MutableMapping[str, Any]) -> EventDict:
    """For a terminal: nothing that would move the cursor or start a line of its own."""
    for key, value in entry.items():
        if isinstance(value, str):
            lines = value.split("\n") if key == "exception" else [value]
            entry[key] = "\n".join(
                "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line) for line in lines
            )
    return dict(entry)


class _Lines:
    """Makes the loggers that write to one stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, *names: str) -> "_Line":
        return _Line(names[0] if names else "", self._stream, self._lock)


class _Line:
    """Writes entries that are rendered already."""

    def __init__(self, name: str, stream: TextIO, lock: threading.Lock) -> None:
        self.name = name
        self._stream = stream
        self._lock = lock

    def msg(self, message: str) -> None:
        """Write one entry."""
        try:
            with self._lock:
                self._stream.write(message + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            # Whoever read the log has gone. There is nowhere left to say so, and people are still being served.
            return

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


class _Fold(logging.Handler):
    """1. Hands entries of the standard library's logging to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record again; an access record loses its query."""
        event, values = _of_record(record)
        structlog.get_logger(record.name).log(min(record.levelno, 50), event, **values)


def _of_record(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
    if record.name == "uvicorn.access" and isinstance(record.args, tuple) and len(record.args) == 5:
        client, method, target, _, status = record.args
        path = str(target).partition("?")[0]
        return "request", {"client": str(client), "method": str(method), "path": path, "status": status}
    if record.name == "asyncio" and record.exc_info:
        return str(record.msg).partition("\n")[0], values  # what follows is the task, which shows its exception
    try:
        return record.getMessage().strip(), values
    except (
        TypeError,
        ValueError,
        KeyError,
    ):  # arguments that do not fit their text: the text alone is better than none
        return str(record.msg), values
