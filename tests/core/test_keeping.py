"""What has ended goes when it is old or when there is too much of it; what lives, and what is still told, stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.changes import ObjectsRemoved, Unreadable
from longshore.core.errors import UsageError
from longshore.core.ids import Address, RunId, SessionId
from longshore.core.keeping import Keep, KeepRow, keep_of
from longshore.core.message import Answer, Ask, Call, Commands, Finished, Fork, Options, RunChanged, SealBatch, Start
from tests.simulation.keeping import LARGE
from tests.simulation.world import CLIENT, World, task, workflow

DAY = 24 * 3600
HOUR = 3600
OLD = timedelta(days=30)


def a_world(age: timedelta | None = OLD, count: int | None = None, **config: Any) -> tuple[World, SessionId]:
    world = World(retention=Keep(age, count), **config)
    return world, world.join(offers=[workflow(), task(), task("u")], slots=1000)


def ended(world: World, worker: SessionId, routine: str = "t", how: str = "completed", **options: Any) -> RunId:
    """A run that has ended just now."""
    run_id = world.trigger(routine, **options)
    (start,) = world.starts(worker)
    world.begin(worker, start)
    world.finish(worker, start, how)
    return run_id


def pass_by(world: World, seconds: float) -> None:
    """Time passes; then as many ticks as the ledger wants soon."""
    world.tick(seconds)
    for _ in range(200):
        if (world.ledger.next_tick_at(world.now) - world.now).total_seconds() > 0.1:
            return
        world.tick(0.06)


def parent_of(
    world: World, worker: SessionId, *children: str, options: Options | None = None
) -> tuple[Start, list[RunId]]:
    """A workflow that has called these routines; their ids."""
    world.trigger("wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    ids = [world.run_id() for _ in children]
    calls = [
        Call(Address(f"0:{index}"), routine, "d", b"x", child, options=options)
        for index, (routine, child) in enumerate(zip(children, ids, strict=True))
    ]
    world.report(worker, Commands(start.run_id, start.epoch, world.now, upto_seq=0, calls=calls))
    return start, ids


def finish_all(world: World, worker: SessionId) -> None:
    for start in world.starts(worker):
        world.begin(worker, start)
        world.finish(worker, start)


# -------------------------------------------------------------------------------------------------------------- by age


def test_a_run_goes_when_it_ended_long_enough_ago_with_everything_that_belongs_to_it() -> None:
    world, worker = a_world()
    run_id = ended(world, worker, idempotency_key="k")
    pass_by(world, 29 * DAY)
    assert run_id in world.book.runs
    pass_by(world, 2 * DAY)
    assert run_id in world.book.gone and run_id not in world.book.history and world.book.begun.keys == {}


@pytest.mark.parametrize("how", ["failed", "aborted"])
def test_how_it_ended_makes_no_difference(how: str) -> None:
    world, worker = a_world()
    run_id = ended(world, worker, how=how, max_attempts=1)
    pass_by(world, 31 * DAY)
    assert run_id in world.book.gone


def test_what_has_not_ended_stays_however_old_it_is() -> None:
    world, _ = a_world()
    waiting = world.trigger("nobody", deadline_ms=30 * DAY * 1000, delay_ms=20 * DAY * 1000)
    queued = world.trigger("t")
    pass_by(world, 100)
    other = World(retention=Keep(timedelta(seconds=1)))
    live = other.trigger("nobody")
    pass_by(other, 29 * DAY)
    assert {waiting, queued} <= world.book.runs.keys() and live in other.book.runs


def test_nothing_goes_in_the_first_moments_of_a_coordinator() -> None:
    world, worker = a_world(retention_after=timedelta(seconds=60))
    run_id = ended(world, worker)
    world.now += timedelta(days=40)
    world.restart()
    pass_by(world, 1)
    assert run_id in world.book.runs
    pass_by(world, 60)
    assert run_id in world.book.gone


def test_a_run_whose_outcome_came_back_to_us_is_forgotten_with_it() -> None:
    world, worker = a_world(age=timedelta(minutes=1))
    run_id = ended(world, worker)
    pass_by(world, 100)
    world.command(Ask("outcome", run_ids=[run_id], reply_to=CLIENT, ask_id="a"))
    (*_, (_, said)) = world.replies
    assert isinstance(said, RunChanged) and said.status == ""
    assert said.reason == f"there is no run {run_id}; it may have been deleted: what has ended is kept for 1m"


def test_off_keeps_everything() -> None:
    world, worker = a_world(age=None)
    run_id = ended(world, worker)
    pass_by(world, 300 * DAY)
    assert run_id in world.book.runs


# ------------------------------------------------------------------------------------------------------------ by count


def test_of_too_many_the_oldest_ends_go_page_by_page() -> None:
    world, worker = a_world(age=None, count=10, group=4)
    runs = []
    for _ in range(30):
        runs.append(ended(world, worker))
        world.now += timedelta(seconds=1)
    pass_by(world, 60)
    assert set(runs) - world.book.gone == set(runs[-10:])


def test_a_few_too_many_are_not_worth_a_step() -> None:
    world, worker = a_world(age=None, count=1000, group=4)
    for _ in range(3):
        ended(world, worker)
    world.ledger._state.shelves.of["t"].count = 1004
    pass_by(world, 60)
    assert world.book.gone == set()


def test_what_ended_a_moment_ago_stays_however_much_there_is() -> None:
    world, worker = a_world(age=None, count=1, retention_grace=timedelta(seconds=30))
    runs = [ended(world, worker) for _ in range(5)]
    pass_by(world, 20)
    assert world.book.gone == set()
    pass_by(world, 20)
    assert len(world.book.gone) == 4 and runs[-1] in world.book.runs


def test_of_several_routines_the_oldest_ends_go_first() -> None:
    world, worker = a_world(age=None, count=6)
    runs = []
    for number in range(20):
        runs.append(ended(world, worker, "t" if number % 3 else "u"))
        world.now += timedelta(seconds=100)
    pass_by(world, 60)
    assert set(runs) - world.book.gone == set(runs[-6:])


def test_a_number_counts_what_was_triggered_and_takes_what_that_called_with_it() -> None:
    world, worker = a_world(age=None, count=2)
    trees = []
    for _ in range(4):
        start, children = parent_of(world, worker, "t", "t")
        finish_all(world, worker)
        world.finish(worker, start)
        trees.append({start.run_id, *children})
        world.now += timedelta(seconds=1)
    pass_by(world, 60)
    assert world.book.gone == trees[0] | trees[1]


def test_the_counts_are_those_of_the_store_after_a_restart() -> None:
    world, worker = a_world(age=None, count=3)
    runs = [ended(world, worker) for _ in range(5)]
    world.restart()
    pass_by(world, 60)
    assert len(set(runs) - world.book.gone) == 3


# ---------------------------------------------------------------------------------------------------------- by routine


def test_what_a_routine_says_goes_before_the_settings() -> None:
    world = World(retention=Keep(timedelta(days=30), 10))
    offers = [task("short", keep_ms=HOUR * 1000), task("long", keep_ms=0, keep_count=0), task("two", keep_count=2)]
    worker = world.join(offers=offers, slots=100)
    short, long = ended(world, worker, "short"), ended(world, worker, "long")
    two = [ended(world, worker, "two") for _ in range(5)]
    pass_by(world, 2 * HOUR)
    assert world.book.gone == {short, *two[:3]}
    pass_by(world, 365 * DAY)
    assert set(world.book.runs) == {long}


def test_the_newest_version_speaks_for_all_and_is_heard_after_a_restart_without_a_worker() -> None:
    world = World(retention=Keep(timedelta(hours=1)))
    world.join("w1", offers=[task("t", "1.0.0", keep_ms=DAY * 1000)])
    worker = world.join("w2", offers=[task("t", "2.0.0", keep_ms=0)])
    world.join("w3", offers=[task("t", "1.5.0", keep_ms=1000), task("none", "1.0.0")])
    assert world.book.policies == {"t": KeepRow("t", "2.0.0", 0)}
    run_id = ended(world, worker)
    world.book.workers.clear()
    world.restart()
    pass_by(world, 100 * DAY)
    assert run_id in world.book.runs
    world.join("w4", offers=[task("t", "3.0.0")])
    pass_by(world, 1)
    assert run_id in world.book.gone


# --------------------------------------------------------------------------------------------------------------- trees


def test_a_child_stays_for_as_long_as_its_parent_lives() -> None:
    world, worker = a_world(age=timedelta(hours=1))
    start, children = parent_of(world, worker, "t")
    finish_all(world, worker)
    pass_by(world, 5 * HOUR)
    assert world.book.gone == set()
    world.finish(worker, start)
    pass_by(world, 2 * HOUR)
    assert world.book.gone == {start.run_id, *children}


def test_a_tree_waits_for_the_last_that_lives_in_it() -> None:
    world, worker = a_world(age=timedelta(hours=1))
    start, (child,) = parent_of(world, worker, "t", options=Options(on_parent_end="abandon"))
    (going_on,) = world.starts(worker)
    world.finish(worker, start)
    pass_by(world, 5 * HOUR)
    assert world.book.gone == set()
    world.begin(worker, going_on)
    world.finish(worker, going_on)
    pass_by(world, 2 * HOUR)
    assert world.book.gone == {start.run_id, child}


def forked(world: World, worker: SessionId) -> tuple[RunId, RunId]:
    """A workflow that ended and was forked, and its fork."""
    start, _ = parent_of(world, worker, "t", "t")
    finish_all(world, worker)
    world.finish(worker, start)
    fork_id = world.run_id()
    world.command(Fork(start.run_id, Address("0:1"), fork_id=fork_id, ask_id="f", reply_to=CLIENT))
    assert fork_id in world.book.runs
    return start.run_id, fork_id


def test_what_a_fork_tells_stays_until_the_fork_is_gone() -> None:
    world, worker = a_world(age=timedelta(hours=1))
    original, fork_id = forked(world, worker)
    pass_by(world, 10 * HOUR)
    assert world.book.gone == set()
    (start,) = world.starts(worker)
    world.begin(worker, start)
    world.report(worker, Finished(fork_id, start.epoch, "completed", world.now, result=b"1"))
    pass_by(world, 0.5 * HOUR)
    assert {fork_id, original} <= world.book.runs.keys()
    pass_by(world, 2 * HOUR)
    assert world.book.runs == {}


def large(world: World, worker: SessionId, many: int = 4 * LARGE) -> tuple[Start, list[RunId]]:
    start, children = parent_of(world, worker, *["t"] * many)
    finish_all(world, worker)
    world.finish(worker, start)
    return start, children


def test_a_large_tree_is_looked_at_and_then_goes_part_by_part_whatever_restarts() -> None:
    world, worker = a_world(age=timedelta(hours=1))
    start, children = large(world, worker)
    world.tick(2 * HOUR)
    left = []
    while world.book.cursors:
        left.append(len(world.book.runs))
        world.restart()
        world.tick(20)
    assert world.book.gone == {start.run_id, *children}
    assert left[0] == len(children) + 1 and len(set(left)) >= 4
    assert world.ledger._state.shelves.of.get("wf") is None or world.ledger._state.shelves.of["wf"].count == 0


def test_a_large_tree_in_which_something_lives_is_left_alone_and_looked_at_again_later() -> None:
    world, worker = a_world(age=timedelta(hours=1))
    start, children = parent_of(world, worker, *["t"] * 2 * LARGE, options=Options(on_parent_end="abandon"))
    *others, last = world.starts(worker)
    world.finish(worker, start)
    for one in others:
        world.begin(worker, one)
        world.finish(worker, one)
    pass_by(world, 2 * HOUR)
    assert world.book.gone == set() and world.book.cursors == {}
    world.begin(worker, last)
    world.finish(worker, last)
    pass_by(world, 3 * HOUR)
    pass_by(world, 1)
    assert world.book.gone == {start.run_id, *children}


def test_a_large_tree_that_is_forked_stays() -> None:
    world, worker = a_world(age=timedelta(hours=1))
    start, _ = large(world, worker)
    world.command(Fork(start.run_id, Address("0:1"), fork_id=world.run_id(), ask_id="f", reply_to=CLIENT))
    world.book.forked_from = {fork: next(iter(start_children)) for fork, start_children in _below_of(world, start)}
    pass_by(world, 3 * HOUR)
    assert world.book.gone == set() and world.book.cursors == {}


def _below_of(world: World, start: Start) -> list[tuple[RunId, list[RunId]]]:
    below = [run.id for run in world.book.runs.values() if run.parent_id == start.run_id]
    return [(fork, below) for fork in world.book.forked_from]


def test_what_is_being_deleted_is_not_forked() -> None:
    world, worker = a_world(age=timedelta(hours=1))
    start, _ = large(world, worker)
    world.tick(2 * HOUR)
    assert world.book.cursors
    world.command(Fork(start.run_id, Address("0:1"), fork_id=world.run_id(), ask_id="f", reply_to=CLIENT))
    (*_, (_, said)) = world.replies
    assert isinstance(said, Answer) and said.error is not None and said.error["rule"] == "going"


def test_a_run_with_very_many_rows_goes_at_once_and_its_rows_bit_by_bit() -> None:
    world, worker = a_world(age=timedelta(hours=1), rows_at_once=3)
    start, (child,) = parent_of(world, worker, "t")
    finish_all(world, worker)
    world.finish(worker, start)
    world.tick(2 * HOUR)
    assert {start.run_id, child} == world.book.gone and start.run_id in world.book.history
    pass_by(world, 1)
    pass_by(world, 1)
    assert world.book.history == {} and world.book.calls == {} and world.book.cursors == {}


# ------------------------------------------------------------------------------------------------------------ the rest


def test_cached_results_that_are_over_are_forgotten_once_a_day() -> None:
    world = World()
    worker = world.join(offers=[task(cache=True, cache_ttl_ms=HOUR * 1000)])
    world.trigger("t", cache_key="k")
    finish_all(world, worker)
    assert world.book.cache.keys() == {"k"}
    pass_by(world, 100)
    assert world.book.cache.keys() == {"k"}
    pass_by(world, DAY)
    assert world.book.cache == {}


def test_a_cached_result_goes_with_its_run() -> None:
    world = World(retention=Keep(timedelta(hours=1)))
    worker = world.join(offers=[task(cache=True)])
    world.trigger("t", cache_key="k")
    finish_all(world, worker)
    pass_by(world, 2 * HOUR)
    assert world.book.cache == {}
    again = world.trigger("t", cache_key="k")
    assert [start.run_id for start in world.starts(worker)] == [again]


def test_a_setting_reads_as_people_write_it() -> None:
    assert keep_of("30d,1000000").text == "for 30 days, the latest 1,000,000"
    assert keep_of("1d").text == "for 1 day" and keep_of("90m").text == "for 1h30m"
    assert keep_of("off,10") == Keep(None, 10) and keep_of("off").text == "for ever"
    for wrong in ("10", "1.5", "", "x", "0s", "1d,0", "1d,x"):
        with pytest.raises(UsageError, match="allowed"):
            keep_of(wrong)


def test_runs_of_an_open_batch_stay() -> None:
    world, worker = a_world(age=timedelta(hours=1), batch_patience=timedelta(days=1))
    run_id = ended(world, worker, batch_id="b")
    pass_by(world, 3 * HOUR)
    assert run_id in world.book.runs
    world.command(SealBatch("b", ask_id="s", reply_to=CLIENT))
    pass_by(world, 3 * HOUR)
    assert run_id in world.book.gone and world.book.batches.keys() == {"b"}
    pass_by(world, 32 * DAY)
    assert world.book.batches == {}


def test_what_is_gone_from_the_payload_store_is_written_down() -> None:
    world, _ = a_world()
    changes = world.internal(ObjectsRemoved(["runs/a/b"]))
    assert changes.letting_go is not None and changes.letting_go.removed == ["runs/a/b"] and changes.is_durable()


def test_an_unreadable_message_has_the_oldest_letters_go() -> None:
    world, _ = a_world(letters_kept=5)
    changes = world.internal(Unreadable("commands", "why", b"x", 1))
    assert changes.letting_go is not None and changes.letting_go.letters is not None
    assert changes.letting_go.letters[1:] == (5, 1000)
