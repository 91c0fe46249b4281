"""Placement: who gets what, how much, and in which order; runs that must be alone; versions; equal runs."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.core.ids import RunId, SessionId
from longshore.core.message import Beat, Cancel, Commands, Released
from tests.core.stages import BOOM, S, Stage, ask
from tests.simulation.world import World, task, workflow


def quick(world: World, worker: SessionId, routine: str, slot_us: int) -> None:
    """Have the ledger learn how long a routine takes."""
    world.trigger(routine)
    world.finish(worker, world.starts(worker)[0], slot_us=slot_us)


def test_free_slots_come_first_and_the_emptiest_worker_first_of_all() -> None:
    world = World()
    small, large = world.join("small", offers=[task()], slots=1), world.join("large", offers=[task()], slots=3)
    for _ in range(5):
        world.trigger("t")
    assert (len(world.starts(small)), len(world.starts(large))) == (1, 3)


def test_stuck_slots_are_not_free() -> None:
    world = World()
    worker = world.join(offers=[task()], slots=2)
    world.say(worker, Beat(stuck=9))
    world.trigger("t")
    assert world.starts(worker) == []
    world.say(worker, Beat(stuck=1))
    assert len(world.starts(worker)) == 1


@settings(max_examples=60, deadline=None)
@given(
    slots=st.integers(1, 8),
    slot_us=st.sampled_from([1, 20, 500, 9_000, 49_000, 50_000, 51_000, 10**7]),
    count=st.integers(0, 60),
    long=st.integers(0, 9),
)
def test_a_worker_never_gets_more_than_its_slots_and_a_stream_of_short_ones(
    slots: int, slot_us: int, count: int, long: int
) -> None:
    world = World(stream_runs=40)
    worker = world.join(offers=[task(), task("long")], slots=slots)
    quick(world, worker, "t", slot_us)
    for routine, many in (("long", long), ("t", count)):
        for _ in range(many):
            world.trigger(routine)
    given_ = [start.routine for start in world.starts(worker)]
    longs = min(long, slots)
    mean = slot_us / 1000
    stream = int(min(40, (slots - longs) * 50 / mean)) if mean <= 50 else 0
    assert given_.count("long") == longs
    free = slots - longs
    expected = min(count, free + stream) if longs < slots and mean <= 50 else min(count, free)
    assert abs(given_.count("t") - expected) <= 1


def test_of_two_streams_the_one_with_less_lying_before_it_gets_the_next_run() -> None:
    world = World(stream_runs=3)
    few, many = world.join("few", offers=[task()], slots=1), world.join("many", offers=[task()], slots=2)
    quick(world, many, "t", 100)
    for _ in range(3):
        world.trigger("t")
    assert (len(world.starts(few)), len(world.starts(many))) == (1, 2), "free slots go first"
    given_ = []
    for _ in range(6):
        world.trigger("t")
        given_.append((len(world.starts(few)), len(world.starts(many))))
    assert given_ == [(1, 0), (0, 1)] * 3
    world.trigger("t")
    assert world.starts(few) == world.starts(many) == []


def test_what_could_not_be_started_in_time_stops_the_stream_until_a_slot_comes_free() -> None:
    world = World()
    worker = world.join(offers=[task()], slots=1)
    quick(world, worker, "t", 100)
    for _ in range(4):
        world.trigger("t")
    starts = world.starts(worker)
    assert len(starts) == 4
    world.report(worker, *[Released(start.run_id, start.epoch) for start in starts[1:]])
    assert world.starts(worker) == []
    assert {world.row(start.run_id).losses for start in starts} == {0}
    world.finish(worker, starts[0])
    assert len(world.starts(worker)) == 3


def test_the_end_of_a_workflow_frees_no_slot() -> None:
    world = World()
    worker = world.join(offers=[task(), workflow()], slots=1)
    quick(world, worker, "t", 100)
    flow = world.trigger("wf")
    (flows,) = world.starts(worker)
    runs = [world.trigger("t") for _ in range(3)]
    starts = world.starts(worker)
    world.report(worker, *[Released(start.run_id, start.epoch) for start in starts[1:]])
    world.finish(worker, flows)
    assert (world.status(flow), world.starts(worker)) == (S.COMPLETED, [])
    assert [world.status(run) for run in runs] == [S.DISPATCHED, S.QUEUED, S.QUEUED]


def test_workflows_use_no_slot_and_go_where_the_fewest_are_starting() -> None:
    world = World(flows_starting=2)
    first, second = (world.join(name, offers=[workflow()], slots=1) for name in ("w1", "w2"))
    runs = [world.trigger("wf") for _ in range(5)]
    starts = world.starts(first)
    assert (len(starts), len(world.starts(second)), world.status(runs[4])) == (2, 2, S.QUEUED)
    ask(world, first, starts[0])
    assert len(world.starts(first)) == 1


def test_a_workflow_that_was_pending_uses_no_slot_either() -> None:
    world = World()
    runs = [world.trigger("wf") for _ in range(3)]
    worker = world.join(offers=[workflow()], slots=1)
    assert [start.run_id for start in world.starts(worker)] == runs


def test_nesting_ten_deep_completes_on_one_worker_with_one_slot() -> None:
    world = World()
    worker = world.join(offers=[task(), workflow()], slots=1)
    run_id = world.trigger("wf")
    starts = []
    for depth in range(10):
        (start,) = world.starts(worker)
        starts.append(start)
        ask(world, worker, start, "wf" if depth < 9 else "t")
    (leaf,) = world.starts(worker)
    world.finish(worker, leaf)
    for start in reversed(starts):
        world.finish(worker, start, upto_seq=1)
    assert world.status(run_id) is S.COMPLETED


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(-5, 5)), min_size=1, max_size=25))
@settings(max_examples=40, deadline=None)
def test_no_lane_is_overtaken_by_a_younger_one_and_priority_is_a_head_start(wanted: list[tuple[str, int]]) -> None:
    world = World()
    world.join("w0", offers=[task(name) for name in "abc"], slots=0, pool="p")
    ranks: dict[RunId, tuple[float, int]] = {}
    for index, (routine, priority) in enumerate(wanted):
        world.now += timedelta(seconds=1)
        run_id = world.trigger(routine, priority=float(priority), pool="p")
        ranks[run_id] = (index - priority, index)
    session = SessionId("session-w1")
    world.join("w1", offers=[task(name) for name in "abc"], slots=len(wanted), pool="p")
    order = [start.run_id for start in world.starts(session)]
    assert set(order) == set(ranks)
    by_lane = {name: [run for run in order if world.row(run).routine == name] for name in "abc"}
    for runs in by_lane.values():
        assert [ranks[run][0] for run in runs] == sorted(ranks[run][0] for run in runs)


def test_one_round_places_a_group_and_the_next_tick_the_rest() -> None:
    world = World(group=10)
    for _ in range(25):
        world.trigger("t")
    world.now += timedelta(seconds=1)
    world.join(offers=[task()], slots=100)
    worker = SessionId("session-w1")
    assert len(world.starts(worker)) == 25
    assert world.ledger.next_tick_at(world.now) > world.now


# ------------------------------------------------------------------------------------------------------ to be alone


def crashed_twice(world: World, routine: str) -> RunId:
    run_id = world.trigger(routine)
    for number in range(2):
        worker = world.join(f"crash-{number}", offers=[task(), workflow()])
        world.begin(worker, world.starts(worker)[0])
        Stage(world, run_id, worker).lose()
    assert world.row(run_id).crashes == 2
    return run_id


def test_from_the_second_crash_on_a_run_is_alone_on_a_worker_that_is_kept_for_it() -> None:
    world = World()
    worker = world.join(offers=[task("other")], slots=2)
    others = [world.trigger("other") for _ in range(2)]
    busy = world.starts(worker)
    run_id = crashed_twice(world, "t")
    world.join(offers=[task("other"), task()], slots=2, held=[])
    world.sent.clear()
    third = world.trigger("other")
    why = world.ledger.why(run_id, world.now)
    assert why is not None and (why["kind"], why["holders"]) == ("alone", ["w1"])
    world.finish(worker, busy[0])
    assert (world.status(third), world.starts(worker)) == (S.QUEUED, [])
    world.finish(worker, busy[1])
    (start,) = world.starts(worker)
    assert start.run_id == run_id
    assert world.status(third) is S.QUEUED
    world.finish(worker, start)
    assert [one.run_id for one in world.starts(worker)] == [third]
    assert {world.status(run) for run in others} == {S.COMPLETED}


def test_a_run_that_waits_to_be_alone_holds_up_nobody_else() -> None:
    world = World()
    first, second = (world.join(name, offers=[task("other")], slots=1) for name in ("w1", "w2"))
    world.trigger("other"), world.trigger("other")
    held = world.starts(first) + world.starts(second)
    crashed_twice(world, "t")
    for name in ("w1", "w2"):
        world.join(name, offers=[task("other"), task()], slots=2)
    world.sent.clear()
    run_id = world.trigger("t")
    assert world.status(run_id) is S.DISPATCHED
    assert len(held) == 2


def test_a_workflow_alone_leaves_its_worker_to_others_while_it_waits() -> None:
    world = World()
    run_id = crashed_twice(world, "wf")
    worker = world.join(offers=[task(), workflow()])
    (start,) = world.starts(worker)
    assert start.run_id == run_id
    (child,) = ask(world, worker, start, "t")
    assert world.status(child) is S.DISPATCHED
    assert world.row(run_id).crashes == 0


def test_a_worker_kept_for_a_run_that_is_gone_is_free_again() -> None:
    world = World()
    run_id = crashed_twice(world, "t")
    worker = world.join(offers=[task("other")], slots=3)
    world.trigger("other")
    world.join(offers=[task("other"), task()], slots=3)
    assert world.ledger._state.sessions[worker].reserved == run_id
    world.command(Cancel(run_id))
    world.settle()
    world.sent.clear()
    world.trigger("other")
    assert len(world.starts(worker)) == 1


def test_a_retry_after_crashes_is_not_alone() -> None:
    world = World()
    run_id = crashed_twice(world, "t")
    worker = world.join(offers=[task(max_attempts=9)])
    world.finish(worker, world.starts(worker)[0], "failed", error=BOOM)
    assert (world.row(run_id).crashes, world.ledger._state.runs[run_id].alone) == (0, False)


def test_commands_that_say_nothing_new_forgive_no_crash() -> None:
    world = World()
    run_id = world.trigger("wf")
    for number in range(3):
        worker = world.join(f"w{number}", offers=[workflow()])
        (start,) = world.starts(worker)
        world.report(worker, Commands(run_id, start.epoch, world.now, None))
        Stage(world, run_id, worker).lose()
    assert world.status(run_id) is S.BLOCKED
