"""Logs: one JSON object a line, with the request's id and without secrets."""

import asyncio
import gc
import io
import json
import logging
from enum import Enum
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from doorward import logs
from doorward.config import Config
from doorward.hall.errors import NotFoundError
from doorward.hall.hidden import Hidden


class Colour(Enum):
    """A value with a name."""

    RED = "red"


class Log:
    """What was written, as text and as objects."""

    def __init__(self, log_format: str = "json", level: str = "info") -> None:
        self._stream = io.StringIO()
        logging.getLogger().handlers.clear()
        logs.configure(log_format, level, self._stream)
        self.log = structlog.get_logger("doorward.test")

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def entries(self) -> list[dict]:
        return [json.loads(line) for line in self.text.split("\n")[:-1]]


@pytest.fixture(autouse=True)
def restored():
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_an_entry_is_one_object_with_time_level_name_and_event():
    out = Log()
    out.log.info("door_opened", cohort="*", count=3)
    (entry,) = out.entries
    assert entry.pop("at").endswith("Z")
    assert entry == {"level": "info", "logger": "doorward.test", "event": "door_opened", "cohort": "*", "count": 3}


def test_entries_of_a_request_carry_its_id():
    out = Log()
    with logs.request_context("req_1"):
        out.log.info("inside")
        logging.getLogger("some.library").warning("also %s", "inside")
    out.log.info("outside")
    assert [entry.get("request_id") for entry in out.entries] == ["req_1", "req_1", None]


def test_the_level_is_kept_for_both_kinds_of_loggers():
    out = Log(level="warning")
    out.log.info("quiet")
    logging.getLogger("some.library").info("quiet")
    out.log.warning("loud")
    assert [entry["event"] for entry in out.entries] == ["loud"]


def test_libraries_are_heard_from_warnings_on_and_uvicorn_as_set():
    out = Log()
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("uvicorn.error").info("Started server process")
    assert [entry["event"] for entry in out.entries] == ["Started server process"]


def test_debugging_hears_everything():
    out = Log(level="debug")
    logging.getLogger("some.library").debug("chatter")
    assert len(out.entries) == 1


def test_configuring_again_writes_each_entry_once():
    Log()
    out = Log()
    logging.getLogger("some.library").warning("once")
    assert len(out.entries) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", "hunter2"),
        ("new_password", "hunter2"),
        ("api_key", "sk-1"),
        ("Authorization", "Bearer x"),
        ("set-cookie", "a=b"),
        ("session_token", "t"),
        ("ticket", "t"),
        ("proof", "p"),
        ("prompt", "hello"),
        ("otp", 123456),
        ("code", "123456"),
        ("secret", 0),
    ],
)
def test_keys_of_secrets_hide_their_value(key, value):
    out = Log()
    out.log.info("x", **{key: value}, inner={"deeper": [{key: value}]})
    (entry,) = out.entries
    assert entry[key] == entry["inner"]["deeper"][0][key] == "(hidden)"


def test_what_only_sounds_like_a_secret_is_kept():
    out = Log()
    out.log.info(
        "x", tokens=120, key_id="key_1", code="upstream.allowance.used_up", secret="", ticket_lifetime_seconds=5
    )
    (entry,) = out.entries
    assert (entry["tokens"], entry["key_id"], entry["code"]) == (120, "key_1", "upstream.allowance.used_up")
    assert (entry["secret"], entry["ticket_lifetime_seconds"]) == ("", 5)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("key dw_live_abcdef0123456789 used", "key dw_live_… used"),
        ("cookie dws_AbC-_123", "cookie dws_…"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
        ("mail to ann.lee+x@example.com failed", "mail to …@example.com failed"),
        ("<李雷@例子.中国>", "<…@例子.中国>"),
        ("GET /signup?ticket=abc&x=1 done", "GET /signup?ticket=…&x=… done"),
        ("postgresql://doorward:wordpass@db/doorward", "postgresql://doorward:…@db/doorward"),
    ],
)
def test_values_that_look_like_secrets_lose_them(text, instead):
    out = Log()
    out.log.info("x", text=text)
    logging.getLogger("some.library").warning(text)
    first, second = out.entries
    assert first["text"] == second["event"] == instead


def test_objects_leave_only_the_name_of_their_type():
    out = Log()
    out.log.info(
        "x", config=Config(secret="s" * 40), data=b"1234", path=Path("/a"), colour=Colour.RED, many=list(range(99))
    )
    (entry,) = out.entries
    assert (entry["config"], entry["data"], entry["path"], entry["colour"]) == ("<Config>", "<4 bytes>", "/a", "red")
    assert len(entry["many"]) == 50


def test_exceptions_are_written_without_local_variables_and_secrets():
    out = Log()
    hidden_local = "dws_localvalue"
    try:
        raise ValueError(f"refused {hidden_local}")  # noqa: TRY301
    except ValueError as error:
        out.log.exception("failed", cause=error)
        logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=True)  # noqa: G201  # as uvicorn does
    for entry in out.entries:
        assert entry["exception"].endswith("ValueError")
        assert "test_logs.py" in entry["exception"]
    assert "refused dws" not in out.text.replace(r"ValueError(f\"refused", "")
    assert "localvalue" not in out.text.replace('hidden_local = "dws_localvalue"', "")
    assert out.entries[0]["cause"] == "ValueError"


def test_only_messages_that_quote_nothing_are_written():
    out = Log()
    try:
        try:
            raise KeyError("canary of a key")  # noqa: TRY301
        except KeyError as error:
            raise NotFoundError("There is no such thing.") from error
    except NotFoundError:
        out.log.exception("failed")
    out.log.warning("refused", cause=PermissionError(13, "Permission denied", "/home/canary"))
    out.log.warning("several", cause=ExceptionGroup("canary", [ValueError("canary"), NotFoundError("Gone.")]))
    crash, refused, several = out.entries
    assert "NotFoundError: There is no such thing." in crash["exception"]
    assert crash["exception"].index("KeyError") < crash["exception"].index("NotFoundError: There")
    assert (refused["cause"], several["cause"]) == (
        "PermissionError: Permission denied",
        "ExceptionGroup: ValueError; NotFoundError: Gone.",
    )
    assert "canary" not in out.text.replace('"canary of a key', "").replace(r"\"canary of a key", "")


def test_a_task_that_failed_unseen_shows_no_value():
    out = Log()

    async def work() -> None:
        raise ValueError("canary")

    async def forget() -> None:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        del task

    asyncio.run(forget())
    gc.collect()
    assert "never retrieved" in out.text
    assert "canary" not in out.text.replace(r"ValueError(\"canary\")", "")


def test_hidden_values_stay_hidden_at_any_depth():
    out = Log()
    out.log.info("x", plain=Hidden("canary"), deep={"a": [Hidden("canary"), (Hidden(b"canary"),)]})
    (entry,) = out.entries
    assert (entry["plain"], entry["deep"]) == ("(hidden)", {"a": ["(hidden)", ["(hidden)"]]})
    assert "canary" not in out.text


def test_access_entries_of_uvicorn_lose_their_query():
    out = Log()
    arguments = ("10.0.0.1:5000", "GET", "/welcome/x?token=abc", "1.1", 200)
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *arguments)
    (entry,) = out.entries
    assert (entry["event"], entry["path"], entry["status"]) == ("request", "/welcome/x", 200)
    assert "abc" not in out.text


def test_a_library_that_logs_wrongly_does_not_fail():
    out = Log()
    logging.getLogger("some.library").warning("%d things", "many")
    assert out.entries[0]["event"] == "%d things"


def test_the_console_form_cannot_be_forged():
    out = Log("console")
    out.log.info("seen", agent="x\n2026 [error] forged\x1b[2J")
    assert out.text.count("\n") == 1
    assert "\x1b[2J" not in out.text


def test_a_reader_that_went_away_stops_nobody():
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    logs.configure("json", "info", Gone())
    assert structlog.get_logger("doorward.test").info("nobody hears") is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(object()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.sets(st.integers()),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda key: key not in {"event", "exc_info", "level"}), ANYTHING, max_size=4
    )
)
def test_any_values_make_one_line_of_json(values):
    out = Log()
    out.log.bind(**values).info("x")
    assert len(out.entries) == 1
