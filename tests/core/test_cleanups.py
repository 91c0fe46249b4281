"""Cleanups outlive their workers, within their grace; and the end of an attempt is no answer to the facts it was told:
its last pump is never held against a replay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import Bye, Cancel, Commands, Finished, Released, Start, Suspended, Timer
from longshore.core.policy import CRASHES_TO_BLOCK
from tests.core.stages import BOOM, S, Stage, ask, hang, stage
from tests.simulation.world import World, task, workflow


def failed(upto: int) -> tuple[World, SessionId, RunId]:
    """A workflow of two attempts whose first has failed in the pump of this fact."""
    world = World()
    worker = world.join(offers=[workflow(max_attempts=2, retry_first_ms=60_000)])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    if upto:
        timer = Timer(Address("0:0"), "d", world.now + timedelta(seconds=5))
        world.report(worker, Commands(run_id, start.epoch, world.now, upto_seq=0, timers=[timer]))
        world.tick(6)
    world.report(worker, Finished(run_id, start.epoch, "failed", world.now, error=BOOM, upto_seq=upto))
    assert world.status(run_id) is S.RETRYING
    return world, worker, run_id


def test_the_cleanup_of_a_failed_attempt_may_ask_anew_for_what_its_last_pump_asked_for() -> None:
    world, worker, run_id = failed(1)
    world.command(Cancel(run_id, "no"))
    assert world.status(run_id) is S.CANCELING
    (start,) = [one for one in world.starts(worker) if isinstance(one, Start)]
    assert (start.canceling, start.last_seq, start.processed_seq) == ("no", 2, 0)
    world.report(worker, Finished(run_id, start.epoch, "failed", world.now, error=BOOM, upto_seq=1))
    assert world.status(run_id) is S.CANCELED


def test_what_failed_in_its_very_first_pump_has_nothing_to_clean_up() -> None:
    world, worker, run_id = failed(0)
    world.command(Cancel(run_id, "no"))
    assert world.status(run_id) is S.CANCELED and world.starts(worker) == []


def canceling(**policy: Any) -> tuple[World, SessionId, RunId, Start]:
    """A workflow that waited, was canceled, and has not answered that yet."""
    world = World()
    worker = world.join("w1", offers=[workflow(**policy), task()])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    hang(world, worker, start)
    world.command(Cancel(run_id, "no"))
    world.directives(worker)
    return world, worker, run_id, start


def lose(world: World, run_id: RunId, worker: SessionId, name: str, **policy: Any) -> tuple[SessionId, Start | None]:
    """Its worker dies, another one joins: that one, and what it was given of the run."""
    Stage(world, run_id, worker).lose()
    other = world.join(name, offers=[workflow(**policy), task()])
    return other, next((one for one in world.starts(other) if one.run_id == run_id), None)


def test_a_cleanup_goes_on_elsewhere_when_its_worker_is_lost_and_calls_nothing_twice() -> None:
    world, worker, run_id, start = canceling()
    (first,) = ask(world, worker, start, "t", upto=1)
    (childs,) = world.starts(worker)
    world.finish(worker, childs)
    other, again = lose(world, run_id, worker, "w2")
    assert again is not None and world.status(run_id) is S.CANCELING
    assert (again.epoch, again.canceling, again.last_seq, again.processed_seq) == (2, "no", 2, 1)
    world.command(Cancel(run_id, "once more"))
    assert world.history(run_id)[-1].valid is False
    ask(world, other, again, "t", upto=1)  # the same address, said again by a worker that was told nothing else
    assert [child for child in world.book.runs if child not in (run_id, first)] == []
    (second,) = ask(world, other, again, "t", upto=2)
    (childs,) = world.starts(other)
    world.finish(other, childs)
    world.finish(other, again, "canceled", upto_seq=3)
    assert world.status(run_id) is S.CANCELED and world.row(run_id).reason == "no"
    assert {world.status(child) for child in (first, second)} == {S.COMPLETED}
    row = next(row for row in world.history(run_id) if row.from_status == row.to_status == "CANCELING" and row.valid)
    assert "process died" in row.reason and row.reason.endswith("placed once more for its cleanup")
    assert row.worker_id == "w1"


def test_a_cleanup_goes_ahead_of_new_runs() -> None:
    world, worker, run_id, _ = canceling()
    Stage(world, run_id, worker).lose()
    later = world.trigger("wf")
    other = world.join("w2", offers=[workflow()])
    assert [one.run_id for one in world.starts(other)] == [run_id, later]


@pytest.mark.parametrize("said", [False, True])
def test_three_workers_lost_in_a_row_end_a_cleanup_and_whatever_it_says_begins_the_count_anew(said: bool) -> None:
    world, worker, run_id, start = canceling()
    for number in range(2, CRASHES_TO_BLOCK + 1):
        if said:
            ask(world, worker, start, "t", upto=number - 1)
            world.finish(worker, next(one for one in world.starts(worker) if one.run_id != run_id))
        worker, again = lose(world, run_id, worker, f"w{number}")
        assert again is not None
        start = again
        assert world.row(run_id).crashes == (1 if said else number - 1)
    Stage(world, run_id, worker).lose()
    assert world.status(run_id) is (S.CANCELING if said else S.CANCELED)
    if not said:
        reason = world.row(run_id).reason
        assert reason.startswith("no; 3 workers lost in a row") and "process died" in reason
        assert world.row(run_id).crashes == CRASHES_TO_BLOCK


def test_after_the_second_loss_a_cleanup_executes_alone() -> None:
    world, worker, run_id, _ = canceling()
    other, _ = lose(world, run_id, worker, "w2")
    busy = world.join("w3", offers=[workflow(), task()])
    world.trigger("t")
    world.trigger("t")
    Stage(world, run_id, other).lose()
    assert world.row(run_id).session == "" and world.status(run_id) is S.CANCELING
    assert [one.run_id for one in world.starts(busy) if one.run_id == run_id] == []
    free = world.join("w4", offers=[workflow(), task()])
    assert [one.run_id for one in world.starts(free)] == [run_id]


def test_a_worker_lost_while_its_cleanup_waits_is_no_crash_and_the_grace_ends_it_for_all_that() -> None:
    world, worker, run_id, start = canceling()
    for number in range(2, 8):
        timer = Timer(Address("0/1:0"), "d", world.now + timedelta(hours=1), asked_seq=1)
        world.report(worker, Commands(run_id, start.epoch, world.now, upto_seq=1, timers=[timer]))
        world.tick(8)
        worker, again = lose(world, run_id, worker, f"w{number}")
        assert again is not None and again.epoch == number
        start = again
        assert world.row(run_id).crashes == 0
    assert world.status(run_id) is S.CANCELING
    world.tick(13)
    assert world.status(run_id) is S.CANCELED and "outlived the grace" in world.row(run_id).reason


def test_the_grace_ends_a_cleanup_that_no_worker_is_there_for_though_the_coordinator_was_restarted() -> None:
    world, worker, run_id, _ = canceling()
    Stage(world, run_id, worker).lose()
    world.restart()
    world.tick(59)
    assert world.status(run_id) is S.CANCELING
    world.tick(1)
    assert world.status(run_id) is S.CANCELED
    assert "no worker was there for its cleanup" in world.row(run_id).reason


def test_a_worker_that_was_only_silent_takes_its_charge_back_and_drops_the_cleanup() -> None:
    world, worker, run_id, start = canceling()
    world.marks(31)
    assert (world.status(run_id), world.row(run_id).crashes) == (S.CANCELING, 1)
    other = world.join("w2", offers=[workflow()])
    assert [one.epoch for one in world.starts(other)] == [2]
    world.join("w1", offers=[workflow(), task()])
    assert (world.row(run_id).crashes, world.row(run_id).epoch) == (0, 2)
    world.finish(worker, start, "canceled", upto_seq=1)
    assert world.status(run_id) is S.CANCELING and world.ledger.counts["late_report"] == 1


@pytest.mark.parametrize("how", ["put away", "handed back"])
def test_a_cleanup_that_is_put_away_or_handed_back_goes_on_at_once(how: str) -> None:
    world, worker, run_id, start = canceling()
    epoch = start.epoch
    world.report(worker, Suspended(run_id, epoch, 0) if how == "put away" else Released(run_id, epoch))
    (again,) = world.starts(worker)
    assert (world.status(run_id), again.epoch, world.row(run_id).crashes) == (S.CANCELING, epoch + 1, 0)


def test_a_worker_that_leaves_in_the_middle_of_a_cleanup_is_no_crash() -> None:
    world, worker, run_id, _ = canceling()
    world.report(worker, Bye())
    world.settle()
    assert (world.status(run_id), world.row(run_id).crashes) == (S.CANCELING, 0)


def test_a_workflow_that_its_author_wants_executed_once_has_no_second_cleanup() -> None:
    world, worker, run_id, _ = canceling(on_crash="fail")
    Stage(world, run_id, worker).lose()
    assert world.status(run_id) is S.CANCELED and "during its cleanup" in world.row(run_id).reason


def test_a_workflow_whose_code_had_answered_nothing_has_no_cleanup() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    scene.cancel()
    scene.lose()
    assert scene.status is S.CANCELED and "while canceling" in scene.world.row(scene.run_id).reason


def test_a_run_that_killed_three_workers_gets_one_cleanup_alone() -> None:
    world = World()
    run_id = world.trigger("wf")
    for number in range(1 + CRASHES_TO_BLOCK):
        worker = world.join(f"w{number}", offers=[workflow(), task()])
        (start,) = world.starts(worker)
        world.begin(worker, start)
        if not number:
            ask(world, worker, start, "t")
            (childs,) = [one for one in world.starts(worker) if one.run_id != run_id]
            world.finish(worker, childs)
        Stage(world, run_id, worker).lose()
    assert (world.status(run_id), world.row(run_id).crashes) == (S.BLOCKED, CRASHES_TO_BLOCK)
    world.command(Cancel(run_id, "no"))
    last = world.join("last", offers=[workflow()])
    (start,) = world.starts(last)
    assert (start.canceling, world.row(run_id).crashes) == ("no", CRASHES_TO_BLOCK - 1)
    Stage(world, run_id, last).lose()
    assert world.status(run_id) is S.CANCELED


def test_a_cleanup_that_does_not_match_its_journal_is_canceled_with_both_sides_in_the_reason() -> None:
    world, worker, run_id, start = canceling()
    world.finish(worker, start, "nondeterminism", error=BOOM, upto_seq=1)
    assert world.status(run_id) is S.CANCELED
    assert world.row(run_id).reason == "no; in its cleanup nondeterminism: boom"
