"""A workflow goes on as its next generation; a person lets a BLOCKED run go on; children outlive their parents."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.errors import ProtocolError
from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import (
    Answer,
    Beat,
    Call,
    Cancel,
    ChildDied,
    ClaimCheck,
    Commands,
    Finished,
    Held,
    Offer,
    Options,
    Rejected,
    Released,
    Resume,
    Start,
    Suspended,
    Timer,
)
from longshore.core.run import Status
from tests.core.stages import BOOM, S, ask, stage
from tests.simulation.world import World, task, workflow


def begun(*offers: Offer, **options: Any) -> tuple[World, SessionId, Start]:
    """A workflow that executes."""
    world = World()
    worker = world.join(offers=[workflow(), task(), *offers], slots=50)
    world.trigger("wf", **options)
    (start,) = world.starts(worker)
    world.begin(worker, start)
    return world, worker, start


def go_on(world: World, worker: SessionId, start: Start, value: Any = b"next", **more: Any) -> Start:
    """It continues; the Start of its next generation."""
    world.report(worker, Finished(start.run_id, start.epoch, "continued", world.now, result=value, **more))
    world.settle()
    return next(one for one in world.starts(worker) if one.run_id == start.run_id)


def answers(world: World) -> list[Answer]:
    return [message for _, message in world.replies if isinstance(message, Answer)]


# ------------------------------------------------------------------------------------------------------ continue_as


def test_a_workflow_that_continues_begins_anew_with_its_new_input_under_the_same_id() -> None:
    world, worker, start = begun()
    world.report(worker, Commands(start.run_id, start.epoch, world.now, upto_seq=0, timers=[_timer(world)]))
    world.tick(5)
    second = go_on(world, worker, start, upto_seq=1)
    assert (second.epoch, second.generation, second.last_seq, second.processed_seq) == (2, 1, 0, -1)
    assert second.started_at == world.now and second.attempt == 1
    assert world.book.inputs[start.run_id] == b"next"
    assert world.path(start.run_id)[-2:] == ["QUEUED", "DISPATCHED"]
    assert world.history(start.run_id)[-2].reason == "continues as generation 1"
    world.finish(worker, second)
    assert world.status(start.run_id) is S.COMPLETED
    assert world.row(start.run_id).started_at == start.started_at


def _timer(world: World, seconds: float = 5) -> Timer:
    return Timer(Address("0:0"), "d", world.now + timedelta(seconds=seconds))


@pytest.mark.once
def test_ten_thousand_generations_leave_one_journal() -> None:
    world, worker, start = begun()
    run_id = start.run_id
    for number in range(10_000):
        commands = Commands(run_id, start.epoch, world.now, timers=[_timer(world)])
        ended = Finished(run_id, start.epoch, "continued", world.now, result=f"{number}".encode())
        world.report(worker, commands, ended)
        (start,) = world.starts(worker)
        world.sent.clear()
        assert len(world.book.calls) + len(world.book.deliveries) <= 2
    assert start.generation == 10_000 and start.epoch == 10_001
    assert world.book.calls == {} and world.book.inputs[run_id] == b"9999"
    rows = world.history(run_id)  # it grows by QUEUED, DISPATCHED, EXECUTING: the latest are kept, and the first
    assert rows[0].seq == 1 and rows[-1].seq == 3 * 10_000 + 2 and 10_000 < len(rows) < 10_005


def test_attempts_and_crashes_begin_at_nothing_in_each_generation() -> None:
    world = World()
    worker = world.join(offers=[workflow(max_attempts=2)])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    world.finish(worker, start, "failed", error=BOOM)
    world.tick(5)
    (start,) = world.starts(worker)
    assert (start.attempt, start.generation) == (2, 1)
    again = go_on(world, worker, start)
    assert (again.attempt, again.generation) == (1, 2)
    world.finish(worker, again, "failed", error=BOOM)
    assert world.status(run_id) is S.RETRYING


def test_the_open_children_of_a_generation_are_canceled_when_it_continues() -> None:
    world, worker, start = begun()
    (child, other) = ask(world, worker, start, "t", "t")
    starts = {one.run_id: one for one in world.starts(worker)}
    world.finish(worker, starts[other])
    second = go_on(world, worker, start, upto_seq=1)
    assert world.status(child) is S.CANCELING
    assert "continues as generation 1" in world.row(child).reason
    world.finish(worker, starts[child], "canceled", error=BOOM)
    assert world.book.delivery_log(start.run_id) == []
    (fresh,) = ask(world, worker, second, "t")
    world.tick(1)
    assert world.status(fresh) is S.DISPATCHED


def test_a_fact_that_comes_in_the_very_batch_of_its_generations_end_is_not_told_to_the_next() -> None:
    world, worker, start = begun()
    ask(world, worker, start, "t")
    (child,) = world.starts(worker)
    world.directives(worker)
    ended = Finished(child.run_id, child.epoch, "completed", world.now, result=b"out")
    world.report(worker, ended, Finished(start.run_id, start.epoch, "continued", world.now, result=b"next"))
    assert [type(one) for one in world.directives(worker)] == [Start]
    assert world.book.delivery_log(start.run_id) == []


def test_a_cancel_between_two_generations_ends_the_run_at_once() -> None:
    world, worker, start = begun(pool="default")
    world.say(worker, Beat(draining=True))
    world.report(worker, Finished(start.run_id, start.epoch, "continued", world.now, result=b"next"))
    assert world.status(start.run_id) is S.QUEUED
    world.command(Cancel(start.run_id, "no"))
    assert world.status(start.run_id) is S.CANCELED


def test_a_workflow_that_continues_although_it_is_canceled_is_canceled() -> None:
    world, worker, start = begun()
    world.command(Cancel(start.run_id, "no"))
    world.report(worker, Finished(start.run_id, start.epoch, "continued", world.now, result=b"next"))
    assert world.status(start.run_id) is S.CANCELED and world.book.inputs[start.run_id] == b"in"


def test_a_restart_of_the_coordinator_between_two_generations_loses_neither() -> None:
    world, worker, start = begun()
    world.report(worker, Finished(start.run_id, start.epoch, "continued", world.now, result=b"next"))
    world.starts(worker)  # on its way when the coordinator dies
    world.restart()
    world.join(offers=[workflow(), task()])
    (again,) = world.starts(worker)
    assert (again.epoch, again.generation, again.processed_seq) == (2, 1, -1)


def test_a_late_word_of_the_generation_before_changes_nothing() -> None:
    world, worker, start = begun()
    second = go_on(world, worker, start)
    world.report(worker, Finished(start.run_id, start.epoch, "completed", world.now, result=b"late"))
    world.report(worker, Finished(start.run_id, start.epoch, "continued", world.now, result=b"late"))
    assert world.status(start.run_id) is S.DISPATCHED
    assert world.book.inputs[start.run_id] == b"next" and second.generation == 1
    assert world.ledger.counts["late_report"] == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "there is none"),
        (ClaimCheck("../secrets", 1, "0" * 64), "does not point into the payload store"),
    ],
)
def test_a_workflow_cannot_continue_without_an_input_or_with_one_from_elsewhere(value: Any, words: str) -> None:
    world, worker, start = begun()
    with pytest.raises(ProtocolError, match=words):
        go_on(world, worker, start, value)


def test_only_a_workflow_continues() -> None:
    world = World()
    worker = world.join(offers=[task()])
    world.trigger("t")
    (start,) = world.starts(worker)
    with pytest.raises(ProtocolError, match="only a workflow continues"):
        go_on(world, worker, start)


# --------------------------------------------------------------------------------------------------------- resuming


def test_a_blocked_run_is_resumed_with_its_counts_at_zero_and_the_history_says_who() -> None:
    scene = stage(S.BLOCKED)
    world = scene.world
    assert world.row(scene.run_id).losses == 10
    world.command(Resume(scene.run_id, "ann@ship", "new module", ask_id="ask", reply_to="client"))
    assert answers(world)[-1].data == {"run_id": scene.run_id, "status": "QUEUED"}
    resumed = next(row for row in world.history(scene.run_id) if row.from_status == "BLOCKED")
    assert (resumed.to_status, resumed.reason) == ("QUEUED", "resumed by ann@ship: new module")
    row = world.row(scene.run_id)
    assert (row.losses, row.crashes, row.status) == (0, 0, S.DISPATCHED)


def test_a_resume_without_a_word_is_a_resume() -> None:
    scene = stage(S.BLOCKED, kind="workflow")
    scene.world.command(Resume(scene.run_id))
    assert "resumed" in [row.reason for row in scene.world.history(scene.run_id)]
    assert answers(scene.world) == []


def test_a_run_that_lost_three_workers_is_placed_among_others_again_once_it_is_resumed() -> None:
    world = World()
    run_id = RunId("")
    for number in range(3):
        worker = world.join(f"w{number}", offers=[task()])
        run_id = run_id or world.trigger("t")
        (start,) = world.starts(worker)
        world.begin(worker, start)
        scene_lost(world, worker)
    assert world.status(run_id) is S.BLOCKED and world.row(run_id).crashes == 3
    worker = world.join("w9", offers=[task()])
    world.trigger("t")
    world.command(Resume(run_id))
    assert run_id in {start.run_id for start in world.starts(worker)}
    assert not world.ledger._state.runs[run_id].alone


def scene_lost(world: World, worker: SessionId) -> None:
    world.say(worker, ChildDied(worker, "signal 9"))
    world.settle()


@pytest.mark.parametrize("status", [s for s in Status if s not in (S.BLOCKED, S.CRASHED)])
def test_what_is_not_blocked_is_not_resumed(status: Status) -> None:
    kind = "workflow" if status in (S.HANGING, S.SUSPENDED) else "task"
    scene = stage(status, kind=kind)
    world = scene.world
    before = len(world.history(scene.run_id))
    world.command(Resume(scene.run_id, ask_id="ask", reply_to="client"))
    assert scene.status is status
    error = answers(world)[-1].error
    assert error is not None and error["rule"] == "not_blocked"
    assert error["text"] == f"run {scene.run_id} is {status}; only what is BLOCKED can be resumed"
    (refused,) = world.history(scene.run_id)[before:]
    assert not refused.valid and refused.reason == f"resume refused: it is {status}"
    if status is not S.SUSPENDED:
        return
    world.tick(7200)  # its timer wakes it: the refusal has its place in the history
    assert scene.status is S.DISPATCHED


def test_a_resume_of_a_run_that_is_not_there_says_so() -> None:
    world = World()
    world.command(Resume(RunId("x"), ask_id="ask", reply_to="client"))
    assert answers(world)[-1].error == {"rule": "unknown_run", "text": "there is no run x"}


def test_a_run_never_loops_on_nondeterminism() -> None:
    world, worker, start = begun()
    world.report(worker, Commands(start.run_id, start.epoch, world.now, upto_seq=0, timers=[_timer(world)]))
    world.tick(6)
    for number in range(1, 4):
        world.report(worker, Finished(start.run_id, start.epoch, "nondeterminism", world.now, error=BOOM, upto_seq=1))
        world.tick(3600)
        assert world.status(start.run_id) is S.BLOCKED and world.starts(worker) == []
        world.command(Resume(start.run_id))
        (start,) = world.starts(worker)
        assert (start.epoch, start.last_seq, start.processed_seq) == (1 + number, 1, 0)


def test_a_resumed_run_takes_an_equal_result_that_came_meanwhile() -> None:
    world = World()
    worker = world.join(offers=[task(cache=True)], slots=2)
    blocked = world.trigger("t", cache_key="k")
    for _ in range(10):
        (start,) = world.starts(worker)
        world.report(worker, Released(blocked, start.epoch, "no"))
    other = world.trigger("t", cache_key="k")
    (start,) = world.starts(worker)
    assert start.run_id == other
    world.finish(worker, start, slot_us=1)
    world.command(Resume(blocked))
    assert world.status(blocked) is S.COMPLETED and world.row(blocked).cached


# ------------------------------------------------------------------------------------- what follows a parent's end


def family(word: str, parents_word: str = "cancel") -> tuple[World, SessionId, Start, Start]:
    """A workflow that waits for a child called with this word; both Starts."""
    world = World()
    worker = world.join(offers=[workflow(children=parents_word, max_attempts=2), task()])
    world.trigger("wf")
    (start,) = world.starts(worker)
    call = Call(Address("0:0"), "t", "d", b"x", world.run_id(), options=Options(on_parent_end=word))
    world.report(worker, Commands(start.run_id, start.epoch, world.now, upto_seq=0, calls=[call]))
    (child,) = world.starts(worker)
    world.begin(worker, child)
    return world, worker, start, child


def end_of(world: World, worker: SessionId, start: Start, how: str) -> None:
    match how:
        case "canceled":
            world.command(Cancel(start.run_id, "no"))
            world.report(worker, Commands(start.run_id, start.epoch, world.now, closed=[Address("0:0")]))
            world.finish(worker, start, "canceled", error=BOOM)
        case "retried":
            world.finish(worker, start, "failed", error=BOOM)
            world.tick(5)
        case "continued":
            go_on(world, worker, start)
        case _:
            world.finish(worker, start, how, error=None if how == "completed" else BOOM)
    world.settle()


ENDS = ["completed", "aborted", "timed_out", "canceled", "retried", "continued"]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize(("word", "parents_word"), [("abandon", "cancel"), ("", "abandon")])
def test_an_abandoned_child_goes_on_and_its_outcome_goes_nowhere(how: str, word: str, parents_word: str) -> None:
    world, worker, start, child = family(word, parents_word)
    end_of(world, worker, start, how)
    assert world.status(child.run_id) is S.EXECUTING
    world.restart()
    world.join(offers=[workflow(children=parents_word, max_attempts=2), task()], held=_held(world, worker))
    world.finish(worker, child)
    assert world.status(child.run_id) is S.COMPLETED
    told = [row for log in world.book.deliveries.values() for row in log if row.kind == "outcome"]
    assert told == [] and "parent_unknown" not in world.ledger.counts


def _held(world: World, worker: SessionId) -> list[Any]:
    return [Held(run.id, run.epoch) for run in world.book.runs.values() if run.session == worker]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize(("word", "parents_word"), [("cancel", "abandon"), ("", "cancel")])
def test_a_child_that_is_not_abandoned_is_canceled_with_its_parent(how: str, word: str, parents_word: str) -> None:
    world, worker, start, child = family(word, parents_word)
    end_of(world, worker, start, how)
    assert world.status(child.run_id) is S.CANCELING


def test_a_workflow_that_gives_a_child_up_cancels_it_whatever_its_policy() -> None:
    world, worker, start, child = family("abandon")
    world.report(worker, Commands(start.run_id, start.epoch, world.now, upto_seq=0, closed=[Address("0:0")]))
    assert world.status(child.run_id) is S.CANCELING


def test_another_word_than_cancel_or_abandon_is_refused() -> None:
    world = World()
    for word, text in (("forget", "cancel or abandon"), ("abandon", "what is triggered has no parent")):
        run_id = world.trigger("t", on_parent_end=word)
        _, rejected = world.replies[-1]
        assert isinstance(rejected, Rejected) and rejected.rule == "on_parent_end" and text in rejected.text
        assert run_id not in world.book.runs


# --------------------------------------------------------------------------------------------------------- versions


def test_a_workflow_put_away_whose_version_nobody_offers_is_pending_and_goes_on_with_it() -> None:
    world, worker, start = begun()
    world.report(worker, Commands(start.run_id, start.epoch, world.now, upto_seq=0, timers=[_timer(world)]))
    world.report(worker, Suspended(start.run_id, start.epoch, 0))
    scene_lost(world, worker)
    newer = world.join("w2", offers=[workflow(version="2.0.0")])
    world.tick(6)
    assert world.status(start.run_id) is S.QUEUED and world.starts(newer) == []
    world.tick(61)
    world.tick(0)
    assert world.status(start.run_id) is S.PENDING_VERSION
    why = world.ledger.why(start.run_id, world.now)
    assert why is not None and why["kind"] == "version" and "offered versions: 2.0.0" in why["text"]
    world.restart()
    older = world.join("w3", offers=[workflow()])
    (again,) = world.starts(older)
    assert (again.version, again.last_seq, again.processed_seq, again.generation) == ("1.0.0", 1, 0, 0)


def test_a_next_generation_stays_on_the_version_of_the_first() -> None:
    world, worker, start = begun()
    newer = world.join("w2", offers=[workflow(version="2.0.0")], slots=50)
    assert go_on(world, worker, start).version == "1.0.0"
    assert world.starts(newer) == []


# ----------------------------------------------------------------------------------------------- a cancel's cleanup


def test_cleanup_code_may_call_routines_and_is_ended_after_sixty_seconds() -> None:
    world, worker, start = begun()
    (child,) = ask(world, worker, start, "t")
    world.starts(worker)
    world.command(Cancel(start.run_id, "enough"))
    world.now += timedelta(milliseconds=1)
    (cleanup,) = ask(world, worker, start, "t", upto=1)
    world.tick(1)
    assert world.status(child) is S.CANCELING and world.status(cleanup) is S.DISPATCHED
    (last,) = world.starts(worker)
    world.finish(worker, last)
    assert [row.kind for row in world.book.delivery_log(start.run_id)] == ["cancel", "outcome"]
    (endless,) = ask(world, worker, start, "t", upto=2)
    world.tick(58)
    assert world.status(start.run_id) is S.CANCELING and world.status(endless) is S.DISPATCHED
    world.directives(worker)
    world.tick(1.5)
    world.settle()
    assert world.status(start.run_id) is S.CANCELED and world.status(endless) is S.CANCELING
    assert "outlived the grace" in world.row(start.run_id).reason
    assert any(type(one).__name__ == "Abandon" for one in world.directives(worker))


def test_a_cleanup_is_ended_in_time_by_a_coordinator_that_was_started_meanwhile() -> None:
    world, worker, start = begun()
    ask(world, worker, start, "t")
    world.command(Cancel(start.run_id, "enough"))
    world.now += timedelta(days=30)
    world.restart()
    world.tick(0)
    assert world.status(start.run_id) is S.CANCELED


def test_a_page_of_the_journal_is_that_of_the_generation_in_force() -> None:
    world, worker, start = begun()
    ask(world, worker, start, "t")
    assert len(world.book.call_rows(start.run_id)) == 1
    go_on(world, worker, start)
    assert world.book.call_rows(start.run_id) == []
