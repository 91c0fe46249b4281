"""Runs that fail, fall silent, take too much or are ended, through real parts: what is tried again, with what, and what
is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore import Client, RunCanceled, RunCrashed
from longshore.client import Run
from tests.end_to_end.away import lines
from tests.end_to_end.conftest import Broker, Build, in_status
from tests.end_to_end.house import House
from tests.end_to_end.troubled import (
    climbs,
    fails_slowly,
    faulty,
    greedy,
    greedy_once,
    kills,
    silent_once,
    sleeps,
    sleeps_long,
    spins_apart,
    waits_told,
)
from tests.support.wait import eventually

TROUBLED = "tests.end_to_end.troubled"


@pytest.fixture(scope="module")
def house(rabbit: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with House(folder, rabbit.vhost(), environment={"TROUBLED": str(folder)}) as house:
        house.decide()
        house.work(module=TROUBLED, slots=4)
        yield house


@pytest.fixture
async def client(house: House) -> AsyncIterator[Client]:
    async with house.client(modules=[TROUBLED]) as client:
        yield client


async def test_a_task_goes_on_from_its_checkpoint_over_attempts_workers_and_coordinators(
    house: House, client: Client, tmp_path: Path
) -> None:
    run = await client.trigger(climbs(str(tmp_path), 9, 3, 6).using(retry_first="3s", retry_max="3s"))
    await in_status(run, "RETRYING", within=30)
    assert house.coordinator is not None
    house.coordinator.kill()
    house.decide()  # in this thread, with which it would end
    assert await run.result(timeout=30) == [6, 2]
    assert lines(tmp_path) == ["begins at 0", "begins at 3", "begins at 6"]
    assert (await run.info())["crashes"] == 0


async def test_an_attempt_that_falls_silent_is_tried_again_and_the_history_says_why(client: Client) -> None:
    run = await client.trigger(silent_once(3))
    assert await run.result(timeout=20) == 2
    (row,) = [row for row in await run.history() if row["to_status"] == "RETRYING"]
    assert "Stalled: silent.once@1.0.0 gave no sign of life for" in row["reason"]


async def test_a_poison_run_is_put_aside_with_the_evidence_of_its_crashes(house: House, client: Client) -> None:
    run = await client.trigger(faulty())
    await in_status(run, "BLOCKED", within=30)
    info = await run.info()
    assert info["crashes"] == 3 and len(info["crash_evidence"]) == 3
    for crash in info["crash_evidence"]:
        assert "SIGSEGV" in crash["reason"] and "in faulty" in crash["stderr"] and crash["worker_id"]
    why = await run.why_waiting()
    assert why is not None and why["kind"] == "person" and "SIGSEGV" in why["text"] and len(why["crashes"]) == 3
    shown = (await asyncio.to_thread(house.run, "runs", "show", run.id)).stdout
    assert "SIGSEGV" in shown and "Segmentation fault" in shown
    crashed = [row for row in await run.history() if "SIGSEGV" in row["reason"]]
    assert [row["to_status"] for row in crashed] == ["QUEUED", "QUEUED", "BLOCKED"]


async def test_a_run_that_takes_too_much_memory_has_crashed_in_the_end_and_says_why(client: Client) -> None:
    run = await client.trigger(greedy())
    with pytest.raises(RunCrashed, match="out of memory") as caught:
        await run.result(timeout=40)
    assert isinstance(caught.value.__cause__, MemoryError)
    assert (await run.info())["crashes"] == 3


async def test_the_attempt_after_it_goes_to_the_pool_with_more_memory(
    house: House, client: Client, tmp_path: Path
) -> None:
    run = await client.trigger(greedy_once(str(tmp_path)))
    await in_status(run, "QUEUED", within=30)
    why = await run.why_waiting()
    assert why is not None and "pool big" in why["text"]
    house.work(module=TROUBLED, pool="big")
    assert await run.result(timeout=30) == 1
    assert [row["reason"] for row in await run.history() if "out of memory" in row["reason"]]


def heard(house: House, run: Run[Any]) -> list[str]:
    """What hooks were told of this run."""
    return [line.rpartition(" ")[0] for line in lines(house.folder) if run.id in line]


@pytest.mark.parametrize("call", [spins_apart, waits_told, sleeps, sleeps_long], ids=lambda call: call.name)
async def test_a_run_is_canceled_wherever_its_body_runs_and_its_hook_hears_of_it(
    house: House, client: Client, call: Any
) -> None:
    run = await client.trigger(call())
    await in_status(run, "HANGING" if call is sleeps_long else "EXECUTING", within=20)
    await run.cancel(reason="enough")
    with pytest.raises(RunCanceled):
        await run.result(timeout=20)
    await eventually(lambda: heard(house, run) == [f"{call.id} CANCELED"], within=10)
    if call is sleeps_long:
        child = (await run.tree())[1]
        await in_status(client.handle(child["run_id"]), "CANCELED", within=10)


async def test_a_run_that_is_canceled_between_two_attempts_is_heard_of_too(house: House, client: Client) -> None:
    run = await client.trigger(fails_slowly())
    await in_status(run, "RETRYING", within=20)
    await run.cancel()
    with pytest.raises(RunCanceled):
        await run.result(timeout=10)
    await eventually(lambda: heard(house, run) == ["fails.slowly@1.0.0 CANCELED"], within=10)


async def test_what_ends_while_no_worker_is_there_is_heard_of_when_one_comes_even_if_the_coordinator_was_killed(
    build: Build,
) -> None:
    house = build()
    house.environment["TROUBLED"] = str(house.folder)
    coordinator, worker = house.decide(), house.work(module=TROUBLED)
    async with house.client(modules=[TROUBLED]) as client:
        run = await client.trigger(fails_slowly())
        await in_status(run, "RETRYING", within=20)
        worker.kill()
        await run.cancel()
        with pytest.raises(RunCanceled):
            await run.result(timeout=10)
        coordinator.kill()
        house.decide()
        assert heard(house, run) == []
        house.work(module=TROUBLED)
        await eventually(lambda: heard(house, run) == ["fails.slowly@1.0.0 CANCELED"], within=60)


async def test_a_run_whose_worker_is_lost_for_good_is_heard_of_elsewhere(house: House, client: Client) -> None:
    run = await client.trigger(kills().using(pool="doomed"))
    house.work(module=TROUBLED, pool="doomed")
    with pytest.raises(RunCrashed):
        await run.result(timeout=30)
    await eventually(lambda: heard(house, run) == ["kills@1.0.0 CRASHED"], within=10)
