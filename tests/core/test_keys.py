"""Idempotency keys: whose they are, how long they are held, how they are freed; and calls that share a run."""

from __future__ import annotations

from copy import copy
from datetime import timedelta
from typing import Any

import pytest

from longshore.core.cursors import FORGET_KEYS
from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import (
    Accepted,
    Answer,
    Call,
    Cancel,
    Commands,
    Deliver,
    Finished,
    Options,
    Rejected,
    ResetKey,
    Start,
    Suspended,
    Trigger,
)
from longshore.core.run import Status
from tests.core.stages import BOOM, S
from tests.simulation.world import World, task, workflow

DAY = 24 * 3600


def keyed(world: World, key: str = "k", routine: str = "t", **options: Any) -> RunId:
    """The run that a trigger with this key led to."""
    world.trigger(routine, wants="accepted", idempotency_key=key, **options)
    said = world.replies[-1][1]
    assert isinstance(said, Accepted)
    return said.run_id


def told(world: World) -> Answer:
    return next(one for _, one in reversed(world.replies) if isinstance(one, Answer))


# ---------------------------------------------------------------------------------------------------- times and freeing


def test_a_hundred_triggers_with_one_key_make_one_run_in_one_batch_and_over_many() -> None:
    world = World()
    triggers = [Trigger("t", world.run_id(), b"", Options(idempotency_key="k"), "client") for _ in range(100)]
    world.command(*triggers)
    for trigger in triggers[:20]:
        world.restart()
        world.command(trigger)
    assert len(world.book.runs) == 1
    accepted = [one for _, one in world.replies if isinstance(one, Accepted)]
    assert {one.run_id for one in accepted} == set(world.book.runs)
    assert [one.existing for one in accepted] == [False, *[True] * 119]


def test_a_key_is_its_routines_own_whatever_the_version() -> None:
    world = World()
    first = keyed(world)
    assert keyed(world, routine="t@2.0.0") == first
    assert keyed(world, routine="other") != first
    assert world.book.begun.key_of[first] == "k"


def test_a_key_is_its_producers_own_and_the_default_project_is_one_of_them() -> None:
    world = World()
    mine = keyed(world, producer="shop")
    assert keyed(world, producer="shop") == mine
    others = keyed(world, producer="billing")
    nobodys = keyed(world)
    assert len({mine, others, nobodys}) == 3
    assert keyed(world, producer="default") == nobodys
    assert world.book.begun.producer_of == {mine: "shop", others: "billing", nobodys: "default"}
    world.restart()
    assert [keyed(world, producer=one) for one in ("shop", "billing", "")] == [mine, others, nobodys]


def test_freeing_a_key_frees_that_of_its_producer_alone() -> None:
    world = World()
    mine, others = keyed(world, producer="shop"), keyed(world, producer="billing")
    world.command(ResetKey("t", "k", producer="shop", ask_id="a", reply_to="client"))
    assert told(world).data == {"routine": "t", "key": "k", "producer": "shop", "reset": True, "run_id": mine}
    assert keyed(world, producer="shop") != mine and keyed(world, producer="billing") == others


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({"producer": "a\0b"}, "can be printed"),
        ({"producer": "p" * 257}, "at most 256 characters"),
        ({"producer": "p", "run_id": "00000000-0000-7000-8000-000000000000"}, "has no other producer"),
    ],
)
def test_a_producer_that_cannot_be_is_refused_and_nothing_is_stored(order: dict[str, Any], text: str) -> None:
    world = World()
    world.command(ResetKey("t", "k", ask_id="a", reply_to="client", **order))
    assert told(world).error is not None
    assert told(world).error["rule"] == "producer" and text in told(world).error["text"]  # type: ignore[index]
    if "run_id" not in order:
        world.trigger("t", idempotency_key="k", **order)
        said = world.replies[-1][1]
        assert isinstance(said, Rejected) and said.rule == "producer" and not world.book.runs
    world.trigger("t", producer="shop")
    said = world.replies[-1][1]
    assert isinstance(said, Rejected) and said.text == "producer is for an idempotency_key, and there is none"


@pytest.mark.parametrize(("ttl_ms", "seconds"), [(None, 30 * DAY), (1000, 1), (3_600_000, 3600)])
def test_a_key_is_held_for_thirty_days_or_as_long_as_its_first_trigger_says(ttl_ms: int | None, seconds: int) -> None:
    world = World()
    first = keyed(world, idempotency_ttl_ms=ttl_ms)
    world.tick(seconds - 0.001)
    world.restart()
    assert keyed(world, idempotency_ttl_ms=5000) == first
    world.tick(0.001)
    assert keyed(world) != first


@pytest.mark.parametrize(
    ("how", "frees"),
    [
        ("completed", False), ("aborted", True), ("timed_out", True), ("system_failure", True), ("crashed", True),
        ("cancel", False), ("expire", False),
    ],
)  # fmt: skip
def test_only_an_end_that_is_nobodys_wish_frees_a_key(how: str, frees: bool) -> None:
    world = World()
    worker = world.join(offers=[task(on_crash="fail")])
    first = keyed(world, ttl_ms=1000, **({"pool": "x"} if how == "expire" else {}))
    if how == "expire":
        world.tick(1)
    elif how == "cancel":
        world.command(Cancel(first))
        world.finish(worker, world.starts(worker)[0], "canceled")
    else:
        world.finish(worker, world.starts(worker)[0], how, error=BOOM)
    assert (keyed(world) != first) is frees


def test_a_key_is_freed_by_order_and_freeing_it_again_is_no_mistake() -> None:
    world = World()
    first = keyed(world)
    order = ResetKey("t@1.0.0", "k", ask_id="ask", reply_to="client")
    world.command(order)
    assert told(world).data == {"routine": "t", "key": "k", "producer": "default", "reset": True, "run_id": first}
    world.command(order)
    assert told(world).data == {"routine": "t", "key": "k", "producer": "default", "reset": False, "run_id": ""}
    second = keyed(world)
    assert second != first and world.status(first) is S.PENDING_VERSION
    new = world.run_id()
    world.command(order, Trigger("t", new, b"", Options(idempotency_key="k")), copy(order))
    assert keyed(world) not in (first, second, new), "orders of one batch are taken in their turn"


@pytest.mark.parametrize(("routine", "key"), [("t", ""), ("t", "k" * 257), ("", "k")])
def test_a_key_that_cannot_be_is_not_freed(routine: str, key: str) -> None:
    world = World()
    changes = world.command(ResetKey(routine, key, ask_id="ask", reply_to="client"))
    error = told(world).error
    assert error is not None and error["rule"] == "idempotency_key" and not changes.is_durable()


def test_expired_keys_are_let_go_of_in_bounded_steps() -> None:
    world = World(rows_at_once=10)
    for number in range(25):
        keyed(world, f"k{number}", idempotency_ttl_ms=1000)
    kept = keyed(world, "kept")
    world.tick(3600 * 2)
    assert FORGET_KEYS in world.book.cursors
    world.tick()
    assert len(world.book.begun.keys) == 16
    world.settle()
    assert [run_id for run_id, _ in world.book.begun.keys.values()] == [kept]
    assert FORGET_KEYS not in world.book.cursors


@pytest.mark.parametrize(
    ("options", "rule", "text"),
    [
        ({"idempotency_key": "k", "idempotency_ttl_ms": 999}, "idempotency_ttl_ms", "is 999; it must be from 1000 to"),
        ({"idempotency_key": "k", "idempotency_ttl_ms": 30 * DAY * 1000 + 1}, "idempotency_ttl_ms", "to 2592000000"),
        ({"idempotency_key": "k", "idempotency_scope": "all"}, "idempotency_scope", "'all'; it must be global or run"),
        ({"idempotency_ttl_ms": 1000}, "idempotency_ttl_ms", "is for an idempotency_key, and there is none"),
        ({"idempotency_scope": "global"}, "idempotency_scope", "is for an idempotency_key, and there is none"),
        ({"idempotency_key": "k", "idempotency_scope": "run"}, "idempotency_scope", "what is triggered has no parent"),
        ({"idempotency_key": "k" * 257}, "idempotency_key", "has over 256 characters"),
    ],
)
def test_options_of_a_key_that_cannot_be_are_refused_and_nothing_is_stored(
    options: dict[str, Any], rule: str, text: str
) -> None:
    world = World()
    changes = world.command(Trigger("t", world.run_id(), b"", Options(**options), "client"))
    (said,) = changes.replies["client"]
    assert isinstance(said, Rejected) and said.rule == rule and text in said.text
    assert not changes.is_durable()


# ---------------------------------------------------------------------------------------------------- calls that share


class Caller:
    """A workflow under way, and what it calls."""

    def __init__(self, world: World, worker: SessionId, routine: str = "wf") -> None:
        self.world = world
        self.worker = worker
        self.run_id = world.trigger(routine)
        (self.start,) = [one for one in world.starts(worker) if one.run_id == self.run_id]
        world.begin(worker, self.start)
        self.asked = 0
        self.upto = 0

    def calls(self, *routines: str, **options: Any) -> list[RunId]:
        """The ids it gave to new calls with these options."""
        ids = [self.world.run_id() for _ in routines]
        first, self.asked = self.asked, self.asked + len(routines)
        calls = [
            Call(Address(f"0:{first + n}"), name, "d", b"x", one, options=Options(**options), asked_seq=self.upto)
            for n, (name, one) in enumerate(zip(routines, ids, strict=True))
        ]
        self.say(Commands(self.run_id, self.start.epoch, self.world.now, upto_seq=self.upto, calls=calls))
        return ids

    def say(self, report: Any) -> None:
        self.world.report(self.worker, report)

    @property
    def log(self) -> list[tuple[str, str, str]]:
        return [(one.address, one.status, one.child_id) for one in self.world.book.delivery_log(self.run_id)]

    @property
    def open_calls(self) -> int:
        flow = self.world.row(self.run_id).flow
        return flow.open_calls if flow else 0


def house(**more: Any) -> tuple[World, SessionId]:
    world = World(**more)
    return world, world.join(offers=[task(max_attempts=1), workflow(max_attempts=2), task("u")], slots=9)


def end(world: World, worker: SessionId, run_id: RunId, how: str = "completed") -> None:
    (start,) = [one for one in world.starts(worker) if one.run_id == run_id]
    world.finish(worker, start, how, error=None if how == "completed" else BOOM)
    world.settle()


def test_a_call_whose_key_a_run_holds_is_answered_by_that_run_and_never_executed() -> None:
    world, worker = house()
    first = keyed(world)
    caller = Caller(world, worker)
    (asked,) = caller.calls("t", idempotency_key="k")
    assert asked not in world.book.runs and caller.open_calls == 1
    (row,) = world.book.call_rows(caller.run_id)
    assert row.child_id == first
    world.report(worker, Finished(first, 1, "completed", world.now, started_at=world.now, result=b"out"))
    world.settle()
    assert caller.log == [("0:0", "COMPLETED", first)] and caller.open_calls == 0
    assert world.row(caller.run_id).parent_id == "" and world.row(first).parent_id == ""


def test_the_outcome_goes_to_the_worker_that_holds_the_caller_as_a_page_of_its_journal() -> None:
    world, worker = house()
    first = keyed(world)
    (start,) = world.starts(worker)
    caller = Caller(world, worker)
    caller.calls("t", idempotency_key="k")
    world.finish(worker, start)
    changes = world.tick()
    assert changes.pages == [(worker, caller.run_id, 1, 0)]
    assert not any(isinstance(one, Deliver) for one in world.directives(worker))
    assert [one.result for one in world.book.delivery_log(caller.run_id)] == [b"out"]
    assert world.status(first) is S.COMPLETED


@pytest.mark.parametrize("restart", [False, True])
def test_a_call_is_told_at_once_by_a_run_that_has_ended_before_and_after_a_restart(restart: bool) -> None:
    world, worker = house()
    first = keyed(world)
    end(world, worker, first)
    caller = Caller(world, worker)
    caller.calls("t", idempotency_key="k")
    if restart:
        world.restart()
    assert world.ledger.next_tick_at(world.now) <= world.now
    world.settle()
    assert caller.log == [("0:0", "COMPLETED", first)]


def test_after_a_restart_the_callers_of_a_run_under_way_are_still_told() -> None:
    world, worker = house()
    first = keyed(world)
    (start,) = world.starts(worker)
    caller = Caller(world, worker)
    caller.calls("t", idempotency_key="k")
    world.restart()
    world.join("w1", offers=[task(max_attempts=1), workflow(max_attempts=2), task("u")], slots=9)
    world.finish(worker, start)
    world.settle()
    assert caller.log == [("0:0", "COMPLETED", first)]
    assert world.book.begun.untold() == []


def test_two_calls_of_one_workflow_with_one_key_are_one_run_and_both_are_told() -> None:
    world, worker = house()
    caller = Caller(world, worker)
    one, two = caller.calls("t", "t", idempotency_key="k", idempotency_scope="run")
    assert two not in world.book.runs
    end(world, worker, one)
    assert sorted(caller.log) == [("0:0", "COMPLETED", one), ("0:1", "COMPLETED", one)]
    assert caller.open_calls == 0


def test_a_key_of_the_scope_run_is_that_workflows_own() -> None:
    world, worker = house()
    one, two = Caller(world, worker), Caller(world, worker)
    (first,) = one.calls("t", idempotency_key="k", idempotency_scope="run")
    (second,) = two.calls("t", idempotency_key="k", idempotency_scope="run")
    assert world.row(first).parent_id == one.run_id and world.row(second).parent_id == two.run_id
    assert keyed(world) not in (first, second)
    (third,) = one.calls("u", idempotency_key="k", idempotency_scope="run")
    assert world.row(third).routine == "u"
    world.command(ResetKey("t", "k", one.run_id, ask_id="ask", reply_to="client"))
    assert told(world).data["run_id"] == first


def test_a_child_holds_its_key_against_triggers_and_other_workflows() -> None:
    world, worker = house()
    one, two = Caller(world, worker), Caller(world, worker)
    (child,) = one.calls("t", idempotency_key="k")
    assert keyed(world) == child
    two.calls("t", idempotency_key="k")
    end(world, worker, child)
    assert one.log == [("0:0", "COMPLETED", child)] and two.log == [("0:0", "COMPLETED", child)]


@pytest.mark.parametrize("how", ["closed", "canceled", "failed"])
def test_the_shared_run_goes_on_when_a_caller_is_canceled_or_waits_no_longer(how: str) -> None:
    world, worker = house()
    first = keyed(world)
    (start,) = world.starts(worker)
    caller = Caller(world, worker)
    caller.calls("t", idempotency_key="k")
    if how == "closed":
        caller.say(Commands(caller.run_id, 1, world.now, upto_seq=0, closed=[Address("0:0")]))
        assert caller.open_calls == 0
    elif how == "canceled":
        world.command(Cancel(caller.run_id))
    else:
        caller.say(Finished(caller.run_id, 1, "aborted", world.now, error=BOOM, upto_seq=0))
    world.settle()
    world.tick(120)
    world.settle()
    assert world.status(first) is S.DISPATCHED
    world.finish(worker, start)
    world.settle()
    assert world.status(first) is S.COMPLETED and world.book.begun.untold() == []
    assert [one for one in caller.log if one[0] == "0:0"] == []


def test_a_call_closed_in_the_same_answer_leaves_the_shared_run_alone() -> None:
    world, worker = house()
    first = keyed(world)
    caller = Caller(world, worker)
    call = Call(Address("0:0"), "t", "d", b"x", world.run_id(), options=Options(idempotency_key="k"))
    caller.say(Commands(caller.run_id, 1, world.now, upto_seq=0, calls=[call], closed=[Address("0:0")]))
    world.settle()
    assert world.status(first) is S.DISPATCHED and caller.open_calls == 0


def test_a_caller_that_is_put_away_is_woken_by_the_end_of_the_shared_run() -> None:
    world, worker = house()
    first = keyed(world)
    (start,) = world.starts(worker)
    caller = Caller(world, worker)
    caller.calls("t", idempotency_key="k")
    caller.say(Suspended(caller.run_id, 1, 0))
    assert world.status(caller.run_id) is S.SUSPENDED
    world.finish(worker, start)
    world.settle()
    assert world.status(caller.run_id) is S.DISPATCHED
    assert caller.log == [("0:0", "COMPLETED", first)]


def test_a_shared_run_that_is_put_away_has_not_ended() -> None:
    world, worker = house()
    first = Caller(world, worker)
    world.command(ResetKey("wf", "k"))
    shared = keyed(world, routine="wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    world.report(worker, Suspended(shared, 1, 0))
    first.calls("wf", idempotency_key="k")
    world.settle()
    assert first.log == [] and first.open_calls == 1
    world.restart()
    world.settle()
    assert first.log == []
    world.command(Cancel(shared))
    (again,) = [one for one in world.starts(worker) if one.run_id == shared] or [start]
    assert isinstance(again, Start)
    world.tick(61)
    world.settle()
    assert first.log == [("0:0", "CANCELED", shared)]


def test_commands_that_come_again_join_once() -> None:
    world, worker = house()
    first = keyed(world)
    (start,) = world.starts(worker)
    caller = Caller(world, worker)
    call = Call(Address("0:0"), "t", "d", b"x", world.run_id(), options=Options(idempotency_key="k"))
    caller.say(Commands(caller.run_id, 1, world.now, calls=[call]))
    world.ledger._state.sessions[worker].draining = False
    caller.say(Commands(caller.run_id, 1, world.now, upto_seq=0))
    world.finish(worker, start)
    world.settle()
    assert caller.log == [("0:0", "COMPLETED", first)] and caller.open_calls == 0


@pytest.mark.parametrize("live", [False, True])
def test_the_next_attempt_of_a_workflow_keeps_what_completed_and_calls_anew_what_was_canceled_with_the_last(
    live: bool,
) -> None:
    world, worker = house()
    caller = Caller(world, worker)
    done, open_ = caller.calls("t", "u", idempotency_key="k", idempotency_scope="run")
    starts = {one.run_id: one for one in world.starts(worker)}
    world.finish(worker, starts[done])
    caller.say(Finished(caller.run_id, 1, "failed", world.now, error=BOOM, upto_seq=1))
    assert world.status(caller.run_id) is S.RETRYING
    world.tick(5)
    world.settle()
    if not live:
        world.finish(worker, starts[open_], "canceled")
    (caller.start,) = [one for one in world.starts(worker) if one.run_id == caller.run_id]
    world.begin(worker, caller.start)
    caller.asked = 0
    _, again = caller.calls("t", "u", idempotency_key="k", idempotency_scope="run")
    world.settle()
    assert caller.log == [("0:0", "COMPLETED", done)]
    assert world.row(again).parent_id == caller.run_id, "a run that was canceled with its journal is of no use"


def test_those_whose_caller_has_ended_are_let_go_of() -> None:
    world, worker = house()
    keyed(world)
    caller = Caller(world, worker)
    caller.calls("t", idempotency_key="k")
    caller.say(Finished(caller.run_id, 1, "completed", world.now, result=b"", upto_seq=0))
    assert len(world.book.begun.joints) == 1
    world.tick(3600)
    world.settle()
    world.tick(3600)
    world.settle()
    assert world.book.begun.joints == {}


def test_of_many_shared_runs_that_have_ended_a_group_is_looked_at_for_a_tick() -> None:
    world, worker = house(group=3)
    shared = [keyed(world, f"k{number}") for number in range(6)]
    starts = {one.run_id: one for one in world.starts(worker)}
    callers = [Caller(world, worker) for _ in shared]
    for number, caller in enumerate(callers):
        caller.calls("t", idempotency_key=f"k{number}")
    world.report(worker, *(Finished(one, starts[one].epoch, "completed", world.now, result=b"") for one in shared))
    world.settle()
    assert [caller.log for caller in callers] == [[("0:0", "COMPLETED", one)] for one in shared]


def test_a_group_of_callers_is_told_at_a_time() -> None:
    world, worker = house(group=3)
    first = keyed(world)
    (start,) = world.starts(worker)
    callers = [Caller(world, worker) for _ in range(8)]
    for caller in callers:
        caller.calls("t", idempotency_key="k")
    world.finish(worker, start)
    world.tick()
    assert 0 < sum(bool(caller.log) for caller in callers) <= 3
    world.settle()
    assert all(caller.log == [("0:0", "COMPLETED", first)] for caller in callers)


def test_a_tick_that_has_its_group_of_other_runs_leaves_the_callers_to_the_next() -> None:
    world, worker = house(group=3)
    first = keyed(world)
    (start,) = world.starts(worker)
    caller = Caller(world, worker)
    caller.calls("t", idempotency_key="k")
    due = [world.trigger("t", delay_ms=60_000) for _ in range(3)]
    world.now += timedelta(minutes=1)
    world.finish(worker, start)
    world.tick()
    assert caller.log == [] and Status.DELAYED not in map(world.status, due)
    world.tick()
    assert caller.log == [("0:0", "COMPLETED", first)]


def test_a_key_expires_for_calls_too() -> None:
    world, worker = house()
    first = keyed(world, idempotency_ttl_ms=1000)
    world.tick(1)
    caller = Caller(world, worker)
    (own,) = caller.calls("t", idempotency_key="k")
    assert world.row(own).parent_id == caller.run_id and own != first
    assert world.now + timedelta(days=29) < max(expires for _, expires in world.book.begun.keys.values())
    assert world.status(own) in (Status.QUEUED, Status.DISPATCHED)
