"""Poison runs and those that take too much memory: what becomes of them, and the evidence that is kept."""

from __future__ import annotations

from typing import Any

import pytest

from longshore.core.care import LONGEST_TAIL, Care, renewed
from longshore.core.ids import RunId, WorkerId
from longshore.core.ledger.evidence import take_back
from longshore.core.message import ChildDied, Failure, Hello, Resume
from longshore.core.run import Status
from tests.core.stages import S
from tests.simulation.world import World, task

FAULT = Failure("longshore.core.errors.RunCrashed", "its process was ended by SIGSEGV", "Segmentation fault\n  line 3")
FULL = Failure("builtins.MemoryError", "its process used 600MiB, and its memory_limit is 512MiB")


def executed(world: World, worker: Any, how: str, error: Failure | None = FAULT) -> None:
    """The next Start begins and ends so."""
    (start,) = world.starts(worker)
    world.begin(worker, start)
    world.finish(worker, start, how, error=error)
    world.settle()


def scene(**offer: Any) -> tuple[World, Any, RunId]:
    world = World()
    worker = world.join(offers=[task(**offer)])
    return world, worker, world.trigger("t")


def test_three_crashes_in_a_row_block_a_run_and_why_shows_each_of_them() -> None:
    world, worker, run_id = scene()
    for _ in range(3):
        executed(world, worker, "crashed")
    assert world.status(run_id) is S.BLOCKED
    why = world.ledger.why(run_id, world.now)
    assert why is not None
    assert why["kind"] == "person" and "3 crashes in a row; last: its process was ended by SIGSEGV" in why["text"]
    assert why["holders"] == ["w1: its process was ended by SIGSEGV"] * 3
    assert [one["stderr"] for one in why["crashes"]] == ["Segmentation fault\n  line 3"] * 3
    assert {one["attempt"] for one in why["crashes"]} == {1}
    world.restart()
    again = world.ledger.why(run_id, world.now)
    assert again is not None and again["crashes"] == why["crashes"]


def test_only_the_last_crashes_are_kept_and_a_resumed_run_begins_a_new_row() -> None:
    world, worker, run_id = scene()
    for _ in range(3):
        executed(world, worker, "crashed")
    world.command(Resume(run_id, by="ann"))
    world.settle()
    for _ in range(3):
        executed(world, worker, "crashed", Failure("x", "again", "t" * 2 * LONGEST_TAIL))
    care = world.row(run_id).care
    assert care is not None
    assert [(one.reason, len(one.tail)) for one in care.crashes] == [("again", LONGEST_TAIL)] * 3


def test_what_a_dead_worker_wrote_last_is_evidence_of_the_runs_it_executed() -> None:
    world, worker, run_id = scene()
    (start,) = world.starts(worker)
    world.begin(worker, start)
    world.say(worker, ChildDied(worker, "killed by SIGSEGV", "x" * LONGEST_TAIL + "in faulty"))
    world.settle()
    why = world.ledger.why(run_id, world.now)
    assert world.status(run_id) is S.QUEUED and why is not None
    run = world.book.runs[run_id]
    assert run.care is not None
    (crash,) = run.care.crashes
    assert crash.tail.endswith("in faulty") and len(crash.tail) == LONGEST_TAIL and "SIGSEGV" in crash.reason


def test_a_crash_that_is_taken_back_is_no_evidence() -> None:
    world, worker, run_id = scene()
    (start,) = world.starts(worker)
    world.begin(worker, start)
    world.marks(31)
    care = world.row(run_id).care
    assert care is not None and len(care.crashes) == 1
    world.say(worker, Hello(WorkerId("w1"), "default", 4, [task()]))
    care = world.row(run_id).care
    assert care is not None and care.crashes == [] and world.row(run_id).crashes == 0


def test_one_that_was_charged_before_evidence_was_kept_has_none_to_take_back() -> None:
    world, _, run_id = scene()
    run = world.row(run_id)
    take_back(run)
    assert run.care is None


def test_a_person_who_blocked_a_run_is_shown_no_crashes() -> None:
    world, worker, run_id = scene()
    executed(world, worker, "nondeterminism", None)
    why = world.ledger.why(run_id, world.now)
    assert why is not None and "crashes" not in why


def test_a_run_out_of_memory_three_times_has_crashed_for_good_and_says_so() -> None:
    world, worker, run_id = scene()
    for _ in range(3):
        executed(world, worker, "out_of_memory", FULL)
    assert world.status(run_id) is S.CRASHED
    assert world.row(run_id).reason == (
        "3 crashes in a row; last: out of memory: its process used 600MiB, and its memory_limit is 512MiB"
    )
    error = world.book.errors[run_id]
    assert error is not None and error.type == "builtins.MemoryError"


@pytest.mark.parametrize(("error", "reason"), [(None, "its process died"), (Failure("x", ""), "out of memory")])
def test_the_reason_says_so_even_where_nothing_else_is_known(error: Failure | None, reason: str) -> None:
    world, worker, run_id = scene(on_crash="fail")
    executed(world, worker, "out_of_memory", error)
    assert world.status(run_id) is S.CRASHED and reason in world.row(run_id).reason


def test_what_ran_out_of_memory_goes_on_in_the_pool_named_for_it_even_after_a_restart() -> None:
    world, worker, run_id = scene(pool_on_oom="big")
    executed(world, worker, "crashed")
    assert world.row(run_id).pool == ""
    executed(world, worker, "out_of_memory", FULL)
    assert (world.status(run_id), world.row(run_id).pool) == (S.QUEUED, "big")
    why = world.ledger.why(run_id, world.now)
    assert why is not None and "pool big" in why["text"]
    world.restart()
    big = world.join("w2", offers=[task(pool_on_oom="big")], pool="big")
    (start,) = world.starts(big)
    world.begin(big, start)
    world.finish(big, start)
    assert world.status(run_id) is Status.COMPLETED


def test_a_copy_of_a_run_has_its_options_and_not_its_crashes() -> None:
    assert renewed(None) is None
    assert renewed(Care(pool="big")) is None
    assert renewed(Care(retry_first_ms=3, pool="big")) == Care(retry_first_ms=3)
