"""One workflow with very many children: in order, in bounded memory, in messages of bounded size, and whole although
its worker is killed in the middle."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from longshore import Client, RunCanceled
from longshore.client import Run
from tests.end_to_end.away import lines
from tests.end_to_end.conftest import Broker, in_status
from tests.end_to_end.house import MIB, House, memory
from tests.end_to_end.many import collects, fails_fast, hold, in_order, let_go, notes, texts
from tests.support.wait import eventually

_log = logging.getLogger("tests.fan_out")
MANY = "tests.end_to_end.many"
MORE = 96 * MIB
"""What any process may need more, at its peak."""
LARGEST = 1 * MIB
COUNT = 10_000
CLEAR_PEAK = "5"
"""What to write into clear_refs so that the peak begins anew (proc(5))."""


@pytest.fixture(scope="module")
def house(rabbit: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A worker process for what is called, one for the workflows."""
    with House(tmp_path_factory.mktemp("house"), rabbit.vhost()) as house:
        house.decide()
        house.work(pool="tasks", module=MANY, slots=64)
        house.work(pool="flows", module=MANY)
        yield house


@asynccontextmanager
async def sizes_on_the_bus(house: House) -> AsyncIterator[list[int]]:
    """The size of every message to the coordinator from workers, and from it to workers, while it is open."""
    sizes: list[int] = []

    async def look(message: Any) -> None:
        sizes.append(len(message.body))

    connection = await aio_pika.connect(house.broker_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(f"{house.namespace}.reports", "reports")
        for (session,) in house.rows.ask("SELECT session FROM worker WHERE status <> 'CLOSED'"):
            await queue.bind(f"{house.namespace}.workers", session)
        await queue.consume(look, no_ack=True)
        yield sizes


async def peaks(house: House, client: Client, run: Any, warm: Any) -> dict[int, int]:
    """How much more each process holds at its peak while the workflow runs, after a small one of the same kind."""
    await client.run(warm.using(pool="flows"), timeout=60)
    assert house.coordinator is not None
    workers = [pid for part in house.parts if part is not house.coordinator for pid in part.children()]
    pids = [house.coordinator.pid, *workers, os.getpid()]
    before = {pid: memory(pid) for pid in pids}
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text(CLEAR_PEAK)
    count = run.arguments.args[0]
    assert await client.run(run.using(pool="flows"), timeout=600) == count
    return {pid: memory(pid, "VmHWM") - before[pid] for pid in pids}


async def killed_in_the_middle(house: House, client: Client, flow: Any, folder: Path) -> Run[Any]:
    """kill -9 of the worker that holds the workflow, when a third of its children have been executed; two thirds of
    them are before another worker holds it."""
    count = flow.arguments.args[1]
    hold(folder, after=2 * count // 3)
    run = await client.trigger(flow.using(pool="flows"))
    await eventually(lambda: len(lines(folder)) > count // 3, within=60)
    house.parts[-1].kill_child()
    assert len(lines(folder)) < count, "it was not the middle"

    async def starts_again() -> bool:
        return len([row for row in await run.history() if row["to_status"] == "DISPATCHED"]) > 1

    await eventually(starts_again, within=20)
    let_go(folder)
    return run


@pytest.mark.parametrize("count", [COUNT, pytest.param(100_000, marks=pytest.mark.soak)])
async def test_map_gives_results_in_order_and_no_process_needs_much_more(
    house: House, client: Client, count: int
) -> None:
    grew = await peaks(house, client, in_order(count), in_order(300))
    _log.info("coordinator, workers and client grew by %s bytes", list(grew.values()))
    assert max(grew.values()) < MORE, grew


async def test_ten_thousand_at_once_with_2_kib_each_travel_in_messages_of_at_most_a_mebibyte(
    house: House, client: Client, tmp_path: Path
) -> None:
    async with sizes_on_the_bus(house) as sizes:
        assert await client.run(texts(str(tmp_path), COUNT, 2048).using(pool="flows"), timeout=120) == COUNT
    assert sum(sizes) > 2 * COUNT * 2048  # to the coordinator, and to the worker that executes
    assert max(sizes) <= LARGEST
    assert len(set(lines(tmp_path))) == len(lines(tmp_path)) == COUNT


@pytest.mark.parametrize("count", [2000, pytest.param(100_000, marks=pytest.mark.soak)])
async def test_a_worker_killed_in_the_middle_of_a_map_costs_no_child_repeats_none_and_needs_little(
    house: House, client: Client, tmp_path: Path, count: int
) -> None:
    assert house.coordinator is not None
    crew, decides = house.parts[-1], house.coordinator.pid
    before = {pid: memory(pid) for pid in (decides, *crew.children())}
    Path(f"/proc/{decides}/clear_refs").write_text(CLEAR_PEAK)
    run = await killed_in_the_middle(house, client, notes(str(tmp_path), count), tmp_path)
    assert await run.result(timeout=600) == count
    assert sorted(map(int, lines(tmp_path))) == list(range(count))
    (replaced,) = set(crew.children())
    grew = [memory(pid, "VmHWM") - old for pid, old in zip((decides, replaced), before.values(), strict=True)]
    _log.info("coordinator and the second worker grew by %s bytes", grew)
    assert max(grew) < MORE


async def test_a_worker_killed_in_the_middle_of_ten_thousand_at_once_costs_no_child_and_repeats_none(
    house: House, client: Client, tmp_path: Path
) -> None:
    run = await killed_in_the_middle(house, client, texts(str(tmp_path), COUNT, 2048), tmp_path)
    assert await run.result(timeout=120) == COUNT
    assert sorted(map(int, lines(tmp_path))) == list(range(COUNT))


async def test_the_first_failure_reaches_the_workflow_at_once_and_the_rest_is_canceled(
    house: House, client: Client, tmp_path: Path
) -> None:
    run = await client.trigger(fails_fast(str(tmp_path), 1000, 120).using(pool="flows"))
    came, failed = await run.result(timeout=30)
    assert came <= 101 and failed == 120

    async def all_ended() -> bool:
        return {row["status"] for row in await run.tree()} <= {"COMPLETED", "FAILED", "CANCELED"}

    await eventually(all_ended, within=10)
    assert len(lines(tmp_path)) < 400


async def test_collected_failures_stand_in_their_places(house: House, client: Client, tmp_path: Path) -> None:
    found = await client.run(collects(str(tmp_path), 90, 7).using(pool="flows"), timeout=30)
    assert found == ["7: Wrong(7)"]


async def test_a_workflow_in_the_middle_of_a_map_says_what_it_waits_for_and_can_be_canceled(
    house: House, client: Client, tmp_path: Path
) -> None:
    run = await client.trigger(fails_fast(str(tmp_path), 5000, -1).using(pool="flows"))
    await eventually(lambda: len(lines(tmp_path)) > 150, within=20)
    await in_status(run, "HANGING", within=5)
    why = await run.why_waiting()
    assert why is not None and "100 sub-routines" in why["text"], why
    await run.cancel(reason="enough")
    with pytest.raises(RunCanceled):
        await run.result(timeout=20)
    assert "CANCELED" in {row["status"] for row in await run.tree()}
