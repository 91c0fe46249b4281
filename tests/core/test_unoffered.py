"""Started workflows whose version went with its workers: a cancel reaches them all the same."""

from __future__ import annotations

from longshore.core.ids import RunId
from longshore.core.message import Cancel
from tests.core.stages import S, Stage, ask
from tests.simulation.world import World, task, workflow


def begun_and_offered_by_nobody(routine: str, world: World) -> RunId:
    """A workflow whose child has ended, and whose version has gone with its worker."""
    worker = world.join("gone", offers=[workflow(routine), task()])
    run_id = world.trigger(routine)
    ask(world, worker, world.starts(worker)[0], "t")
    (start,) = world.starts(worker)
    world.finish(worker, start)
    Stage(world, run_id, worker).lose()
    world.tick()
    world.tick(61)
    assert world.status(run_id) is S.PENDING_VERSION
    return run_id


def test_a_started_workflow_that_nobody_offers_is_canceled_when_its_grace_is_over() -> None:
    world = World()
    run_id = begun_and_offered_by_nobody("wf", world)
    world.command(Cancel(run_id))
    assert world.status(run_id) is S.CANCELING
    world.tick(61)
    assert world.status(run_id) is S.CANCELED


def test_a_started_workflow_that_nobody_offers_is_placed_for_its_cleanup_when_a_worker_comes() -> None:
    world = World()
    run_id = begun_and_offered_by_nobody("wf", world)
    world.command(Cancel(run_id))
    worker = world.join(offers=[workflow()])
    (start,) = world.starts(worker)
    assert (start.run_id, start.canceling, world.status(run_id)) == (run_id, "canceled", S.CANCELING)
    world.finish(worker, start, "canceled")
    assert world.status(run_id) is S.CANCELED


def test_a_cancel_reaches_a_child_workflow_that_nobody_offers() -> None:
    world = World()
    worker = world.join(offers=[workflow(), workflow("sub"), task()])
    parent = world.trigger("wf")
    (child,) = ask(world, worker, world.starts(worker)[0], "sub")
    (task_id,) = ask(world, worker, world.starts(worker)[0], "t")
    Stage(world, parent, worker).lose()
    other = world.join("w2", offers=[workflow(), task()])
    world.tick()
    world.finish(other, next(one for one in world.starts(other) if one.run_id == task_id))
    world.tick()
    world.tick(61)
    assert world.status(child) is S.PENDING_VERSION
    world.command(Cancel(parent))
    world.settle()
    assert world.status(child) is S.CANCELING


def test_a_cleanup_behind_a_head_that_nobody_offers_is_not_kept_for_a_version() -> None:
    world = World()
    worker = world.join("gone", offers=[workflow(), task()])
    runs = [world.trigger("wf") for _ in range(2)]
    for start in world.starts(worker):
        ask(world, worker, start, "t")
    for start in world.starts(worker):
        world.finish(worker, start)
    Stage(world, runs[0], worker).lose()
    world.tick(30)
    world.command(Cancel(runs[1]))
    world.tick(31)
    assert [world.status(run_id) for run_id in runs] == [S.PENDING_VERSION, S.CANCELING]
    world.tick(30)
    assert [world.status(run_id) for run_id in runs] == [S.PENDING_VERSION, S.CANCELED]
