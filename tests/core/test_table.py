"""The table of run statuses, one test per line; names are the lines."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.ids import Address, SessionId
from longshore.core.message import (
    CancelRun,
    Commands,
    Released,
    Suspended,
    Timer,
)
from longshore.core.run import WAITING, WITH_WORKER, Status
from tests.core.stages import BOOM, S, Stage, stage
from tests.simulation.world import World, task, workflow


def test_a_trigger_with_a_delay_begins_delayed_and_another_queued() -> None:
    world = World()
    world.join(offers=[task()])
    assert world.path(world.trigger("t", delay_ms=5)) == ["DELAYED"]
    assert world.path(world.trigger("t"))[0] == "QUEUED"


def test_a_trigger_nobody_offers_begins_pending_version() -> None:
    assert stage(S.PENDING_VERSION).status is S.PENDING_VERSION


def test_a_trigger_with_a_cache_hit_begins_completed() -> None:
    world = World()
    worker = world.join(offers=[task(cache=True)])
    world.trigger("t", cache_key="k")
    world.finish(worker, world.starts(worker)[0])
    run_id = world.trigger("t", cache_key="k")
    assert (world.path(run_id), world.row(run_id).cached) == (["COMPLETED"], True)


def test_a_delayed_run_is_queued_when_it_is_due_and_never_before() -> None:
    scene = stage(S.DELAYED)
    scene.world.tick(59.9)
    assert scene.status is S.DELAYED
    scene.world.tick(0.1)
    assert scene.world.path(scene.run_id) == ["DELAYED", "QUEUED", "DISPATCHED"]


def test_a_queued_run_is_dispatched_when_it_is_placed_on_a_worker() -> None:
    scene = stage(S.QUEUED)
    scene.world.join("w2", offers=[task()], pool="elsewhere")
    assert scene.status is S.DISPATCHED


def test_a_queued_run_completes_when_an_equal_result_becomes_available() -> None:
    world = World()
    worker = world.join(offers=[task(cache=True)])
    first, second = world.trigger("t", cache_key="k"), world.trigger("t", cache_key="k")
    assert world.status(second) is S.QUEUED
    world.finish(worker, world.starts(worker)[0])
    assert (world.status(first), world.path(second)) == (S.COMPLETED, ["QUEUED", "COMPLETED"])


def test_a_queued_run_whose_version_nobody_offers_for_a_minute_is_pending() -> None:
    scene = stage(S.QUEUED)
    scene.lose()
    scene.world.tick(59)
    assert scene.status is S.QUEUED
    scene.world.tick(1)
    assert scene.world.status(scene.run_id) is S.PENDING_VERSION


def test_a_pending_run_is_queued_when_a_worker_offers_it() -> None:
    scene = stage(S.PENDING_VERSION)
    scene.world.join("w2", offers=[task("nobody")])
    assert scene.world.path(scene.run_id) == ["PENDING_VERSION", "QUEUED", "DISPATCHED"]
    assert scene.world.row(scene.run_id).due_at is None


@pytest.mark.parametrize("options", [{"delay_ms": 60_000}, {"pool": "x"}, {"routine": "nobody"}], ids=str)
def test_a_run_expires_whose_ttl_is_over_before_its_first_start(options: dict[str, Any]) -> None:
    world = World()
    world.join(offers=[task()])
    routine = str(options.pop("routine", "t"))
    run_id = world.trigger(routine, ttl_ms=1000, **options)
    world.tick(0.9)
    assert world.status(run_id) in WAITING
    world.tick(0.1)
    assert world.status(run_id) is S.EXPIRED


def test_a_ttl_that_is_over_while_a_worker_has_the_run_ends_it_when_it_comes_back_unstarted() -> None:
    world = World()
    worker = world.join(offers=[task(), workflow()], slots=1)
    for routine in ("t", "wf"):
        run_id = world.trigger(routine, ttl_ms=1000)
        (start,) = world.starts(worker)
        world.tick(2)
        assert world.status(run_id) is S.DISPATCHED
        world.sent.clear()
        world.ledger._state.sessions[worker].draining = True
        world.report(worker, Released(run_id, start.epoch))
        world.tick()
        assert world.status(run_id) is S.EXPIRED
        world.ledger._state.sessions[worker].draining = False


def test_a_ttl_says_nothing_once_the_run_has_started() -> None:
    world = World()
    worker = world.join(offers=[task(max_attempts=2)])
    run_id = world.trigger("t", ttl_ms=100)
    world.finish(worker, world.starts(worker)[0], "failed", error=BOOM)
    world.tick(10)
    assert world.status(run_id) is S.DISPATCHED


def test_a_pending_run_whose_version_deadline_is_over_is_a_system_failure() -> None:
    scene = stage(S.PENDING_VERSION)
    scene.world.tick(30 * 24 * 3600 - 1)
    assert scene.status is S.PENDING_VERSION
    scene.world.restart()
    scene.world.tick(1)
    assert scene.world.status(scene.run_id) is S.SYSTEM_FAILURE


def test_a_dispatched_run_executes_when_its_worker_says_started() -> None:
    scene = stage(S.DISPATCHED)
    scene.world.begin(scene.worker, scene.directive)
    assert scene.status is S.EXECUTING


def test_a_dispatched_run_is_queued_again_when_it_is_released() -> None:
    scene = stage(S.DISPATCHED)
    scene.world.report(scene.worker, Released(scene.run_id, 1))
    assert scene.world.path(scene.run_id) == ["QUEUED", "DISPATCHED", "QUEUED", "DISPATCHED"]
    row = scene.world.row(scene.run_id)
    assert (row.epoch, row.attempt, row.crashes, row.losses) == (2, 1, 0, 0)


def test_a_dispatched_run_is_queued_again_when_its_worker_is_lost() -> None:
    scene = stage(S.DISPATCHED)
    scene.lose()
    row = scene.world.row(scene.run_id)
    assert (row.status, row.crashes, row.losses) == (S.QUEUED, 0, 1)
    assert scene.world.history(scene.run_id)[-1].worker_id == "w1"


def test_an_executing_workflow_hangs_when_it_waits() -> None:
    scene = stage(S.HANGING, kind="workflow")
    assert scene.world.path(scene.run_id)[-2:] == ["EXECUTING", "HANGING"]


def test_an_executing_run_retries_when_it_failed_and_has_attempts_left() -> None:
    scene = stage(S.RETRYING)
    assert scene.world.row(scene.run_id).attempt == 1


def test_an_executing_run_is_queued_again_with_a_crash_when_its_worker_is_lost() -> None:
    scene = stage(S.EXECUTING)
    scene.lose()
    row = scene.world.row(scene.run_id)
    assert (row.status, row.crashes, row.attempt) == (S.QUEUED, 1, 1)


def test_an_executing_run_that_is_handed_back_is_queued_without_a_crash() -> None:
    scene = stage(S.EXECUTING)
    scene.world.report(scene.worker, Released(scene.run_id, 1, lost=True))
    row = scene.world.row(scene.run_id)
    assert (row.crashes, scene.world.path(scene.run_id)[-2:]) == (0, ["QUEUED", "DISPATCHED"])


def test_a_hanging_workflow_executes_when_it_reports_new_commands_or_an_end() -> None:
    scene = stage(S.HANGING, kind="workflow")
    scene.world.report(
        scene.worker,
        Commands(scene.run_id, 1, scene.world.now, timers=[Timer(Address("0:1"), "d", scene.world.now)]),
    )
    assert scene.status is S.EXECUTING
    scene.world.finish(scene.worker, scene.directive)
    assert scene.world.path(scene.run_id)[-3:] == ["HANGING", "EXECUTING", "COMPLETED"]


@pytest.mark.parametrize("how", ["put away", "lost", "released"])
def test_a_hanging_workflow_is_suspended_when_it_is_put_away_or_its_worker_is_lost(how: str) -> None:
    scene = stage(S.HANGING, kind="workflow")
    if how == "lost":
        scene.lose()
    elif how == "released":
        scene.world.report(scene.worker, Released(scene.run_id, 1))
    else:
        scene.world.report(scene.worker, Suspended(scene.run_id, 1, 0))
    assert (scene.status, scene.world.row(scene.run_id).crashes, scene.world.ledger.size) == (S.SUSPENDED, 0, 0)


def test_a_suspended_workflow_is_queued_ahead_of_new_runs_when_a_delivery_comes() -> None:
    scene = stage(S.SUSPENDED, kind="workflow")
    scene.world.ledger._state.sessions[scene.worker].draining = True
    other = scene.world.trigger("wf")
    scene.world.tick(3600)
    assert scene.status is S.QUEUED
    scene.world.join("w3", offers=[workflow()])
    assert [start.run_id for start in scene.world.starts(SessionId("session-w3"))] == [scene.run_id, other]


def test_a_suspended_report_that_does_not_know_the_last_fact_queues_the_workflow_at_once() -> None:
    scene = stage(S.HANGING, kind="workflow")
    scene.world.tick(3600)
    scene.world.report(scene.worker, Suspended(scene.run_id, 1, 0))
    assert scene.world.path(scene.run_id)[-3:] == ["SUSPENDED", "QUEUED", "DISPATCHED"]


def test_a_retrying_run_is_queued_when_the_delay_is_over() -> None:
    scene = stage(S.RETRYING)
    scene.world.tick(1.1)
    assert scene.world.path(scene.run_id)[-3:] == ["RETRYING", "QUEUED", "DISPATCHED"]
    assert scene.world.row(scene.run_id).attempt == 2


def test_a_nondeterministic_workflow_is_blocked_executing_or_hanging() -> None:
    for status in (S.EXECUTING, S.HANGING):
        scene = stage(status, kind="workflow")
        scene.world.finish(scene.worker, scene.directive, "nondeterminism", error=BOOM)
        assert scene.status is S.BLOCKED
        assert "boom" in scene.world.row(scene.run_id).reason


def test_the_third_crash_in_a_row_blocks_a_run() -> None:
    world = World()
    run_id = world.trigger("t")
    for number in range(3):
        worker = world.join(f"w{number}", offers=[task()])
        (start,) = world.starts(worker)
        world.begin(worker, start)
        Stage(world, run_id, worker).lose()
    assert (world.status(run_id), world.row(run_id).crashes) == (S.BLOCKED, 3)


def test_the_tenth_loss_before_starting_blocks_a_run() -> None:
    scene = stage(S.BLOCKED)
    assert scene.world.row(scene.run_id).losses == 10


@pytest.mark.parametrize("status", [S.DELAYED, S.PENDING_VERSION, S.QUEUED, S.RETRYING, S.BLOCKED])
def test_what_has_no_worker_is_canceled_at_once(status: Status) -> None:
    scene = stage(status)
    scene.cancel()
    assert scene.status is S.CANCELED


@pytest.mark.parametrize("status", [S.DISPATCHED, S.EXECUTING])
def test_what_a_worker_has_is_canceling_and_its_worker_is_told(status: Status) -> None:
    scene = stage(status)
    scene.cancel()
    assert scene.status is S.CANCELING
    assert any(isinstance(directive, CancelRun) for directive in scene.world.directives(scene.worker))


@pytest.mark.parametrize("status", [S.SUSPENDED, S.RETRYING, S.BLOCKED])
def test_a_started_workflow_that_waits_is_placed_once_more_for_its_cleanup(status: Status) -> None:
    scene = stage(status, kind="workflow") if status is S.SUSPENDED else _begun_workflow(status)
    epoch = scene.world.row(scene.run_id).epoch
    scene.cancel()
    (start,) = scene.world.starts(scene.worker)
    assert (scene.status, start.epoch, start.canceling) == (S.CANCELING, epoch + 1, "no")
    scene.world.report(scene.worker, Released(scene.run_id, start.epoch))
    (again,) = scene.world.starts(scene.worker)
    assert (scene.status, again.epoch) == (S.CANCELING, epoch + 2)
    scene.world.finish(scene.worker, again, "canceled", upto_seq=1)
    assert scene.status is S.CANCELED


def _begun_workflow(status: Status) -> Stage:
    scene = stage(S.HANGING, kind="workflow")
    how = {S.RETRYING: "failed", S.BLOCKED: "nondeterminism"}[status]
    scene.world.finish(scene.worker, scene.directive, how, error=BOOM)
    assert scene.status is status
    return scene


def test_a_queued_started_workflow_is_canceling_when_it_is_canceled() -> None:
    scene = stage(S.SUSPENDED, kind="workflow")
    scene.world.ledger._state.sessions[scene.worker].draining = True
    scene.world.tick(3600)
    assert scene.status is S.QUEUED
    scene.cancel()
    assert scene.world.status(scene.run_id) is S.CANCELING
    scene.world.tick(60)
    assert scene.world.status(scene.run_id) is S.CANCELED


@pytest.mark.parametrize("how", ["finished", "released", "nondeterminism", "lost", "grace"])
def test_a_canceling_run_is_canceled_when_its_cleanup_is_done_its_worker_lost_or_the_grace_over(how: str) -> None:
    scene = stage(S.CANCELING)
    if how == "lost":
        scene.lose()
    elif how == "grace":
        scene.world.tick(59)
        assert scene.status is S.CANCELING
        scene.world.tick(1)
    elif how == "released":
        scene.world.report(scene.worker, Released(scene.run_id, 1))
    else:
        scene.world.finish(scene.worker, scene.directive, "completed" if how == "finished" else how)
    assert scene.status is S.CANCELED


@pytest.mark.parametrize("status", sorted(WAITING | WITH_WORKER))
def test_the_deadline_of_the_whole_run_ends_it_wherever_it_stands(status: Status) -> None:
    kind = "workflow" if status in (S.HANGING, S.SUSPENDED) else "task"
    scene = stage(status, kind=kind)
    at = scene.world.now + timedelta(seconds=1)
    scene.world.book.runs[scene.run_id].deadline_at = at
    scene.world.restart()
    scene.world.join(scene.worker.removeprefix("session-"), offers=[task(), workflow()])
    scene.world.tick(1)
    assert scene.status is S.TIMED_OUT


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("completed", S.COMPLETED),
        ("failed", S.RETRYING),
        ("canceled", S.RETRYING),
        ("aborted", S.FAILED),
        ("timed_out", S.TIMED_OUT),
        ("system_failure", S.SYSTEM_FAILURE),
        ("crashed", S.QUEUED),
    ],
)
def test_an_executing_run_ends_as_its_worker_reports(how: str, status: Status) -> None:
    scene = stage(S.EXECUTING)
    scene.world.ledger._state.sessions[scene.worker].draining = True
    scene.world.finish(scene.worker, scene.directive, how)
    assert scene.status is status
    assert scene.world.row(scene.run_id).crashes == (how == "crashed")


def test_a_run_whose_author_wants_no_second_try_after_a_crash_is_crashed_though_its_only_worker_is_gone() -> None:
    world = World()
    worker = world.join(offers=[task(on_crash="fail")])
    run_id = world.trigger("t")
    world.begin(worker, world.starts(worker)[0])
    Stage(world, run_id, worker).lose()
    assert world.status(run_id) is S.CRASHED


def test_a_dispatched_run_is_never_crashed_by_the_loss_of_its_worker() -> None:
    world = World()
    worker = world.join(offers=[task(on_crash="fail")])
    run_id = world.trigger("t")
    Stage(world, run_id, worker).lose()
    assert world.status(run_id) is S.QUEUED
