"""kill -9 of RabbitMQ in the middle, alone and together with everything else."""

from __future__ import annotations

import asyncio
import time

from tests.chaos.routines import UNTIL_TOLD, WORD, apart, note, pair, thread_note
from tests.chaos.story import Crowd, end_well, say, start_crowd
from tests.support.fleet import Fleet
from tests.support.wait import eventually


async def test_a_broker_killed_in_the_middle_of_a_thousand_runs_costs_no_run(fleet: Fleet) -> None:
    fleet.start_coordinator()
    fleet.start_workers(processes=2)
    folder = str(fleet.folder)
    async with fleet.client() as client:
        calls = [(note if value % 2 else thread_note)(folder, value, 0.1) for value in range(1000)]
        crowd = await start_crowd(client, fleet, calls, [2 * value for value in range(1000)])
        flows = await start_crowd(client, fleet, [pair(folder, v, 0.1) for v in range(10)], [4 * v for v in range(10)])
        await crowd.reach(300)
        await restart_broker(fleet, crowd)
        counted = await end_well(crowd, flows, within=40)
    assert max(counted.values()) == 1, "a lost broker makes nobody execute twice"
    assert fleet.rows.crashes() == {}


async def restart_broker(fleet: Fleet, crowd: Crowd) -> None:
    """kill -9 of RabbitMQ and a new start; says when work went on."""
    killed_at = time.time()
    await asyncio.to_thread(fleet.rabbit.restart)
    up_at = time.time()
    begun = crowd.begun()
    await eventually(lambda: crowd.begun() > begun or crowd.begun() >= len(crowd.runs), within=30)
    say(test="broker", up_after=up_at - killed_at, work_after_up=time.time() - up_at)


async def test_worker_coordinator_and_broker_killed_in_one_run_cost_no_run(fleet: Fleet) -> None:
    coordinator = fleet.start_coordinator()
    crew = fleet.start_workers(processes=2)
    folder = str(fleet.folder)
    async with fleet.client() as client:
        calls = [(note if value % 2 else thread_note)(folder, value, 0.1) for value in range(1000)]
        crowd = await start_crowd(client, fleet, calls, [2 * value for value in range(1000)])
        flows = await start_crowd(client, fleet, [pair(folder, v, 0.1) for v in range(10)], [4 * v for v in range(10)])
        await crowd.reach(200)
        crew.kill_child()
        await crowd.reach(350)
        coordinator.kill()
        coordinator = fleet.start_coordinator(ready=False)
        await asyncio.to_thread(fleet.wait_ready, coordinator)
        await crowd.reach(500)
        await restart_broker(fleet, crowd)
        counted = await end_well(crowd, flows, within=60)
    assert sum(counted.values()) <= 1020 + 2 * 16


async def test_three_broker_kills_in_a_row_do_not_disturb_long_tasks(fleet: Fleet) -> None:
    fleet.start_coordinator()
    fleet.start_workers(processes=1)
    folder = str(fleet.folder)
    async with fleet.client() as client:
        calls = [(note, thread_note, apart)[value % 3](folder, value, UNTIL_TOLD) for value in range(6)]
        crowd = await start_crowd(client, fleet, calls, [2 * value for value in range(6)])
        await crowd.reach(6)
        began = time.time()
        for _ in range(3):
            await asyncio.to_thread(fleet.rabbit.restart)
        (fleet.folder / WORD).touch()
        counted = await end_well(crowd, within=50)
    say(test="long tasks", until_the_last_result=time.time() - began)
    assert set(counted.values()) == {1}
    assert fleet.rows.runs("max(crashes)", "max(losses)", "max(epoch)") == [(0, 0, 1)]
