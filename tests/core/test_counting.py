"""What there is to say of every queue: counted from the runs themselves, whenever somebody asks."""

from __future__ import annotations

from typing import Any

from longshore.core.message import Cancel, LimitQueue, PauseQueue
from longshore.core.run import Status
from tests.core.stages import hang
from tests.simulation.world import World, task, workflow


def shown(world: World, at_once: int = 1000) -> dict[str, dict[str, Any]]:
    counting = world.ledger.count_queues()
    assert sum(1 for _ in counting.steps(at_once)) == -(-world.ledger.size // at_once)
    return {row["name"]: row for row in counting.rows()}


def test_a_queue_is_counted_by_the_runs_that_wait_and_those_that_hold_its_limit() -> None:
    world = World()
    worker = world.join(slots=2, offers=[task(queue="offered")])
    first = world.now
    for _ in range(5):
        world.trigger("t", queue="gpu")
    world.tick(1)
    world.trigger("nobody", queue="gpu")
    world.trigger("t", queue="gpu", delay_ms=60_000)
    world.begin(worker, world.starts(worker)[0])
    for at_once in (1, 2, 1000):
        rows = shown(world, at_once)
        assert list(rows) == ["default", "gpu", "offered"]
        assert (rows["gpu"]["queued"], rows["gpu"]["executing"], rows["gpu"]["oldest_at"]) == (4, 2, first)
        assert (rows["offered"]["queued"], rows["offered"]["executing"], rows["offered"]["oldest_at"]) == (0, 0, None)
        assert rows["gpu"]["limit"] is None and not rows["gpu"]["paused"]


def test_the_namespace_is_the_sum_of_its_queues_once_it_has_a_rule() -> None:
    world = World()
    world.join(slots=1, offers=[task()])
    first = world.now
    world.trigger("t", queue="busy")
    world.tick(1)
    for name in ("late", "later"):
        for _ in range(2):
            world.trigger("t", queue=name)
            world.tick(1)
    assert "*" not in shown(world)
    world.command(LimitQueue("*", limit=1))
    world.command(PauseQueue("later"))
    rows = shown(world)
    total = rows["*"]
    assert (total["queued"], total["executing"], total["limit"]) == (4, 1, 1)
    assert first < total["oldest_at"] == rows["late"]["oldest_at"] < rows["later"]["oldest_at"]
    assert rows["later"]["paused"] and rows["later"]["paused_at"]


def test_a_workflow_that_has_waited_counts_no_longer_as_executing() -> None:
    world = World()
    worker = world.join(offers=[workflow()])
    run_id = world.trigger("wf", queue="flows")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    assert shown(world)["flows"]["executing"] == 1
    hang(world, worker, start)
    world.command(Cancel(run_id))
    assert world.status(run_id) is Status.CANCELING
    assert "flows" not in shown(world)
