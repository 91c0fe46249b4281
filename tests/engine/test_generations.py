"""`context.continue_as`: the end of a generation, whatever the code around it does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest

from longshore import context
from longshore.core.errors import ArgumentError, NoRunError, UsageError
from longshore.engine.force import enter_task
from longshore.engine.generations import Continued
from longshore.engine.steps import Completed, Nondeterministic, Step
from longshore.engine.workflow import WorkflowExecution
from longshore.routines.context import RunContext
from longshore.serialization.arguments import Arguments, Signature
from tests.engine.book import START, Book
from tests.engine.steps import f


def continued(step: Step) -> Arguments:
    assert isinstance(step.outcome, Continued), step.outcome
    return step.outcome.arguments


async def pages(cursor: int, done: int = 0) -> int:
    count = await f(cursor)
    if count:
        context.continue_as(cursor + count, done=done + count)
    return done


def test_a_workflow_ends_with_the_arguments_of_its_next_generation() -> None:
    book = Book(lambda: pages(3))
    book.begin()
    assert continued(book.answer("0:0", 7)) == Arguments((10,), {"done": 7})
    book = Book(lambda: pages(10, done=7))
    book.begin()
    assert book.answer("0:0", 0).outcome == Completed(7)


def test_a_replay_to_the_end_of_a_generation_ends_the_same() -> None:
    book = Book(lambda: pages(3))
    book.begin()
    book.append("outcome", "0:0", 7)
    assert continued(book.resume()) == Arguments((10,), {"done": 7})


def test_the_arguments_are_held_against_the_workflows_own_signature() -> None:
    signature = Signature(pages)

    async def wrong() -> Any:
        with pytest.raises(ArgumentError) as refused:
            context.continue_as("three", done=1)
        assert refused.value.parameter == "cursor"
        context.continue_as("4")

    run = RunContext(Book(wrong).run.run_id, routine="pages@1.0.0")
    execution = WorkflowExecution(
        wrong, started_at=START, run_context=run, bind=lambda args, kwargs: signature.bind(tuple(args), dict(kwargs))
    )
    assert continued(execution.begin()) == Arguments((4, 0), {})


def test_nothing_after_it_runs_and_what_a_finally_asks_for_has_no_effect(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def beside() -> None:
        try:
            await f("beside")
        finally:
            seen.append("beside")
            await f("never")

    async def flow() -> None:
        other = asyncio.create_task(beside())
        await f("first")
        try:
            context.continue_as(1)
            seen.append("after")
        except Exception:  # noqa: BLE001 - as careless code does
            seen.append("caught")
        finally:
            seen.append("finally")
            await f("cleanup")
            await asyncio.sleep(1)
            seen.append("later")
            await other

    book = Book(flow)
    book.begin()
    step = book.answer("0:0")
    assert continued(step).args == (1,)
    assert (step.calls, step.timers, step.waits) == ([], [], [])
    assert seen == ["finally", "beside"]
    assert caplog.records == []


def test_code_that_swallows_it_ends_all_the_same() -> None:
    async def flow() -> str:
        with contextlib.suppress(BaseException):
            context.continue_as(1)
        return "went on"

    assert continued(Book(flow).begin()).args == (1,)


def test_a_coroutine_beside_the_main_one_may_say_it(caplog: pytest.LogCaptureFixture) -> None:
    async def looks() -> None:
        await f("look")
        context.continue_as("again")

    async def flow() -> None:
        async with asyncio.TaskGroup() as together:
            together.create_task(looks())
            together.create_task(asyncio.sleep(3600))

    book = Book(flow)
    book.begin()
    assert continued(book.answer("0/0:0")).args == ("again",)
    assert caplog.records == []


def test_what_was_asked_for_before_it_in_the_same_step_is_told() -> None:
    async def flow() -> None:
        left = asyncio.ensure_future(f("left"))
        await asyncio.sleep(0)
        del left
        context.continue_as()

    step = Book(flow).begin()
    assert [call.address for call in step.calls] == ["0/0:0"] and continued(step) == Arguments((), {})


def test_a_callback_cannot_continue_and_is_told_where_it_stands(caplog: pytest.LogCaptureFixture) -> None:
    refused: list[str] = []

    def back(_: Any) -> None:
        try:
            context.continue_as(1)
        except UsageError as error:
            refused.append(str(error))

    async def flow() -> None:
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(back)
        future.set_result(None)
        await f()

    assert Book(flow).begin().outcome is None
    assert f"{__file__}:" in refused[0] and "a workflow continues in its own coroutines only" in refused[0]


def test_outside_of_a_workflow_it_says_so() -> None:
    with pytest.raises(NoRunError, match="no routine is running"):
        context.continue_as(1)
    with (
        enter_task(RunContext(Book(lambda: pages(1)).run.run_id, routine="t@1.0.0")),
        pytest.raises(UsageError, match=r"t@1.0.0 uses context.continue_as\(\), which is for workflows"),
    ):
        context.continue_as(1)


@pytest.mark.parametrize("how", ["returns", "raises", "continues"])
def test_code_that_ends_where_it_went_on_before_is_a_difference(how: str) -> None:
    async def changed() -> Any:
        await f(1)
        if how == "raises":
            raise ValueError(how)
        if how == "continues":
            context.continue_as(2)

    async def flow() -> Any:
        await f(1)
        await f(2)

    book = Book(flow)
    book.begin()
    book.answer("0:0")
    book.function = changed
    outcome = book.resume().outcome
    assert isinstance(outcome, Nondeterministic)
    assert "recorded: it went on, at least to delivery 1" in outcome.failure
    assert "the code: ends here" in outcome.failure


def test_a_log_line_of_a_failure_that_nobody_awaited_is_still_written(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise ValueError("lost")

    async def flow() -> None:
        lost = asyncio.ensure_future(fails())
        await asyncio.sleep(0)
        del lost
        context.continue_as()

    with caplog.at_level(logging.ERROR):
        continued(Book(flow).begin())
    assert ["nobody awaited it" in record.getMessage() for record in caplog.records] == [True]
