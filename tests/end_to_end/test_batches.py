"""Batches and bulk orders with real processes on RabbitMQ: whoever is killed on the way, each item is one run, each run
is told once, and what was sent by half says so."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from longshore import Client
from longshore.client import Order
from longshore.client.batches import WINDOW
from longshore.client.run import Run
from longshore.core.errors import BatchAborted
from longshore.core.orders import OpenBatch
from tests.end_to_end.conftest import Broker, Build
from tests.end_to_end.house import House, memory
from tests.end_to_end.raw import raw
from tests.end_to_end.routines import echo
from tests.support.fleet import ROOT
from tests.support.wait import eventually

MANY = 20_000
STREAM = 50_000
PATIENCE_MS = 3000
WITHIN = 120.0


@pytest.fixture(scope="module")
def house(rabbit: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house"), rabbit.vhost()) as house:
        house.decide()
        house.work()
        yield house


# ------------------------------------------------------------------------------------------------------------ batches


async def test_of_a_thousand_items_one_is_bad_and_fails_alone_the_others_keep_their_order(client: Client) -> None:
    items: list[Any] = [Order("no name at all") if number == 417 else echo(number) for number in range(1000)]
    started = await client.trigger_many(items, return_exceptions=True, timeout=30)
    assert [place for place, one in enumerate(started) if isinstance(one, BaseException)] == [417]
    good: list[Run[Any]] = [one for one in started if not isinstance(one, BaseException)]
    results = await asyncio.gather(*(run.result(timeout=60) for run in good))
    assert results == [number for number in range(1000) if number != 417]
    info = await client.batch(started.batch_id).wait(timeout=30)
    assert (info.status, info.runs, info.unfinished) == ("sealed", 999, 0)
    assert info.statuses == {"COMPLETED": 999}


async def test_fifty_thousand_items_pass_through_a_client_of_bounded_memory(house: House, client: Client) -> None:
    drawn = taken = 0

    async def items() -> AsyncIterator[Any]:
        nonlocal drawn
        for number in range(STREAM):
            drawn += 1
            yield Order("echo", [f"{number:06}" + "x" * 4_000])

    ahead, before, most = 0, memory(os.getpid()), 0
    ids: set[str] = set()
    async for run in client.trigger_stream(items(), batch_id="stream", timeout=60, delay="1d"):
        taken += 1
        ids.add(run.id)
        ahead = max(ahead, drawn - taken)
        if taken % 250 == 0:
            most = max(most, memory(os.getpid()))
    assert taken == drawn == len(ids) == STREAM
    assert ahead <= WINDOW + 1
    # The 8,000 that are under way at once take up to 240 MB (as much for 130,000 items); all of them would take 1,500.
    assert most - before < 320 << 20, f"{(most - before) >> 20} MiB more"
    info = await client.batch("stream").info()
    assert (info.status, info["items"], info.runs) == ("sealed", STREAM, STREAM)
    bulk = await client.batch("stream").cancel("read enough")
    assert (await bulk.wait(timeout=WITHIN)).done == STREAM


PRODUCER = """
import asyncio, itertools
from longshore import Client
from longshore.client import Order
from longshore.client.batches import WINDOW

async def main():
    async with Client() as client:
        items = (Order("echo", [number]) for number in itertools.count())
        async for run in client.trigger_stream(items, batch_id="half", timeout=60):
            print(run.id, flush=True)

asyncio.run(main())
"""


async def test_a_batch_whose_producer_is_killed_ends_aborted_and_what_came_runs_on(
    house: House, client: Client
) -> None:
    producer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PRODUCER, cwd=house.folder, stdout=asyncio.subprocess.PIPE,
        env=house._environment() | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert producer.stdout is not None
    accepted = [(await asyncio.wait_for(producer.stdout.readline(), 60)).decode().strip() for _ in range(3000)]
    producer.send_signal(signal.SIGKILL)
    accepted += [line.decode().strip() async for line in producer.stdout if line.endswith(b"\n")]
    await producer.wait()
    async with raw(house.broker_url, house.namespace) as wire:
        await wire.send([OpenBatch("half", PATIENCE_MS)])  # not before: a producer that starts slowly is alive
    with pytest.raises(BatchAborted, match="nothing was heard of it for 3 s"):
        await client.batch("half").wait(timeout=60)

    async def over() -> bool:
        info = await client.batch("half").info()
        return (info.status, info.unfinished) == ("aborted", 0)

    await eventually(over, within=60, what="the end of what came")
    rows = house.rows.ask("SELECT id, status FROM run WHERE batch_id = 'half'")
    assert set(accepted) <= {run_id for run_id, _ in rows} and {status for _, status in rows} == {"COMPLETED"}


# --------------------------------------------------------------------------------------------------------- bulk orders


async def held(client: Client, count: int, batch_id: str) -> list[str]:
    """So many runs of a queue that starts none."""
    await client.pause_queue("held", create=True)
    items: Iterator[Any] = (Order("echo", [number]) for number in range(count))
    return [run.id async for run in client.trigger_stream(items, batch_id=batch_id, queue="held", timeout=60)]


async def part_done(house: House, bulk_id: str, count: int) -> int:
    """Wait until a bulk order is under way; how many runs it has come to."""

    def under_way() -> int:
        return sum(matched for (matched,) in house.rows.ask("SELECT matched FROM bulk WHERE id = ?", bulk_id))

    matched = await eventually(under_way, within=30, what="the order being under way")
    assert matched < count, "it was over before anybody could look"
    return matched


async def kill_in_the_middle(house: House, bulk_id: str, count: int) -> None:
    await part_done(house, bulk_id, count)
    assert house.coordinator is not None
    await asyncio.to_thread(house.coordinator.kill)
    ((status, matched),) = house.rows.ask("SELECT status, matched FROM bulk WHERE id = ?", bulk_id)
    assert (status, 0 < matched < count) == ("running", True)
    await asyncio.to_thread(house.decide)


async def test_a_bulk_cancel_and_a_bulk_rerun_go_on_after_a_coordinator_that_was_killed_each_run_once(
    build: Build,
) -> None:
    house = build()
    house.decide()
    async with house.client() as client:
        ids = await held(client, MANY, "b")
        bulk = await client.cancel_runs(batch_id="b", status=["QUEUED", "PENDING_VERSION"], reason="all")
        await kill_in_the_middle(house, bulk.id, MANY)
        told = await bulk.wait(timeout=WITHIN)
        assert (told.status, told.matched, told.done, told.refused, told.progress) == ("done", MANY, MANY, 0, 1)
        house.rows.check(ids, status="CANCELED")
        ends = Counter(row.run_id for row in house.rows.rows(after="CANCELED"))
        assert set(ends.values()) == {1} and len(ends) == MANY

        again = await client.rerun_runs(batch_id="b", status="CANCELED", bulk_id="again")
        await kill_in_the_middle(house, again.id, MANY)
        told = await again.wait(timeout=WITHIN)
        assert (told.status, told.matched, told.done) == ("done", MANY, MANY)
        reruns = Counter(of for (of,) in house.rows.ask("SELECT rerun_of FROM run WHERE rerun_of <> ''"))
        assert set(reruns) == set(ids) and set(reruns.values()) == {1}

        await client.resume_queue("held")
        await asyncio.to_thread(house.work)
        await eventually(lambda: house.rows.statuses()["COMPLETED"] == MANY, within=WITHIN, what="all of them")
        assert {run.attempt for run in house.rows.rows(after="COMPLETED")} == {1}
        assert house.rows.statuses() == {"CANCELED": MANY, "COMPLETED": MANY}


async def test_a_bulk_order_that_is_aborted_in_the_middle_goes_no_further(build: Build) -> None:
    house = build()
    house.decide()
    async with house.client() as client:
        await held(client, MANY, "b")
        bulk = await client.cancel_runs(queue="held")
        seen = [await part_done(house, bulk.id, MANY)]
        told = await bulk.abort()
        seen.append(told.matched)
        assert told.status == "aborted" and 0 < seen[0] <= seen[1] < MANY
        assert (await bulk.abort()).matched == seen[1]
        assert house.rows.statuses() == {"CANCELED": told.done, "PENDING_VERSION": MANY - told.done}
        assert (await bulk.progress()).matched == told.done
        rest = await (await client.cancel_runs(queue="held")).wait(timeout=WITHIN)
        assert rest.done == MANY - told.done
