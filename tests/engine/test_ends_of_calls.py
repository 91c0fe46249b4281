"""How a called routine ended is what its caller is told, as the exception for that end, live and replayed."""

from __future__ import annotations

from typing import Any

import pytest

from longshore.core.errors import (
    RunCanceled,
    RunCrashed,
    RunError,
    RunExpired,
    RunFailed,
    RunSystemFailure,
    RunTimedOut,
)
from longshore.engine.steps import Completed, Raised
from tests.engine.book import Book
from tests.engine.steps import f

ENDS: list[tuple[str, type[RunError]]] = [
    ("CRASHED", RunCrashed),
    ("TIMED_OUT", RunTimedOut),
    ("EXPIRED", RunExpired),
    ("CANCELED", RunCanceled),
    ("SYSTEM_FAILURE", RunSystemFailure),
    ("FAILED", RunFailed),
]


def error_of(status: str, kind: type[RunError]) -> RunError:
    error = kind(f"sub-routine run r ended as {status}", run_id="r", status=status)
    error.__cause__ = ValueError("why")
    return error


@pytest.mark.parametrize(("status", "kind"), ENDS)
def test_the_end_of_a_call_is_raised_where_it_is_awaited(status: str, kind: type[RunError]) -> None:
    async def flow() -> Any:
        try:
            await f(1)
        except RunError as error:
            return [type(error), error.status, error.run_id, str(error.__cause__), await f(2)]

    book = Book(flow)
    book.begin()
    step = book.tell("outcome", "0:0", error_of(status, kind), status=status)
    assert [call.address for call in step.calls] == ["0:1"]
    book.resume()
    assert book.answer("0:1", "cleaned").outcome == Completed([kind, status, "r", "why", "cleaned"])


@pytest.mark.parametrize(("status", "kind"), ENDS)
def test_an_end_that_nobody_catches_ends_the_caller_with_it(status: str, kind: type[RunError]) -> None:
    book = Book(lambda: f(1))
    book.begin()
    outcome = book.tell("outcome", "0:0", error_of(status, kind), status=status).outcome
    assert isinstance(outcome, Raised) and type(outcome.exception) is kind
