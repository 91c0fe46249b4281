"""Progress: told to who watches, and kept for who asks, while the attempt lasts that said it."""

from __future__ import annotations

from longshore.core.ledger import progressing
from longshore.core.ledger.state import Said
from longshore.core.message import Ask, Progress, Released, RunChanged
from tests.core.stages import S, stage
from tests.simulation.world import World, task


def test_the_latest_word_is_there_for_who_asks_while_the_attempt_lasts() -> None:
    scene = stage(S.EXECUTING)
    world, start = scene.world, scene.directive
    assert world.ledger.progress(scene.run_id) is None
    world.report(scene.worker, Progress(start.run_id, start.epoch, 0.1, "one"))
    world.report(scene.worker, Progress(start.run_id, start.epoch, 0.4, "four"))
    world.report(scene.worker, Progress(start.run_id, start.epoch + 1, 0.9, "not mine"))
    assert world.ledger.progress(scene.run_id) == {"fraction": 0.4, "text": "four", "at": world.now}
    world.report(scene.worker, Released(start.run_id, start.epoch, lost=True))
    assert world.ledger.progress(scene.run_id) is None, "another attempt has said nothing yet"
    (again,) = world.starts(scene.worker)
    world.begin(scene.worker, again)
    assert world.ledger.progress(scene.run_id) is None
    world.report(scene.worker, Progress(again.run_id, again.epoch, 0.5))
    world.finish(scene.worker, again)
    assert world.ledger.progress(scene.run_id) is None


def test_who_watches_is_told_of_progress_and_nothing_is_written() -> None:
    scene = stage(S.EXECUTING)
    world, start = scene.world, scene.directive
    world.command(Ask("outcome", "a", "watcher", [scene.run_id]))
    world.replies.clear()
    changes = world.report(scene.worker, Progress(start.run_id, start.epoch, 0.4, "epoch 4"))
    ((key, told),) = world.replies
    assert isinstance(told, RunChanged) and (key, told.reason) == ("watcher", "40% epoch 4")
    assert not changes.updated and not changes.history


def test_who_comes_late_hears_the_latest_word_once() -> None:
    scene = stage(S.EXECUTING)
    world, start = scene.world, scene.directive
    world.command(Ask("outcome", "a", "early", [scene.run_id]))
    world.report(scene.worker, Progress(start.run_id, start.epoch, 0.4, "epoch 4"))
    world.replies.clear()
    world.command(Ask("outcome", "a", "late", [scene.run_id]))
    ((key, told),) = world.replies
    assert isinstance(told, RunChanged) and (key, told.status, told.reason) == ("late", "EXECUTING", "40% epoch 4")
    world.replies.clear()
    world.command(Ask("outcome", "b", "late", [scene.run_id]), Ask("outcome", "c", "early", [scene.run_id]))
    assert not world.replies, "asked again, as after a lost connection"
    world.report(scene.worker, Released(start.run_id, start.epoch, lost=True))
    world.replies.clear()
    world.command(Ask("outcome", "d", "later", [scene.run_id]))
    assert not world.replies, "that attempt is over"


def test_words_of_runs_that_execute_no_more_are_forgotten() -> None:
    world = World()
    worker = world.join(offers=[task()], slots=3000)
    live = [world.trigger("t") for _ in range(5)]
    starts = world.starts(worker)
    for start in starts:
        world.begin(worker, start)
    for number in range(progressing.ROOM - 2):
        world.ledger._state.progress[world.run_id()] = Said(1, number, "", world.now)
    for start in starts:
        world.report(worker, Progress(start.run_id, start.epoch, 0.5))
    assert world.ledger._state.progress.keys() == set(live)
