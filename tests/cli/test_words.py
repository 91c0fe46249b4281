"""Words in and words out: arguments, errors, durations, sizes, plain tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from longshore.cli.options import arguments, loose, metadata
from longshore.cli.problems import FAILED, USAGE, StoppedWaiting, explain
from longshore.cli.screen import plain_table, seconds, shown, size, to_json
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
    assert metadata(None) == {}


@pytest.mark.parametrize(
    ("error", "status", "advice"),
    [
        (BrokerUnavailableError("no answer from localhost:5672", run_id="r1"), FAILED, "LONGSHORE_BROKER_URL"),
        (NotYetAccepted("no coordinator has answered", run=Handle()), FAILED, "longshore runs watch 0190-run"),
        (Rejected("max_size", "the queue is full"), FAILED, ""),
        (SettingsError("LONGSHORE_LEASE", "must be longer"), USAGE, "longshore.toml"),
        (ArgumentError("epochs: not a number", parameter="epochs"), USAGE, ""),
        (RunFailed("r1 ended FAILED", run_id="r1", status="FAILED"), FAILED, "longshore runs show r1"),
        (StoppedWaiting("r1"), FAILED, "longshore runs cancel r1"),
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
