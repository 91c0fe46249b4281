"""The way of one run through the ledger, and the main turnings."""

from __future__ import annotations

from datetime import timedelta

from longshore.core.changes import ReportsBound, SessionReturned
from longshore.core.ids import Address
from longshore.core.message import (
    Call,
    Cancel,
    CancelRun,
    ChildDied,
    Commands,
    Deliver,
    Failure,
    Start,
    Suspended,
    Timer,
)
from longshore.core.run import Status
from tests.simulation.world import World, task, workflow

BOOM = Failure(type="builtins.ValueError", message="boom")


def test_a_triggered_run_is_placed_executed_and_answered() -> None:
    world = World()
    worker = world.join(offers=[task()])
    run_id = world.trigger("t")
    (start,) = world.starts(worker)
    assert (start.run_id, start.epoch, start.attempt, start.version) == (run_id, 1, 1, "1.0.0")
    world.finish(worker, start)
    assert world.path(run_id) == ["QUEUED", "DISPATCHED", "EXECUTING", "COMPLETED"]
    (outcome,) = world.outcomes(run_id)
    assert outcome.result == b"out"  # type: ignore[union-attr]


def test_a_failed_attempt_is_tried_again_after_a_delay_and_then_fails() -> None:
    world = World()
    worker = world.join(offers=[task(max_attempts=2)])
    run_id = world.trigger("t")
    world.finish(worker, world.starts(worker)[0], "failed", error=BOOM)
    assert world.status(run_id) is Status.RETRYING
    world.tick(1.1)
    (start,) = world.starts(worker)
    assert (start.attempt, start.epoch) == (2, 2)
    world.finish(worker, start, "failed", error=BOOM)
    assert world.path(run_id)[-3:] == ["DISPATCHED", "EXECUTING", "FAILED"]


def test_an_unknown_routine_waits_with_near_names_and_runs_when_a_worker_comes() -> None:
    world = World()
    world.join("w0", offers=[task("train")])
    run_id = world.trigger("trian")
    assert world.status(run_id) is Status.PENDING_VERSION
    why = world.ledger.why(run_id, world.now)
    assert why is not None
    assert "did you mean train" in why["text"]
    worker = world.join("w1", offers=[task("trian")])
    (start,) = world.starts(worker)
    world.finish(worker, start)
    assert world.status(run_id) is Status.COMPLETED


def test_a_dead_child_costs_a_crash_and_the_run_goes_to_another_worker_at_once() -> None:
    world = World()
    first = world.join("w1", offers=[task()])
    run_id = world.trigger("t")
    world.begin(first, world.starts(first)[0])
    second = world.join("w2", offers=[task()])
    world.say(first, ChildDied(session=first, how="signal 9"))
    world.settle()
    assert world.row(run_id).crashes == 1
    (start,) = world.starts(second)
    world.finish(second, start)
    assert world.path(run_id) == ["QUEUED", "DISPATCHED", "EXECUTING", "QUEUED", "DISPATCHED", "EXECUTING", "COMPLETED"]


def test_a_late_report_of_a_lost_worker_is_fenced_and_its_charge_taken_back() -> None:
    world = World()
    first = world.join("w1", offers=[task()])
    run_id = world.trigger("t")
    (old,) = world.starts(first)
    world.begin(first, old)
    second = world.join("w2", offers=[task()])
    for _ in range(31):
        world.say(second, __import__("longshore.core.message", fromlist=["Beat"]).Beat())
        world.marks()
    assert world.row(run_id).crashes == 1
    (new,) = world.starts(second)
    world.finish(first, old)
    assert world.status(run_id) is Status.DISPATCHED
    world.join("w1", offers=[task()])
    assert world.row(run_id).crashes == 0
    world.finish(second, new)
    assert world.status(run_id) is Status.COMPLETED


def test_a_returned_directive_loses_the_worker_at_the_fifth_mark() -> None:
    world = World()
    first = world.join("w1", offers=[task()])
    world.marks(31)
    world.join("w1", offers=[task()])
    run_id = world.trigger("t")
    world.begin(first, world.starts(first)[0])
    world.internal(SessionReturned(session=first))
    world.marks(4)
    assert world.status(run_id) is Status.EXECUTING
    world.marks(1)
    assert world.status(run_id) is Status.QUEUED


def test_a_workflow_hangs_is_told_and_ends_and_its_slot_is_free() -> None:
    world = World()
    worker = world.join(offers=[workflow(), task()], slots=1)
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    child_id = world.run_id()
    call = Call(address=Address("0:0"), routine="t", digest="d", input=b"x", child_id=child_id)
    world.report(worker, Commands(run_id=run_id, epoch=1, at=world.now, upto_seq=0, calls=[call]))
    assert world.status(run_id) is Status.HANGING
    (child,) = world.starts(worker)
    world.finish(worker, child)
    (deliver,) = [d for d in world.directives(worker) if isinstance(d, Deliver)]
    assert [(d.seq, d.address, d.status, d.result) for d in deliver.deliveries] == [(1, "0:0", "COMPLETED", b"out")]
    world.finish(worker, start, upto_seq=1)
    assert world.path(run_id) == ["QUEUED", "DISPATCHED", "EXECUTING", "HANGING", "EXECUTING", "COMPLETED"]


def test_a_hanging_workflow_whose_worker_is_lost_is_suspended_and_resumed_elsewhere() -> None:
    world = World()
    first = world.join("w1", offers=[workflow(), task()])
    run_id = world.trigger("wf")
    world.starts(first)
    child_id = world.run_id()
    call = Call(address=Address("0:0"), routine="t", digest="d", input=b"x", child_id=child_id)
    world.report(first, Commands(run_id=run_id, epoch=1, at=world.now, upto_seq=0, calls=[call]))
    second = world.join("w2", offers=[workflow(), task()])
    world.say(first, ChildDied(session=first))
    world.settle()
    assert world.status(run_id) is Status.SUSPENDED
    assert world.row(run_id).crashes == 0
    (child,) = world.starts(second)
    world.finish(second, child)
    (start,) = world.starts(second)
    assert (start.run_id, start.epoch, start.last_seq, start.processed_seq) == (run_id, 2, 1, 0)
    world.finish(second, start, upto_seq=1)
    assert world.status(run_id) is Status.COMPLETED


def test_a_timer_is_delivered_to_a_suspended_workflow_after_a_restart() -> None:
    world = World()
    first = world.join("w1", offers=[workflow()])
    run_id = world.trigger("wf")
    world.starts(first)
    timer = Timer(address=Address("0:0"), digest="d", due_at=world.now + timedelta(hours=1))
    world.report(first, Commands(run_id=run_id, epoch=1, at=world.now, upto_seq=0, timers=[timer]))
    world.say(first, ChildDied(session=first))
    world.settle()
    world.restart()
    second = world.join("w2", offers=[workflow()])
    world.tick(3599)
    assert world.status(run_id) is Status.SUSPENDED
    world.tick(1)
    world.settle()
    (start,) = world.starts(second)
    assert start.last_seq == 1


def test_a_timer_of_thirty_days_survives_a_restart_every_day_and_comes_to_the_second() -> None:
    world = World()
    first = world.join("w1", offers=[workflow()])
    run_id = world.trigger("wf")
    world.starts(first)
    timer = Timer(address=Address("0:0"), digest="d", due_at=world.now + timedelta(days=30))
    world.report(first, Commands(run_id=run_id, epoch=1, at=world.now, upto_seq=0, timers=[timer]))
    world.report(first, Suspended(run_id, 1, 0))
    for _ in range(29):
        world.restart()
        world.tick(86_400)
        assert world.status(run_id) is Status.SUSPENDED
    world.restart()
    second = world.join("w2", offers=[workflow()])
    world.tick(86_399)
    assert world.status(run_id) is Status.SUSPENDED
    world.tick(1)
    world.settle()
    assert [start.last_seq for start in world.starts(second)] == [1]


def test_a_cancel_ends_what_waits_and_tells_what_executes() -> None:
    world = World()
    waiting = world.trigger("t")
    world.command(Cancel(run_id=waiting, reason="no"))
    assert world.status(waiting) is Status.CANCELED
    worker = world.join(offers=[task()])
    run_id = world.trigger("t")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    world.command(Cancel(run_id=run_id, reason="no"))
    assert world.status(run_id) is Status.CANCELING
    assert any(isinstance(directive, CancelRun) for directive in world.directives(worker))
    world.finish(worker, start, "canceled")
    assert world.status(run_id) is Status.CANCELED


def test_a_cancel_of_a_workflow_cascades_to_its_children() -> None:
    world = World()
    worker = world.join(offers=[workflow()])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    children = [world.run_id() for _ in range(3)]
    calls = [
        Call(address=Address(f"0:{i}"), routine="x", digest="d", input=b"", child_id=c) for i, c in enumerate(children)
    ]
    world.report(worker, Commands(run_id=run_id, epoch=1, at=world.now, upto_seq=0, calls=calls))
    world.command(Cancel(run_id=run_id))
    world.settle()
    assert {world.status(child) for child in children} == {Status.CANCELED}
    world.finish(worker, start, "canceled", upto_seq=4)
    assert world.status(run_id) is Status.CANCELED


def test_equal_runs_are_computed_once_and_the_next_is_answered_from_the_cache() -> None:
    world = World()
    worker = world.join(offers=[task(cache=True)])
    first, second = (world.trigger("t", cache_key="k") for _ in range(2))
    (start,) = world.starts(worker)
    world.finish(worker, start)
    assert world.path(second) == ["QUEUED", "COMPLETED"]
    third = world.trigger("t", cache_key="k")
    assert world.path(third) == ["COMPLETED"]
    assert [world.row(run).cached for run in (first, second, third)] == [False, True, True]


def test_short_tasks_stream_and_long_ones_do_not_wait_behind_one_another() -> None:
    world = World()
    worker = world.join(offers=[task("quick"), task("slow")], slots=2)
    world.trigger("quick")
    world.finish(worker, world.starts(worker)[0], slot_us=100)
    for _ in range(10):
        world.trigger("quick")
    assert len(world.starts(worker)) == 10
    other = world.join("w2", offers=[task("slow")], slots=2)
    for _ in range(5):
        world.trigger("slow")
    assert len(world.starts(other)) == 2


def test_a_new_connection_of_ours_pings_every_session_and_hello_brings_back_what_was_lost() -> None:
    world = World()
    worker = world.join(offers=[task()])
    run_id = world.trigger("t")
    world.starts(worker)
    world.restart()
    world.internal(ReportsBound(number=1))
    world.directives(worker)
    world.join(offers=[task()])
    (start,) = [d for d in world.directives(worker) if isinstance(d, Start)]
    assert (start.run_id, start.epoch) == (run_id, 1)
