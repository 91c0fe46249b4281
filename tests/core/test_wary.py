"""Bodies that may kill their worker begin only when the ledger has been told, so that their crashes are counted as
crashes: three in a row need a person."""

from __future__ import annotations

from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import Call, ChildDied, Commands, Released, Start, Started
from longshore.core.policy import CRASHES_TO_BLOCK, CRASHES_TO_ISOLATE
from tests.core.stages import S, Stage, ask
from tests.simulation.world import World, task, workflow


def next_start(world: World, worker: SessionId, run_id: RunId) -> Start:
    (start,) = [start for start in world.starts(worker) if start.run_id == run_id]
    return start


def test_a_first_start_is_not_wary_and_one_after_a_loss_or_a_crash_is() -> None:
    world = World()
    run_id = world.trigger("t")
    seen = []
    for number, begins in enumerate((False, True, True)):
        worker = world.join(f"w{number}", offers=[task()])
        start = next_start(world, worker, run_id)
        seen.append((start.wary, world.row(run_id).losses, world.row(run_id).crashes))
        if begins:
            world.begin(worker, start)
        Stage(world, run_id, worker).lose()
    assert seen == [(False, 0, 0), (True, 1, 0), (True, 0, 1)]


def test_what_was_handed_back_for_want_of_time_is_not_wary() -> None:
    world = World()
    run_id = world.trigger("t")
    worker = world.join(offers=[task()])
    start = next_start(world, worker, run_id)
    world.report(worker, Released(run_id, start.epoch))
    assert not next_start(world, worker, run_id).wary


def test_what_must_not_be_executed_again_is_wary_from_the_first() -> None:
    world = World()
    run_id = world.trigger("t")
    worker = world.join(offers=[task(on_crash="fail")])
    assert next_start(world, worker, run_id).wary


def test_a_workflow_that_got_further_is_not_wary_any_more() -> None:
    world = World()
    run_id = world.trigger("wf")
    wary = []
    for number in range(3):
        worker = world.join(f"w{number}", offers=[workflow()])
        start = next_start(world, worker, run_id)
        wary.append(start.wary)
        world.begin(worker, start)
        if number == 1:
            ask(world, worker, start, "t", upto=0)
            world.report(worker, Released(run_id, start.epoch))
            break
        Stage(world, run_id, worker).lose()
    assert wary == [False, True]
    assert (world.row(run_id).crashes, world.row(run_id).losses) == (0, 0)


def test_wary_runs_get_free_slots_only() -> None:
    world = World()
    worker = world.join(offers=[task()], slots=2)
    world.trigger("t")
    world.finish(worker, world.starts(worker)[0], slot_us=100)  # from now on it is known to be short
    runs = [world.trigger("t") for _ in range(5)]
    assert len(world.starts(worker)) == 5, "a stream"
    Stage(world, runs[0], worker).lose()
    other = world.join("w2", offers=[task()], slots=2)
    starts = world.starts(other)
    assert [start.wary for start in starts] == [True, True]
    world.finish(other, starts[0])
    assert len(world.starts(other)) == 1


def test_a_body_that_kills_its_worker_at_once_is_executed_four_times_at_most_and_those_beside_it_end() -> None:
    world = World()
    deadly = world.trigger("deadly")
    beside = [world.trigger("t") for _ in range(3)]
    executed = 0
    for number in range(20):
        worker = world.join(f"w{number}", offers=[task("deadly"), task()], slots=8)
        starts = {start.run_id: start for start in world.starts(worker)}
        calm = [Started(start.run_id, start.epoch, world.now) for start in starts.values() if start.run_id != deadly]
        if calm:
            world.report(worker, *calm)
        if deadly in starts:
            executed += 1
            if starts[deadly].wary:
                world.begin(worker, starts[deadly])
            world.say(worker, ChildDied(worker, "signal 11"))
            world.settle()
            continue
        for start in starts.values():
            world.finish(worker, start)
        world.say(worker, ChildDied(worker, "not needed any more"))
        world.settle()
    assert world.status(deadly) is S.BLOCKED
    assert executed == CRASHES_TO_BLOCK + 1, "of the first the ledger has not heard"
    assert [world.status(run_id) for run_id in beside] == [S.COMPLETED] * 3
    assert max(world.row(run_id).crashes for run_id in beside) <= CRASHES_TO_ISOLATE


def test_what_a_workflow_asks_for_once_more_is_no_progress_between_two_crashes() -> None:
    world = World()
    run_id = world.trigger("wf")
    call = Call(Address("0/0:0"), "t", "d", b"x", world.run_id(), asked_seq=0)
    for number in range(CRASHES_TO_BLOCK):
        worker = world.join(f"w{number}", offers=[workflow()])
        start = next_start(world, worker, run_id)
        world.begin(worker, start)
        world.report(worker, Commands(run_id, start.epoch, world.now, calls=[call]))  # the second part never comes
        Stage(world, run_id, worker).lose()
    assert world.status(run_id) is S.BLOCKED, "the first part was progress once, before the first crash"
    assert world.row(run_id).crashes == CRASHES_TO_BLOCK
