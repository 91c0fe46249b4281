"""Batches from the client's side: the order kept, a bounded number under way, sealed or given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from longshore import Order
from longshore.client import Client, Run
from longshore.client.batches import GROUP, KEEP_EVERY, WINDOW, Keeper, in_order
from longshore.core.errors import BatchAborted, EncodingError, UsageError
from longshore.core.message import AbortBatch, OpenBatch, SealBatch
from tests.client.routines import add, slow
from tests.client.scripted import Scripted


async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    if number == 13:
        raise ValueError(number)
    return 2 * number


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@pytest.mark.parametrize("items", [range(20), numbers(20)], ids=["iterable", "source"])
async def test_results_come_in_order_and_a_failure_stands_in_its_place(items: Any) -> None:
    found = [one async for one in in_order(items, doubled)]
    assert [one for one in found if isinstance(one, int)] == [2 * n for n in range(20) if n != 13]
    assert isinstance(found[13], ValueError)


@pytest.mark.parametrize("source", [False, True], ids=["iterable", "source"])
async def test_no_more_is_drawn_than_the_window_holds_until_somebody_takes(source: bool) -> None:
    drawn = 0

    def counted() -> Iterator[int]:
        nonlocal drawn
        for number in range(3 * WINDOW):
            drawn += 1
            yield number

    async def same(number: int) -> int:
        return number

    async def counting() -> AsyncIterator[int]:
        for number in counted():
            yield number

    async with aclosing(in_order(counting() if source else counted(), same)) as found:
        taken = 0
        async for _ in found:
            taken += 1
            assert drawn <= taken + WINDOW
            if taken == WINDOW:
                break


@pytest.mark.parametrize("source", [False, True], ids=["iterable", "source"])
async def test_what_was_drawn_before_the_callers_generator_failed_is_given_first(source: bool) -> None:
    def failing() -> Iterator[int]:
        yield from range(3)
        raise OSError("the file is gone")

    async def failing_source() -> AsyncIterator[int]:
        for number in failing():
            yield number

    found = []
    with pytest.raises(OSError, match="the file is gone"):
        async for one in in_order(failing_source() if source else failing(), doubled):
            found.append(one)  # noqa: PERF401 - what came before the error is wanted
    assert found == [0, 2, 4]


async def test_an_item_of_a_slow_source_is_given_before_the_next_one_is_there() -> None:
    gate = asyncio.Event()

    async def slow_source() -> AsyncIterator[int]:
        yield 1
        await gate.wait()
        yield 2

    async with aclosing(in_order(slow_source(), doubled)) as found:
        assert await anext(found) == 2
        gate.set()
        assert await anext(found) == 4


async def test_a_source_may_give_more_than_the_window_holds_one_by_one() -> None:
    async def trickling() -> AsyncIterator[int]:
        for number in range(WINDOW + 10):
            if number > WINDOW - 10:
                await asyncio.sleep(0)
            yield number

    found = [one async for one in in_order(trickling(), doubled)]
    assert len(found) == WINDOW + 10


@pytest.mark.parametrize("source", [False, True], ids=["iterable", "source"])
async def test_more_is_drawn_in_groups_that_fill_a_message(source: bool) -> None:
    begun: list[int] = []

    async def act(number: int) -> int:
        begun.append(number)
        return number

    items: Any = numbers(2 * WINDOW) if source else range(2 * WINDOW)
    sizes = []
    async with aclosing(in_order(items, act)) as found:
        async for _ in found:
            await asyncio.sleep(0)
            sizes.append(len(begun))
    assert len(set(sizes)) <= 1 + WINDOW // GROUP, sorted(set(sizes))


async def test_a_batch_is_sealed_with_the_number_of_items_that_the_ledger_has(
    client: Client, coordinator: Scripted
) -> None:
    calls: list[Any] = [add(1), Order("refused"), slow(object()), Order("add", [2], {"y": 3})]
    found: list[Any] = await client.trigger_many(calls, return_exceptions=True, batch_id="mine")
    assert [type(one).__name__ for one in found] == ["Run", "Rejected", "EncodingError", "Run"]
    assert await found[3].result() == 5
    (seal,) = coordinator.batch_orders
    assert isinstance(seal, SealBatch) and (seal.batch_id, seal.items) == ("mine", 3)
    assert {trigger.options.batch_id for trigger in coordinator.triggers} == {"mine"}


async def test_each_call_is_a_batch_of_its_own_name(client: Client, coordinator: Scripted) -> None:
    one = await client.trigger_many([add(1)])
    two = await client.trigger_many([add(1), add(2)], tags=["x"])
    assert one.batch_id != two.batch_id and [type(run) for run in two] == [Run, Run]
    assert [trigger.options.batch_id for trigger in coordinator.triggers] == [one.batch_id, two.batch_id, two.batch_id]
    assert [trigger.options.tags for trigger in coordinator.triggers] == [[], ["x"], ["x"]]
    assert await client.trigger_many([]) == [] and len(coordinator.batch_orders) == 2


async def test_a_stream_gives_each_handle_in_order_and_its_failures_at_the_end(
    client: Client, coordinator: Scripted
) -> None:
    async def calls() -> AsyncIterator[Any]:
        for number in range(1500):
            yield add(number) if number != 700 else slow(object())

    seen = []
    with pytest.raises(ExceptionGroup, match="1 of 1500 triggers failed; the others run") as caught:
        async for run in client.trigger_stream(calls()):
            seen.append(run.id)  # noqa: PERF401 - what came before the error is wanted
    assert isinstance(caught.value.exceptions[0], EncodingError)
    assert seen == [trigger.run_id for trigger in coordinator.triggers] and len(seen) == 1499
    assert [type(order) for order in coordinator.batch_orders] == [SealBatch]


async def test_who_leaves_the_loop_leaves_the_batch_aborted(client: Client, coordinator: Scripted) -> None:
    def endless() -> Iterator[Any]:
        number = 0
        while True:
            yield add(number := number + 1)

    async with aclosing(client.trigger_stream(endless())) as runs:
        async for _ in runs:
            break
    (abort,) = coordinator.batch_orders
    assert isinstance(abort, AbortBatch) and abort.reason == "given up when 1 handles were taken: its sender stopped"


async def test_a_generator_that_fails_leaves_the_batch_aborted_with_its_error(
    client: Client, coordinator: Scripted
) -> None:
    def failing() -> Iterator[Any]:
        yield add(1)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await client.trigger_many(failing())
    (abort,) = coordinator.batch_orders
    assert isinstance(abort, AbortBatch) and abort.reason == "given up when 1 handles were taken: OSError"


async def test_a_batch_under_way_is_kept_open() -> None:
    class Talk:
        said: list[Any] = []  # noqa: RUF012 - one test's own

        def tell(self, order: Any) -> None:
            self.said.append(order)

    keeper = Keeper(Talk())  # type: ignore[arg-type]
    keeper.begin("b", 0)
    keeper.keep(KEEP_EVERY - 1)
    assert Talk.said == []
    keeper.keep(KEEP_EVERY)
    keeper.keep(KEEP_EVERY + 1)
    assert [(type(one), one.batch_id) for one in Talk.said] == [(OpenBatch, "b")]
    keeper.end("b")
    keeper.keep(10 * KEEP_EVERY)
    assert len(Talk.said) == 1


async def test_a_wait_ends_when_the_batch_is_sealed_and_all_of_it_has_ended(
    client: Client, coordinator: Scripted
) -> None:
    states = iter(
        [
            {"status": "open", "unfinished": 0},
            {"status": "sealed", "unfinished": 2},
            {"status": "sealed", "unfinished": 0, "runs": 2},
        ]
    )
    coordinator.answers["batch"] = lambda ask: next(states) if ask.params["batch_id"] == "b" else None
    assert (await client.batch("b").wait(timeout=10)).runs == 2


async def test_who_waits_for_a_batch_is_told_that_it_is_aborted(client: Client, coordinator: Scripted) -> None:
    coordinator.answers["batch"] = lambda ask: {"status": "aborted", "reason": "nothing was heard", "runs": 7}
    with pytest.raises(BatchAborted, match="nothing was heard; the 7 runs it has begun go on") as caught:
        await client.batch("b").wait()
    assert (caught.value.batch_id, caught.value.info.runs) == ("b", 7)


async def test_a_wait_that_ends_first_raises_and_the_batch_goes_on(client: Client, coordinator: Scripted) -> None:
    coordinator.answers["batch"] = lambda ask: {"status": "open", "unfinished": 0}
    with pytest.raises(TimeoutError, match=r"<batch b> has not ended within 0\.1 s; it goes on"):
        await client.batch("b").wait(timeout=0.1)


async def test_a_name_that_is_none_is_refused_before_anything_is_sent(client: Client, coordinator: Scripted) -> None:
    with pytest.raises(UsageError, match="batch_id='no spaces': a batch is named by 1 to 128 letters"):
        await client.trigger_many([], batch_id="no spaces")
    with pytest.raises(UsageError, match="batch_id="):
        client.batch("")
    with pytest.raises(UsageError, match="batch_id=7"):
        await client.trigger("add", batch_id=7)  # type: ignore[call-overload]
    assert not coordinator.triggers
