"""Runs that would wait for one another for ever: through shared keys, through equal runs, and with members that are put
away. Who closes the circle is refused, and everybody else goes on."""

from __future__ import annotations

import pytest

from longshore.core.ids import RunId, SessionId
from longshore.core.message import Call, Cancel, Commands, Deliver, Pause, Start, Suspended
from longshore.core.run import Status
from tests.core.stages import S
from tests.core.test_keys import Caller, keyed
from tests.simulation.world import World, task, workflow


def house(**more: int) -> tuple[World, SessionId]:
    world = World(**more)
    offers = [workflow("wf"), workflow("equal", cache=True), task("t", cache=True)]
    return world, world.join(offers=offers, slots=50)


class Member(Caller):
    """A workflow that is under way already."""

    def __init__(self, world: World, worker: SessionId, run_id: RunId) -> None:
        self.world, self.worker, self.run_id = world, worker, run_id
        (self.start,) = [one for one in world.sent[worker] if isinstance(one, Start) and one.run_id == run_id]
        world.begin(worker, self.start)
        self.asked = self.upto = 0


def held(world: World, worker: SessionId, key: str, **options: object) -> Member:
    """A workflow that holds this key."""
    return Member(world, worker, keyed(world, key, "wf", **options))


def child(caller: Caller, routine: str = "wf", cache_key: str = "") -> RunId:
    world = caller.world
    one, address = world.run_id(), f"0:{caller.asked}"
    caller.asked += 1
    call = Call(address, routine, "d", b"x", one, cache_key=cache_key, asked_seq=caller.upto)  # type: ignore[arg-type]
    caller.say(Commands(caller.run_id, caller.start.epoch, world.now, upto_seq=caller.upto, calls=[call]))
    return one


def refusal(member: Caller) -> str:
    """What the member's code was told of its last call; it goes on."""
    told = [one for one in member.world.book.delivery_log(member.run_id) if one.error is not None and not one.child_id]
    assert len(told) == 1 and told[0].status == "FAILED"
    error = told[0].error
    assert error is not None and error.type == "longshore.core.errors.CircularWait"
    assert member.open_calls == 0
    return error.message


def nobody_is_refused(world: World) -> bool:
    return not any(one.value for log in world.book.deliveries.values() for one in log if one.kind == "outcome")


def test_a_call_whose_key_is_its_own_callers_is_told_at_once_and_the_caller_goes_on() -> None:
    world, worker = house()
    member = held(world, worker, "k")
    world.directives(worker)
    member.calls("wf", idempotency_key="k")
    assert refusal(member) == f"it would wait for itself: it is wf {member.run_id} itself"
    sent = [one.deliveries[0] for one in world.directives(worker) if isinstance(one, Deliver)]
    assert [one.error is not None and one.error.type.endswith("CircularWait") for one in sent] == [True]
    assert member.world.book.begun.untold() == [] and world.status(member.run_id) is S.HANGING
    member.upto = 1
    member.calls("t", idempotency_key="other")
    assert member.open_calls == 1


def test_a_child_that_would_wait_for_one_above_it_is_told_the_circle() -> None:
    world, worker = house()
    root = held(world, worker, "k")
    middle = Member(world, worker, child(root))
    low = Member(world, worker, child(middle))
    low.calls("wf", idempotency_key="k")
    text = f"wf {root.run_id} waits for wf {middle.run_id}, which waits for wf {low.run_id}, which asks for "
    assert refusal(low) == f"it would wait for itself: {text}{root.run_id}"
    assert root.open_calls == middle.open_calls == 1


@pytest.mark.parametrize("length", [2, 3, 12])
def test_workflows_that_share_one_another_are_a_circle_and_the_last_of_them_is_refused(length: int) -> None:
    world, worker = house()
    members = [held(world, worker, f"k{number}") for number in range(length)]
    for number, member in enumerate(members[:-1]):
        member.calls("wf", idempotency_key=f"k{number + 1}")
        assert nobody_is_refused(world)
    members[-1].calls("wf", idempotency_key="k0")
    text = refusal(members[-1])
    assert text.startswith(f"it would wait for itself: wf {members[0].run_id} waits for wf {members[1].run_id}")
    assert text.endswith(f"which asks for {members[0].run_id}") and ("2 more" in text) is (length == 12)
    assert [one.open_calls for one in members] == [1] * (length - 1) + [0]


def test_what_shares_without_a_circle_is_left_alone() -> None:
    world, worker = house()
    top, left, right, low = (held(world, worker, key) for key in ("top", "left", "right", "low"))
    top.calls("wf", idempotency_key="left")
    top.calls("wf", idempotency_key="right")
    left.calls("wf", idempotency_key="low")
    right.calls("wf", idempotency_key="low")
    own = child(low)
    deep = Member(world, worker, child(held(world, worker, "deep")))
    deep.calls("t")
    low.calls("wf", idempotency_key="deep")
    top.calls("wf", idempotency_key="low")
    world.settle()
    assert nobody_is_refused(world) and top.open_calls == 3 and world.status(own) is S.DISPATCHED
    assert world.ledger.next_tick_at(world.now) > world.now


def put_away(*members: Caller) -> None:
    for member in members:
        member.say(Suspended(member.run_id, member.start.epoch, member.upto))
        assert member.world.status(member.run_id) is S.SUSPENDED


def test_a_circle_through_workflows_that_are_put_away_is_found_by_the_next_ticks() -> None:
    world, worker = house()
    first, second = held(world, worker, "a"), held(world, worker, "b")
    middle = Member(world, worker, child(first))
    low = Member(world, worker, child(middle))
    deeper = Member(world, worker, child(second))
    low.calls("wf", idempotency_key="b")
    put_away(first, middle, low, second)
    deeper.calls("wf", idempotency_key="a")
    assert nobody_is_refused(world)
    world.settle()
    text = refusal(deeper)
    chain = [first, middle, low, second]
    assert [text.index(one.run_id) for one in chain] == sorted(text.index(one.run_id) for one in chain)
    assert [one.open_calls for one in chain] == [1] * 4


@pytest.mark.parametrize("away", [False, True])
def test_a_circle_that_was_closed_just_before_the_coordinator_was_killed_is_found_after_the_restart(away: bool) -> None:
    world, worker = house()
    first, second = held(world, worker, "a"), held(world, worker, "b")
    middle = Member(world, worker, child(first))
    low = Member(world, worker, child(middle))
    low.calls("wf", idempotency_key="b")
    put_away(first, middle)
    second.calls("wf", idempotency_key="a")
    if away:
        put_away(second)
    world.restart()
    world.settle()
    refused = [one for one in (low, second) if one.open_calls == 0]
    assert len(refused) == 1 and "it would wait for itself" in refusal(refused[0])


def test_a_call_that_is_given_up_or_a_generation_that_is_over_closes_no_circle() -> None:
    world, worker = house()
    first, second = held(world, worker, "a"), held(world, worker, "b")
    first.calls("wf", idempotency_key="b")
    first.say(Commands(first.run_id, 1, world.now, upto_seq=0, closed=["0:0"]))  # type: ignore[list-item]
    second.calls("wf", idempotency_key="a")
    world.settle()
    assert nobody_is_refused(world) and second.open_calls == 1
    third = held(world, worker, "c")
    third.calls("wf", idempotency_key="b")
    world.command(Cancel(third.run_id))
    fourth = Member(world, worker, child(first))
    fourth.calls("wf", idempotency_key="c")
    world.settle()
    assert nobody_is_refused(world)


def test_a_cached_workflow_that_calls_itself_with_the_same_arguments_is_refused_beside_its_equal() -> None:
    world, worker = house()
    root = Member(world, worker, world.trigger("equal", cache_key="key"))
    equal = child(root, "equal", "key")
    world.settle()
    assert world.status(equal) is S.CANCELED and root.open_calls == 0
    ((_, status, _),) = root.log
    assert status == "CANCELED"
    error = world.book.errors[equal]
    assert error is not None and error.type.endswith("CircularWait")
    text = f"equal {root.run_id} waits for equal {equal}, which asks for {root.run_id}"
    assert error.message == f"an equal run is being computed, and it would wait for itself: {text}"


def test_equals_that_are_siblings_still_share_one_computation() -> None:
    world, worker = house()
    root = Caller(world, worker)
    one, two = child(root, "equal", "key"), child(root, "equal", "key")
    leader = Member(world, worker, one)
    leader.calls("t")
    world.settle()
    assert world.status(two) is S.QUEUED and nobody_is_refused(world)
    world.finish(worker, leader.start, upto_seq=0)
    assert world.status(two) is Status.COMPLETED


@pytest.mark.parametrize("parked", [False, True])
def test_a_circle_through_a_shared_key_and_an_equal_is_found_whichever_comes_last(parked: bool) -> None:
    world, worker = house()
    leader = Member(world, worker, world.trigger("equal", cache_key="key"))
    other = held(world, worker, "k")
    if parked:
        equal = child(other, "equal", "key")
        world.settle()
        assert world.status(equal) is S.QUEUED
        leader.calls("wf", idempotency_key="k")
        assert "equal" in refusal(leader) and world.status(equal) is S.QUEUED
    else:
        leader.calls("wf", idempotency_key="k")
        put_away(leader)
        equal = child(other, "equal", "key")
        world.settle()
        assert world.status(equal) is S.CANCELED and other.open_calls == 0 and leader.open_calls == 1


def test_a_parked_run_that_is_held_by_a_person_before_the_search_is_over_is_left_alone() -> None:
    world, worker = house()
    leader = Member(world, worker, world.trigger("equal", cache_key="key"))
    equal = child(leader, "equal", "key")
    world.command(Pause(equal))
    world.settle()
    assert world.status(equal) is S.BLOCKED


def test_a_search_over_very_many_goes_on_group_by_group() -> None:
    world, worker = house(group=5)
    root = held(world, worker, "a")
    shared = held(world, worker, "b")
    for _ in range(12):
        Caller(world, worker).calls("wf", idempotency_key="b")
    end_of_it = Member(world, worker, child(root))
    end_of_it.calls("wf", idempotency_key="b")
    shared.calls("wf", idempotency_key="a")
    for _ in range(10):
        world.tick()
    assert "it would wait for itself" in refusal(shared)
    assert not world.ledger._state.circles


@pytest.mark.parametrize("how", ["gone", "given up"])
def test_what_has_changed_before_the_search_is_over_is_no_circle(how: str) -> None:
    world, worker = house()
    first, second = held(world, worker, "a"), held(world, worker, "b")
    middle = Member(world, worker, child(first))
    low = Member(world, worker, child(middle))
    low.calls("wf", idempotency_key="b")
    put_away(first, middle)
    second.calls("wf", idempotency_key="a")
    if how == "gone":
        del world.book.runs[middle.run_id]
    else:
        second.say(Commands(second.run_id, 1, world.now, upto_seq=0, closed=["0:0"]))  # type: ignore[list-item]
    world.settle()
    assert nobody_is_refused(world) and not world.ledger._state.circles


def test_of_very_many_searches_a_group_is_moved_on_at_a_time() -> None:
    world, worker = house(group=3)
    members = [held(world, worker, f"k{number}") for number in range(8)]
    for number, one in enumerate(members):
        one.calls("wf", idempotency_key=f"k{(number + 1) % 8}")
    world.settle()
    assert "2 more" not in refusal(members[-1])
    world.restart()
    assert len(world.ledger._state.circles) == 7
    for _ in range(12):
        world.tick()
    assert not world.ledger._state.circles and [one.open_calls for one in members] == [1] * 7 + [0]
