"""kill -9, SIGSTOP and SIGTERM of workers in the middle of their work."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator

import pytest

from longshore.client import Client
from tests.chaos.conftest import NewFleet
from tests.chaos.routines import STAGES, apart, lines, note, pair, stages, thread_note
from tests.chaos.story import Crowd, again_after, end_well, say, start_crowd, worker_ids
from tests.support.fleet import Fleet, Part
from tests.support.rabbit import RabbitNode
from tests.support.wait import eventually

SETTLED_AFTER = 31.0
"""Seconds after which a coordinator takes a returned directive for the loss of the worker, not only its lease."""


@pytest.fixture(scope="module", autouse=True)
def old_fleet(rabbit_node: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A coordinator that ages while the other tests of this module go on."""
    folder = tmp_path_factory.mktemp("old")
    fleet = Fleet(folder, modules=["tests.chaos.routines"], broker_url=rabbit_node.vhost())
    fleet.start_coordinator()
    yield fleet
    fleet.close()


async def a_thousand(client: Client, fleet: Fleet, *, seconds: float = 0.1, count: int = 1000) -> Crowd:
    folder = str(fleet.folder)
    calls = [(note if value % 2 else thread_note)(folder, value, seconds) for value in range(count)]
    return await start_crowd(client, fleet, calls, [2 * value for value in range(count)])


async def test_killed_worker_processes_in_the_middle_of_a_thousand_runs_cost_no_run(fleet: Fleet) -> None:
    fleet.start_coordinator()
    crew = fleet.start_workers(processes=2)
    async with fleet.client() as client:
        crowd = await a_thousand(client, fleet)
        deeds = []
        for reached in (200, 500):
            await crowd.reach(reached)
            (victim,) = (await asyncio.to_thread(fleet.wait_joined, crew, 2))[:1]
            deeds.append((crew.kill_child(victim), worker_ids(fleet, [victim])))
        counted = await end_well(crowd, within=40)
    assert sum(counted.values()) <= 1000 + 2 * 2 * 16
    for killed_at, who in deeds:
        taken, queued, placed = again_after(fleet, killed_at, who)
        say(test="worker child", runs_taken=len(taken), queued_after=queued, placed_after=placed)
        assert taken and queued < 2 and placed < 6


async def test_the_reconciler_alone_brings_a_thousand_runs_through_the_loss_of_a_worker(new_fleet: NewFleet) -> None:
    fleet = new_fleet(event_path="off")
    fleet.start_coordinator()
    crew = fleet.start_workers(processes=2)
    async with fleet.client() as client:
        crowd = await a_thousand(client, fleet, seconds=0.01)
        flows = await start_crowd(client, fleet, [pair(str(fleet.folder), v, 0.01) for v in range(3)], [0, 4, 8])
        await crowd.reach(300, within=60)
        crew.kill_child()
        await end_well(crowd, flows, within=80)


async def test_a_drained_worker_loses_nothing_and_is_charged_nothing(fleet: Fleet) -> None:
    fleet.start_coordinator()
    leaving = fleet.start_workers(processes=1)
    async with fleet.client() as client:
        folder = str(fleet.folder)
        calls = [pair(folder, value, 0.3) for value in range(20)]
        calls += [(note, thread_note, apart)[value % 3](folder, value, 0.3) for value in range(90)]
        crowd = await start_crowd(client, fleet, calls, [4 * v for v in range(20)] + [2 * v for v in range(90)])
        await crowd.reach(40)
        leaving.terminate()
        fleet.start_workers(processes=1, ready=False)
        status = await asyncio.to_thread(leaving.wait, 20)
        counted = await end_well(crowd, within=40)
    assert status == 0, leaving.words()[-2000:]
    assert fleet.rows.crashes() == {}
    again = {run_id: count for run_id, count in counted.items() if count > 1}
    assert not again, f"executed more than once: {again}"
    assert not [row for row in fleet.rows.rows() if "died" in row.reason or "lost" in row.reason]


async def test_a_frozen_worker_that_comes_back_is_fenced_and_its_charge_taken_back(new_fleet: NewFleet) -> None:
    fleet = new_fleet(heartbeat="500ms", unresponsive_after="2s", lease="4s")
    fleet.start_coordinator()
    frozen = fleet.start_workers(processes=1)
    folder = str(fleet.folder)
    async with fleet.client() as client:
        calls = [(note, thread_note, apart)[value % 3](folder, value, 5.0) for value in range(6)]
        short = await start_crowd(client, fleet, calls, [2 * value for value in range(6)])
        long = await start_crowd(client, fleet, [note(folder, 7, 9.0)], [14])
        await short.reach(7)
        frozen.freeze()
        other = fleet.start_workers(processes=1)
        held = {*short.ids, *long.ids}
        await eventually(lambda: held <= set(fleet.rows.crashes()), within=15, what="the charge of a crash")
        await eventually(lambda: len(lines(fleet.folder)) >= 14, within=15, what="all seven beginning elsewhere")
        frozen.thaw()
        await eventually(lambda: long.ids[0] not in fleet.rows.crashes(), within=10, what="the charge taken back")
        counted = await end_well(short, long, within=40)
    assert set(counted.values()) == {2}
    others = worker_ids(fleet, other.children())
    for run_id in held:
        last = fleet.rows.histories()[run_id][-1]
        assert last.worker_id in others, f"{run_id} was ended by a worker that had lost it: {last}"
    await eventually(lambda: len(fleet.rows.open_sessions()) == 2, within=10, what="both workers being members")


async def test_a_workflow_whose_worker_is_killed_five_times_ends_once_and_every_child_ran(fleet: Fleet) -> None:
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    fleet.start_coordinator()
    crew = fleet.start_workers(processes=2)
    async with fleet.client() as client:
        widths = list(STAGES)
        wanted = sum(2 * index for width in widths for index in range(width))
        crowd = await start_crowd(client, fleet, [stages(str(fleet.folder), 0.05, widths)], [wanted])
        for reached in sorted(chance.sample(range(5, sum(widths) - 5), 5)):
            await crowd.reach(reached, within=60)
            await kill_holder(fleet, crew, crowd.ids[0])
        await end_well(crowd, within=60)
    children = [row[0] for row in fleet.rows.ask("SELECT id FROM run WHERE parent_id = ?", crowd.ids[0])]
    assert len(children) == sum(widths) and set(children) == set(lines(fleet.folder))
    say(test="workflow", seed=seed, executions=len(lines(fleet.folder)))


async def kill_holder(fleet: Fleet, crew: Part, run_id: str) -> None:
    """kill -9 of the process that holds the workflow."""

    def holder() -> int:
        found = fleet.rows.ask(
            "SELECT worker.pid FROM run JOIN worker ON worker.session = run.session WHERE run.id = ?", run_id
        )
        pids = [pid for (pid,) in found if pid in crew.children()]
        return pids[0] if pids else 0

    pid = await eventually(holder, within=60, what="a worker that holds the workflow")
    crew.kill_child(pid)
    await eventually(lambda: pid not in crew.children(), within=5, what="its end")


async def test_the_runs_of_a_worker_killed_with_its_supervisor_are_on_their_way_again_within_six_seconds(
    old_fleet: Fleet,
) -> None:
    fleet = old_fleet
    assert fleet.coordinator is not None
    coordinator = fleet.coordinator
    killed = fleet.start_workers(processes=2)
    fleet.start_workers(processes=2)
    await eventually(lambda: coordinator.age > SETTLED_AFTER, within=40, what="a coordinator that has settled")
    pids = killed.children()
    async with fleet.client() as client:
        crowd = await a_thousand(client, fleet)
        await crowd.reach(300)
        killed_at = killed.kill()
        await end_well(crowd, within=40)
    taken, queued, placed = again_after(fleet, killed_at, worker_ids(fleet, pids))
    say(test="supervisor and children", runs_taken=len(taken), queued_after=queued, placed_after=placed)
    assert taken and placed < 6, "\n".join(fleet.words())
    assert killed.wait(0) == -signal.SIGKILL
