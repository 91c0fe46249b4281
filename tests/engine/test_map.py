"""`routine.map(...)` in a workflow: a window of calls, results in order, failures, leaving early; replayed alike."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest

from longshore import ArgumentError, UsageError, define
from longshore.core.message import Options
from longshore.engine.steps import Completed
from tests.engine.book import Book
from tests.engine.steps import error, f, g, value


@define.task(name="sum", version="1.0.0")
def add(x: int, y: int) -> int:
    return x + y


def asked(step: Any) -> list[tuple[str, Any]]:
    return [(call.address, call.call.arguments.args[0]) for call in step.calls]


def test_as_many_calls_are_under_way_as_was_asked_for_and_results_come_in_the_order_of_the_items() -> None:
    async def flow() -> list[Any]:
        return [result async for result in f.map("abcd", concurrency=2)]

    book = Book(flow)
    assert asked(book.begin()) == [("0:0", "a"), ("0:1", "b")]
    assert asked(book.answer("0:1", "B")) == [("0:2", "c")]
    assert asked(book.answer("0:2", "C")) == [("0:3", "d")]
    book.answer("0:3", "D")
    assert value(book.answer("0:0", "A")) == ["A", "B", "C", "D"]


def test_a_slow_first_call_lets_a_second_window_finish_and_no_more() -> None:
    async def flow() -> list[Any]:
        return [result async for result in f.map(range(9), concurrency=2)]

    book = Book(flow)
    book.begin()
    assert asked(book.answer("0:1")) == [("0:2", 2)]
    assert asked(book.answer("0:2")) == [("0:3", 3)]
    assert asked(book.answer("0:3")) == []
    assert asked(book.answer("0:0")) == [("0:4", 4), ("0:5", 5)]


def test_an_item_is_taken_only_when_there_is_room_for_its_call() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            yield number

    async def flow() -> None:
        async for _ in f.map(items(), concurrency=3):
            await asyncio.sleep(60)

    book = Book(flow)
    book.begin()
    assert taken == [0, 1, 2]
    book.answer("0:0")
    book.answer("0:1")
    assert taken == [0, 1, 2, 3]


def test_further_iterables_give_the_further_arguments_and_the_shortest_ends_it() -> None:
    async def flow() -> list[int]:
        return [result async for result in add.map([1, 2, 3], [10, 20])]

    step = Book(flow).begin()
    assert [call.call.arguments.args for call in step.calls] == [(1, 10), (2, 20)]


def test_no_items_are_no_results() -> None:
    async def flow() -> list[Any]:
        return [result async for result in f.map([])]

    assert value(Book(flow).begin()) == []


def test_the_first_failure_ends_it_at_once_and_cancels_what_is_under_way() -> None:
    async def flow() -> list[Any]:
        return [result async for result in f.map(range(9), concurrency=3)]

    book = Book(flow)
    book.begin()
    step = book.answer("0:1", ValueError("bad"))
    assert str(error(step)) == "bad"
    assert step.closed == ["0:0", "0:2"]
    assert step.calls == []


def test_a_caller_that_catches_the_failure_can_go_on() -> None:
    async def flow() -> Any:
        try:
            async for _ in f.map(range(9), concurrency=2):
                pass
        except ValueError as caught:
            return await g(str(caught))

    book = Book(flow)
    book.begin()
    step = book.answer("0:0", ValueError("bad"))
    assert (asked(step), step.closed) == ([("0:2", "bad")], ["0:1"])
    assert value(book.answer("0:2", 5)) == 5


def test_a_failure_while_the_loop_is_elsewhere_is_raised_at_its_next_turn() -> None:
    async def flow() -> list[Any]:
        got = []
        try:
            async for result in f.map("abc", concurrency=3):
                got.append(result)
                await g()
        except ValueError as caught:
            got.append(str(caught))
        return got

    book = Book(flow)
    book.begin()
    book.answer("0:0", "A")
    book.answer("0:2", ValueError("bad"))
    step = book.answer("0:3")
    assert value(step) == ["A", "bad"]
    assert step.closed == ["0:1"]


def test_failures_stand_in_their_places_when_they_are_collected() -> None:
    async def flow() -> list[str]:
        return [repr(one) async for one in f.map("abc", concurrency=1, return_exceptions=True)]

    book = Book(flow)
    book.begin()
    book.answer("0:0", "A")
    book.answer("0:1", ValueError("bad"))
    assert value(book.answer("0:2", "C")) == ["'A'", "ValueError('bad')", "'C'"]


def test_an_item_that_does_not_fit_fails_alone_when_failures_are_collected() -> None:
    async def flow() -> list[Any]:
        return [one async for one in add.map(["no number", 1, 2], [1, 2, 3], concurrency=1, return_exceptions=True)]

    book = Book(flow)
    assert asked(book.begin()) == [("0:0", 1)]
    book.answer("0:0", 3)
    bad, *good = value(book.answer("0:1", 5))
    assert isinstance(bad, ArgumentError)
    assert "x" in str(bad)
    assert good == [3, 5]


def test_an_item_that_does_not_fit_ends_it_otherwise() -> None:
    async def flow() -> list[Any]:
        return [one async for one in add.map([1, "no number"], [1, 2], concurrency=2)]

    step = Book(flow).begin()
    assert isinstance(error(step), ArgumentError)
    assert step.closed == ["0:0"]


def test_what_the_items_themselves_raise_is_raised_and_never_collected() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("source")

    async def flow() -> list[Any]:
        return [one async for one in f.map(items(), return_exceptions=True)]

    step = Book(flow).begin()
    assert isinstance(error(step), KeyError)
    assert step.closed == ["0:0"]


def test_leaving_the_loop_cancels_what_is_under_way() -> None:
    async def flow() -> Any:
        async for result in f.map(range(9), concurrency=3):
            if result == "found":
                break
        return await g(result)

    book = Book(flow)
    book.begin()
    step = book.answer("0:0", "found")
    assert step.closed == ["0:1", "0:2", "0:3"]
    assert value(book.answer("0:4", "end")) == "end"


def test_closing_it_by_hand_cancels_what_is_under_way() -> None:
    async def flow() -> Any:
        async with aclosing(f.map(range(9), concurrency=2)) as results:
            first = await anext(results)
        return first

    book = Book(flow)
    book.begin()
    step = book.answer("0:0", "first")
    assert (value(step), step.closed) == ("first", ["0:1", "0:2"])


def test_a_cancellation_of_the_workflow_cancels_its_calls() -> None:
    async def flow() -> None:
        async for _ in f.map(range(9), concurrency=2):
            pass

    book = Book(flow)
    book.begin()
    step = book.tell("cancel")
    assert isinstance(error(step), asyncio.CancelledError)
    assert step.closed == ["0:0", "0:1"]


def test_two_maps_run_side_by_side_each_in_its_own_scope() -> None:
    async def take(routine: Any) -> list[Any]:
        return [one async for one in routine.map("ab", concurrency=1)]

    async def flow() -> list[Any]:
        return list(await asyncio.gather(take(f), take(g)))

    book = Book(flow)
    assert asked(book.begin()) == [("0/0:0", "a"), ("0/1:0", "a")]
    book.answer("0/1:0", 1)
    book.answer("0/0:0", 2)
    book.answer("0/0:1", 3)
    assert value(book.answer("0/1:1", 4)) == [[2, 3], [1, 4]]


def test_one_map_feeds_another() -> None:
    async def flow() -> list[Any]:
        halves = [one async for one in f.map(range(3), concurrency=2)]
        return [one async for one in g.map(halves, concurrency=2)]

    book = Book(flow)
    book.begin()
    for number in range(5):
        book.answer(f"0:{number}", number * 10)
    assert value(book.answer("0:5", 50)) == [30, 40, 50]


def test_it_replays_from_every_delivery_with_the_same_calls() -> None:
    async def flow() -> list[Any]:
        return [str(one) async for one in f.map(range(12), concurrency=3, return_exceptions=True)]

    book = Book(flow)
    step = book.begin()
    for number in (1, 0, 3, 2, 5, 4, 6, 8, 7, 9, 11, 10):
        result = ValueError(number) if number % 4 == 3 else number
        step = book.answer(f"0:{number}", result)
        if step.outcome is None:
            book.resume()
    assert isinstance(step.outcome, Completed)
    assert value(step) == [str(number) for number in range(12)]


def test_leaving_it_early_replays_alike_and_putting_it_away_in_the_middle_has_no_effect() -> None:
    async def flow() -> Any:
        async for result in f.map(range(9), concurrency=2):
            if result == "found":
                break
        await asyncio.sleep(60)
        return await g(result)

    book = Book(flow)
    book.begin()
    book.answer("0:1")
    assert not book.resume().closed
    assert book.answer("0:0", "found").closed == ["0:2", "0:3"]
    assert not book.answer("0:2", "too late").closed
    assert not book.resume().closed
    book.fire("0:4")
    assert value(book.answer("0:5", "end")) == "end"


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3", None])
def test_a_concurrency_that_is_none_is_refused_where_it_is_written(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"map\(concurrency=.*whole number from 1"):
        f.map([1], concurrency=wrong)


def test_options_are_those_of_every_run_and_wrong_ones_are_refused_where_they_are_written() -> None:
    async def flow() -> list[Any]:
        return [one async for one in f.map("ab", tags=["x"], max_attempts=1)]

    step = Book(flow).begin()
    assert [call.call.options for call in step.calls] == [Options(tags=["x"], max_attempts=1)] * 2
    with pytest.raises(UsageError, match="did you mean tags"):
        f.map([1], tagz=["x"])  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="one key for all"):
        f.map([1], idempotency_key="k")


async def test_where_nothing_can_execute_it_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"nothing here can execute f@1\.0\.0"):
        await anext(f.map([1]))
