"""Placement by version, and equal runs that share one execution."""

from __future__ import annotations

from typing import Any

import pytest

from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import Call, Cancel, Commands, Finished, Offer, Released, Start, Suspended
from longshore.core.run import Status
from tests.core.stages import BOOM, S, Stage, stage
from tests.simulation.world import World, task, workflow


def test_a_bare_name_means_the_newest_version_offered_when_it_is_dispatched_and_stays_after_the_first_start() -> None:
    world = World()
    old = world.join("old", offers=[task(version="1.0.0", max_attempts=3)])
    run_id = world.trigger("t")
    (start,) = world.starts(old)
    world.join("new", offers=[task(version="2.0.0")])
    world.finish(old, start, "failed", error=BOOM)
    world.tick(2)
    assert world.row(run_id).version == "1.0.0"
    other = world.trigger("t")
    assert world.row(other).version == "2.0.0"


def test_a_run_that_comes_back_before_its_first_start_takes_the_newest_version_then() -> None:
    world = World()
    old = world.join("old", offers=[task(version="2.0.0")])
    run_id = world.trigger("t")
    assert world.row(run_id).version == "2.0.0"
    Stage(world, run_id, old).lose()
    world.join("new", offers=[task(version="1.0.0")])
    assert (world.status(run_id), world.row(run_id).version) == (S.DISPATCHED, "1.0.0")


def test_the_newest_version_whose_workers_take_work_is_taken() -> None:
    world = World()
    one = world.join("one", offers=[task(version="1.0.0"), task(version="0.9.0")])
    world.join("two", offers=[task(version="2.0.0")])
    world.ledger._state.sessions[SessionId("session-two")].draining = True
    run_id = world.trigger("t")
    assert (world.row(run_id).version, len(world.starts(one))) == ("1.0.0", 1)


# -------------------------------------------------------------------------------------------------------- equal runs

CACHED = task(cache=True, max_attempts=2)


def fifty(world: World, offer: Offer = CACHED) -> tuple[SessionId, list[RunId], Start]:
    worker = world.join(offers=[offer], slots=4)
    runs = [world.trigger("t", cache_key="k") for _ in range(50)]
    (start,) = world.starts(worker)
    return worker, runs, start


def test_fifty_equal_calls_run_the_body_once() -> None:
    world = World(group=20)
    worker, runs, start = fifty(world)
    why = world.ledger.why(runs[-1], world.now)
    assert why is not None and (why["kind"], why["holders"]) == ("equal_run", [runs[0]])
    changes = world.finish(worker, start)
    assert len(changes.ended) == 21
    why = world.ledger.why(runs[-1], world.now)
    assert why is not None and why["kind"] == "equal_run"
    world.settle()
    assert {world.status(run) for run in runs} == {S.COMPLETED}
    assert [world.row(run).cached for run in runs] == [False] + [True] * 49
    assert {world.book.results[run] for run in runs} == {b"out"}
    assert world.starts(worker) == []


def test_a_result_that_has_left_the_cache_before_all_are_served_is_computed_again() -> None:
    world = World(group=20)
    worker, runs, start = fifty(world, task(cache=True, cache_ttl_ms=1))
    world.finish(worker, start)
    world.tick(1)
    (again,) = world.starts(worker)
    world.finish(worker, again)
    world.tick(1)
    assert len([run for run in runs if world.status(run) is S.COMPLETED]) == 1 + 20 + 1 + 20


@pytest.mark.parametrize("how", ["aborted", "canceled", "blocked", "lost"])
def test_when_the_leader_ends_without_a_result_is_to_be_canceled_or_blocked_the_next_one_goes(how: str) -> None:
    world = World()
    worker, runs, start = fifty(world)
    if how == "aborted":
        world.finish(worker, start, "aborted", error=BOOM)
    elif how == "blocked":
        world.finish(worker, start, "nondeterminism", error=BOOM)
    elif how == "canceled":
        world.command(Cancel(runs[0]))
    else:
        world.report(worker, Released(runs[0], 1))
    (next_,) = world.starts(worker)
    assert next_.run_id == (runs[0] if how == "lost" else runs[1])


def test_a_leader_between_attempts_still_leads_also_after_a_restart() -> None:
    world = World()
    worker, runs, start = fifty(world)
    world.finish(worker, start, "failed", error=BOOM)
    assert world.starts(worker) == []
    world.restart()
    world.join(offers=[CACHED])
    assert world.starts(worker) == []
    world.tick(2)
    (again,) = world.starts(worker)
    assert again.run_id == runs[0]
    world.finish(worker, again)
    assert {world.status(run) for run in runs} == {S.COMPLETED}


def test_an_equal_run_that_never_came_to_the_head_completes_too() -> None:
    world = World()
    worker = world.join(offers=[CACHED], slots=1)
    world.trigger("t", cache_key="k")
    world.trigger("t", cache_key="other")
    behind = world.trigger("t", cache_key="k")
    (start,) = world.starts(worker)
    world.finish(worker, start)
    assert world.path(behind) == ["QUEUED", "COMPLETED"]


@pytest.mark.parametrize("options", [{"delay_ms": 5000}, {"routine": "t@2.0.0"}], ids=str)
def test_what_is_queued_later_looks_whether_an_equal_result_has_become_available(options: dict[str, Any]) -> None:
    world = World()
    worker = world.join(offers=[CACHED])
    late = world.trigger(str(options.pop("routine", "t")), cache_key="k", **options)
    world.trigger("t", cache_key="k")
    world.finish(worker, world.starts(worker)[0])
    world.join("w2", offers=[task(version="2.0.0", cache=True)])
    world.tick(5)
    assert world.path(late)[-2:] == ["QUEUED", "COMPLETED"]


def test_who_waits_for_a_leader_keeps_its_ttl_and_can_be_canceled() -> None:
    world = World()
    worker = world.join(offers=[CACHED])
    world.trigger("t", cache_key="k")
    mortal = world.trigger("t", cache_key="k", ttl_ms=1000)
    unwanted = world.trigger("t", cache_key="k")
    world.command(Cancel(unwanted))
    world.tick(1)
    assert (world.status(mortal), world.status(unwanted)) == (S.EXPIRED, S.CANCELED)
    world.finish(worker, world.starts(worker)[0])


@pytest.mark.parametrize("offer", [task(), task(version="1.0.0-dev", cache=True)], ids=["action", "dev"])
@pytest.mark.parametrize("early", [True, False])
def test_what_is_never_cached_is_never_shared(offer: Offer, early: bool) -> None:
    world = World()
    runs = [world.trigger("t", cache_key="k") for _ in range(2 * early)]
    worker = world.join(offers=[offer])
    runs += [world.trigger("t", cache_key="k") for _ in range(2 - len(runs))]
    starts = world.starts(worker)
    assert len(starts) == 2
    for start in starts:
        world.finish(worker, start, cache_key="k")
    assert [world.row(run).cached for run in runs] == [False, False]
    assert world.book.cache == {}


def test_a_run_without_a_key_fills_the_cache_and_serves_those_who_wait_for_another() -> None:
    world = World()
    worker, runs, _ = fifty(world)
    bare = world.trigger("t")
    (start,) = world.starts(worker)
    report = Finished(bare, start.epoch, "completed", world.now, result=b"same", cache_key="k")
    world.report(worker, report)
    assert {world.status(run) for run in runs[1:]} == {S.COMPLETED}
    assert world.status(runs[0]) is S.DISPATCHED


def test_an_equal_child_of_a_suspended_workflow_tells_it() -> None:
    world = World()
    flows = world.join("flows", offers=[workflow()])
    run_id = world.trigger("wf")
    (start,) = world.starts(flows)
    worker = world.join("tasks", offers=[task(cache=True)], slots=1)
    world.trigger("t", cache_key="k")
    (leader,) = world.starts(worker)
    call = Call(Address("0:0"), "t", "d", b"", world.run_id(), cache_key="k")
    world.report(flows, Commands(run_id, 1, world.now, 0, [call]), Suspended(run_id, 1, 0))
    assert world.status(run_id) is S.SUSPENDED
    world.finish(worker, leader)
    assert world.status(run_id) is S.DISPATCHED
    assert start.run_id == run_id


@pytest.mark.parametrize("status", [status for status in Status if status is not S.CRASHED])
def test_every_status_says_why_with_a_holder_or_a_time(status: Status) -> None:
    scene = stage(status, kind="workflow" if status in (S.HANGING, S.SUSPENDED) else "task")
    why = scene.world.ledger.why(scene.run_id, scene.world.now, scene.world.row(scene.run_id))
    kinds = {
        S.DELAYED: "time",
        S.PENDING_VERSION: "version",
        S.QUEUED: "worker",
        S.RETRYING: "retry",
        S.SUSPENDED: "timer",
        S.HANGING: "timer",
        S.BLOCKED: "person",
        S.DISPATCHED: "worker",
        S.EXECUTING: "worker",
        S.CANCELING: "worker",
    }
    assert (why or {}).get("kind") == kinds.get(status)
    assert why is None or why["holders"] or why["next_at"] or status is S.BLOCKED
