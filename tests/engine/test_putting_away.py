"""A workflow that is put away leaves no trace, whatever its code does about it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from longshore import context, define
from longshore.core.errors import ForbiddenInWorkflow
from longshore.core.ids import Address
from longshore.engine.steps import Completed
from tests.engine.book import Book, Function, Progress

ENDLESS = 1000
"""What stands for `while True` here: should the code ever get loose, the test fails and does not hang."""


@define.task(name="f", version="1.0.0")
def f(x: Any = None) -> Any:
    return x


def killed(function: Function) -> list[float]:
    """Begin the workflow, put it away, and give the progress it reported while it was."""
    said: list[float] = []
    book = Book(function)
    step = book.begin()
    asked = len(step.calls), len(step.timers), len(step.closed)
    book.run.voice = Progress(said)
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
        for _ in range(ENDLESS):
            try:
                await f()
            except BaseException:  # noqa: BLE001 - the very thing
                tries.append(1)

    book = Book(flow)
    book.begin()
    book.execution.kill()
    ended = len(tries)
    assert 20 < ended < 25, "twenty times unwound, then closed: then it is gone"
    gc.collect()
    assert len(tries) == ended


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


def test_code_that_swallows_everything_reaches_nothing_when_it_is_dropped(tmp_path: Path) -> None:
    target = tmp_path / "written"
    refused: list[str] = []

    async def flow() -> None:
        other = asyncio.create_task(inner("a"))
        await inner("b")
        await other

    async def inner(name: str) -> None:
        for _ in range(ENDLESS):
            try:
                await f(name)
            except BaseException:  # noqa: BLE001 - the very thing
                try:
                    target.write_text(name)
                except ForbiddenInWorkflow:
                    refused.append(name)

    assert killed(flow) == []
    assert 20 < refused.count("a") < 25 and 20 < refused.count("b") < 25
    assert not target.exists()


def test_a_dropped_coroutine_leaves_no_hook_and_no_disabled_collector_behind() -> None:
    async def flow() -> None:
        for _ in range(ENDLESS):
            with contextlib.suppress(BaseException):
                await f()

    hook = sys.unraisablehook
    killed(flow)
    assert sys.unraisablehook is hook and gc.isenabled()


async def return_in_finally() -> str:
    try:
        await f()
    finally:
        return "finally"  # noqa: B012 - the very thing


async def call_in_except() -> Any:
    try:
        return await f()
    except BaseException:  # noqa: BLE001 - the very thing
        return await f("instead")


async def gather_in_finally() -> None:
    try:
        await f()
    finally:
        await asyncio.gather(f(1), f(2), asyncio.sleep(5))


async def timers_in_finally() -> None:
    try:
        await asyncio.sleep(100)
    finally:
        await asyncio.sleep(1)
        asyncio.get_running_loop().call_later(3, print, "never")


async def waits_in_finally() -> None:
    try:
        await context.wait_for_signal("go")
    finally:
        await asyncio.shield(asyncio.ensure_future(context.wait_for_signal("again")))


async def token_in_finally() -> None:
    try:
        await f()
    finally:
        await context.create_token(timeout=5)


async def patch_in_finally() -> None:
    try:
        await f()
    finally:
        context.patch("in-finally")
        await f()


async def next_generation_in_finally() -> None:
    try:
        await f()
    finally:
        context.continue_as()


async def says_much_in_finally() -> None:
    try:
        await f()
    finally:
        context.progress(0.5, "said")
        context.heartbeat()
        context.logger.critical("said")


async def cancels_all_in_finally() -> None:
    others = [asyncio.create_task(f(number)) for number in range(3)]
    try:
        await asyncio.wait(others)
    finally:
        for other in others:
            other.cancel()
        await asyncio.gather(*others)


async def exits_in_finally() -> None:
    try:
        await f()
    finally:
        raise SystemExit(3)


class Calling:
    """An asynchronous context manager that calls a routine on its way out."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> bool:
        await f("on the way out")
        return True  # swallows it


async def swallows_on_the_way_out() -> Any:
    async with Calling():
        await f()
    return await f("after")


async def generator_with_cleanup() -> None:
    async def numbers() -> AsyncGenerator[Any, None]:
        try:
            while True:
                yield await f()
        finally:
            await f("closing")

    async with contextlib.aclosing(numbers()) as all_of_them:
        async for _ in all_of_them:
            await f("each")


STUBBORN: list[Function] = [
    return_in_finally,
    call_in_except,
    gather_in_finally,
    timers_in_finally,
    waits_in_finally,
    token_in_finally,
    patch_in_finally,
    next_generation_in_finally,
    says_much_in_finally,
    cancels_all_in_finally,
    exits_in_finally,
    swallows_on_the_way_out,
    generator_with_cleanup,
]


@pytest.mark.parametrize("function", STUBBORN, ids=lambda function: function.__name__)
def test_nothing_durable_comes_of_it(function: Function, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert killed(function) == []
    assert caplog.records == []


@pytest.mark.parametrize("function", STUBBORN, ids=lambda function: function.__name__)
def test_nor_when_it_is_put_away_in_the_middle_of_a_replay(
    function: Function, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[float] = []
    book = Book(function)
    book.run.voice = Progress(said)
    book.begin()
    first = next(iter(book.rows), Address("0:0"))
    rows = dict(book.rows)
    book.append("outcome", "0/9:9")  # a fact that the execution is never given
    execution = book.execution
    for learned in (rows.values(), ()):
        execution.kill()
        book.execution = execution = book.fresh()
        with caplog.at_level(logging.DEBUG):
            execution.learn(learned)
            step = execution.begin()
            asked = len(step.calls), len(step.timers), len(step.closed)
            execution.kill()
        assert asked == (len(step.calls), len(step.timers), len(step.closed)) == (0, 0, 0)
    assert rows == book.rows and first in book.rows
    del book, execution
    gc.collect()
    assert said == [] and caplog.records == [] and capsys.readouterr().out == ""


def test_an_execution_that_was_put_away_and_replayed_goes_on_as_if_nothing_had_been() -> None:
    async def flow() -> list[Any]:
        found = []
        try:
            found.append(await f(1))
            found.append(await f(2))
        finally:
            found.append(await f("cleanup"))
        return found

    book = Book(flow)
    book.begin()
    book.answer("0:0", "one")
    for _ in range(3):
        step = book.resume()
        assert step.outcome is None and list(book.rows) == ["0:0", "0:1"]
    book.answer("0:1", "two")
    book.resume()
    step = book.answer("0:2", "clean")
    assert isinstance(step.outcome, Completed) and step.outcome.value == ["one", "two", "clean"]
