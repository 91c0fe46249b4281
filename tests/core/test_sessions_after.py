"""Sessions that are over: what is remembered of them, and for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest

from longshore.core.changes import Inbound
from longshore.core.ids import RunId
from longshore.core.message import (
    Ask,
    Bye,
    ChildDied,
    Finished,
    Hello,
    Ping,
    Progress,
    RunChanged,
    Started,
    Suspended,
    Welcome,
)
from longshore.core.run import Status
from tests.core.stages import S, ask, stage
from tests.simulation.world import CLIENT, World, task, workflow


def test_closed_sessions_leave_memory_after_a_while_and_keep_their_number() -> None:
    scene = stage(S.COMPLETED)
    world = scene.world
    taken = world.numbers[scene.worker] + 1
    world.report(scene.worker, Bye())
    world.tick(601)
    assert world.ledger.workers() == []
    world.join("w1", offers=[task()])
    *_, welcome = [one for one in world.directives(scene.worker) if isinstance(one, Welcome)]
    assert welcome.taken == taken


def test_a_quiet_session_that_holds_runs_is_pinged_twice_a_second_however_often_we_tick() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    world.tick(1)
    world.sent.clear()
    for _ in range(40):
        world.tick(0.05)
    pings = [one for one in world.directives(scene.worker) if isinstance(one, Ping)]
    assert len(pings) in (3, 4)


def test_progress_goes_to_those_who_watch() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    world.replies.clear()
    world.report(scene.worker, Progress(scene.run_id, 1, 0.5, "half"))
    assert world.replies == []
    world.command(Ask("outcome", "a", CLIENT, [scene.run_id]))
    ((_, latest),) = world.replies
    assert isinstance(latest, RunChanged) and latest.reason == "50% half"
    world.replies.clear()
    world.report(scene.worker, Progress(scene.run_id, 1, 0.5, "half"), Progress(scene.run_id, 9, 0.5, "half"))
    ((_, told),) = world.replies
    assert isinstance(told, RunChanged) and told.reason == "50% half"


def test_the_run_of_a_session_nobody_knows_goes_back_after_a_restart() -> None:
    scene = stage(S.EXECUTING)
    del scene.world.book.workers[scene.worker]
    scene.world.restart()
    scene.world.settle()
    assert scene.status is S.QUEUED


@pytest.mark.parametrize("status", [S.DISPATCHED, S.EXECUTING, S.HANGING, S.CANCELING])
def test_a_worker_lost_while_the_coordinator_was_down_is_lost_after_it_too(status: Status) -> None:
    scene = stage(status, kind="workflow" if status is S.HANGING else "task")
    scene.world.say(scene.worker, ChildDied(scene.worker))
    scene.world.restart()
    scene.world.settle()
    after = {S.HANGING: S.SUSPENDED, S.CANCELING: S.CANCELED}
    assert scene.status is after.get(status, S.QUEUED)


def test_children_of_a_lost_workflow_still_reach_it() -> None:
    world = World()
    first = world.join("w1", offers=[workflow()])
    second = world.join("w2", offers=[task()])
    run_id = world.trigger("wf")
    (start,) = world.starts(first)
    (child,) = ask(world, first, start, "t")
    (childs,) = world.starts(second)
    suspended = Inbound([Suspended(run_id, 1, 0)], first, world.numbers[first] + 1)
    ended = Inbound([Finished(child, childs.epoch, "completed", world.now, world.now, b"x")], second, 1)
    world.take(suspended, ended)
    assert world.path(run_id)[-3:] == ["SUSPENDED", "QUEUED", "DISPATCHED"]
    assert RunId(child) in world.book.results


def test_rows_of_closed_sessions_are_forgotten_after_a_day_and_those_that_live_are_not() -> None:
    world = World()
    left, lives = world.join("w1", offers=[task()]), world.join("w2", offers=[task()])
    world.report(left, Bye())
    world.tick(23 * 3600)
    assert {row.status for row in world.book.workers.values() if row.session == left} == {"CLOSED"}
    world.tick(2 * 3600)
    assert set(world.book.workers) == {lives}


def test_a_session_closed_long_ago_whose_runs_were_not_yet_taken_from_it_is_loaded_and_let_go() -> None:
    """A coordinator that ended between the two, and was down for a while."""
    world = World()
    worker = world.join(offers=[task()])
    run_id = world.trigger("t")
    world.say(worker, Bye())
    world.now += timedelta(hours=1)
    world.restart()
    world.tick()
    assert world.status(run_id) is Status.QUEUED
    world.tick(1)
    assert world.ledger.workers() == []


def test_rows_are_forgotten_soon_after_a_start_and_then_once_an_hour() -> None:
    world = World()
    told = [world.tick(seconds).workers_until is not None for seconds in (0, 59, 1, 3599, 1, 1)]
    assert told == [False, False, True, False, True, False]


def test_a_worker_that_comes_back_after_it_was_forgotten_goes_on_with_its_numbers() -> None:
    world = World()
    worker = world.join(offers=[task()])
    world.trigger("t")
    (start,) = world.starts(worker)
    world.report(worker, Started(run_id=start.run_id, epoch=start.epoch, at=world.now))
    world.say(worker, Bye())
    world.tick(25 * 3600)
    assert worker not in world.book.workers
    hello = Hello(worker_id="w1", pool="default", slots=4, offers=[task()], taken=1)  # type: ignore[arg-type]
    world.say(worker, hello)
    assert world.book.workers[worker].taken == 1
    (start,) = world.starts(worker)
    world.report(worker, Started(run_id=start.run_id, epoch=start.epoch, at=world.now))
    assert world.status(start.run_id) is Status.EXECUTING
    assert world.ledger.counts.get("report_gap", 0) == 0
