"""Time and chance inside a workflow: alike in every replay, on every Python, and refused elsewhere."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import UTC, timedelta
from typing import Any

import pytest

from longshore import NoRunError, UsageError, context
from longshore.core.ids import RunId
from longshore.engine import enter_task
from longshore.engine.steps import Completed
from longshore.engine.workflow import WorkflowExecution
from longshore.routines.context import RunContext
from tests.engine.book import START, Book
from tests.engine.steps import f, value

GOLDEN = (0.6146811761637777, 345, "b", "cfbdea", "9c446cea-55bf-43f3-ba86-ba67c73fd4b4")


def test_now_is_the_time_of_the_last_fact_aware_and_in_utc() -> None:
    async def flow() -> Any:
        seen = [context.now]
        await f(1)
        seen += [context.now, context.now]
        await f(2)
        return [*seen, context.now]

    book = Book(flow)
    book.begin()
    book.answer("0:0", after=1.25)
    seen = value(book.answer("0:1", after=3600))
    assert [at - START for at in seen] == [timedelta(seconds=s) for s in (0, 1.25, 1.25, 3601.25)]
    assert all(at.tzinfo is UTC for at in seen)


def test_now_is_exact_to_the_microsecond_after_thirty_days() -> None:
    async def flow() -> Any:
        await f(1)
        return context.now

    book = Book(flow)
    book.begin()
    told = book.append("outcome", "0:0", after=30 * 86400 + 0.123457)
    assert value(book.execution.deliver(told)) == told.at


def test_after_a_timer_now_is_the_instant_it_was_due() -> None:
    async def flow() -> Any:
        await asyncio.sleep(90)
        return context.now

    book = Book(flow)
    book.begin()
    assert value(book.fire("0:0")) == START + timedelta(seconds=90)


def test_the_numbers_of_a_run_are_the_golden_ones() -> None:
    async def flow() -> Any:
        chance, deck = context.random, list("abcdef")
        chance.shuffle(deck)
        return chance.random(), chance.randint(1, 1000), chance.choice("abc"), "".join(deck), str(context.uuid4())

    assert value(Book(flow, run_id="0197-run").begin()) == GOLDEN


def numbers(run_id: str, generation: int = 0) -> tuple[float, uuid.UUID]:
    async def flow() -> Any:
        return context.random.random(), context.uuid4()

    step = WorkflowExecution(
        flow, started_at=START, run_context=RunContext(RunId(run_id), routine="flow@1.0.0"), generation=generation
    ).begin()
    assert isinstance(step.outcome, Completed)
    found: tuple[float, uuid.UUID] = step.outcome.value
    return found


def test_another_run_and_another_generation_draw_other_numbers() -> None:
    drawn = [numbers("a"), numbers("b"), numbers("a", 1), numbers("a1")]
    assert len(set(drawn)) == 4
    assert numbers("a") == drawn[0]
    for _, made in drawn:
        assert (made.version, made.variant) == (4, uuid.RFC_4122)


def test_drawing_a_uuid_moves_no_random_number() -> None:
    async def without() -> Any:
        return context.random.random()

    async def after() -> Any:
        context.uuid4()
        return context.random.random()

    assert value(Book(without).begin()) == value(Book(after).begin())


def test_a_replay_draws_the_same_and_goes_on_where_the_run_was() -> None:
    async def flow() -> Any:
        seen: list[Any] = []
        for number in range(4):
            seen.append((context.now, context.uuid4(), context.random.random()))
            await f([context.random.randint(0, 10**9), number])  # the arguments are compared by the replay
        return seen

    straight, broken = Book(flow), Book(flow)
    step, again = straight.begin(), broken.begin()
    for number in range(4):
        step = straight.answer(f"0:{number}", after=1)
        broken.resume(page=1)
        again = broken.answer(f"0:{number}", after=1)
    assert value(again) == value(step)
    assert len(set(value(step))) == 4


def test_a_task_is_told_the_plain_function() -> None:
    with enter_task(RunContext(RunId("r"), routine="train@1.0.0")):
        with pytest.raises(UsageError, match=r"train@1.0.0 uses context.now.* Here use datetime.now\(UTC\)"):
            _ = context.now
        with pytest.raises(UsageError, match=r"context.uuid4\(\), which is for workflows.* Here use uuid.uuid4\(\)"):
            context.uuid4()
        with pytest.raises(UsageError, match=r"context.random.* Here use the module `random`"):
            _ = context.random


@pytest.mark.parametrize("name", ["now", "random", "uuid4"])
def test_outside_any_run_they_say_so(name: str) -> None:
    with pytest.raises(NoRunError, match="inside a routine's body"):
        getattr(context, name)()


def test_the_workers_own_chance_is_left_alone() -> None:
    state = random.getstate()
    numbers("a")
    assert random.getstate() == state
