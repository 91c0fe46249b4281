"""`context.patch`: runs under way keep the old code, later ones take the new, whatever crashes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from longshore import NoRunError, UsageError, context
from longshore.core.ids import RunId
from longshore.engine import enter_task
from longshore.engine.steps import Completed, Nondeterministic, Raised
from longshore.routines.context import RunContext
from tests.engine.book import Book, Function
from tests.engine.steps import f, g, value


async def old() -> Any:
    return [await f("first"), await f("old"), await f("last")]


async def new() -> Any:
    first = await f("first")
    if context.patch("split"):
        parts = await asyncio.gather(g("new 1"), g("new 2"))
        return [first, *parts, await f("last")]
    return [first, await f("old"), await f("last")]


def finish(book: Book, *, crash: bool) -> Any:
    """Answer whatever is open with the arguments of the call, oldest first; with `crash`, replay before each."""
    for _ in range(20):
        if crash:
            book.resume(page=1)
        if not book.execution.waiting:
            break
        address = next(iter(book.execution.waiting))
        entry: Any = book.asked[address]
        step = book.answer(address, entry.call.arguments.args[0])
        if step.outcome is not None:
            return step
    raise AssertionError("it did not end")


@pytest.mark.parametrize("crash", [False, True])
def test_a_run_that_begins_after_the_change_takes_the_new_code_and_keeps_it(crash: bool) -> None:
    book = Book(new)
    book.begin()
    assert value(finish(book, crash=crash)) == ["first", "new 1", "new 2", "last"]
    (row,) = [row for row in book.rows.values() if row.kind == "patch"]
    assert (row.address, row.name, row.asked_seq) == ("patch:split", "split", 1)
    assert __file__ in row.place


def test_a_run_whose_worker_was_lost_while_it_said_what_the_old_code_asked_for_keeps_the_old_code() -> None:
    book = Book(old)
    book.begin()
    delivery = book.append("outcome", "0:0", "first")
    book.commit(book.execution.deliver(delivery, "first"), rows=1)  # and never that this was all
    assert (len(book.rows), book.processed_seq) == (2, 0)
    book.function = new
    assert not isinstance(book.resume().outcome, Nondeterministic)
    assert value(finish(book, crash=False)) == ["first", "old", "last"]


def test_a_run_whose_worker_was_lost_while_it_said_what_the_new_code_asked_for_keeps_the_new_code() -> None:
    book = Book(new)
    book.begin()
    delivery = book.append("outcome", "0:0", "first")
    book.commit(book.execution.deliver(delivery, "first"), rows=2)  # the patch, and one call
    assert (len(book.rows), book.processed_seq) == (3, 0)
    book.resume()
    assert value(finish(book, crash=False)) == ["first", "new 1", "new 2", "last"]


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("answered", [1, 2])
def test_a_run_that_passed_the_point_before_the_change_keeps_the_old_code(answered: int, crash: bool) -> None:
    book = Book(old)
    book.begin()
    for number in range(answered):
        book.answer(f"0:{number}", ("first", "old")[number])
    book.function = new
    book.resume(page=1)
    assert value(finish(book, crash=crash)) == ["first", "old", "last"]
    assert not [row for row in book.rows.values() if row.kind == "patch"]


@pytest.mark.parametrize("crash", [False, True])
def test_a_run_that_began_before_the_change_and_had_not_reached_it_takes_the_new_code(crash: bool) -> None:
    book = Book(old)
    book.begin()
    book.function = new
    book.resume()
    assert value(finish(book, crash=crash)) == ["first", "new 1", "new 2", "last"]


def test_the_addresses_of_what_follows_are_those_of_the_code_without_the_patch() -> None:
    async def marked() -> Any:
        context.patch("a")
        first = await f(1)
        context.patch("b")
        return [first, await f(2)]

    book = Book(marked)
    assert [call.address for call in book.begin().calls] == ["0:0"]
    assert [call.address for call in book.answer("0:0").calls] == ["0:1"]


def test_commands_that_were_lost_after_the_patch_was_recorded_are_asked_for_again_on_the_new_way() -> None:
    for kept in range(4):  # of the pump's three rows: the patch, then two calls
        book = Book(new)
        book.begin()
        book.commit(book.execution.deliver(book.append("outcome", "0:0", "first"), "first"), rows=kept)
        step = book.resume()
        assert {entry.address for entry in step.calls} == {"0/0:0", "0/1:0"} - set(list(book.rows)[2 : kept + 1])
        assert value(finish(book, crash=True)) == ["first", "new 1", "new 2", "last"]


def looping(*, patched: bool) -> Function:
    async def flow() -> Any:
        seen = []
        for number in range(4):
            if patched and context.patch("doubled"):
                seen.append(await g(2 * number))
            else:
                seen.append(await f(number))
        return seen

    return flow


@pytest.mark.parametrize("answered", [0, 1, 3])
@pytest.mark.parametrize("page", [1, 2, 9])
def test_in_a_loop_the_first_pump_that_asks_decides_for_the_whole_run(answered: int, page: int) -> None:
    book = Book(looping(patched=False))
    book.begin()
    for number in range(answered):
        book.answer(f"0:{number}", number)
    book.function = looping(patched=True)
    book.resume(page=page)
    assert value(finish(book, crash=True)) == [0, 1, 2, 3]


def test_a_row_that_comes_with_its_page_ahead_of_its_pump_does_not_count_before_it() -> None:
    """The same name is asked earlier by a later change: what the pumps before the row did is what the old code did."""

    async def earlier() -> Any:
        before = await (g if context.patch("split") else f)("first")
        return [before, *(await new())[1:]]

    for page in (1, 9):
        book = Book(new)
        book.begin()
        book.answer("0:0", "first")
        book.function = earlier
        step = book.resume(page=page)
        assert isinstance(step.outcome, Nondeterministic)  # the old way was never gone: it asks for what has no row


def test_a_patch_that_is_no_longer_asked_for_is_no_difference() -> None:
    async def after() -> Any:
        return [await f("first"), *await asyncio.gather(g("new 1"), g("new 2")), await f("last")]

    book = Book(new)
    book.begin()
    book.answer("0:0", "first")
    book.function = after
    book.resume()
    assert value(finish(book, crash=True)) == ["first", "new 1", "new 2", "last"]


def test_two_patches_are_decided_each_for_itself() -> None:
    async def middle() -> Any:
        return [context.patch("one"), await f(1)]

    async def both() -> Any:
        one = context.patch("one")
        await f(1)
        return [one, context.patch("two"), context.patch("one")]

    book = Book(middle)
    book.begin()
    book.function = both
    book.resume()
    assert value(book.answer("0:0")) == [True, True, True]


@pytest.mark.parametrize("name", ["", "two words", "a:b", 7, None, "x" * 129])
def test_what_is_no_name_is_refused(name: Any) -> None:
    async def flow() -> Any:
        return context.patch(name)

    outcome = Book(flow).begin().outcome
    assert isinstance(outcome, Raised)
    assert isinstance(outcome.exception, UsageError)
    assert f"context.patch({name!r}): a patch is named by a text of its own" in str(outcome.exception)


def test_outside_a_workflow_it_says_what_to_do() -> None:
    with pytest.raises(NoRunError):
        context.patch("x")
    with (
        enter_task(RunContext(RunId("r"), routine="train@1.0.0")),
        pytest.raises(UsageError, match="Here use the new code"),
    ):
        context.patch("x")


def test_while_it_is_put_away_a_workflow_records_no_patch() -> None:
    async def flow() -> Any:
        try:
            await f(1)
        finally:
            context.patch("late")

    book = Book(flow)
    step = book.begin()
    book.execution.kill()
    assert not step.waits
    assert book.resume().outcome is None
    assert isinstance(book.answer("0:0").outcome, Completed)
