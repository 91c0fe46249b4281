"""Log lines carry the run they belong to, as text and as JSON."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context

import pytest

from longshore.telemetry import CURRENT, LogScope, setup_logging

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
SCOPE = LogScope("run-1", "train@1.0.0", f"00-{TRACE}-{SPAN}-01")

Start = Callable[[bool], io.StringIO]


@pytest.fixture
def start() -> Iterator[Start]:
    top = logging.getLogger()
    level, before = top.level, list(top.handlers)

    def begin(json: bool) -> io.StringIO:
        stream = io.StringIO()
        setup_logging(json, "info", stream=stream)
        return stream

    yield begin
    top.setLevel(level)
    for handler in [handler for handler in top.handlers if handler not in before]:
        top.removeHandler(handler)


def test_a_line_inside_a_run_names_run_routine_trace_and_span(start: Start) -> None:
    stream = start(True)
    token = CURRENT.set(SCOPE)
    logging.getLogger("somebody.else").warning("weights %s", [1, 2])
    CURRENT.reset(token)
    line = json.loads(stream.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "WARNING", "logger": "somebody.else", "message": "weights [1, 2]",
        "run_id": "run-1", "routine": "train@1.0.0", "trace_id": TRACE, "span_id": SPAN,
    }  # fmt: skip


def test_a_line_outside_any_run_names_none(start: Start) -> None:
    stream = start(True)
    logging.getLogger("longshore").info("started")
    assert not {"run_id", "trace_id"} & json.loads(stream.getvalue()).keys()


def test_a_line_written_in_a_thread_belongs_to_the_run_of_that_thread(start: Start) -> None:
    stream = start(True)
    contexts = [copy_context() for _ in range(2)]
    for number, context in enumerate(contexts):
        context.run(CURRENT.set, LogScope(f"run-{number}", "r@1.0.0"))
    threads = [threading.Thread(target=context.run, args=(logging.info, "hello")) for context in contexts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(json.loads(line)["run_id"] for line in stream.getvalue().splitlines()) == ["run-0", "run-1"]


def test_fields_given_with_extra_are_kept_and_win(start: Start) -> None:
    stream = start(True)
    logging.getLogger("longshore").error("lost", extra={"run_id": "run-9", "worker": "w", "odd": {1}})
    line = json.loads(stream.getvalue())
    assert (line["run_id"], line["worker"], line["odd"]) == ("run-9", "w", "{1}")


def test_text_lines_show_the_run_in_brackets_and_the_traceback_below(start: Start) -> None:
    stream = start(False)
    token = CURRENT.set(LogScope("run-1", "train@1.0.0"))
    try:
        raise ValueError("no data")
    except ValueError:
        logging.getLogger("mine").exception("failed")
    CURRENT.reset(token)
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR   mine: failed [run_id=run-1 routine=train@1.0.0]")
    assert rest[0].startswith("Traceback") and rest[-1] == "ValueError: no data"


def test_json_lines_hold_the_traceback_on_the_same_line(start: Start) -> None:
    stream = start(True)
    try:
        raise ValueError("no data")
    except ValueError:
        logging.getLogger("mine").exception("failed")
    assert json.loads(stream.getvalue())["traceback"].endswith("ValueError: no data")


def test_setting_up_again_replaces_ours_and_leaves_other_handlers_alone(start: Start) -> None:
    theirs = logging.NullHandler()
    logging.getLogger().addHandler(theirs)
    first, second = start(True), start(False)
    logging.getLogger("x").info("once")
    assert first.getvalue() == "" and second.getvalue().count("once") == 1
    assert theirs in logging.getLogger().handlers


def test_lines_below_the_level_are_not_written(start: Start) -> None:
    stream = start(False)
    logging.getLogger("x").debug("whisper")
    assert stream.getvalue() == ""
