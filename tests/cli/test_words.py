"""Words in and words out: arguments, errors, durations, sizes, plain tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from longshore.cli.fields import why_text
from longshore.cli.options import arguments, loose, metadata_of
from longshore.cli.problems import FAILED, USAGE, StoppedWaiting, WaitedLongEnough, explain
from longshore.cli.screen import Screen, plain_table, seconds, shown, size, to_json
from longshore.cli.waiting import Lines
from longshore.client import Change
from longshore.core.errors import (
    ArgumentError,
    BrokerUnavailableError,
    NotYetAccepted,
    Rejected,
    RunFailed,
    SettingsError,
    UsageError,
)


class Handle:
    id = "0190-run"


def test_arguments_are_json_and_single_ones_may_be_plain_text() -> None:
    assert arguments('[1, "two"]', '{"a": null}', ["b=3", "c=three words", 'd="4"', "e=x=y"]) == (
        [1, "two"],
        {"a": None, "b": 3, "c": "three words", "d": "4", "e": "x=y"},
    )
    assert arguments(None, None, []) == ([], {})


@pytest.mark.parametrize(
    ("args", "kwargs", "single", "said"),
    [
        ("{}", None, [], "--args must be a list"),
        ("[1", None, [], "--args is not JSON"),
        (None, "[]", [], "--kwargs must be an object"),
        (None, None, ["epochs"], "is not name=value"),
        (None, None, ["1x=3"], "is not name=value"),
        (None, '{"a": 1}', ["a=2"], "given twice"),
    ],
)
def test_wrong_arguments_name_the_option_and_show_an_example(
    args: str | None, kwargs: str | None, single: list[str], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        arguments(args, kwargs, single)
    problem = explain(caught.value)
    assert problem is not None
    assert problem.status == USAGE
    assert problem.advice


def test_loose_values_are_json_where_they_are_json() -> None:
    assert [loose(text) for text in ("3", "true", "null", "[1]", "abc", "")] == [3, True, None, [1], "abc", ""]
    assert metadata_of(None) == {}


@pytest.mark.parametrize(
    ("error", "status", "advice"),
    [
        (BrokerUnavailableError("no answer from localhost:5672", run_id="r1"), FAILED, "LONGSHORE_BROKER_URL"),
        (NotYetAccepted("no coordinator has answered", run=Handle()), FAILED, "longshore runs watch 0190-run"),
        (Rejected("max_size", "the queue is full"), FAILED, ""),
        (Rejected("busy", "too many questions wait"), FAILED, "in a moment"),
        (Rejected("too_many_signals", "10,000 wait already"), FAILED, ""),
        (Rejected("unknown_run", "there is no run r1"), USAGE, "longshore runs list"),
        (Rejected("unknown_worker", "there is no worker w1"), USAGE, "longshore workers list"),
        (Rejected("already_final", "run r1 is FAILED already"), USAGE, "longshore runs show"),
        (Rejected("a_rule_to_come", "no"), USAGE, ""),
        (Rejected("status", "'NOPE' is no status"), USAGE, ""),
        (SettingsError("LONGSHORE_LEASE", "must be longer"), USAGE, "longshore.toml"),
        (ArgumentError("epochs: not a number", parameter="epochs"), USAGE, ""),
        (RunFailed("r1 ended FAILED", run_id="r1", status="FAILED"), FAILED, "longshore runs show r1"),
        (StoppedWaiting("r1"), FAILED, "longshore runs cancel r1"),
        (WaitedLongEnough("r1", 2.0), FAILED, "longshore runs watch r1"),
        (TimeoutError(), FAILED, ""),
        (KeyboardInterrupt(), FAILED, ""),
    ],
)
def test_every_expected_error_has_a_line_an_exit_status_and_advice(
    error: BaseException, status: int, advice: str
) -> None:
    problem = explain(error)
    assert problem is not None
    assert problem.status == status
    assert problem.text
    assert advice in problem.advice
    assert json.loads(to_json(problem.as_json()))["error"]["message"] == problem.text


def test_a_defect_is_not_explained_away() -> None:
    assert explain(ZeroDivisionError("division by zero")) is None


def test_further_lines_of_an_error_are_its_advice() -> None:
    problem = explain(UsageError("it is wrong\ndo it so"))
    assert problem is not None
    assert (problem.text, problem.advice) == ("it is wrong", "do it so")


def test_a_refusal_is_said_once() -> None:
    problem = explain(Rejected("unknown_run", "there is no run r1"))
    assert problem is not None
    assert problem.text == "there is no run r1"


def test_a_reason_does_not_name_its_holder_twice() -> None:
    assert why_text({"text": "executes on w1", "holders": ["w1"]}) == "executes on w1"
    assert why_text({"text": "all 2 slots are taken", "holders": ["r1", "r2"]}) == "all 2 slots are taken (r1, r2)"


def test_how_far_a_run_is_makes_a_line_only_when_it_is_news() -> None:
    moved: list[str] = []
    lines = Lines(Screen(), "r1", moved.append)
    words = [("started", 3), ("1% slow", 0), ("1% slow", 0), ("2% slow", 0), ("returned", 4)]
    told = [lines.tells(Change("r1", "EXECUTING", reason, seq=seq)) for reason, seq in words]
    assert told == [True, True, False, True, True]
    assert len(moved) == len(words)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (3.4e-4, "340 µs"), (0.012, "12 ms"), (3.44, "3.4 s"), (125, "2 min 5 s"), (11_520, "3 h 12 min")],
)
def test_durations_read_well(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, ""), (812, "812 B"), (65_536, "64.0 KiB"), (3 << 30, "3.0 GiB")])
def test_sizes_read_well(value: int | None, text: str) -> None:
    assert size(value) == text


def test_plain_tables_are_aligned_columns_without_trailing_blanks() -> None:
    assert plain_table(["A", "LONG"], [["xyz", "1"], ["", "2"]]) == ["A    LONG", "xyz  1", "     2"]


def test_cells_show_what_people_read() -> None:
    assert [shown(value) for value in (None, True, False, ["a", "b"], {"a": 1}, 7)] == [
        "",
        "yes",
        "",
        "a, b",
        '{"a": 1}',
        "7",
    ]


def test_json_knows_times_bytes_and_sets() -> None:
    data = {"at": datetime(2026, 1, 1, tzinfo=UTC), "raw": b"x", "tuple": (1, 2)}
    assert json.loads(to_json(data)) == {"at": "2026-01-01T00:00:00Z", "raw": "x", "tuple": [1, 2]}
