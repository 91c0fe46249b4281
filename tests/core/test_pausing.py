"""A person pauses a run, and lets it go on: from every status, with its times, its facts and its place kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.ids import Address, RunId
from longshore.core.message import (
    Abandon,
    Answer,
    Cancel,
    Commands,
    Finished,
    Pause,
    Released,
    Resume,
    Signal,
    Suspended,
    Timer,
)
from longshore.core.run import FINAL, Status
from tests.core.stages import BOOM, S, Stage, hang, stage
from tests.simulation.world import World, task, workflow


def pause(world: World, run_id: RunId, reason: str = "") -> Answer:
    world.command(Pause(run_id, "ann", reason, ask_id="ask", reply_to="client"))
    return answer(world)


def resume(world: World, run_id: RunId) -> Answer:
    world.command(Resume(run_id, "ann", ask_id="ask", reply_to="client"))
    return answer(world)


def answer(world: World) -> Answer:
    _, said = world.replies[-1]
    if not isinstance(said, Answer):
        said = next(one for _, one in reversed(world.replies) if isinstance(one, Answer))
    return said


def kind_of(status: Status) -> str:
    return "workflow" if status in (S.HANGING, S.SUSPENDED) else "task"


@pytest.mark.parametrize("status", [S.DELAYED, S.PENDING_VERSION, S.QUEUED, S.RETRYING, S.HANGING, S.SUSPENDED])
def test_what_waits_is_blocked_at_once_and_its_history_says_by_whom(status: Status) -> None:
    scene = stage(status, kind=kind_of(status))
    world = scene.world
    assert pause(world, scene.run_id, "not now").data == {"run_id": scene.run_id, "status": "BLOCKED"}
    last = world.history(scene.run_id)[-1]
    assert (last.valid, last.from_status, last.to_status) == (True, status, "BLOCKED")
    assert last.reason == "paused by ann: not now" == world.row(scene.run_id).reason
    world.restart()
    world.join(scene.worker.removeprefix("session-"), offers=[task(), workflow(), task("nobody")], pool="elsewhere")
    world.tick(24 * 3600)
    assert scene.stands() is S.BLOCKED, "nothing but a person, a cancel or its deadline ends the pause"
    explained = world.ledger.why(scene.run_id, world.now)
    assert explained is not None and explained["kind"] == "person" and "paused by ann" in explained["text"]


def test_the_worker_of_a_hanging_workflow_is_told_to_drop_it_and_what_it_says_is_late() -> None:
    scene = stage(S.HANGING, kind="workflow")
    world = scene.world
    world.directives(scene.worker)
    pause(world, scene.run_id)
    assert Abandon(scene.run_id, 1) in world.directives(scene.worker)
    assert world.ledger._state.sessions[scene.worker].held == {}
    world.finish(scene.worker, scene.directive)
    assert scene.stands() is S.BLOCKED and world.ledger.counts["late_report"] == 1


def test_facts_wait_in_the_journal_of_a_paused_workflow_and_are_there_when_it_goes_on() -> None:
    scene = stage(S.HANGING, kind="workflow")
    world = scene.world
    pause(world, scene.run_id)
    world.command(Signal(scene.run_id, "approved", b"yes"))
    world.tick(7200)  # its timer
    assert scene.stands() is S.BLOCKED and world.starts(scene.worker) == []
    assert [one.kind for one in world.book.delivery_log(scene.run_id)] == ["signal", "timer"]
    assert resume(world, scene.run_id).data["status"] == "QUEUED"
    (start,) = world.starts(scene.worker)
    assert (start.epoch, start.last_seq, start.processed_seq) == (2, 2, 0)


def test_a_fact_of_the_same_batch_as_the_pause_is_not_sent_to_the_worker_that_drops_the_run() -> None:
    scene = stage(S.HANGING, kind="workflow")
    world = scene.world
    world.directives(scene.worker)
    world.command(Signal(scene.run_id, "a"), Pause(scene.run_id))
    assert world.directives(scene.worker) == [Abandon(scene.run_id, 1)]


@pytest.mark.parametrize("status", [S.DISPATCHED, S.EXECUTING])
@pytest.mark.parametrize("how", ["failed", "released", "lost"])
def test_what_is_at_work_is_blocked_when_it_fails_or_comes_back(status: Status, how: str) -> None:
    scene = stage(status)
    world = scene.world
    assert pause(world, scene.run_id, "later").data["status"] == status
    row = world.history(scene.run_id)[-1]
    assert (row.valid, row.from_status, row.to_status) == (True, status, status)
    assert row.reason == "paused by ann: later (when it next waits, fails or is handed back)"
    explained = world.ledger.why(scene.run_id, world.now)
    assert explained is not None and explained["text"].endswith("; then it is held: paused by ann: later")
    world.restart()
    world.join(scene.worker.removeprefix("session-"), offers=[task(max_attempts=2), workflow()])
    world.sent.clear()
    if how == "failed":
        world.finish(scene.worker, scene.directive, "failed", error=BOOM)
    elif how == "released":
        world.report(scene.worker, Released(scene.run_id, 1))
    else:
        scene.lose()
    assert scene.stands() is S.BLOCKED
    assert world.history(scene.run_id)[-1].from_status == ("RETRYING" if how == "failed" else "QUEUED")
    assert world.row(scene.run_id).pausing == "" and world.starts(scene.worker) == []


@pytest.mark.parametrize("how", ["hangs", "suspended"])
def test_a_workflow_at_work_is_blocked_when_it_waits(how: str) -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    pause(world, scene.run_id)
    if how == "hangs":
        hang(world, scene.worker, scene.directive)
    else:
        world.report(scene.worker, Suspended(scene.run_id, 1, 0))
    before = {"hangs": "HANGING", "suspended": "SUSPENDED"}[how]
    assert world.path(scene.run_id)[-2:] == [before, "BLOCKED"]
    world.tick(3600)
    assert scene.stands() is S.BLOCKED
    resume(world, scene.run_id)
    assert scene.stands() is S.DISPATCHED


def test_what_ends_well_before_it_waits_is_not_held() -> None:
    scene = stage(S.EXECUTING)
    pause(scene.world, scene.run_id)
    scene.world.finish(scene.worker, scene.directive)
    assert scene.stands() is S.COMPLETED


def test_a_pause_that_has_not_come_to_anything_is_taken_back() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    pause(world, scene.run_id)
    assert resume(world, scene.run_id).data["status"] == "EXECUTING"
    assert world.history(scene.run_id)[-1].reason == "resumed by ann; it is not to be paused any more"
    world.finish(scene.worker, scene.directive, "failed", error=BOOM)
    assert scene.stands() is S.RETRYING


def test_what_is_blocked_for_its_losses_forgets_that_it_was_to_be_paused() -> None:
    scene = stage(S.BLOCKED)
    world = scene.world
    resume(world, scene.run_id)
    (start,) = world.starts(scene.worker)
    for _ in range(9):
        world.report(scene.worker, Released(scene.run_id, start.epoch, "no"))
        (start,) = world.starts(scene.worker)
    pause(world, scene.run_id)
    world.report(scene.worker, Released(scene.run_id, start.epoch, "no"))
    assert scene.stands() is S.BLOCKED and "10 workers lost" in world.row(scene.run_id).reason
    resume(world, scene.run_id)
    assert scene.stands() is S.DISPATCHED


@pytest.mark.parametrize("status", [*sorted(FINAL - {S.CRASHED}), S.BLOCKED, S.CANCELING])
def test_what_cannot_be_paused_is_left_alone_and_the_order_recorded(status: Status) -> None:
    scene = stage(status)
    world = scene.world
    rows = len(world.history(scene.run_id))
    said = pause(world, scene.run_id)
    needed = "only what is neither BLOCKED, nor being canceled, nor has ended can be paused, and only once"
    assert said.error == {"rule": "not_pausable", "text": f"run {scene.run_id} is {status}; {needed}"}
    (row,) = world.history(scene.run_id)[rows:]
    assert (row.valid, row.from_status, row.to_status) == (False, status, status)
    assert row.reason == f"pause refused: it is {status}" and scene.status is status


@pytest.mark.parametrize("status", [S.QUEUED, S.EXECUTING, S.SUSPENDED])
def test_what_is_paused_is_not_paused_again(status: Status) -> None:
    scene = stage(status, kind=kind_of(status))
    world = scene.world
    pause(world, scene.run_id)
    rows = len(world.history(scene.run_id))
    said = pause(world, scene.run_id)
    assert said.error is not None and said.error["rule"] == "not_pausable"
    assert [row.valid for row in world.history(scene.run_id)[rows:]] == [False]
    if status is S.EXECUTING:
        assert "EXECUTING and about to be paused already" in said.error["text"]


def test_a_pause_of_a_run_that_is_not_there_changes_nothing() -> None:
    world = World()
    changes = world.command(Pause(RunId("x"), ask_id="ask", reply_to="client"), Pause(RunId("x")))
    assert not changes.is_durable()
    assert answer(world).error == {"rule": "unknown_run", "text": "there is no run x"}


def test_a_foreign_program_that_says_where_is_answered_without_a_number() -> None:
    scene = stage(S.QUEUED)
    changes = scene.world.command(Pause(scene.run_id, reply_to="them", plain=True))
    assert changes.plain_keys == {"them"}
    assert [one.data["status"] for one in changes.replies["them"] if isinstance(one, Answer)] == ["BLOCKED"]


# ------------------------------------------------------------------------------------------------------------ going on


def test_what_was_delayed_waits_for_its_time_again_and_starts_at_it() -> None:
    scene = stage(S.DELAYED)
    world = scene.world
    pause(world, scene.run_id)
    world.tick(10)
    world.restart()
    worker = world.join("w9", offers=[task()])
    assert resume(world, scene.run_id).data["status"] == "DELAYED"
    world.tick(49.9)
    assert world.starts(worker) == []
    world.tick(0.1)
    assert scene.stands() is S.DISPATCHED


def test_what_was_delayed_and_paused_beyond_its_time_goes_to_its_queue() -> None:
    scene = stage(S.DELAYED)
    pause(scene.world, scene.run_id)
    scene.world.tick(61)
    assert scene.stands() is S.BLOCKED
    resume(scene.world, scene.run_id)
    assert scene.world.path(scene.run_id)[-3:] == ["BLOCKED", "QUEUED", "DISPATCHED"]
    assert scene.world.row(scene.run_id).due_at is None


@pytest.mark.parametrize("kind", ["task", "workflow"])
@pytest.mark.parametrize("late", [False, True])
def test_a_pause_between_two_attempts_keeps_the_time_and_the_count_of_the_next(kind: str, late: bool) -> None:
    scene = stage(S.RETRYING, kind=kind)
    world = scene.world
    pause(world, scene.run_id)
    if late:
        world.tick(60)
        resume(world, scene.run_id)
        assert world.path(scene.run_id)[-3:] == ["BLOCKED", "QUEUED", "DISPATCHED"]
    else:
        assert resume(world, scene.run_id).data["status"] == "RETRYING"
        world.tick(60)
    assert (scene.status, world.row(scene.run_id).attempt) == (S.DISPATCHED, 2)
    flow = world.row(scene.run_id).flow
    assert flow is None or flow.generation == 1


def test_signals_told_before_the_pause_are_in_the_journal_of_the_next_attempt() -> None:
    scene = stage(S.RETRYING, kind="workflow")
    world = scene.world
    world.command(Signal(scene.run_id, "a", b"1"))
    pause(world, scene.run_id)
    world.tick(60)
    resume(world, scene.run_id)
    assert [one.status for one in world.book.delivery_log(scene.run_id)] == ["a"]


def test_what_never_had_a_worker_goes_on_in_its_turn_and_what_had_one_ahead() -> None:
    world = World()
    worker = world.join(offers=[task(max_attempts=1)], slots=1)
    held = world.trigger("t")
    (start,) = world.starts(worker)
    fresh, other = world.trigger("t"), world.trigger("t")
    world.command(Pause(held), Pause(fresh))
    world.tick(1)
    world.command(Resume(fresh))
    world.report(worker, Released(held, start.epoch))
    assert world.status(held) is S.BLOCKED
    (start,) = world.starts(worker)
    assert start.run_id == other
    world.command(Resume(held))
    world.finish(worker, start)
    (start,) = world.starts(worker)
    assert start.run_id == held
    world.finish(worker, start)
    assert [one.run_id for one in world.starts(worker)] == [fresh]


def test_a_run_of_a_version_that_has_come_meanwhile_is_started_when_it_is_resumed() -> None:
    scene = stage(S.PENDING_VERSION)
    world = scene.world
    pause(world, scene.run_id)
    assert world.row(scene.run_id).due_at is None
    worker = world.join("w2", offers=[task("nobody")])
    assert world.starts(worker) == []
    resume(world, scene.run_id)
    assert [start.run_id for start in world.starts(worker)] == [scene.run_id]


# ------------------------------------------------------------------------------------------------------ times and ends


@pytest.mark.parametrize("status", [S.DELAYED, S.QUEUED, S.PENDING_VERSION])
def test_a_ttl_that_was_over_during_the_pause_ends_the_run_when_it_is_resumed(status: Status) -> None:
    world = World()
    worker = world.join(offers=[task()])
    options: dict[Status, dict[str, Any]] = {S.DELAYED: {"delay_ms": 500}, S.QUEUED: {"pool": "x"}}
    given = options.get(status, {})
    run_id = world.trigger("nobody" if status is S.PENDING_VERSION else "t", ttl_ms=1000, **given)
    pause(world, run_id)
    world.tick(2)
    assert world.status(run_id) is S.BLOCKED
    resume(world, run_id)
    assert (world.path(run_id)[-2:], world.starts(worker)) == (["QUEUED", "EXPIRED"], [])


def test_a_ttl_that_is_not_over_goes_on_after_the_pause() -> None:
    world = World()
    run_id = world.trigger("t", ttl_ms=10_000, delay_ms=20_000)
    pause(world, run_id)
    world.restart()
    resume(world, run_id)
    world.tick(9.9)
    assert world.status(run_id) is S.DELAYED
    world.tick(0.1)
    assert world.status(run_id) is S.EXPIRED


def test_the_deadline_of_a_paused_run_goes_on_and_is_shown() -> None:
    world = World()
    run_id = world.trigger("t", deadline_ms=1000)
    pause(world, run_id)
    explained = world.ledger.why(run_id, world.now)
    assert explained is not None and explained["next_at"] == world.now + timedelta(seconds=1)
    world.tick(1)
    assert world.status(run_id) is S.TIMED_OUT


@pytest.mark.parametrize("status", [S.QUEUED, S.EXECUTING])
def test_a_paused_run_is_canceled_as_any_other(status: Status) -> None:
    scene = stage(status)
    pause(scene.world, scene.run_id)
    scene.world.command(Cancel(scene.run_id))
    assert scene.status is (S.CANCELED if status is S.QUEUED else S.CANCELING)
    assert scene.world.row(scene.run_id).pausing == ""


def test_an_equal_run_does_not_wait_for_one_that_is_paused() -> None:
    world = World()
    worker = world.join(offers=[task(cache=True)], slots=1)
    first = world.trigger("t", cache_key="k")
    (start,) = world.starts(worker)
    second, third = world.trigger("t", cache_key="k"), world.trigger("t", cache_key="k")
    pause(world, second)
    pause(world, first)
    world.report(worker, Released(first, start.epoch))
    (start,) = world.starts(worker)
    assert start.run_id == third and world.status(first) is S.BLOCKED
    world.finish(worker, start)
    assert world.status(second) is S.BLOCKED, "a result that has come does not end the pause"
    resume(world, second)
    assert (world.status(second), world.row(second).cached) == (S.COMPLETED, True)


def test_a_run_that_is_to_be_paused_takes_an_equal_result_that_is_there_when_it_comes_back() -> None:
    world = World()
    one, two = (world.join(name, offers=[task(cache=True)], slots=1) for name in ("w1", "w2"))
    run_id = world.trigger("t", cache_key="k")
    (start,) = world.starts(one) + world.starts(two)
    holder = one if world.ledger._state.sessions[one].held else two
    world.book.cache["k"] = (world.trigger("t"), None)
    (other,) = world.starts(one) + world.starts(two)
    world.finish(two if holder is one else one, other)
    pause(world, run_id)
    world.report(holder, Released(run_id, start.epoch))
    assert world.status(run_id) is S.COMPLETED


def test_a_workflow_that_is_to_be_paused_and_goes_on_as_its_next_generation_is_held_before_it() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    pause(world, scene.run_id)
    world.report(scene.worker, Finished(scene.run_id, 1, "continued", world.now, result=b"next", upto_seq=0))
    assert scene.stands() is S.BLOCKED
    resume(world, scene.run_id)
    (start,) = world.starts(scene.worker)
    assert (start.generation, start.processed_seq) == (1, -1)


def test_only_the_last_part_of_an_answer_holds_a_workflow() -> None:
    scene: Stage = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    pause(world, scene.run_id)
    timer = Timer(Address("0:0"), "d", world.now + timedelta(hours=1))
    world.report(scene.worker, Commands(scene.run_id, 1, world.now, timers=[timer]))
    assert scene.stands() is S.EXECUTING
    world.report(scene.worker, Commands(scene.run_id, 1, world.now, upto_seq=0))
    assert scene.stands() is S.BLOCKED
