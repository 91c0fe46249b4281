"""Debouncing: of triggers that come close together with one key, one run is made, whatever restarts between them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.care import Care
from longshore.core.ids import RunId
from longshore.core.message import (
    Accepted,
    Answer,
    Cancel,
    Debounce,
    LimitQueue,
    Options,
    Pause,
    Rejected,
    Reschedule,
    Resume,
    RunChanged,
    Trigger,
)
from tests.core.stages import S
from tests.core.test_keys import Caller, house
from tests.simulation.world import World, task

FIVE = Debounce("k", 5000)
EDGE = Debounce("k", 5000, "leading")


def debounced(
    world: World, debounce: Debounce = FIVE, *, routine: str = "t", value: bytes = b"in", run_id: str = "", **more: Any
) -> Accepted:
    """What a trigger with this debounce is answered."""
    options = Options(debounce=debounce, **more)
    world.command(Trigger(routine, RunId(run_id) or world.run_id(), value, options, "client"))
    said = world.replies[-1][1]
    assert isinstance(said, Accepted), said
    return said


def ready(**more: Any) -> tuple[World, Any]:
    world = World()
    return world, world.join(offers=[task(**more)])


@pytest.mark.parametrize("restart", [False, True])
def test_trailing_the_run_starts_once_when_no_trigger_has_come_for_the_delay_with_the_last_input(restart: bool) -> None:
    world, worker = ready()
    first = debounced(world, value=b"1")
    assert (first.existing, first.status) == (False, "DELAYED")
    for number in range(2, 6):
        world.tick(4)
        if restart:
            world.restart()
            worker = world.join("w1", offers=[task()])
        again = debounced(world, value=b"%d" % number)
        assert (again.run_id, again.existing, again.status) == (first.run_id, True, "DELAYED")
    world.tick(4.999)
    assert world.status(first.run_id) is S.DELAYED
    world.tick(0.001)
    (start,) = world.starts(worker)
    assert start.run_id == first.run_id and world.book.inputs[first.run_id] == b"5"
    assert world.path(first.run_id)[:6] == ["DELAYED"] * 5 + ["QUEUED"]
    rows = world.history(first.run_id)[1:5]
    assert all(row.from_status == "DELAYED" and row.reason.startswith("debounced: delayed until") for row in rows)
    assert len(world.book.runs) == 1


def test_a_trigger_after_the_start_begins_a_run_of_its_own() -> None:
    world, _ = ready()
    first = debounced(world)
    world.tick(5)
    second = debounced(world)
    assert not second.existing and second.run_id != first.run_id


def test_its_time_never_moves_beyond_the_longest_delay_after_the_first_trigger() -> None:
    world, _ = ready()
    limited = Debounce("k", 5000, max_delay_ms=12_000)
    first = debounced(world, limited)
    for _ in range(2):
        world.tick(4)
        debounced(world, limited)
    world.tick(3.999)
    assert world.status(first.run_id) is S.DELAYED
    world.tick(0.001)
    assert world.status(first.run_id) is S.DISPATCHED
    late = World()
    run = debounced(late, Debounce("k", 1000, max_delay_ms=1000))
    late.now += timedelta(seconds=3)  # no tick came meanwhile
    assert debounced(late, Debounce("k", 1000, max_delay_ms=1000)).run_id == run.run_id
    assert late.row(run.run_id).due_at == late.now


def test_a_hundred_triggers_in_one_batch_are_one_run_with_the_last_ones_input() -> None:
    world, _ = ready()
    world.command(*(Trigger("t", world.run_id(), b"%d" % n, Options(debounce=FIVE)) for n in range(100)))
    (run_id,) = world.book.runs
    assert world.book.inputs[run_id] == b"99" and world.row(run_id).history_seq == 100


def test_the_run_takes_the_options_of_the_last_trigger() -> None:
    world, worker = ready()
    world.command(LimitQueue("q", max_size=5, create=True), LimitQueue("p", max_size=5, create=True))
    run_id = debounced(world, tags=["old"], queue="q", deadline_ms=60_000, ttl_ms=6000, metadata={"n": 1}).run_id
    world.tick(1)
    later: dict[str, Any] = {"queue": "p", "concurrency_key": "c", "priority": 3.0, "max_attempts": 7, "timeout_ms": 9}
    debounced(world, tags=["new", "new"], metadata={"n": 2}, retry_first_ms=5, version_deadline_ms=77, **later)
    row = world.row(run_id)
    assert (row.queue, row.concurrency_key, row.priority, row.max_attempts, row.timeout_ms) == ("p", "c", 3.0, 7, 9)
    assert (row.deadline_at, row.ttl_at, row.care, row.version_deadline_ms) == (None, None, Care(5), 77)
    assert (world.book.tags[run_id], world.book.metadata[run_id]) == (["new"], {"n": 2})
    queues = world.ledger._state.queues
    assert (len(queues["q"].waiting), len(queues["p"].waiting)) == (0, 1)
    world.tick(5)
    assert [start.run_id for start in world.starts(worker)] == [run_id], "the ttl of the trigger before is gone"


def test_times_of_the_last_trigger_count_from_it() -> None:
    world, _ = ready()
    run_id = debounced(world).run_id
    world.tick(3)
    debounced(world, deadline_ms=5500, ttl_ms=100_000)
    world.tick(5.499)
    assert world.status(run_id) is S.DISPATCHED
    world.tick(0.001)
    assert world.status(run_id) is S.TIMED_OUT


def test_an_equal_result_that_is_there_is_taken_at_its_time_by_the_last_input() -> None:
    world, worker = ready(cache=True)
    done = world.trigger("t", cache_key="c")
    world.finish(worker, world.starts(worker)[0])
    run_id = debounced(world).run_id
    world.command(Trigger("t", world.run_id(), b"", Options(debounce=FIVE), cache_key="c"))
    assert world.status(run_id) is S.DELAYED
    world.tick(5)
    assert world.path(run_id)[-2:] == ["QUEUED", "COMPLETED"] and world.row(run_id).cached and done != run_id


def test_keys_are_their_routines_own_and_their_modes() -> None:
    world, _ = ready()
    found = {
        debounced(world).run_id,
        debounced(world, routine="u").run_id,
        debounced(world, Debounce("other", 5000)).run_id,
        debounced(world, EDGE).run_id,
    }
    assert len(found) == 4


def test_what_was_canceled_while_it_waited_is_not_taken_up_again() -> None:
    world, _ = ready()
    first = debounced(world).run_id
    world.command(Cancel(first))
    assert debounced(world).run_id != first


def test_a_rescheduled_run_is_still_debounced() -> None:
    world, _ = ready()
    first = debounced(world).run_id
    world.command(Reschedule(first, delay_ms=100_000))
    world.tick(50)
    assert debounced(world).run_id == first
    world.tick(5)
    assert world.status(first) is S.DISPATCHED


def test_a_paused_run_takes_the_trigger_up_and_waits_for_a_person() -> None:
    world, _ = ready()
    first = debounced(world, value=b"1").run_id
    world.command(Pause(first))
    world.tick(60)
    assert debounced(world, value=b"2").run_id == first
    assert (world.status(first), world.book.inputs[first]) == (S.BLOCKED, b"2")
    assert world.history(first)[-1].reason == "debounced while it is paused"
    world.command(Resume(first))
    assert world.status(first) is S.DELAYED
    world.tick(5)
    assert world.status(first) is S.DISPATCHED


def test_leading_the_first_runs_at_once_and_answers_for_what_comes_within_the_delay() -> None:
    world, worker = ready()
    first = debounced(world, EDGE, value=b"1")
    assert not first.existing and world.status(first.run_id) is S.DISPATCHED
    world.tick(2)
    world.restart()
    again = debounced(world, EDGE, value=b"2")
    assert (again.run_id, again.existing) == (first.run_id, True)
    assert world.history(first.run_id)[-1].reason == "debounced: a trigger came that is answered with it"
    assert world.book.inputs[first.run_id] == b"1"
    worker = world.join("w1", offers=[task()])
    world.tick(2.999)
    world.finish(worker, next(one for one in world.starts(worker) if one.run_id == first.run_id))
    third = debounced(world, EDGE)
    assert (third.run_id, third.status) == (first.run_id, "COMPLETED")
    world.tick(0.001)
    assert not debounced(world, EDGE).existing


def test_leading_a_first_one_from_the_cache_answers_too() -> None:
    world, worker = ready(cache=True)
    world.trigger("t", cache_key="c")
    world.finish(worker, world.starts(worker)[0])
    first = world.run_id()
    world.command(Trigger("t", first, b"", Options(debounce=EDGE), "client", cache_key="c"))
    assert world.status(first) is S.COMPLETED
    assert debounced(world, EDGE).run_id == first


@pytest.mark.parametrize("debounce", [FIVE, EDGE])
def test_the_same_trigger_again_is_not_another_one_even_after_the_start(debounce: Debounce) -> None:
    world, _ = ready()
    first = debounced(world, debounce, value=b"1").run_id
    second = world.run_id()
    assert debounced(world, debounce, value=b"2", run_id=second).run_id == first
    rows = len(world.history(first))
    assert debounced(world, debounce, value=b"2", run_id=second).run_id == first
    assert len(world.history(first)) == rows
    world.tick(10)
    assert debounced(world, debounce, run_id=second).run_id == first, "its sender did not hear the first answer"
    assert debounced(world, debounce, run_id=first).run_id == first
    assert len(world.book.runs) == 1


def test_who_wants_the_outcome_of_a_debounced_trigger_gets_that_of_its_run() -> None:
    world, worker = ready()
    first = debounced(world).run_id
    world.command(Trigger("t", world.run_id(), b"", Options(debounce=FIVE), "other", "outcome"))
    world.tick(5)
    world.finish(worker, world.starts(worker)[0])
    (told,) = [one for key, one in world.replies if key == "other" and isinstance(one, RunChanged) and one.at][-1:]
    assert (told.run_id, told.status) == (first, "COMPLETED")


def test_an_idempotency_key_goes_before_a_debounce() -> None:
    world, _ = ready()
    first = debounced(world, idempotency_key="a").run_id
    assert debounced(world, idempotency_key="a", value=b"2").run_id == first
    assert world.book.inputs[first] == b"in", "the trigger was there before: nothing is put off"
    assert debounced(world, idempotency_key="b", value=b"3").run_id == first
    world.tick(5)
    assert debounced(world, idempotency_key="b").run_id == first


def test_a_full_queue_takes_further_triggers_of_a_run_that_waits_in_it() -> None:
    world, _ = ready()
    world.command(LimitQueue("q", max_size=1, create=True))
    first = debounced(world, queue="q").run_id
    assert debounced(world, queue="q").run_id == first


def test_old_keys_are_let_go_of() -> None:
    world, _ = ready()
    debounced(world, EDGE)
    debounced(world, Debounce("k", 1000, max_delay_ms=1000))
    world.tick(7200)
    world.settle()
    assert [one.kept_until > world.now for one in world.book.begun.debounced.values()] == [True]
    for _ in range(2):
        world.tick(31 * 24 * 3600)
        world.settle()
    assert world.book.begun.debounced == {}


@pytest.mark.parametrize(
    ("debounce", "text"),
    [
        (Debounce("", 5), "the key of a debounce has 1 to 256 characters, not 0"),
        (Debounce("k" * 257, 5), "has 1 to 256 characters, not 257"),
        (Debounce("k", 0), "the delay_ms of a debounce is 0; it must be from 1 to 2592000000"),
        (Debounce("k", 2592000001), "it must be from 1 to 2592000000"),
        (Debounce("k", 5, "last"), "the mode of a debounce is 'last'; it must be leading or trailing"),
        (Debounce("k", 5, max_delay_ms=4), "the max_delay_ms of a debounce is 4; it must be from its delay_ms, 5, to"),
        (Debounce("k", 5, max_delay_ms=2592000001), "the max_delay_ms of a debounce is 2592000001"),
    ],
)
def test_a_debounce_that_cannot_be_is_refused_and_nothing_stored(debounce: Debounce, text: str) -> None:
    world, _ = ready()
    changes = world.command(Trigger("t", world.run_id(), b"", Options(debounce=debounce), "client"))
    (said,) = changes.replies["client"]
    assert isinstance(said, Rejected) and said.rule == "debounce" and text in said.text
    assert not changes.is_durable()


def test_a_debounce_and_another_delay_exclude_each_other() -> None:
    world, _ = ready()
    changes = world.command(Trigger("t", world.run_id(), b"", Options(debounce=FIVE, delay_ms=1), "client"))
    (said,) = changes.replies["client"]
    assert isinstance(said, Rejected) and "has a delay of its own" in said.text


def test_calls_of_workflows_are_debounced_too_and_all_callers_get_the_outcome() -> None:
    world, worker = house()
    one, two = Caller(world, worker), Caller(world, worker)
    (child,) = one.calls("t", debounce=FIVE, idempotency_key="a")
    world.tick(3)
    two.calls("t", debounce=FIVE, idempotency_key="b")
    two.calls("t", debounce=FIVE)
    triggered = debounced(world, value=b"last")
    assert triggered.run_id == child and world.row(child).parent_id == one.run_id
    world.tick(5)
    (start,) = [item for item in world.starts(worker) if item.run_id == child]
    assert world.book.inputs[child] == b"last"
    world.finish(worker, start)
    world.settle()
    assert one.log == [("0:0", "COMPLETED", child)] and two.log == [
        ("0:0", "COMPLETED", child),
        ("0:1", "COMPLETED", child),
    ]
    assert not any(isinstance(item, Answer) for _, item in world.replies)


def test_each_trigger_of_a_foreign_program_is_answered_under_its_own_correlation_id() -> None:
    world, worker = ready()
    for name in ("a", "b", "b", "c"):
        options = Options(debounce=FIVE)
        world.command(Trigger("t", world.run_id(), b"", options, "them", "outcome", correlation_id=name, plain=True))
    world.tick(5)
    changes = world.finish(worker, world.starts(worker)[0])
    assert sorted(one.correlation_id for one in changes.replies["them"] if isinstance(one, RunChanged)) == [
        "a",
        "b",
        "c",
    ]
