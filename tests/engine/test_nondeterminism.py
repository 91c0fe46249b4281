"""Code that differs from its journal is noticed, shown with both sides, and stopped."""

from __future__ import annotations

import asyncio
from typing import Any

from longshore import define
from longshore.core.ids import Address
from longshore.core.message import CallRow, Differs
from longshore.engine.steps import Completed, Nondeterministic, Step
from tests.engine.book import Book, Function


@define.task(name="f", version="1.0.0")
def f(x: Any = None) -> Any:
    return x


@define.task(name="g", version="1.0.0")
def g(x: Any = None) -> Any:
    return x


def failure(step: Step) -> str:
    assert isinstance(step.outcome, Nondeterministic), step.outcome
    assert not step.calls
    assert not step.timers
    assert not step.closed
    return step.outcome.failure


async def once() -> Any:
    return await f(1)


def resumed(old: Function, new: Function) -> Step:
    """The journal of `old` after its first step, replayed by `new`."""
    book = Book(old)
    book.begin()
    book.function = new
    return book.resume()


def test_another_routine_at_a_known_address_shows_both_names_and_both_places() -> None:
    async def changed() -> Any:
        return await g(1)

    text = failure(resumed(once, changed))
    assert "address 0:0, in delivery 0" in text
    recorded, code = [line for line in text.splitlines() if line.startswith("  ")]
    assert "recorded: call of 'f'" in recorded
    assert "the code: call of 'g'" in code
    assert recorded.count(f"{__file__}:") == code.count(f"{__file__}:") == 1


def test_other_arguments_at_a_known_address_are_a_difference() -> None:
    async def changed() -> Any:
        return await f(2)

    step = resumed(once, changed)
    recorded, code = [line for line in failure(step).splitlines() if line.startswith("  ")]
    assert "recorded: call of 'f'" in recorded and "the code: call of 'f' with arguments (2) at" in code
    assert isinstance(step.outcome, Nondeterministic)
    assert step.outcome.differs == Differs(Address("0:0"), ["2"])


def test_arguments_that_differ_behind_what_is_shown_are_told_apart_by_their_length_and_digest() -> None:
    async def long() -> Any:
        return await f("x" * 5000 + "a")

    async def changed() -> Any:
        return await f("x" * 5000 + "b")

    step = resumed(long, changed)
    assert "xxx… (5,003 characters, " in failure(step)


def test_arguments_that_cannot_be_shown_stay_a_digest() -> None:
    async def large() -> Any:
        return await f("x" * 100_000)

    step = resumed(once, large)
    code = next(line for line in failure(step).splitlines() if "the code:" in line)
    assert "with arguments (" not in code
    assert isinstance(step.outcome, Nondeterministic)
    assert step.outcome.differs == Differs(Address("0:0"))


def test_another_version_is_not_a_difference() -> None:
    newer = define.task(name="f", version="9.0.0")(f.function)

    async def changed() -> Any:
        return await newer(1)

    book = Book(once)
    book.begin()
    book.function = changed
    assert book.resume().outcome is None
    assert book.answer("0:0", 1).outcome == Completed(1)


def test_a_timer_of_another_length_and_a_timer_in_place_of_a_call_are_differences() -> None:
    async def slept() -> None:
        await asyncio.sleep(5)

    async def slept_longer() -> None:
        await asyncio.sleep(6)

    assert "recorded: timer of length" in failure(resumed(slept, slept_longer))
    assert "the code: timer of length" in failure(resumed(once, slept))


def test_a_call_added_before_the_processed_delivery_is_a_difference() -> None:
    async def changed() -> Any:
        await asyncio.gather(f(1), g(2))

    async def gathered() -> Any:
        await asyncio.gather(f(1))

    text = failure(resumed(gathered, changed))
    assert "address 0/1:0" in text
    assert "recorded: nothing was asked for here" in text


def test_a_call_added_after_the_processed_delivery_is_new() -> None:
    async def changed() -> Any:
        await f(1)
        return await g(2)

    book = Book(once)
    book.begin()
    book.function = changed
    book.resume()
    assert [one.address for one in book.answer("0:0").calls] == ["0:1"]


def test_a_delivery_for_a_call_the_code_no_longer_makes_is_a_difference() -> None:
    async def changed() -> Any:
        await asyncio.Event().wait()

    book = Book(once)
    book.begin()
    book.function = changed
    assert book.resume().outcome is None
    text = failure(book.answer("0:0"))
    assert "recorded: call of 'f'" in text
    assert "the code: asks for nothing here" in text


def test_a_delivery_for_an_address_nobody_knows_is_a_difference() -> None:
    book = Book(once)
    book.begin()
    assert "address 0/7:3, in delivery 1" in failure(book.answer("0/7:3"))


def test_a_timers_delivery_for_a_call_is_a_difference() -> None:
    book = Book(once)
    book.begin()
    assert "something of another kind" in failure(book.tell("timer", "0:0"))


def test_nothing_is_executed_after_a_difference() -> None:
    seen: list[str] = []

    async def changed() -> Any:
        try:
            await g(1)
        except BaseException:
            seen.append("raised")
            raise
        finally:
            seen.append("finally")
            await f("more")

    async def timed() -> Any:
        async with asyncio.timeout(3):
            await f(1)

    book = Book(once)
    book.begin()
    book.function = changed
    first = failure(book.resume())
    assert failure(book.answer("0:0")) == first
    assert failure(resumed(once, timed))


def test_rows_of_commands_that_were_cut_short_are_known_and_the_rest_is_new() -> None:
    async def flow() -> Any:
        await asyncio.gather(f(1), f(2), f(3))

    book = Book(flow)
    step = book.commit(book.execution.begin(), rows=2)
    assert book.processed_seq == -1
    again = book.resume()
    assert [one.address for one in again.calls] == ["0/2:0"]
    assert [one.address for one in step.calls] == ["0/0:0", "0/1:0", "0/2:0"]


def test_rows_learned_late_for_what_was_asked_already_change_nothing() -> None:
    book = Book(once)
    step = book.begin()
    row = CallRow(Address("0:0"), "call", "f", step.calls[0].digest, 0)
    book.execution.learn([row])
    assert book.answer("0:0", 5).outcome == Completed(5)
