"""What a workflow leaves behind is let go of, group by group; what it was told is never told to it again."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import Answer, Call, Commands, CompleteToken, Finished, Signal, Start, Wait
from tests.core.stages import BOOM, S
from tests.simulation.world import CLIENT, World, task, workflow

HOUR = 3600


def begun(**config: Any) -> tuple[World, SessionId, Start]:
    """A workflow of two attempts that executes."""
    world = World(**config)
    worker = world.join(offers=[workflow(max_attempts=2), task()], slots=1000)
    world.trigger("wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    return world, worker, start


def asks_for(world: World, worker: SessionId, start: Start, many: int) -> None:
    calls = [Call(Address(f"0:{number:04}"), "nobody", "d", b"x", world.run_id()) for number in range(many)]
    world.report(worker, Commands(start.run_id, start.epoch, world.now, upto_seq=0, calls=calls))


def goes_on(world: World, worker: SessionId, start: Start, **more: Any) -> Start:
    world.report(worker, Finished(start.run_id, start.epoch, "continued", world.now, result=b"next", **more))
    world.tick()
    return next(one for one in world.starts(worker) if one.run_id == start.run_id)


def rows(world: World, generation: int) -> int:
    return sum(len(calls) for (_, number), calls in world.book.calls.items() if number == generation)


def tell(world: World, run_id: RunId, name: str) -> Any:
    world.command(Signal(run_id, "s", b"1", name, ask_id=name, reply_to=CLIENT))
    (*_, answer) = [one for _, one in world.replies if isinstance(one, Answer)]
    return answer.data


def test_a_long_journal_is_let_go_of_tick_by_tick_whatever_restarts() -> None:
    world, worker, start = begun(rows_at_once=10)
    asks_for(world, worker, start, 25)
    world.report(worker, Finished(start.run_id, start.epoch, "continued", world.now, result=b"next"))
    left = [rows(world, 0)]
    world.restart()
    while world.book.cursors:
        world.tick()
        left.append(rows(world, 0))
    assert left == [15, 5, 0]


def test_long_journals_of_many_workflows_go_one_after_the_other() -> None:
    world = World(rows_at_once=10, group=10)
    worker = world.join(offers=[workflow()], slots=1000)
    starts = []
    for _ in range(3):
        world.trigger("wf")
        starts += world.starts(worker)
        asks_for(world, worker, starts[-1], 25)
    for start in starts:
        world.report(worker, Finished(start.run_id, start.epoch, "continued", world.now, result=b"next"))
    left = [rows(world, 0)]
    while any(one.kind == "forget_journal" for one in world.book.cursors.values()):
        world.tick()
        left.append(rows(world, 0))
    assert left[0] == 45 and left[-1] == 0 and max(a - b for a, b in pairwise(left)) < 20


def test_a_short_journal_is_gone_at_once() -> None:
    world, worker, start = begun(rows_at_once=10)
    asks_for(world, worker, start, 5)
    changes = world.report(worker, Finished(start.run_id, start.epoch, "continued", world.now, result=b"next"))
    assert rows(world, 0) == 0
    assert [cursor.kind for cursor in changes.cursors] == ["cancel_children"]


def test_a_journal_that_grows_in_the_batch_of_its_end_is_let_go_of_as_well() -> None:
    world, worker, start = begun(rows_at_once=10)
    calls = [Call(Address(f"0:{number}"), "nobody", "d", b"x", world.run_id()) for number in range(25)]
    asked = Commands(start.run_id, start.epoch, world.now, calls=calls)
    world.report(worker, asked, Finished(start.run_id, start.epoch, "continued", world.now, result=b"next"))
    world.settle()
    assert rows(world, 0) == 0 and not world.book.cursors


def test_the_journal_of_an_attempt_goes_when_the_next_one_begins() -> None:
    world, worker, start = begun()
    asks_for(world, worker, start, 5)
    world.report(worker, Finished(start.run_id, start.epoch, "failed", world.now, error=BOOM, upto_seq=0))
    assert rows(world, 0) == 5 and world.status(start.run_id) is S.RETRYING
    world.tick(5)
    assert rows(world, 0) == 0


def test_a_signal_sent_again_after_the_workflow_has_continued_is_not_told_again() -> None:
    world, worker, start = begun()
    assert tell(world, start.run_id, "one")
    waits = [Wait(Address("0:0"), "signal", "s", "d")]
    world.report(worker, Commands(start.run_id, start.epoch, world.now, 1, waits=waits, closed=[Address("0:0")]))
    start = goes_on(world, worker, start, upto_seq=1)
    assert start.last_seq == 0
    assert tell(world, start.run_id, "one") and world.book.delivery_log(start.run_id) == []
    assert tell(world, start.run_id, "two") and len(world.book.delivery_log(start.run_id)) == 1


def test_the_id_of_a_signal_is_remembered_for_a_day() -> None:
    world, worker, start = begun(rows_at_once=1)
    for name in ("one", "two", "three"):
        tell(world, start.run_id, name)
    goes_on(world, worker, start, upto_seq=3)
    world.settle()
    assert len(world.book.told_ids[start.run_id]) == 3
    world.tick(23 * HOUR)
    world.settle()
    assert len(world.book.told_ids[start.run_id]) == 3
    world.tick(2 * HOUR)
    world.settle()
    assert world.book.told_ids[start.run_id] == {}


def test_a_token_of_a_run_that_ended_is_known_for_a_month_and_completing_it_does_nothing() -> None:
    world, worker, start = begun()
    waits = [Wait(Address("0:0"), "token", "t1", "d")]
    world.report(worker, Commands(start.run_id, start.epoch, world.now, 0, waits=waits))
    world.finish(worker, start)

    def completed() -> Answer:
        world.command(CompleteToken("t1", b"1", ask_id="a", reply_to=CLIENT))
        (*_, answer) = [one for _, one in world.replies if isinstance(one, Answer)]
        return answer

    world.tick(29 * 24 * HOUR)
    world.settle()
    answer = completed()
    assert not answer.data["completed"] and answer.data["text"].endswith(f"run {start.run_id} is COMPLETED already")
    world.tick(2 * 24 * HOUR)
    world.settle()
    answer = completed()
    assert world.book.tokens == {} and answer.error is not None and answer.error["rule"] == "unknown_token"
    assert "30 days ago" in answer.error["text"] and "begun anew" in answer.error["text"]


def test_a_run_that_continues_keeps_its_first_history_row_and_the_latest() -> None:
    world, worker, start = begun(history_kept=10)
    for _ in range(20):
        start = goes_on(world, worker, start)
        world.begin(worker, start)
        world.now += timedelta(seconds=1)
    seqs = [row.seq for row in world.history(start.run_id)]
    assert seqs[0] == 1 and len(seqs) <= 14 and seqs[1:] == list(range(seqs[1], seqs[-1] + 1))
