"""What has ended is run again from the beginning: as a new run, once for each id, and only then."""

from __future__ import annotations

from typing import Any

import pytest

from longshore.core.ids import RunId
from longshore.core.message import Answer, Cancel, LimitQueue, Options, Rerun, RunChanged, Trigger
from longshore.core.run import FINAL, Status
from tests.core.stages import S, ask, stage
from tests.simulation.world import World, task, workflow


def rerun(world: World, run_id: RunId, **more: Any) -> Answer:
    world.command(Rerun(run_id, by="ann", ask_id="ask", reply_to="client", **more))
    return next(one for _, one in reversed(world.replies) if isinstance(one, Answer))


@pytest.mark.parametrize("status", sorted(FINAL - {S.CRASHED}))
def test_what_has_ended_is_run_again_with_the_same_input_as_a_root_of_its_own(status: Status) -> None:
    scene = stage(status)
    world = scene.world
    wanted = world.run_id()
    said = rerun(world, scene.run_id, rerun_id=wanted)
    assert said.data == {"run_id": wanted, "status": "QUEUED", "rerun_of": scene.run_id}
    row = world.row(wanted)
    assert (row.root_id, row.parent_id, row.attempt <= 1, row.epoch <= 1) == (wanted, "", True, True)
    assert world.book.inputs[wanted] == b"in" and world.book.begun.rerun_of[wanted] == scene.run_id
    first = world.history(wanted)[0]
    assert first.reason.startswith(f"rerun of {scene.run_id} by ann") and first.from_status == ""
    assert scene.status is status, "nothing of what has ended changes"


def test_its_history_says_why() -> None:
    world = (scene := stage(S.FAILED)).world
    said = rerun(world, scene.run_id, reason="the disk is back")
    first = world.history(RunId(said.data["run_id"]))[0]
    assert first.reason.startswith(f"rerun of {scene.run_id} by ann: the disk is back")


def test_its_options_go_on_and_their_times_are_as_long_again() -> None:
    world = World()
    worker = world.join(offers=[task(max_attempts=1), task(version="2.0.0", max_attempts=1)])
    given: dict[str, Any] = {"max_attempts": 7, "timeout_ms": 5, "priority": 2.0, "queue": "q", "concurrency_key": "k"}
    run_id = world.trigger("t@1.0.0", deadline_ms=60_000, ttl_ms=30_000, tags=["x"], idempotency_key="one", **given)
    (start,) = world.starts(worker)
    world.tick(10)
    world.finish(worker, start, "aborted")
    again = RunId(rerun(world, run_id).data["run_id"])
    row = world.row(again)
    assert (row.max_attempts, row.timeout_ms, row.priority, row.queue, row.concurrency_key) == (
        7, 5, 2.0, "q", "k",
    )  # fmt: skip
    assert row.deadline_at is not None and (row.deadline_at - world.now).total_seconds() == 60
    assert row.ttl_at is not None and (row.ttl_at - world.now).total_seconds() == 30
    assert row.version == "2.0.0", "the newest, whatever the one before asked for"
    assert world.book.tags[again] == ["x"]
    (start,) = world.starts(worker)
    world.tick(60)
    assert world.status(again) is S.TIMED_OUT


@pytest.mark.parametrize(("asked", "found"), [("1.0.0", "1.0.0"), ("latest", "2.0.0"), ("", "2.0.0")])
def test_a_version_may_be_chosen(asked: str, found: str) -> None:
    world = World()
    worker = world.join(offers=[task(), task(version="2.0.0")])
    run_id = world.trigger("t@1.0.0")
    world.finish(worker, world.starts(worker)[0])
    again = RunId(rerun(world, run_id, version=asked).data["run_id"])
    assert world.row(again).version == found


def test_the_same_id_again_is_the_same_run_whatever_became_of_it() -> None:
    scene = stage(S.COMPLETED)
    world = scene.world
    wanted = world.run_id()
    rerun(world, scene.run_id, rerun_id=wanted)
    assert rerun(world, scene.run_id, rerun_id=wanted).data["status"] == "DISPATCHED"
    (start,) = world.starts(scene.worker)
    world.finish(scene.worker, start)
    assert rerun(world, scene.run_id, rerun_id=wanted).data["status"] == "COMPLETED"
    assert len(world.book.runs) == 2
    world.command(*(Rerun(scene.run_id, rerun_id=world.run_id()) for _ in range(2)))
    assert len(world.book.runs) == 4


def test_without_an_id_each_order_is_a_run() -> None:
    scene = stage(S.COMPLETED)
    first, second = (rerun(scene.world, scene.run_id).data["run_id"] for _ in range(2))
    assert first != second


def test_a_result_in_the_cache_is_not_taken_but_computed_and_stored_anew() -> None:
    world = World()
    worker = world.join(offers=[task(cache=True)])
    run_id = world.trigger("t", cache_key="k")
    world.finish(worker, world.starts(worker)[0])
    again = RunId(rerun(world, run_id).data["run_id"])
    (start,) = world.starts(worker)
    assert start.run_id == again and start.cache
    world.finish(worker, start, result=b"new", cache_key="k")
    third = world.trigger("t", cache_key="k")
    assert (world.status(third), world.book.results[third]) == (S.COMPLETED, b"new")


def test_a_child_that_has_ended_is_run_again_as_nobodys_child() -> None:
    world = World()
    worker = world.join(offers=[task(max_attempts=1), workflow()])

    world.trigger("wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    (child,) = ask(world, worker, start, "t")
    (begun,) = world.starts(worker)
    world.finish(worker, begun)
    told = len(world.book.delivery_log(start.run_id))
    again = RunId(rerun(world, child).data["run_id"])
    (begun,) = world.starts(worker)
    world.finish(worker, begun)
    assert (world.row(again).parent_id, world.row(again).root_id) == ("", again)
    assert len(world.book.delivery_log(start.run_id)) == told


def test_who_wants_the_outcome_is_told_it() -> None:
    scene = stage(S.COMPLETED)
    world = scene.world
    wanted = world.run_id()
    world.command(Rerun(scene.run_id, rerun_id=wanted, wants="outcome", ask_id="mine", reply_to="them", plain=True))
    (start,) = world.starts(scene.worker)
    changes = world.finish(scene.worker, start)
    (told,) = [one for one in changes.replies["them"] if isinstance(one, RunChanged)]
    assert (told.run_id, told.status, told.correlation_id) == (wanted, "COMPLETED", "mine")


def test_what_ended_in_the_same_batch_is_run_again() -> None:
    world = World()
    run_id = world.run_id()
    wanted = world.run_id()

    world.command(Trigger("t", run_id=run_id, input=b"in"), Cancel(run_id), Rerun(run_id, rerun_id=wanted))
    assert world.status(run_id) is S.CANCELED
    assert world.status(wanted) is S.PENDING_VERSION and world.book.inputs[wanted] == b"in"


@pytest.mark.parametrize("status", [status for status in Status if status not in FINAL])
def test_what_has_not_ended_is_not_run_again_and_the_order_recorded(status: Status) -> None:
    scene = stage(status, kind="workflow" if status in (S.HANGING, S.SUSPENDED) else "task")
    world = scene.world
    rows = len(world.history(scene.run_id))
    error = rerun(world, scene.run_id).error
    text = f"run {scene.run_id} is {status}; only what has ended is run again: cancel it first, or trigger anew"
    assert error == {"rule": "not_final", "text": text}
    (row,) = world.history(scene.run_id)[rows:]
    assert (row.valid, row.reason, scene.status) == (False, f"rerun refused: {text}", status)
    assert len(world.book.runs) == 1


def test_what_cannot_be_is_refused_in_words_and_nothing_begins() -> None:
    scene = stage(S.COMPLETED)
    world = scene.world
    for given, rule, text in (
        ({"rerun_id": RunId("x")}, "rerun_id", "'x' is no id for a new run"),
        ({"rerun_id": scene.run_id}, "rerun_id", "is no id for a new run"),
        ({"version": "new"}, "version", "'new' is no version: major.minor.patch"),
    ):
        error = rerun(world, scene.run_id, **given).error
        assert error is not None and error["rule"] == rule and text in error["text"]
    assert rerun(world, RunId("x")).error == {"rule": "unknown_run", "text": "there is no run x"}
    assert len(world.book.runs) == 1


def test_a_queue_that_is_full_takes_no_rerun() -> None:
    world = World()
    worker = world.join(offers=[task(max_attempts=1)], slots=1)
    world.command(LimitQueue("small", max_size=1, create=True))
    run_id = world.trigger("t", queue="small")
    world.finish(worker, world.starts(worker)[0])
    again = RunId(rerun(world, run_id).data["run_id"])
    (start,) = world.starts(worker)
    assert start.run_id == again
    world.finish(worker, start)
    world.trigger("t")
    world.command(Trigger("t", run_id=world.run_id(), input=b"", options=Options(queue="small")))
    error = rerun(world, run_id).error
    assert error is not None and error["rule"] == "max_size"
