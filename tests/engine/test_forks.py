"""A fork in the engine: its first pumps are known, though some of what they asked for is asked anew."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from longshore import context
from longshore.core.ids import Address, RunId
from longshore.core.message import CallRow, Delivery
from longshore.engine.steps import Completed, Nondeterministic, Step
from longshore.engine.workflow import WorkflowExecution
from longshore.routines.context import RunContext
from tests.engine.book import START, Book, Function
from tests.engine.steps import f, g


def fork(book: Book, function: Function, at: str, *, dropped: tuple[str, ...] = ()) -> tuple[WorkflowExecution, Step]:
    """A fork at a call of what the book has, up to its cut; with the rows of these addresses dropped."""
    seq = book.rows[Address(at)].asked_seq
    kept = [row for row in book.rows.values() if row.asked_seq <= seq and row.address not in (at, *dropped)]
    first = min([row.asked_seq for row in book.rows.values() if row.address in (at, *dropped)])
    run = RunContext(RunId("run-2"), routine="flow@1.0.0")
    execution = WorkflowExecution(
        function,
        started_at=START,
        processed_seq=first - 1,
        run_context=run,
        seed=book.run.run_id,
        forked_seq=seq,
    )
    execution.learn(kept)
    step = execution.begin()
    asked = [step]
    for delivery, value in book.log[:seq]:
        asked.append(execution.deliver(delivery, value))
    whole = Step(seq, [new for one in asked for new in one.calls], [new for one in asked for new in one.timers])
    whole.waits, whole.outcome = [new for one in asked for new in one.waits], asked[-1].outcome
    return execution, whole


async def guarded() -> Any:
    """A timer around everything, which is asked anew in a fork."""
    async with asyncio.timeout(60):
        early = context.patch("early")
        await f("first")
        late = context.patch("late")
        await f("second")
        return early, late, await g("third")


async def unpatched() -> Any:
    async with asyncio.timeout(60):
        await f("first")
        await f("second")
        return False, False, await g("third")


def test_a_patch_that_was_not_there_before_the_cut_stays_off_and_from_the_cut_on_it_applies() -> None:
    book = Book(unpatched)
    book.begin()
    book.answer("0:1", 1)
    execution, step = fork(book, guarded, "0:2", dropped=("0:0",))
    assert [new.address for new in step.calls] == ["0:2"] and [new.address for new in step.timers] == ["0:0"]
    assert [(wait.name, wait.asked_seq) for wait in step.waits] == [("late", 1)]
    execution.deliver(Delivery(2, "outcome", Address("0:2"), START, "COMPLETED"), 2)
    done = execution.deliver(Delivery(3, "outcome", Address("0:3"), START, "COMPLETED"), 3)
    assert isinstance(done.outcome, Completed) and done.outcome.value == (False, True, 3)


def test_a_patch_that_was_recorded_before_the_cut_is_on() -> None:
    book = Book(guarded)
    book.begin()
    book.answer("0:1", 1)
    _, step = fork(book, guarded, "0:2", dropped=("0:0",))
    assert step.waits == [] and [new.address for new in step.calls] == ["0:2"]


async def draws() -> Any:
    told = await f(f"{context.uuid4()} {context.random.random()}")
    await asyncio.sleep(5)
    return told, await g(str(context.uuid4()))


def test_a_fork_draws_what_the_run_drew_whose_seed_it_has() -> None:
    book = Book(draws)
    book.begin()
    book.answer("0:0", 1)
    book.fire("0:1")
    execution, step = fork(book, draws, "0:2")
    assert step.calls[0].digest == book.rows[Address("0:2")].digest
    assert execution.seq == 2


def test_a_fork_is_silent_before_its_cut_although_it_asks_anew() -> None:
    book = Book(guarded)
    book.begin()
    book.answer("0:1", 1)
    book.answer("0:2", 2)
    execution, _ = fork(book, guarded, "0:3", dropped=("0:0",))
    assert execution.seq == 2 and execution._run.silent is False
    early = WorkflowExecution(
        guarded, started_at=START, run_context=RunContext(RunId("run-3"), routine="flow@1.0.0"), forked_seq=2
    )
    early.begin()
    assert early._run.silent is True


async def ends_early() -> Any:
    return "at once"


def test_code_that_ends_before_the_cut_has_been_changed() -> None:
    book = Book(guarded)
    book.begin()
    book.answer("0:1", 1)
    run = RunContext(RunId("run-2"), routine="flow@1.0.0")
    execution = WorkflowExecution(ends_early, started_at=START, run_context=run, forked_seq=1)
    outcome = execution.begin().outcome
    assert isinstance(outcome, Nondeterministic)
    assert "recorded: it went on, at least to delivery 0" in outcome.failure


async def waits() -> Any:
    await asyncio.gather(asyncio.sleep(5), context.wait_until(context.now + timedelta(seconds=5)))


def test_an_instant_is_told_from_a_length_of_time() -> None:
    book = Book(waits)
    step = book.begin()
    assert sorted((new.duration.total_seconds(), new.instant) for new in step.timers) == [(5, False), (5, True)]


def test_a_row_that_differs_is_seen_in_a_pump_that_is_asked_anew() -> None:
    book = Book(unpatched)
    book.begin()
    book.answer("0:1", 1)
    book.rows[Address("0:1")] = CallRow(Address("0:1"), "call", "other", "d", 0)
    _, step = fork(book, unpatched, "0:2", dropped=("0:0",))
    assert isinstance(step.outcome, Nondeterministic)
