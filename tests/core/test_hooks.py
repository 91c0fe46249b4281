"""Hooks of runs that end while no worker has them: who is told, until when, and what they cost the workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.ids import RunId, SessionId
from longshore.core.message import Beat, Cancel, ChildDied, Failure, HooksRun, RunHooks
from longshore.core.run import Status
from tests.core.stages import S
from tests.simulation.world import World, task

FAULT = Failure("longshore.core.errors.RunCrashed", "its process was ended by SIGSEGV")
MINUTE = 60


def executed(world: World, worker: SessionId, how: str) -> None:
    """The next Start begins and ends so."""
    (start,) = world.starts(worker)
    world.begin(worker, start)
    world.finish(worker, start, how, error=FAULT)
    world.settle()


def scene(**offer: Any) -> tuple[World, SessionId, RunId]:
    world = World()
    worker = world.join(offers=[task(hooks=True, **offer)])
    return world, worker, world.trigger("t")


def ended() -> tuple[World, SessionId, RunId]:
    """A run that was canceled between two attempts."""
    world, worker, run_id = scene(max_attempts=2, retry_first_ms=3_600_000)
    executed(world, worker, "failed")
    world.command(Cancel(run_id, "enough"))
    assert world.status(run_id) is S.CANCELED
    return world, worker, run_id


def heard(world: World, worker: SessionId) -> list[tuple[str, str, int]]:
    orders = [one for one in world.directives(worker) if isinstance(one, RunHooks)]
    return [(one.status, one.reason, one.attempt) for one in orders]


CANCELED = ("CANCELED", "enough", 1)


def test_a_worker_hears_of_a_started_run_that_ends_while_none_has_it_and_says_when_its_hooks_have_run() -> None:
    world, worker, run_id = ended()
    assert heard(world, worker) == [CANCELED] and run_id in world.book.unheard
    world.report(worker, HooksRun(run_id))
    assert world.book.unheard == {}
    world.tick(2 * MINUTE)
    assert heard(world, worker) == []


def test_a_crash_for_good_and_a_deadline_that_is_over_are_heard() -> None:
    world, worker, _ = scene(on_crash="fail")
    executed(world, worker, "crashed")
    assert heard(world, worker) == [("CRASHED", FAULT.message, 1)]
    run_id = world.trigger("t", deadline_ms=1000)
    (start,) = world.starts(worker)
    world.begin(worker, start)
    world.tick(2)
    assert world.status(run_id) is S.TIMED_OUT
    assert [status for status, _, _ in heard(world, worker)] == ["TIMED_OUT"]


def test_what_never_began_what_its_worker_has_reported_and_what_has_no_hooks_is_not_heard() -> None:
    world, worker, run_id = scene()
    executed(world, worker, "aborted")
    waiting = world.trigger("t", delay_ms=5000)
    world.command(Cancel(waiting))
    assert (world.status(run_id), world.status(waiting)) == (S.FAILED, S.CANCELED)
    other = world.join("w2", offers=[task("plain", max_attempts=2)])
    plain = world.trigger("plain")
    executed(world, other, "failed")
    world.command(Cancel(plain))
    assert world.status(plain) is S.CANCELED
    assert heard(world, worker) == heard(world, other) == [] and world.book.unheard == {}


def test_the_word_is_said_again_when_its_worker_is_killed_before_it_has_answered() -> None:
    world, worker, run_id = ended()
    world.tick(MINUTE - 1)
    other = world.join("w2", offers=[task(hooks=True)])
    assert len(heard(world, worker)) == 1
    world.say(worker, ChildDied(worker, "killed by SIGKILL"))
    world.tick(2)
    assert heard(world, other) == [CANCELED]
    world.report(other, HooksRun(run_id))
    world.tick(2 * MINUTE)
    assert heard(world, other) == [] and world.book.unheard == {}


def test_the_word_outlives_the_coordinator_and_waits_for_a_worker_that_offers_the_routine() -> None:
    world, worker, run_id = scene(max_attempts=2, retry_first_ms=3_600_000)
    executed(world, worker, "failed")
    world.say(worker, Beat(draining=True))
    world.command(Cancel(run_id, "enough"))
    assert world.status(run_id) is S.CANCELED and heard(world, worker) == []
    world.restart()
    world.tick(MINUTE + 1)
    other = world.join("w2", offers=[task(version="2.0.0", hooks=True)])
    world.tick(MINUTE + 1)
    assert heard(world, other) == []
    same = world.join("w3", offers=[task(hooks=True)])
    world.tick(MINUTE + 1)
    assert heard(world, same) == [CANCELED]


def test_where_no_worker_ever_said_whether_there_are_hooks_it_is_asked_when_one_comes() -> None:
    world, worker, run_id = scene(max_attempts=2, retry_first_ms=3_600_000)
    executed(world, worker, "failed")
    del world.book.workers[worker]
    world.restart()
    world.command(Cancel(run_id, "enough"))
    assert run_id in world.book.unheard
    world.join("w2", offers=[task()])
    world.tick(MINUTE + 1)
    assert world.book.unheard == {}


def test_no_more_than_a_hundred_are_told_at_once_and_the_workers_take_turns() -> None:
    world = World()
    offer = task(hooks=True, max_attempts=2, retry_first_ms=3_600_000)
    workers = [world.join(name, offers=[offer], slots=200) for name in ("w1", "w2")]
    runs = [world.trigger("t") for _ in range(250)]
    for worker in workers:
        for start in world.starts(worker):
            world.begin(worker, start)
            world.finish(worker, start, "failed", error=FAULT)
    assert {world.status(one) for one in runs} == {Status.RETRYING}
    world.command(*(Cancel(one) for one in runs))
    many = [len(heard(world, worker)) for worker in workers]
    assert many == [50, 50] and len(world.book.unheard) == 250
    told = []
    for _ in range(3):
        world.tick(1)
        told.append(sum(len(heard(world, worker)) for worker in workers))
    assert told == [100, 50, 0]


@pytest.mark.parametrize("gone", [False, True])
def test_what_nobody_has_heard_is_given_up_after_thirty_days_or_with_its_run(gone: bool) -> None:
    world, worker, run_id = ended()
    world.say(worker, Beat(draining=True))
    heard(world, worker)
    if gone:
        del world.book.runs[run_id]
    else:
        world.now += timedelta(days=30)
    world.tick(MINUTE + 1)
    assert world.book.unheard == {} and heard(world, worker) == []
    assert world.ledger.counts["hooks_unheard"] == 1
