"""Checkpoints in the ledger: who may keep one, what it does to the row of crashes."""

from __future__ import annotations

from longshore.core.message import Checkpoint, ClaimCheck
from tests.core.stages import BOOM, S, stage
from tests.simulation.world import World, task


def test_the_last_checkpoint_of_the_attempt_under_way_is_kept() -> None:
    scene = stage(S.EXECUTING)
    world, worker, start = scene.world, scene.worker, scene.directive
    world.report(worker, Checkpoint(scene.run_id, start.epoch, b"\x01"), Checkpoint(scene.run_id, start.epoch, b"\x02"))
    world.report(worker, Checkpoint(scene.run_id, start.epoch - 1, b"\x03"))
    assert world.book.checkpoints == {scene.run_id: b"\x02"}


def test_it_may_come_before_the_word_that_the_body_began() -> None:
    scene = stage(S.DISPATCHED)
    scene.world.report(scene.worker, Checkpoint(scene.run_id, scene.directive.epoch, b"\x01"))
    assert scene.world.book.checkpoints == {scene.run_id: b"\x01"}
    assert scene.status is S.DISPATCHED


def test_one_that_points_elsewhere_is_refused_and_counted() -> None:
    scene = stage(S.EXECUTING)
    check = ClaimCheck("../../etc/passwd", 1, "0" * 64)
    scene.world.report(scene.worker, Checkpoint(scene.run_id, scene.directive.epoch, check))
    assert scene.world.book.checkpoints == {}
    assert scene.world.ledger.counts["refused_checkpoint"] == 1


def test_a_workflow_has_none() -> None:
    scene = stage(S.HANGING, kind="workflow")
    scene.world.report(scene.worker, Checkpoint(scene.run_id, scene.directive.epoch, b"\x01"))
    assert scene.world.book.checkpoints == {}


def test_a_run_that_makes_progress_between_its_crashes_is_never_blocked() -> None:
    world = World()
    worker = world.join(offers=[task()])
    run_id = world.trigger("t")
    for number in range(7):
        (start,) = world.starts(worker)
        world.begin(worker, start)
        if number % 2:
            world.report(worker, Checkpoint(run_id, start.epoch, bytes([number])))
            assert world.book.runs[run_id].crashes == 0
        world.finish(worker, start, "crashed", error=BOOM)
        world.settle()
    assert world.status(run_id) is S.DISPATCHED
    assert world.book.runs[run_id].crashes == 2 or world.book.runs[run_id].crashes == 1
