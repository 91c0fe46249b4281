"""What code inside a workflow sees, and what is seen of it from outside."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextvars import ContextVar
from typing import Any

import pytest

from longshore import context
from tests.engine.book import Book, Progress
from tests.engine.steps import f, g, value


def test_the_context_inside_is_the_runs_and_context_variables_flow_into_inner_coroutines() -> None:
    variable: ContextVar[int] = ContextVar("variable", default=0)

    async def inner() -> tuple[int, str]:
        await f()
        return variable.get(), context.run_id

    async def flow() -> Any:
        variable.set(5)
        result = await asyncio.create_task(inner())
        return result, context.attempt, context.routine

    book = Book(flow)
    book.begin()
    assert value(book.answer("0/0:0")) == ((5, "run-1"), 1, "flow@1.0.0")
    assert variable.get() == 0


def test_progress_and_log_are_said_once_and_not_again_in_a_replay(caplog: pytest.LogCaptureFixture) -> None:
    async def flow() -> Any:
        context.progress(0.25)
        context.logger.warning("began")
        await f()
        context.progress(0.5)
        context.logger.warning("went on")
        return await f()

    said: list[float] = []
    book = Book(flow)
    book.run.voice = Progress(said)
    book.begin()
    book.answer("0:0")
    book.resume()
    assert value(book.answer("0:1", 1)) == 1
    assert said == [0.25, 0.5]
    assert [record.getMessage() for record in caplog.records] == ["began", "went on"]


def test_failures_nobody_awaited_are_logged_when_the_workflow_ends(caplog: pytest.LogCaptureFixture) -> None:
    async def inner() -> None:
        raise ValueError("lost")

    async def flow() -> None:
        keep = asyncio.create_task(inner())
        await f()
        assert keep.done()

    book = Book(flow)
    book.begin()
    with caplog.at_level(logging.ERROR, "longshore.workflow"):
        book.answer("0:0")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "lost"


def test_a_workflow_that_waits_for_nothing_shows_an_empty_list() -> None:
    async def flow() -> None:
        await asyncio.Event().wait()

    book = Book(flow)
    assert book.begin().outcome is None
    assert not book.execution.waiting


def test_stacks_show_where_each_coroutine_waits() -> None:
    async def inner() -> None:
        await f()

    async def flow() -> None:
        await asyncio.gather(inner(), g(), asyncio.sleep(5))

    book = Book(flow)
    book.begin()
    text = book.execution.stacks()
    assert "coroutine 0/0 waits for 0/0:0" in text
    assert "inner" in text
    assert "calls g@1.0.0" in text
    assert "coroutine 0/2 waits for 0/2:0" in text


def test_an_abandoned_async_generator_is_closed_where_it_is_left_and_may_call_routines() -> None:
    async def numbers() -> Any:
        try:
            yield await f()
        finally:
            await g("closing")

    async def flow() -> Any:
        async for number in numbers():
            return number

    book = Book(flow)
    book.begin()
    assert value(book.answer("0:0", 3)) == 3

    async def longer() -> Any:
        async for _ in numbers():
            break
        return await f("end")

    book = Book(longer)
    book.begin()
    step = book.answer("0:0", 3)
    assert {one.address: one.call.arguments.args for one in step.calls} == {"0:1": ("end",), "0/0:0": ("closing",)}


async def test_a_workflow_can_be_pumped_from_inside_another_loop_and_leaves_it_as_it_was() -> None:
    async def flow() -> Any:
        return await f()

    outer = asyncio.get_running_loop()
    book = Book(flow)
    book.begin()
    assert asyncio.get_running_loop() is outer
    await asyncio.sleep(0)
    assert value(book.answer("0:0", 1)) == 1


def test_an_async_generator_found_by_the_garbage_collector_asks_for_nothing() -> None:
    async def numbers(held: list[Any]) -> Any:
        try:
            yield await f(len(held))
        finally:
            await g("at a place that differs in each replay")

    async def flow() -> Any:
        held: list[Any] = []
        generator = numbers(held)
        held.append(generator)  # a circle: only the collector can end it
        first = await anext(generator)
        del generator, held
        gc.collect()
        await asyncio.sleep(0)
        return first

    book = Book(flow)
    book.begin()
    step = book.answer("0:0", 3)
    assert (value(step), step.calls) == (3, [])
