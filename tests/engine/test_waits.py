"""Instants, signals and tokens inside a workflow: kept, in order, the same in every replay."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from longshore import context
from longshore.core.errors import DecodeError, TokenExpired, TokenFailed, UsageError
from longshore.core.message import Wait
from longshore.engine.steps import NewTimer, Nondeterministic, Step
from longshore.engine.workflow import WorkflowExecution
from tests.engine.book import START, Book
from tests.engine.steps import error as error_of
from tests.engine.steps import f
from tests.engine.steps import value as value_of

HOUR = timedelta(hours=1)


def signal(book: Book, name: str, value: Any = None, *, after: float = 0.0) -> Step:
    """A signal comes."""
    return book.tell("signal", "", value, after=after, status=name)


# ------------------------------------------------------------------------------------------------------------ instants


def test_an_instant_is_a_timer_due_then_however_far_away() -> None:
    async def flow() -> datetime:
        await context.wait_until(START + timedelta(days=30))
        return context.now

    book = Book(flow)
    (timer,) = book.begin().timers
    assert timer.due_at == START + timedelta(days=30)
    book.resume()
    assert value_of(book.fire("0:0")) == START + timedelta(days=30)


def test_an_instant_in_any_zone_is_the_same_instant_and_one_that_has_passed_is_now() -> None:
    async def flow() -> float:
        await context.wait_until(START - HOUR)
        await context.wait_until(START.astimezone(timezone(HOUR)))
        await context.wait_until((START + HOUR).astimezone(timezone(2 * HOUR)))
        return asyncio.get_running_loop().time()

    book = Book(flow)
    (timer,) = book.begin().timers
    assert timer.due_at.tzinfo is UTC
    assert value_of(book.fire("0:0")) == 3600.0


def test_an_instant_that_differs_from_the_recorded_one_is_nondeterminism() -> None:
    instants = iter([START + HOUR, START + 2 * HOUR])

    async def flow() -> None:
        await context.wait_until(next(instants))

    book = Book(flow)
    book.begin()
    assert isinstance(book.resume().outcome, Nondeterministic)


def test_a_wait_for_an_instant_that_is_given_up_is_closed() -> None:
    async def flow() -> str:
        try:
            async with asyncio.timeout(60):
                await context.wait_until(START + HOUR)
        except TimeoutError:
            return "gave up"
        return "waited"

    book = Book(flow)
    book.begin()
    done = book.fire("0:0")
    assert value_of(done) == "gave up"


# ------------------------------------------------------------------------------------------------------------- signals


def test_a_signal_is_waited_for_and_its_wait_is_closed_once_it_came() -> None:
    async def flow() -> Any:
        got = await context.wait_for_signal("approved")
        return [got, await f("after")]

    book = Book(flow)
    (wait,) = book.begin().waits
    assert (wait.kind, wait.name, wait.address, wait.due_at) == ("signal", "approved", "0:0", None)
    assert wait.place.startswith(__file__)
    told = signal(book, "approved", {"by": "ann"})
    assert (told.closed, [call.address for call in told.calls]) == (["0:0"], ["0:1"])
    book.resume()
    assert value_of(book.answer("0:1", 7)) == [{"by": "ann"}, 7]


def test_signals_before_the_wait_are_kept_by_name_in_their_order() -> None:
    async def flow() -> list[Any]:
        await asyncio.sleep(60)
        return [await context.wait_for_signal(name) for name in ("b", "a", "a", "b")]

    book = Book(flow)
    book.begin()
    for number, name in enumerate("abab"):
        signal(book, name, number, after=1)
        book.resume(page=1)
    assert value_of(book.fire("0:0")) == [1, 0, 2, 3]


def test_several_wait_at_once_and_each_signal_goes_to_the_first_of_its_name() -> None:
    async def flow() -> list[Any]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(context.wait_for_signal(name)) for name in ("a", "b", "a")]
        return [task.result() for task in tasks]

    book = Book(flow)
    assert len(book.begin().waits) == 3
    signal(book, "a", 1)
    book.resume()
    signal(book, "a", 2)
    signal(book, "other", 9)
    assert value_of(signal(book, "b", 3)) == [1, 3, 2]


def test_a_wait_for_a_signal_that_is_given_up_leaves_the_signal_to_the_next() -> None:
    async def flow() -> Any:
        try:
            async with asyncio.timeout(60):
                await context.wait_for_signal("a")
        except TimeoutError:
            await f("reminder")
        return await context.wait_for_signal("a")

    book = Book(flow)
    book.begin()
    late = book.fire("0:0")
    assert late.closed == ["0:1"]
    signal(book, "a", 5)
    book.resume()
    assert value_of(book.answer("0:2")) == 5


def test_a_signal_goes_to_the_next_when_the_first_who_waited_was_canceled() -> None:
    async def flow() -> Any:
        first = asyncio.create_task(context.wait_for_signal("a"))
        second = asyncio.create_task(context.wait_for_signal("a"))
        await f("first")
        first.cancel()
        await asyncio.wait([first])
        return await second

    book = Book(flow)
    book.begin()
    assert book.answer("0:0").closed == ["0/0:0"]
    book.resume()
    assert value_of(signal(book, "a", 1)) == 1


def test_a_value_that_cannot_be_read_is_raised_where_the_signal_is_waited_for() -> None:
    async def flow() -> str:
        try:
            await context.wait_for_signal("a")
        except DecodeError as error:
            return str(error)
        return "read"

    book = Book(flow)
    book.begin()
    assert value_of(signal(book, "a", DecodeError("not a value"))) == "not a value"


def test_signals_that_the_code_has_not_taken_are_known_by_their_seq() -> None:
    async def flow() -> None:
        await context.wait_for_signal("b")
        await f("long")

    book = Book(flow)
    book.begin()
    assert book.execution.unread == []
    for name in ("a", "b", "a"):
        signal(book, name)
    assert book.execution.unread == [1, 3]


def test_a_wait_for_another_signal_than_recorded_is_nondeterminism_with_both_sides() -> None:
    names = iter(["a", "b"])

    async def flow() -> None:
        await context.wait_for_signal(next(names))

    book = Book(flow)
    book.begin()
    outcome = book.resume().outcome
    assert isinstance(outcome, Nondeterministic)
    assert "recorded: wait for signal 'a'" in outcome.failure
    assert "the code: wait for signal 'b'" in outcome.failure


# -------------------------------------------------------------------------------------------------------------- tokens


def test_a_token_can_be_given_to_a_call_of_the_same_pump_and_is_the_recorded_one_in_a_replay() -> None:
    async def flow() -> Any:
        token = await context.create_token("7d")
        await f(token)
        return token, await context.wait_for_token(token)

    book = Book(flow)
    begun = book.begin()
    (wait,) = begun.waits
    assert wait.due_at == START + timedelta(days=7)
    assert len(wait.name) == 32
    assert wait.name in begun.calls[0].call.arguments.args
    book.resume()
    book.answer("0:1")
    book.resume()
    assert value_of(book.tell("token", "0:0", "paid", status="COMPLETED")) == (wait.name, "paid")


def test_tokens_are_never_alike() -> None:
    async def flow() -> None:
        for _ in range(100):
            await context.create_token()
        await asyncio.sleep(1)

    names = {wait.name for _ in range(2) for wait in Book(flow).begin().waits}
    assert len(names) == 200


def test_a_token_completed_before_the_wait_is_there_at_once_and_for_everybody() -> None:
    async def flow() -> list[Any]:
        token = await context.create_token()
        await f("slow")
        both = await asyncio.gather(context.wait_for_token(token), context.wait_for_token(token))
        return [*both, await context.wait_for_token(token)]

    book = Book(flow)
    book.begin()
    book.tell("token", "0:0", 1, status="COMPLETED")
    book.resume()
    assert value_of(book.answer("0:1")) == [1, 1, 1]


def test_several_wait_for_one_token_and_giving_up_leaves_it_open() -> None:
    async def flow() -> Any:
        token = await context.create_token()
        waits = [asyncio.create_task(context.wait_for_token(token)) for _ in range(2)]
        try:
            await asyncio.wait_for(context.wait_for_token(token), 60)
        except TimeoutError:
            waits[0].cancel()
        return await waits[1]

    book = Book(flow)
    book.begin()
    (timer,) = [entry for entry in book.asked.values() if isinstance(entry, NewTimer)]
    late = book.fire(timer.address)
    assert late.closed == []
    book.resume()
    assert value_of(book.tell("token", "0:0", 2, status="COMPLETED")) == 2


@pytest.mark.parametrize("early", [True, False])
def test_a_token_that_expires_raises_before_the_wait_and_during_it(early: bool) -> None:
    async def flow() -> Any:
        token = await context.create_token(3600)
        if early:
            await f("slow")
        await context.wait_for_token(token)

    book = Book(flow)
    book.begin()
    done = book.tell("timer", "0:0", after=3600)
    if early:
        book.resume()
        done = book.answer("0:1")
    error = error_of(done)
    assert isinstance(error, TokenExpired)
    (token,) = [entry for entry in book.asked.values() if isinstance(entry, Wait)]
    assert error.token == token.name
    assert str(error) == f"the token {token.name} expired before anybody completed it"


def test_a_token_completed_with_an_error_raises_its_text() -> None:
    async def flow() -> Any:
        await context.wait_for_token(await context.create_token())

    book = Book(flow)
    book.begin()
    error = error_of(book.tell("token", "0:0", "the bank says no", status="FAILED"))
    assert isinstance(error, TokenFailed)
    assert str(error) == "the bank says no"


def test_a_value_that_cannot_be_read_is_raised_where_the_token_is_waited_for() -> None:
    async def flow() -> Any:
        await context.wait_for_token(await context.create_token())

    book = Book(flow)
    book.begin()
    error = error_of(book.tell("token", "0:0", DecodeError("not a value"), status="COMPLETED"))
    assert isinstance(error, DecodeError)


def test_another_timeout_than_recorded_is_nondeterminism() -> None:
    timeouts = iter(["1h", "2h"])

    async def flow() -> None:
        await context.wait_for_token(await context.create_token(next(timeouts)))

    book = Book(flow)
    book.begin()
    outcome = book.resume().outcome
    assert isinstance(outcome, Nondeterministic)
    assert "recorded: token with a timeout" in outcome.failure


# ---------------------------------------------------------------------------------------------------------- wrong uses


@pytest.mark.parametrize(
    ("wait", "text"),
    [
        (lambda: context.wait_until(datetime(2026, 1, 1)), "an instant is a datetime with a time zone"),  # noqa: DTZ001
        (
            lambda: context.wait_until("tomorrow"),  # type: ignore[arg-type]
            r"wait_until\('tomorrow'\)",
        ),
        (lambda: context.wait_for_signal(""), "a name is a text of 1 to 200 characters"),
        (
            lambda: context.wait_for_signal(7),  # type: ignore[arg-type]
            r"wait_for_signal\(7\)",
        ),
        (lambda: context.create_token("soon"), "'soon' is not a duration"),
        (lambda: context.wait_for_token("mine"), r"wait_for_token\('mine'\): this run has made no such token"),
    ],
)
def test_what_cannot_be_waited_for_says_what_can(wait: Any, text: str) -> None:
    async def flow() -> None:
        await wait()

    error = error_of(Book(flow).begin())
    assert isinstance(error, UsageError)
    with pytest.raises(UsageError, match=text):
        raise error


def test_the_outside_is_not_waited_for_in_bare_callbacks() -> None:
    found: list[BaseException] = []

    def callback() -> None:
        try:
            _ = context.wait_for_signal("a")
        except UsageError as error:
            found.append(error)

    async def flow() -> None:
        asyncio.get_running_loop().call_soon(callback)
        await asyncio.sleep(1)

    Book(flow).begin()
    assert "in the workflow's own coroutines only" in str(found[0])


def test_nothing_is_waited_for_while_a_workflow_is_put_away() -> None:
    reached: list[str] = []

    async def flow() -> None:
        try:
            await context.wait_for_signal("a")
        finally:
            reached.append("finally")
            try:
                await context.create_token()
            finally:
                await context.wait_until(START + HOUR)

    book = Book(flow)
    book.begin()
    execution: WorkflowExecution = book.execution
    execution.kill()
    assert reached == ["finally"]
    assert (list(execution.waiting), execution.unread) == ([], [])


def test_each_step_says_which_signals_the_code_took() -> None:
    async def work() -> Any:
        await context.wait_for_signal("a")
        return await context.wait_for_signal("a")

    book = Book(work)
    assert book.begin().taken == []
    assert book.tell("signal", status="b").taken == []
    assert book.tell("signal", status="a").taken == [2]
    assert book.resume().taken == [2], "the host counts those of new pumps only"
    assert book.tell("signal", status="a").taken == [3]
