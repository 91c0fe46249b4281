"""Which queue a run goes to that began before its routine was known; what begins in a full queue, and what does not."""

from __future__ import annotations

from typing import Any

from longshore.core.message import Answer, LimitQueue, PauseQueue, ResumeQueue
from longshore.core.run import Status
from tests.core.test_forks import A, Story
from tests.simulation.world import World, task


def executing(world: World, queue: str) -> int:
    return len(world.ledger._state.queues[queue].holding)


def test_a_run_triggered_before_its_routine_was_offered_goes_to_the_queue_that_it_says_then() -> None:
    world = World()
    world.command(LimitQueue("gpu", limit=1, max_size=2, create=True))
    early = [world.trigger("t") for _ in range(3)]
    assert {world.row(run_id).queue for run_id in early} == {"default"}
    worker = world.join(offers=[task(queue="gpu")], slots=10)
    world.settle()
    assert {world.row(run_id).queue for run_id in early} == {"gpu"}
    assert [world.status(run_id) for run_id in early] == [Status.DISPATCHED, Status.QUEUED, Status.QUEUED]
    assert len(world.starts(worker)) == executing(world, "gpu") == 1
    late = world.trigger("t")
    assert late not in world.book.runs, "the two that wait fill it"


def test_a_delayed_one_does_too_when_its_time_comes() -> None:
    world = World()
    run_id = world.trigger("t", delay_ms=1000)
    worker = world.join(offers=[task(queue="gpu")])
    world.command(PauseQueue("gpu"))
    world.tick(2)
    world.settle()
    assert (world.row(run_id).queue, world.status(run_id)) == ("gpu", Status.QUEUED)
    world.command(ResumeQueue("gpu"))
    world.settle()
    assert [start.queue for start in world.starts(worker)] == ["gpu"]


def test_a_queue_that_a_trigger_names_stays_over_a_restart_even_if_it_is_the_default_one() -> None:
    world = World()
    named = {queue: world.trigger("t", queue=queue) for queue in ("default", "mine")}
    retrying = world.trigger("t", queue="default", retry_first_ms=5)
    world.restart()
    world.join(offers=[task(queue="gpu")])
    world.settle()
    assert {queue: world.row(run_id).queue for queue, run_id in named.items()} == {queue: queue for queue in named}
    care = world.row(retrying).care
    assert world.row(retrying).queue == "default" and care is not None and care.retry_first_ms == 5


def test_a_routine_that_says_no_queue_leaves_what_was_triggered_early_where_it_is() -> None:
    world = World()
    run_id = world.trigger("t")
    worker = world.join(offers=[task()])
    world.settle()
    assert world.row(run_id).queue == "default" and len(world.starts(worker)) == 1


def test_a_run_whose_routine_nobody_offers_any_more_is_resumed_where_it_was() -> None:
    world = World()
    run_id = world.trigger("nobody", delay_ms=1000)
    world.tick(2)
    assert (world.row(run_id).queue, world.row(run_id).kind) == ("default", "")


def failed_story() -> Story:
    story = Story(queue="full")
    story.ask(0, A)
    story.answer(A)
    story.fail(upto=1)
    return story


def test_a_fork_into_a_full_queue_is_refused_and_one_that_waits_is_counted() -> None:
    story = failed_story()
    world = story.world
    world.command(LimitQueue("full", max_size=1, create=True))
    world.command(PauseQueue("full"))
    first = story.forked(A)
    assert world.status(first) is Status.QUEUED
    refused: Any = story.fork(A)
    assert isinstance(refused, Answer) and refused.error is not None
    assert refused.error["rule"] == "max_size" and "queue 'full' is full: 1 runs wait in it" in refused.error["text"]
    assert world.history(story.run_id)[-1].valid is False
    assert world.trigger("wf", queue="full") not in world.book.runs
