"""A workflow that is put away leaves no trace, whatever its code does about it."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from longshore import context, define
from tests.engine.book import Book, Function


@define.task(name="f", version="1.0.0")
def f(x: Any = None) -> Any:
    return x


def killed(function: Function) -> list[float]:
    """Begin the workflow, put it away, and give the progress it reported while it was."""
    said: list[float] = []
    book = Book(function)
    step = book.begin()
    asked = len(step.calls), len(step.timers), len(step.closed)
    book.run.report_progress = lambda fraction, _text: said.append(fraction)
    book.execution.kill()
    assert asked == (len(step.calls), len(step.timers), len(step.closed))
    assert not book.execution.waiting
    del book
    gc.collect()
    return said


def test_finally_blocks_run_but_ask_for_nothing(caplog: pytest.LogCaptureFixture) -> None:
    ran: list[str] = []

    async def flow() -> None:
        try:
            await f()
        finally:
            ran.append("finally")
            context.progress(1)
            context.logger.error("not said")
            await f("cleanup")
            ran.append("after the cleanup")

    assert killed(flow) == []
    assert ran == ["finally"]
    assert caplog.records == []


def test_code_that_swallows_everything_for_ever_is_dropped() -> None:
    tries: list[int] = []

    async def flow() -> None:
        while True:
            try:
                await f()
            except BaseException:
                tries.append(1)
                if len(tries) > 1000:
                    raise

    book = Book(flow)
    book.begin()
    book.execution.kill()
    assert len(tries) == 20
    tries.extend([1] * 1000)  # the collector may end it now


def test_inner_coroutines_groups_generators_and_those_that_never_began_are_put_away_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await f("closing")

    async def inner() -> None:
        async for _ in numbers():
            await f()

    async def flow() -> None:
        async with asyncio.TaskGroup() as group, asyncio.timeout(5):
            group.create_task(inner())
            group.create_task(f(1))
            try:
                await asyncio.gather(f(2), asyncio.sleep(9))
            finally:
                late = asyncio.create_task(f("late"))
                await asyncio.wait_for(late, 3)

    with caplog.at_level(logging.DEBUG):
        killed(flow)
    assert caplog.records == []


def test_calls_that_were_still_to_be_awaited_are_not_warned_about() -> None:
    async def flow() -> None:
        for call in [f(1), f(2), f(3)]:
            await call

    killed(flow)  # a warning would be an error


def test_the_world_stays_out_of_reach_while_it_is_put_away(tmp_path: Path) -> None:
    target = tmp_path / "written"

    async def flow() -> None:
        try:
            await f()
        finally:
            target.write_text("x")

    killed(flow)
    assert not target.exists()


def test_putting_away_twice_or_after_the_end_or_before_the_beginning_is_harmless() -> None:
    async def flow() -> Any:
        return await f()

    book = Book(flow)
    book.execution.kill()
    book = Book(flow)
    book.begin()
    book.execution.kill()
    book.execution.kill()
    book = Book(flow)
    book.begin()
    book.answer("0:0")
    book.execution.kill()
