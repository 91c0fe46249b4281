"""Queues: what their limits hold up, whose turn it is, who may still be triggered, and what a queued run says of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.changes import Inbound
from longshore.core.errors import UsageError
from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import (
    Accepted,
    Answer,
    Call,
    Cancel,
    Commands,
    LimitQueue,
    PauseQueue,
    Rejected,
    Released,
    ResumeQueue,
    Start,
    Trigger,
)
from longshore.core.queues import MAX_LIMIT, NAMESPACE, Queue, QueueRow, Rate, Window, rate_of
from longshore.core.run import Run, Status
from tests.simulation.world import CLIENT, EPOCH, World, task, workflow

S = Status


def limited(*, slots: int = 20, offers: Any = None, **limits: Any) -> tuple[World, SessionId]:
    """A world whose default queue has these limits, with one worker."""
    world = World()
    order(world, LimitQueue("default", **limits, create=True))
    return world, world.join(offers=offers or [task(), workflow()], slots=slots)


def order(world: World, message: Any) -> Answer:
    """Give an order; the answer to it."""
    message.ask_id, message.reply_to = "ask", CLIENT
    world.command(message)
    answer = world.replies[-1][1]
    assert isinstance(answer, Answer)
    return answer


def refusal(world: World, message: Any) -> tuple[str, str]:
    """The rule and text by which the order is refused; nothing is kept."""
    before = dict(world.book.queues)
    error = order(world, message).error
    assert error is not None and world.book.queues == before
    return error["rule"], error["text"]


def executing(world: World) -> list[RunId]:
    return [run.id for run in world.book.runs.values() if run.status in (S.DISPATCHED, S.EXECUTING, S.CANCELING)]


def why(world: World, run_id: RunId) -> dict[str, Any]:
    found = world.ledger.why(run_id, world.now)
    assert found is not None
    return found


# ------------------------------------------------------------------------------------------------------------ rates


@pytest.mark.parametrize(
    ("text", "starts", "per_ms", "again"),
    [("10/1m", 10, 60_000, "10/1m"), ("5/s", 5, 1000, "5/1s"), (" 300/1h30m ", 300, 5_400_000, "300/1h30m")],
)
def test_a_rate_is_read_and_written(text: str, starts: int, per_ms: int, again: str) -> None:
    rate = rate_of(text)
    assert (rate, str(rate)) == (Rate(starts, per_ms), again)


@pytest.mark.parametrize("text", ["", "10", "x/1s", "10/", "0/1s", "10/1ms", "10/2d", "10/fortnight", "9999999/1s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no rate|out of range"):
        rate_of(text)


def test_a_start_counts_for_a_whole_period_and_not_for_longer_than_a_hundredth_more() -> None:
    window = Window(Rate(2, 10_000), [])
    window.start(EPOCH)
    window.start(EPOCH + timedelta(milliseconds=50))
    assert window.left(EPOCH + timedelta(seconds=10)) == 0
    assert window.next_at() == EPOCH + timedelta(seconds=10.1)
    assert window.left(EPOCH + timedelta(seconds=10.1)) == 2 and window.next_at() is None


def test_a_clock_that_goes_back_forgets_no_start() -> None:
    window = Window(Rate(2, 10_000), [])
    window.start(EPOCH)
    window.start(EPOCH - timedelta(seconds=5))
    assert window.left(EPOCH + timedelta(seconds=9)) == 0


def test_starts_count_against_another_rate_too() -> None:
    window = Window(Rate(10, 1000), [])
    for _ in range(3):
        window.start(EPOCH)
    again = Window(Rate(4, 60_000), window.starts(Rate(4, 60_000)))
    assert again.left(EPOCH) == 1 and again.left(EPOCH + timedelta(seconds=61)) == 4


def test_a_queue_holds_each_run_once() -> None:
    queue = Queue(QueueRow(name="q", key_limit=2))
    queue.take(RunId("a"), "k")
    queue.take(RunId("b"), "k")
    assert queue.is_full("k") and not queue.is_full("other")
    assert queue.drop(RunId("a"), "k") and not queue.drop(RunId("a"), "k")
    assert not queue.is_full("k") and queue.drop(RunId("b"), "k") and not queue.keys


# ----------------------------------------------------------------------------------------------------------- limits


def test_a_limit_lets_so_many_execute_and_the_next_when_one_has_ended() -> None:
    world, worker = limited(limit=2)
    runs = [world.trigger("t") for _ in range(5)]
    assert executing(world) == runs[:2]
    first, second = world.starts(worker)
    world.finish(worker, first)
    assert executing(world) == [runs[1], runs[2]]
    waits = why(world, runs[4])
    assert waits["kind"] == "limit" and "queue 'default' has its limit of 2: 2 execute" in waits["text"]
    assert (waits["holders"], waits["position"]) == ([second.run_id, runs[2]], 1)


def test_two_ends_in_one_batch_let_two_go_and_no_third() -> None:
    world, worker = limited(limit=2)
    runs = [world.trigger("t") for _ in range(6)]
    first, second = world.starts(worker)
    world.begin(worker, first)
    world.begin(worker, second)
    world.report(worker, Released(first.run_id, first.epoch, lost=True), Released(second.run_id, second.epoch))
    assert len(executing(world)) == 2 and set(executing(world)) <= set(runs)


def test_each_concurrency_key_has_its_own_limit() -> None:
    world, worker = limited(key_limit=1)
    runs = {key: [world.trigger("t", concurrency_key=key) for _ in range(3)] for key in ("a", "b")}
    free = world.trigger("t")
    assert set(executing(world)) == {runs["a"][0], runs["b"][0], free}
    waits = why(world, runs["a"][2])
    assert waits["kind"] == "key_limit" and "limit of 1 for the concurrency key 'a'" in waits["text"]
    assert (waits["holders"], waits["position"]) == ([runs["a"][0]], 1)
    (start,) = [one for one in world.starts(worker) if one.run_id == runs["a"][0]]
    world.finish(worker, start)
    assert runs["a"][1] in executing(world)


def test_a_key_is_full_in_every_lane_at_once() -> None:
    world, worker = limited(key_limit=1, offers=[task(), task("other"), task("third")])
    first = world.trigger("t", concurrency_key="a")
    waiting = [world.trigger(name, concurrency_key="a") for name in ("t", "other", "third")]
    world.finish(worker, world.starts(worker)[0])
    assert executing(world) == waiting[:1] and world.status(first) is S.COMPLETED


def test_in_one_round_a_key_has_one_turn_whatever_its_routines() -> None:
    world = World()
    order(world, LimitQueue("default", limit=0, create=True))
    worker = world.join(offers=[task(), task("other")], slots=9)
    many = [world.trigger(name, concurrency_key="many") for name in ("t", "other", "t", "other")]
    few = world.trigger("other", concurrency_key="few")
    order(world, LimitQueue("default", limit=2))
    assert executing(world) == [many[0], few] and len(world.starts(worker)) == 2


def test_what_waits_for_its_key_goes_when_the_limit_is_lifted() -> None:
    world, _ = limited(key_limit=1)
    runs = [world.trigger("t", concurrency_key="a") for _ in range(3)]
    order(world, LimitQueue("default", key_limit=None))
    assert executing(world) == runs and not world.book.queues


def test_a_key_whose_runs_were_all_canceled_while_it_was_full_is_forgotten() -> None:
    world, worker = limited(key_limit=1)
    first, second = (world.trigger("t", concurrency_key="a") for _ in range(2))
    world.command(Cancel(second, "no"))
    (start,) = world.starts(worker)
    world.finish(worker, start)
    world.tick()
    assert world.ledger._state.lanes.all == {} and world.status(first) is S.COMPLETED


def test_the_namespace_has_a_limit_over_all_queues() -> None:
    world = World()
    order(world, LimitQueue(NAMESPACE, limit=2))
    worker = world.join(offers=[task()], slots=9)
    runs = [world.trigger("t", queue=f"q{number}") for number in range(4)]
    assert executing(world) == runs[:2]
    assert "the namespace has its limit of 2" in why(world, runs[3])["text"]
    world.finish(worker, world.starts(worker)[0])
    assert executing(world) == runs[1:3]


def test_a_limit_of_nothing_lets_nothing_go() -> None:
    world, _ = limited(limit=0)
    assert world.status(world.trigger("t")) is S.QUEUED


def test_a_limit_that_is_lowered_ends_nothing_and_lets_nothing_more_go() -> None:
    world, worker = limited()
    runs = [world.trigger("t") for _ in range(5)]
    order(world, LimitQueue("default", limit=2))
    later = world.trigger("t")
    starts = world.starts(worker)
    for start in starts[:3]:
        world.finish(worker, start)
        assert world.status(later) is S.QUEUED
    world.finish(worker, starts[3])
    assert executing(world) == [runs[4], later]


def test_a_crash_and_a_restart_change_no_count() -> None:
    world, worker = limited(limit=2)
    for _ in range(4):
        world.trigger("t")
    world.restart()
    world.join(offers=[task()], slots=20, held=[])
    assert len(executing(world)) == 2
    world.join("w2", offers=[task()], slots=20)
    assert len(executing(world)) == 2
    world.say(worker, _died(worker))
    world.settle()
    assert len(executing(world)) == 2 and len(world.starts(SessionId("session-w2"))) == 2


def test_a_run_that_is_being_canceled_counts_until_it_has_ended() -> None:
    world, worker = limited(limit=1)
    first, second = world.trigger("t"), world.trigger("t")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    world.command(Cancel(first, "no"))
    assert world.status(first) is S.CANCELING and world.status(second) is S.QUEUED
    world.finish(worker, start, "canceled")
    assert world.status(second) is S.DISPATCHED


# -------------------------------------------------------------------------------------------------------- workflows


def hang(world: World, worker: SessionId, start: Start, *children: RunId) -> None:
    """The workflow calls these and waits."""
    calls = [Call(Address(f"0:{n}"), "t", "d", b"x", child) for n, child in enumerate(children)]
    world.report(worker, Commands(start.run_id, start.epoch, world.now, upto_seq=0, calls=calls))


def test_a_workflow_counts_until_it_first_hangs_and_its_children_go_in_the_same_queue() -> None:
    world, worker = limited(limit=1)
    run_id, other = world.trigger("wf"), world.trigger("wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    child = world.run_id()
    hang(world, worker, start, child)
    assert world.status(run_id) is S.HANGING and world.status(other) is S.DISPATCHED
    assert world.status(child) is S.QUEUED  # the other workflow has the place
    (second,) = world.starts(worker)
    hang(world, worker, second)
    assert world.status(child) is S.DISPATCHED


def test_a_workflow_that_has_waited_goes_on_whatever_the_limits() -> None:
    world, worker = limited(limit=1)
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    child = world.run_id()
    hang(world, worker, start, child)
    (task_start,) = world.starts(worker)
    world.say(worker, _died(worker))
    world.settle()
    assert world.status(run_id) is S.SUSPENDED
    order(world, PauseQueue("default"))
    again = world.join("w2", offers=[task(), workflow()])
    world.command(Cancel(task_start.run_id, "no"))
    world.settle()
    assert world.status(run_id) in (S.DISPATCHED, S.CANCELING) and world.starts(again)


def _died(session: SessionId) -> Any:
    from longshore.core.message import ChildDied

    return ChildDied(session, "signal 9")


def test_a_workflow_canceled_before_its_code_began_has_no_cleanup_to_wait_for() -> None:
    world, worker = limited(limit=1)
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    world.command(Cancel(run_id, "no"))
    world.report(worker, Released(start.run_id, start.epoch))
    assert world.status(run_id) is S.CANCELED


# ------------------------------------------------------------------------------------------------------ rate, pause


def test_a_rate_lets_so_many_start_in_any_period_and_wakes_the_rest_in_time() -> None:
    world, _ = limited(rate="2/10s")
    runs = [world.trigger("t") for _ in range(5)]
    assert executing(world) == runs[:2]
    waits = why(world, runs[4])
    assert waits["kind"] == "rate" and "has had its 2/10s starts" in waits["text"]
    assert waits["next_at"] == world.now + timedelta(seconds=10.1)
    world.tick(10.0)
    assert len(executing(world)) == 2
    world.tick(0.1)
    assert executing(world) == runs[:4]


def test_a_queue_that_loses_its_rule_in_the_batch_in_which_something_starts_keeps_none() -> None:
    world, _ = limited(rate="5/10s")
    trigger = Trigger("t", world.run_id(), b"in")
    world.take(Inbound([trigger]), Inbound([LimitQueue("default", rate="4/10s")]))
    assert len(world.book.queues["default"].starts) == 1
    world.now += timedelta(seconds=11)
    world.take(Inbound([Trigger("t", world.run_id(), b"in")]), Inbound([LimitQueue("default", rate=None)]))
    assert not world.book.queues


def test_a_restart_forgets_no_start() -> None:
    world, _ = limited(rate="2/10s")
    for _ in range(4):
        world.trigger("t")
    world.restart()
    world.join("w2", offers=[task()], slots=20)
    assert len(executing(world)) == 2


def test_the_next_round_is_wanted_when_the_first_of_several_rates_opens() -> None:
    world, _ = limited(rate="1/500ms")
    order(world, LimitQueue("slow", rate="1/1h", create=True))
    order(world, LimitQueue(NAMESPACE, rate="100/1m"))
    for queue in ("default", "default", "slow", "slow"):
        world.trigger("t", queue=queue)
    wanted = world.ledger.next_tick_at(world.now)
    assert wanted <= world.now + timedelta(milliseconds=510)


def test_rates_of_queue_and_namespace_both_count() -> None:
    world, _ = limited(rate="1/10s")
    order(world, LimitQueue(NAMESPACE, rate="1/20s"))
    runs = [world.trigger("t") for _ in range(2)]
    assert executing(world) == runs[:1]
    world.tick(10.1)
    assert executing(world) == runs[:1]
    world.tick(10.2)
    assert executing(world) == runs


def test_a_lifted_rate_counts_nothing_any_more_and_another_counts_what_has_started() -> None:
    world, _ = limited(rate="2/10s")
    runs = [world.trigger("t") for _ in range(4)]
    order(world, LimitQueue("default", rate="3/10s"))
    assert executing(world) == runs[:3]
    order(world, LimitQueue("default", rate=None))
    assert executing(world) == runs


def test_a_paused_queue_starts_nothing_and_goes_on_when_it_is_resumed() -> None:
    world, _ = limited()
    world.trigger("t")
    answer = order(world, PauseQueue("default"))
    assert answer.data["paused"] and answer.data["paused_at"] == "2026-01-01T00:00:00.000Z"
    run_id = world.trigger("t")
    assert world.status(run_id) is S.QUEUED
    waits = why(world, run_id)
    assert (waits["kind"], waits["text"]) == ("paused", "queue 'default' is paused; resume it")
    world.restart()
    assert world.status(run_id) is S.QUEUED
    world.join("w3", offers=[task()])
    order(world, ResumeQueue("default"))
    assert world.status(run_id) is S.DISPATCHED and not world.book.queues


# ------------------------------------------------------------------------------------------------------------- size


def test_a_full_queue_refuses_and_keeps_nothing() -> None:
    world, worker = limited(limit=1, max_size=2)
    runs = [world.trigger("t", idempotency_key=f"k{number}") for number in range(4)]
    assert runs[3] not in world.book.runs and len(world.book.begun.keys) == 3
    refused = world.replies[-1][1]
    assert isinstance(refused, Rejected) and refused.rule == "max_size"
    assert "queue 'default' is full: 2 runs wait in it, and its max_size is 2" in refused.text
    world.finish(worker, world.starts(worker)[0])
    again = world.trigger("t", idempotency_key="k3")
    assert world.status(again) is S.QUEUED


def test_in_a_full_queue_who_asks_again_is_told_of_the_run_that_is_there() -> None:
    world, _ = limited(limit=0, max_size=1)
    first = world.trigger("t", idempotency_key="k", wants="accepted")
    world.trigger("t", idempotency_key="k", wants="accepted")
    told = world.replies[-1][1]
    assert isinstance(told, Accepted) and (told.run_id, told.existing) == (first, True)


def test_a_size_set_while_runs_wait_counts_those_that_have_not_started() -> None:
    world, worker = limited(slots=1)
    (first, _) = [world.trigger("t") for _ in range(2)]
    world.trigger("t", queue="another")
    order(world, LimitQueue("default", max_size=2))
    third = world.trigger("t")
    assert world.status(third) is S.QUEUED
    assert world.trigger("t") not in world.book.runs
    (start,) = world.starts(worker)
    assert start.run_id == first
    world.finish(worker, start, "failed")
    assert world.status(first) is S.RETRYING
    assert world.trigger("t") in world.book.runs, "the second has started, and the first waits for no start"


def test_a_run_that_was_canceled_or_expired_leaves_room() -> None:
    world, _ = limited(limit=0, max_size=1)
    first = world.trigger("t")
    world.command(Cancel(first, "no"))
    second = world.trigger("t", ttl_ms=100)
    world.restart()
    world.tick(1)
    assert world.status(second) is S.EXPIRED
    assert world.status(world.trigger("t")) is S.QUEUED


def test_a_child_is_never_refused_by_a_size() -> None:
    world, worker = limited(limit=1, max_size=1)
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    children = [world.run_id() for _ in range(3)]
    hang(world, worker, start, *children)
    assert world.status(run_id) is S.HANGING and all(child in world.book.runs for child in children)


# --------------------------------------------------------------------------------------------------------- fairness


def finish_one(world: World, worker: SessionId, left: list[Start]) -> RunId:
    """One ends; which one goes in its place."""
    left += world.starts(worker)
    world.finish(worker, left.pop(0))
    (start,) = world.starts(worker)
    left.append(start)
    return start.run_id


def test_who_has_very_many_delays_another_by_one_turn_at_most() -> None:
    world, worker = limited(limit=1)
    many = [world.trigger("t", concurrency_key="many") for _ in range(20)]
    left: list[Start] = []
    finish_one(world, worker, left)
    few = [world.trigger("t", concurrency_key="few") for _ in range(2)]
    went = [finish_one(world, worker, left) for _ in range(5)]
    assert went.index(few[0]) <= 1 and went.index(few[1]) <= 3
    assert [run_id for run_id in went if run_id in many] == many[2:5]


def test_keys_take_turns_over_routines_too() -> None:
    world, worker = limited(limit=1, offers=[task(), task("other")])
    for _ in range(20):
        world.trigger("t", concurrency_key="many")
    left: list[Start] = []
    few = [world.trigger("other", concurrency_key="few") for _ in range(3)]
    went = [finish_one(world, worker, left) for _ in range(6)]
    assert set(few) <= set(went)


def test_with_one_key_and_without_the_older_goes_first() -> None:
    world, worker = limited(limit=1)
    left: list[Start] = []
    runs = []
    for number in range(6):
        runs.append(world.trigger("t", concurrency_key="k" if number % 2 else ""))
        world.now += timedelta(milliseconds=1)
    assert [finish_one(world, worker, left) for _ in range(5)] == runs[1:]


def test_in_a_key_priority_goes_before_age() -> None:
    world, worker = limited(limit=1)
    left: list[Start] = []
    world.trigger("t", concurrency_key="k")
    slow, quick = world.trigger("t", concurrency_key="k"), world.trigger("t", concurrency_key="k", priority=9)
    assert [finish_one(world, worker, left) for _ in range(2)] == [quick, slow]


def test_a_key_whose_first_was_canceled_keeps_its_turn() -> None:
    world, worker = limited(limit=1)
    left: list[Start] = []
    world.trigger("t", concurrency_key="a")
    first, second = world.trigger("t", concurrency_key="b"), world.trigger("t", concurrency_key="b")
    world.trigger("t", concurrency_key="c")
    world.command(Cancel(first, "no"))
    assert finish_one(world, worker, left) == second


def test_a_queue_that_is_closed_holds_up_no_other() -> None:
    world, _ = limited(limit=0)
    for key in ("", "k"):
        world.trigger("t", concurrency_key=key)
        assert world.status(world.trigger("t", queue="q", concurrency_key=key)) is S.DISPATCHED


def test_with_every_slot_taken_keys_wait_for_a_slot() -> None:
    world, worker = limited(slots=1)
    world.trigger("t", concurrency_key="a")
    waiting = world.trigger("t", concurrency_key="b")
    assert why(world, waiting)["kind"] == "capacity"
    world.finish(worker, world.starts(worker)[0])
    assert world.status(waiting) is S.DISPATCHED


def test_an_equal_run_uses_up_no_turn_of_its_key() -> None:
    world, worker = limited(limit=2, offers=[task(cache=True)])
    leader = world.trigger("t", concurrency_key="a", cache_key="c")
    equal = world.trigger("t", concurrency_key="b", cache_key="c")
    other = world.trigger("t", concurrency_key="b")
    assert executing(world) == [leader, other] and why(world, equal)["kind"] == "equal_run"
    world.finish(worker, world.starts(worker)[0])
    assert world.status(equal) is S.COMPLETED


def test_keys_that_wait_for_nothing_are_forgotten() -> None:
    world, worker = limited(limit=1)
    lanes = world.ledger._state.lanes
    lanes.keys_room = 10
    for number in range(40):
        world.trigger("t", concurrency_key=f"k{number}")
    left = world.starts(worker)
    for _ in range(36):
        finish_one(world, worker, left)
    world.tick(1)
    assert len(lanes.keys) <= 10


# ----------------------------------------------------------------------------------------------------------- orders


def test_an_order_changes_what_it_names_and_says_what_stands() -> None:
    world, _ = limited(limit=5, rate="10/1m")
    answer = order(world, LimitQueue("default", key_limit=2, rate=None))
    assert answer.data == {
        "name": "default",
        "limit": 5,
        "key_limit": 2,
        "rate": None,
        "max_size": None,
        "paused": False,
        "paused_at": None,
    }
    world.restart()
    assert order(world, LimitQueue("default", limit=5)).data == answer.data


@pytest.mark.parametrize(
    ("message", "rule", "text"),
    [
        (LimitQueue("default"), "limit_queue", "nothing to change: give limit"),
        (LimitQueue("default", limit=-1), "limit", f"limit is -1; it must be from 0 to {MAX_LIMIT}"),
        (LimitQueue("default", key_limit=0), "key_limit", "key_limit is 0; it must be from 1"),
        (LimitQueue("default", max_size=MAX_LIMIT + 1), "max_size", "it must be from 0"),
        (LimitQueue("default", rate="fast"), "rate", "'fast' is no rate"),
        (LimitQueue("defualt", limit=1), "unknown_queue", "did you mean default?"),
        (LimitQueue("nowhere", limit=1), "unknown_queue", "To limit or pause it before its first use, say create"),
        (LimitQueue("", limit=1, create=True), "queue", "a queue's name has 1 to 256 characters"),
        (LimitQueue(NAMESPACE, key_limit=1), "namespace", "key_limit and max_size are for queues"),
        (LimitQueue(NAMESPACE, max_size=1), "namespace", "key_limit and max_size are for queues"),
        (PauseQueue("nowhere"), "unknown_queue", "there is no queue 'nowhere'"),
        (ResumeQueue("nowhere"), "unknown_queue", "there is no queue 'nowhere'"),
        (ResumeQueue("default"), "not_paused", "queue 'default' is not paused"),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_its_rule(message: Any, rule: str, text: str) -> None:
    world, _ = limited(limit=5)
    said = refusal(world, message)
    assert said[0] == rule and text in said[1]


def test_pausing_twice_is_refused() -> None:
    world, _ = limited()
    order(world, PauseQueue("default"))
    assert refusal(world, PauseQueue("default"))[0] == "already_paused"


def test_a_queue_that_only_a_waiting_run_names_is_known() -> None:
    world = World()
    world.trigger("t", queue="mine", delay_ms=5000)
    assert order(world, PauseQueue("mine")).error is None


def test_the_namespace_is_no_queue_to_trigger_into() -> None:
    world, _ = limited()
    run_id = world.trigger("t", queue=NAMESPACE)
    refused = world.replies[-1][1]
    assert isinstance(refused, Rejected) and run_id not in world.book.runs
    assert (refused.rule, "stands for the whole namespace" in refused.text) == ("queue", True)


def test_a_run_that_waits_for_a_slot_names_no_limit() -> None:
    world, _ = limited(limit=5, rate="9/1s", slots=1)
    order(world, LimitQueue(NAMESPACE, limit=7))
    world.trigger("t")
    assert why(world, world.trigger("t"))["kind"] == "capacity"


def test_with_very_many_the_position_counts_those_that_have_left_too() -> None:
    world, _ = limited(limit=0)
    first = world.trigger("t")
    state = world.ledger._state
    for number in range(20_001):
        old = state.runs[first]
        run = Run(id=RunId(f"r{number}"), routine="t", status=S.QUEUED, created_at=old.created_at, queued_at=world.now)
        state.runs[run.id] = run
        state.enqueue(run, world.now.timestamp() + 1)
    assert why(world, RunId("r20000"))["position"] == 20_001
