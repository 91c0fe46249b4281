"""A workflow lives by deliveries: what it asks for, how it waits, and how it ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from longshore import PayloadCorrupt, ProtocolError, UsageError, context
from longshore.core.ids import Address
from longshore.core.message import Delivery
from tests.engine.book import START, Book
from tests.engine.steps import error, f, g, value


def test_a_call_is_asked_for_with_its_address_place_and_seq_and_its_result_comes_by_delivery() -> None:
    async def flow() -> int:
        first = await f(1)
        return int(await g(first))

    book = Book(flow)
    step = book.begin()
    (call,) = step.calls
    assert (step.seq, call.address, call.asked_seq, call.call.routine.name) == (0, "0:0", 0, "f")
    assert call.place.startswith(__file__)
    assert list(book.execution.waiting) == ["0:0"]
    step = book.answer("0:0", 20)
    assert [(one.address, one.asked_seq, one.call.arguments.args) for one in step.calls] == [("0:1", 1, (20,))]
    assert value(book.answer("0:1", 7)) == 7
    assert list(book.execution.waiting) == []


def test_the_same_call_has_the_same_digest_however_it_is_written_and_another_has_another() -> None:
    async def flow() -> None:
        await asyncio.gather(f(1), f(x=1), f(2), g(1))

    digests = [call.digest for call in Book(flow).begin().calls]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert {len(digest) for digest in digests} == {16}


def test_a_failure_is_raised_where_the_call_waits() -> None:
    async def flow() -> str:
        try:
            await f()
        except ValueError as caught:
            return f"caught {caught}"
        return "nothing"

    book = Book(flow)
    book.begin()
    assert value(book.answer("0:0", ValueError("bad"))) == "caught bad"


def test_an_exception_is_raised_even_for_a_completed_call_whose_result_could_not_be_read() -> None:
    async def flow() -> Any:
        return await f()

    book = Book(flow)
    book.begin()
    lost = PayloadCorrupt("gone")
    assert error(book.tell("outcome", "0:0", lost, status="COMPLETED")) is lost


def test_a_routines_stop_iteration_becomes_a_runtime_error() -> None:
    async def flow() -> Any:
        return await f()

    book = Book(flow)
    book.begin()
    failure = error(book.answer("0:0", StopIteration(3)))
    assert isinstance(failure, RuntimeError)
    assert isinstance(failure.__cause__, StopIteration)


@pytest.mark.parametrize(
    "failure", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException()]
)
def test_whatever_the_code_raises_is_its_outcome(failure: BaseException) -> None:
    async def flow() -> None:
        await f()
        raise failure

    book = Book(flow)
    book.begin()
    assert error(book.answer("0:0")) is failure


def test_a_system_exit_in_an_inner_coroutine_ends_the_workflow_as_it_ends_a_program() -> None:
    async def inner() -> None:
        raise SystemExit(4)

    async def flow() -> None:
        keep = asyncio.create_task(inner())
        await f()
        await keep

    assert isinstance(error(Book(flow).begin()), SystemExit)


def test_a_function_that_cannot_be_called_raises_too() -> None:
    def flow() -> Any:
        raise TypeError("missing argument")

    assert isinstance(error(Book(flow).begin()), TypeError)


def test_time_stands_still_in_a_pump_takes_the_stamp_of_deliveries_and_never_goes_back() -> None:
    times: list[float] = []

    async def flow() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            times.append(loop.time())
            await asyncio.sleep(0)
            times.append(loop.time())
            await f()
        times.append(loop.time())

    book = Book(flow)
    book.begin()
    book.answer("0:0", after=2.5)
    book.answer("0:1", after=-1)
    book.answer("0:2", after=10)
    assert times == [0, 0, 2.5, 2.5, 2.5, 2.5, 11.5]


def test_sleep_is_a_durable_timer_with_an_absolute_instant_and_sleep_zero_is_a_turn() -> None:
    async def flow() -> float:
        await f()
        await asyncio.sleep(0)
        await asyncio.sleep(90.5)
        return asyncio.get_running_loop().time()

    book = Book(flow)
    book.begin()
    (timer,) = book.answer("0:0", after=10).timers
    assert (timer.address, timer.duration, timer.asked_seq) == ("0:1", timedelta(seconds=90.5), 1)
    assert timer.due_at == START + timedelta(seconds=100.5)
    assert timer.place.startswith(__file__)
    assert value(book.fire("0:1")) == 100.5


def test_a_timer_never_wakes_before_its_instant_even_by_a_clock_that_is_behind() -> None:
    async def flow() -> float:
        await asyncio.sleep(5)
        return asyncio.get_running_loop().time()

    book = Book(flow)
    book.begin()
    assert value(book.tell("timer", "0:0", after=4.999)) == 5


def test_a_timeout_is_a_timer_that_closes_when_it_is_not_needed() -> None:
    async def flow() -> Any:
        async with asyncio.timeout(5):
            first = await f()
        return await g(first)

    book = Book(flow)
    step = book.begin()
    assert ([one.address for one in step.timers], [one.address for one in step.calls]) == (["0:0"], ["0:1"])
    step = book.answer("0:1", 3)
    assert step.closed == ["0:0"]
    assert book.fire("0:0").outcome is None  # it fired all the same, too late
    assert value(book.answer("0:2", 4)) == 4


def test_a_timeout_that_strikes_closes_the_call_and_its_late_outcome_has_no_effect() -> None:
    async def flow() -> Any:
        try:
            return await asyncio.wait_for(f(), 5)
        except TimeoutError:
            return await g()

    book = Book(flow)
    book.begin()
    step = book.fire("0:0")
    assert step.closed == ["0:1"]
    assert [one.address for one in step.calls] == ["0:2"]
    assert book.answer("0:1", 1).outcome is None
    assert value(book.answer("0:2", 2)) == 2


def test_a_second_outcome_of_a_finished_call_has_no_effect() -> None:
    async def flow() -> Any:
        await f()
        return await g()

    book = Book(flow)
    book.begin()
    book.answer("0:0", 1)
    assert book.answer("0:0", 2).outcome is None
    assert value(book.answer("0:1", 3)) == 3


def test_a_canceled_workflow_may_clean_up_and_call_routines() -> None:
    async def flow() -> Any:
        try:
            await f()
        finally:
            assert context.canceled
            await g()

    book = Book(flow)
    book.begin()
    step = book.tell("cancel")
    assert (step.closed, [one.address for one in step.calls], step.outcome) == (["0:0"], ["0:1"], None)
    assert isinstance(error(book.answer("0:1")), asyncio.CancelledError)


def test_a_workflow_may_refuse_to_be_canceled() -> None:
    async def flow() -> str:
        try:
            await f()
        except asyncio.CancelledError:
            return "done anyway"
        return ""

    book = Book(flow)
    book.begin()
    assert value(book.tell("cancel")) == "done anyway"


def test_only_the_next_delivery_is_taken() -> None:
    async def flow() -> Any:
        return await f()

    book = Book(flow)
    book.begin()
    with pytest.raises(ProtocolError, match="delivery 2 was given after delivery 0; the next is 1"):
        book.execution.deliver(Delivery(2, "outcome", Address("0:0"), START))
    with pytest.raises(ProtocolError):
        book.execution.begin()


def test_after_its_end_a_workflow_takes_deliveries_without_effect() -> None:
    async def flow() -> int:
        rest = asyncio.create_task(g())
        await f()
        assert not rest.done()
        return 1

    book = Book(flow)
    book.begin()
    assert value(book.answer("0:0")) == 1
    assert value(book.answer("0/0:0")) == 1


async def within(seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await f()


@pytest.mark.parametrize("waits", [lambda: asyncio.sleep(1e12), lambda: within(1e11)])
def test_a_timer_of_more_than_a_hundred_years_is_refused_with_the_alternative(waits: Any) -> None:
    async def flow() -> None:
        await waits()

    refused = error(Book(flow).begin())
    assert isinstance(refused, UsageError)
    assert "over a hundred years" in str(refused) and "wait_for_signal" in str(refused)
