"""What time alone will bring, and what is under way: `Ledger.coming_at`, `at_work`, `is_tidying`."""

from __future__ import annotations

from datetime import timedelta

from longshore.core.ids import Address
from longshore.core.message import Cancel, LimitQueue
from longshore.core.run import Status
from tests.core.stages import ask, hang, stage
from tests.simulation.world import CLIENT, World, task, workflow


def test_nothing_is_to_come_where_nothing_waits_for_time() -> None:
    world = World()
    world.join(offers=[task()])
    assert world.ledger.coming_at() is None
    assert not list(world.ledger.at_work()) and not world.ledger.is_tidying


def test_the_first_delay_comes_next() -> None:
    scene = stage(Status.DELAYED)
    due = scene.world.row(scene.run_id).due_at
    scene.world.trigger("t", delay_ms=600_000)
    assert due is not None and scene.world.ledger.coming_at() == due


def test_a_rate_lets_the_next_run_start_in_its_time() -> None:
    world = World()
    world.command(LimitQueue("default", rate="1/m", create=True, ask_id="ask", reply_to=CLIENT))
    worker = world.join(offers=[task()])
    first, _ = world.trigger("t"), world.trigger("t")
    coming = world.ledger.coming_at()
    assert coming is not None and timedelta(0) < coming - world.now <= timedelta(minutes=2)
    assert [run_id for run_id, _ in world.ledger.at_work()] == [first]
    assert [start.run_id for start in world.starts(worker)] == [first]


def test_a_head_that_nobody_offers_is_judged_in_its_time() -> None:
    scene = stage(Status.DISPATCHED)
    world = scene.world
    scene.lose()
    world.tick()
    assert world.status(scene.run_id) is Status.QUEUED
    assert world.ledger.coming_at() == world.now + timedelta(seconds=60)
    world.tick(60)
    assert world.status(scene.run_id) is Status.PENDING_VERSION
    assert world.ledger.coming_at() == world.now + timedelta(days=30)


def test_a_workflow_that_waits_is_not_at_work_until_it_is_told_something() -> None:
    scene = stage(Status.DISPATCHED, kind="workflow")
    world, worker, start = scene.world, scene.worker, scene.directive
    world.begin(worker, start)
    assert list(world.ledger.at_work()) == [(scene.run_id, start.epoch)]
    hang(world, worker, start)
    assert list(world.ledger.at_work()) == []
    assert world.ledger.coming_at() == world.row(scene.run_id).flow.timers[Address("0:0")]  # type: ignore[union-attr]
    world.tick(3600)
    assert list(world.ledger.at_work()) == [(scene.run_id, start.epoch)]


def test_a_cancel_that_goes_through_children_is_something_of_many_steps() -> None:
    world = World()
    worker = world.join(offers=[workflow(), task()])
    parent = world.trigger("wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    ask(world, worker, start, "t", "t")
    world.command(Cancel(parent))
    assert world.ledger.is_tidying
    world.settle()
    assert not world.ledger.is_tidying
