"""Why a run waits: in every status that is not final there is a reason with a concrete holder."""

from __future__ import annotations

from typing import Any

import pytest

from longshore.core.ids import RunId, SessionId
from longshore.core.message import ChildDied
from longshore.core.run import WAITING, WITH_WORKER, Status
from tests.core.stages import S, Stage, ask, hang, stage
from tests.simulation.world import World, task, workflow


def why(world: World, run_id: RunId) -> dict[str, Any]:
    """The reason, of a run that is put away too."""
    found = world.ledger.why(run_id, world.now, world.book.runs[run_id])
    assert found is not None
    return found


@pytest.mark.parametrize("status", sorted(WAITING | WITH_WORKER))
def test_there_is_a_reason_in_every_status_that_is_not_final(status: Status) -> None:
    scene = stage(status, kind="workflow" if status in (S.HANGING, S.SUSPENDED) else "task")
    found = why(scene.world, scene.run_id)
    assert found["kind"] and found["text"] and found["since"] is not None


def test_what_is_delayed_says_until_when_and_what_can_be_done() -> None:
    scene = stage(S.DELAYED)
    found = why(scene.world, scene.run_id)
    assert found["kind"] == "time" and found["next_at"] == scene.world.row(scene.run_id).due_at
    assert "delayed until" in found["text"]
    assert "longshore runs reschedule" in found["text"] and "longshore runs cancel" in found["text"]


def test_what_waits_for_a_version_names_it_and_when_its_time_is_over() -> None:
    scene = stage(S.PENDING_VERSION)
    found = why(scene.world, scene.run_id)
    assert found["kind"] == "version" and "nobody" in found["text"] and found["next_at"] is not None


def test_what_is_between_attempts_says_why_it_failed_and_when_the_next_one_begins() -> None:
    scene = stage(S.RETRYING)
    found = why(scene.world, scene.run_id)
    assert (found["kind"], found["holders"]) == ("retry", ["attempt 2"])
    assert "boom" in found["text"] and "attempt 2 begins at 2026-" in found["text"]


def test_what_is_blocked_says_by_what_and_how_it_goes_on() -> None:
    scene = stage(S.BLOCKED)
    found = why(scene.world, scene.run_id)
    assert found["kind"] == "person" and "unknown routine" in found["text"]
    assert "longshore runs resume" in found["text"] and "longshore runs cancel" in found["text"]


@pytest.mark.parametrize(
    ("status", "word"),
    [(S.DISPATCHED, "is on its way to w1"), (S.EXECUTING, "executes on w1"), (S.CANCELING, "is being canceled on w1")],
)
def test_what_a_worker_has_names_the_worker_and_since_when_it_is_silent(status: Status, word: str) -> None:
    scene = stage(status)
    found = why(scene.world, scene.run_id)
    assert (found["kind"], found["holders"], found["text"]) == ("worker", ["w1"], word)
    assert (found["next_at"] is not None) is (status is S.CANCELING)
    heard = scene.world.now
    scene.world.marks(12)
    found = why(scene.world, scene.run_id)
    assert "silent for 11 s, since " + heard.isoformat(timespec="seconds")[:16] in found["text"]


def test_a_workflow_on_a_silent_worker_says_so() -> None:
    scene = stage(S.HANGING, kind="workflow")
    assert why(scene.world, scene.run_id)["kind"] == "timer"
    scene.world.marks(12)
    found = why(scene.world, scene.run_id)
    assert found["kind"] == "worker" and found["text"].startswith("waits on w1, which has been silent for 11 s")
    assert found["next_at"] is not None


def test_a_workflow_that_was_told_something_and_is_silent_says_both() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    (child,) = ask(world, scene.worker, scene.directive, "nobody")
    assert why(world, scene.run_id)["holders"] == [child]
    Stage(world, child, scene.worker).cancel()
    found = why(world, scene.run_id)
    assert (found["kind"], found["holders"]) == ("worker", ["w1"]) and "1 fact(s)" in found["text"]
    world.marks(12)
    assert "silent for" in why(world, scene.run_id)["text"]


def test_what_is_put_away_names_its_next_timer_and_a_parent_its_calls() -> None:
    scene = stage(S.SUSPENDED, kind="workflow")
    found = why(scene.world, scene.run_id)
    assert found["kind"] == "timer" and found["next_at"] is not None
    world = World()
    worker = world.join(offers=[workflow(), task()])
    parent = world.trigger("wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    (child,) = ask(world, worker, start, "wf")
    (inner,) = world.starts(worker)
    world.begin(worker, inner)
    hang(world, worker, inner)
    world.say(worker, ChildDied(SessionId(worker), "signal 9"))
    world.settle()
    assert world.status(parent) is S.SUSPENDED and world.status(child) is S.SUSPENDED
    assert why(world, parent)["kind"] == "calls"
