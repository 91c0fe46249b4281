"""How runs begin and what follows their end: options, idempotency, calls, retries of workflows, cascades, replies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.changes import Inbound
from longshore.core.errors import ProtocolError
from longshore.core.ids import Address, RunId
from longshore.core.message import (
    Accepted,
    Call,
    Cancel,
    ClaimCheck,
    Commands,
    Deliver,
    Finished,
    Options,
    Rejected,
    RunChanged,
    Suspended,
    Timer,
    Trigger,
)
from tests.core.stages import BOOM, S, Stage, ask, hang, stage
from tests.simulation.world import CLIENT, World, task, workflow

SHA = "0" * 64
REFUSED: list[tuple[str, str, dict[str, Any], Any]] = [
    ("routine", "9bad", {}, b""),
    ("routine", "t@1", {}, b""),
    ("delay_ms", "t", {"delay_ms": -1}, b""),
    ("ttl_ms", "t", {"ttl_ms": 0}, b""),
    ("deadline_ms", "t", {"deadline_ms": 31 * 24 * 3600 * 1000}, b""),
    ("max_attempts", "t", {"max_attempts": 251}, b""),
    ("tags", "t", {"tags": ["x"] * 11}, b""),
    ("tags", "t", {"tags": [""]}, b""),
    ("priority", "t", {"priority": 1e9}, b""),
    ("version", "t", {"version": "newest"}, b""),
    ("version", "t", {"version": "pinned"}, b""),
    ("version", "t@1.0.0", {"version": "1.0.1"}, b""),
    ("version", "t@1.0.0", {"version": "latest"}, b""),
    ("version_deadline_ms", "t", {"version_deadline_ms": 0}, b""),
    ("version_deadline_ms", "t", {"version_deadline_ms": 30 * 24 * 3600 * 1000 + 1}, b""),
    ("claim_check", "t", {}, ClaimCheck("../etc/passwd", 1, SHA)),
    ("claim_check", "t", {}, ClaimCheck("inputs/x", 1, "short")),
]


@pytest.mark.parametrize(("rule", "routine", "options", "value"), REFUSED)
def test_what_breaks_a_rule_is_rejected_and_nothing_is_stored(
    rule: str, routine: str, options: dict[str, Any], value: Any
) -> None:
    world = World()
    changes = world.command(Trigger(routine, world.run_id(), value, Options(**options), reply_to=CLIENT, plain=True))
    assert not changes.is_durable()
    ((_, rejected),) = world.replies
    assert isinstance(rejected, Rejected) and rejected.rule == rule
    assert changes.plain_keys == {CLIENT}
    assert not world.command(Trigger(routine, world.run_id(), value, Options(**options))).replies


def test_an_id_that_is_no_uuid_is_rejected_and_a_missing_one_is_made() -> None:
    world = World()
    world.command(Trigger("t", RunId("x"), reply_to=CLIENT))
    world.command(Trigger("t", reply_to=CLIENT))
    rejected, accepted = (message for _, message in world.replies)
    assert isinstance(rejected, Rejected) and rejected.rule == "run_id"
    assert isinstance(accepted, Accepted) and accepted.run_id in world.book.runs


def test_a_claim_check_into_the_store_and_a_project_before_the_name_are_fine() -> None:
    world = World()
    run_id = world.run_id()
    options = Options(queue="gpu", tags=["a"], max_attempts=2)
    world.command(Trigger("mine:t@1.0.0", run_id, ClaimCheck("cas/ab", 1, SHA), options))
    assert (world.row(run_id).routine, world.row(run_id).queue, world.replies) == ("t", "gpu", [])


def test_the_queue_of_the_trigger_comes_before_the_queue_of_the_routine() -> None:
    world = World()
    world.join(offers=[task(queue="slow")])
    assert [world.row(world.trigger("t", queue=queue)).queue for queue in ("", "mine")] == ["slow", "mine"]


def test_a_hundred_triggers_with_one_key_make_one_run_until_it_has_failed() -> None:
    world = World()
    worker = world.join(offers=[task(max_attempts=1)])
    options = Options(idempotency_key="key")
    ids = [world.run_id() for _ in range(100)]
    triggers = [Trigger("t", run_id, b"", options, reply_to=CLIENT, wants="outcome") for run_id in ids]
    world.take(*[Inbound([trigger]) for trigger in triggers])
    assert list(world.book.runs) == [ids[0]]
    accepted = [message for _, message in world.replies if isinstance(message, Accepted)]
    assert [(one.run_id, one.asked_id) for one in accepted[1:]] == [(ids[0], asked) for asked in ids[1:]]
    (start,) = world.starts(worker)
    finished = Finished(ids[0], start.epoch, "completed", world.now, world.now, b"x")
    world.report(worker, finished)
    world.replies.clear()
    world.restart()
    world.command(Trigger("t", world.run_id(), b"", options, reply_to=CLIENT, wants="outcome"))
    again, outcome = (message for _, message in world.replies)
    assert isinstance(again, Accepted) and (again.run_id, again.status) == (ids[0], "COMPLETED")
    assert isinstance(outcome, RunChanged) and outcome.run_id == ids[0]
    world.command(Trigger("t", world.run_id(), b"", options))


def test_a_failed_run_frees_its_key_in_the_same_batch() -> None:
    world = World()
    worker = world.join(offers=[task(max_attempts=1)])
    options = Options(idempotency_key="key")
    first, second = world.run_id(), world.run_id()
    world.command(Trigger("t", first, b"", options))
    (start,) = world.starts(worker)
    failed = Inbound([Finished(first, start.epoch, "failed", world.now, error=BOOM)], worker, 1)
    world.take(failed, Inbound([Trigger("t", second, b"", options)]))
    assert (world.status(first), world.status(second)) == (S.FAILED, S.DISPATCHED)


def test_a_call_that_breaks_a_rule_is_a_report_that_cannot_be_decided() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    bad = [
        Call(Address("0:0"), "9bad", "d", b"", scene.world.run_id()),
        Call(Address("0:0"), "t", "d", b"", scene.run_id),
        Call(Address("0:0"), "t", "d", b"", RunId("no-uuid")),
    ]
    for call in bad:
        world_state = scene.world.ledger
        with pytest.raises(ProtocolError, match=r"call 0:0 of run"):
            world_state.receive(
                [Inbound([Commands(scene.run_id, 1, scene.world.now, 0, [call])], scene.worker)],
                scene.world.book.read(world_state.needs([]), scene.world.now),
                scene.world.now,
                scene.world.random.randbytes,
            )


def test_commands_of_a_task_cannot_be_decided() -> None:
    scene = stage(S.EXECUTING)
    with pytest.raises(ProtocolError, match="only a workflow"):
        scene.world.report(scene.worker, Commands(scene.run_id, 1, scene.world.now, 0))


def test_a_call_asked_twice_is_one_child_and_a_timer_asked_twice_is_one_timer() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    calls = [Call(Address("0:0"), "t", "d", b"", world.run_id(), "1.0.0", Options(pool="p")) for _ in range(2)]
    timers = [Timer(Address("0:1"), "d", world.now + timedelta(1)) for _ in range(2)]
    world.report(scene.worker, Commands(scene.run_id, 1, world.now, 0, calls, timers))
    assert len(world.book.runs) == 2
    flow = world.row(scene.run_id).flow
    assert flow is not None and (flow.open_calls, len(flow.timers)) == (1, 1)
    assert world.row(scene.run_id).reason == "waits for 1 sub-routine and 1 timer"


def test_a_retried_workflow_begins_a_fresh_journal_at_a_fresh_time_and_its_old_children_are_canceled() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    children = ask(world, scene.worker, scene.directive, "t", "nobody")
    begun = scene.directive.started_at
    world.starts(scene.worker)
    world.finish(scene.worker, scene.directive, "failed", error=BOOM)
    assert (scene.status, world.status(children[1])) == (S.RETRYING, S.PENDING_VERSION)
    world.tick(2)
    world.settle()
    (start,) = world.starts(scene.worker)
    flow = world.row(scene.run_id).flow
    assert flow is not None and (flow.generation, flow.processed_seq, start.last_seq, start.attempt) == (1, -1, 0, 2)
    assert start.generation == 1
    assert begun is not None and start.started_at == world.now > begun
    assert [world.status(child) for child in children] == [S.CANCELING, S.CANCELED]
    world.finish(scene.worker, start)
    assert [
        row.generation for key, rows in world.book.deliveries.items() if key[0] == scene.run_id for row in rows
    ] == []


def test_the_time_a_workflow_began_stays_over_resumptions() -> None:
    scene = stage(S.HANGING, kind="workflow")
    begun = scene.directive.started_at
    scene.world.tick(3600)
    scene.lose()
    second = scene.world.join("w2", offers=[workflow()])
    (start,) = scene.world.starts(second)
    assert start.started_at == begun


@pytest.mark.parametrize("children", ["cancel", "abandon"])
def test_the_end_of_a_workflow_cancels_its_children_unless_its_author_spares_them(children: str) -> None:
    world = World()
    worker = world.join(offers=[workflow(children=children)])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    (child,) = ask(world, worker, start, "nobody")
    Stage(world, run_id, worker).lose()
    world.command(Cancel(run_id))
    world.tick(61)
    world.settle()
    assert world.status(run_id) is S.CANCELED
    assert world.status(child) is (S.CANCELED if children == "cancel" else S.PENDING_VERSION)


def test_calls_made_after_the_cancel_are_spared_until_the_end() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    (before,) = ask(world, scene.worker, scene.directive, "nobody")
    world.now += timedelta(seconds=1)
    scene.cancel()
    world.now += timedelta(seconds=1)
    cleanup = Call(Address("0/c:0"), "nobody", "d", b"", world.run_id(), asked_seq=1)
    world.report(scene.worker, Commands(scene.run_id, 1, world.now, 1, [cleanup]))
    world.settle()
    assert (world.status(before), world.status(cleanup.child_id)) == (S.CANCELED, S.PENDING_VERSION)
    world.finish(scene.worker, scene.directive, "canceled", upto_seq=2)
    world.settle()
    assert world.status(cleanup.child_id) is S.CANCELED


def test_three_thousand_children_are_canceled_group_by_group_without_waiting() -> None:
    world = World()
    worker = world.join(offers=[workflow()])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    for part in range(3):
        calls = [Call(Address(f"{part}:{i}"), "nobody", "d", b"", world.run_id()) for i in range(1000)]
        world.report(worker, Commands(run_id, 1, world.now, 0 if part == 2 else None, calls))
    world.finish(worker, start)
    sizes = []
    while world.ledger.next_tick_at(world.now) <= world.now:
        sizes.append(len(world.tick().ended))
    assert sizes[:3] == [1000, 1000, 1000] and len(sizes) <= 5


def test_a_call_no_longer_waited_for_is_canceled_though_it_is_put_away_and_a_timer_forgotten() -> None:
    world = World()
    worker = world.join(offers=[workflow()])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    (child,) = ask(world, worker, start, "wf")
    (childs,) = world.starts(worker)
    hang(world, worker, childs)
    world.report(worker, Suspended(child, 1, 0))
    assert world.status(child) is S.SUSPENDED
    timer = Timer(Address("0:9"), "d", world.now + timedelta(hours=1))
    late = Call(Address("0:8"), "nobody", "d", b"", world.run_id())
    report = Commands(run_id, 1, world.now, 0, [late], [timer], [Address("0/0:0"), Address("0:9"), Address("0:8")])
    world.report(worker, report)
    assert (world.status(child), world.status(late.child_id)) == (S.CANCELING, S.CANCELED)
    flow = world.row(run_id).flow
    assert flow is not None and flow.timers == {}
    world.report(worker, Commands(run_id, 1, world.now, 0, closed=[Address("0/0:0"), Address("9:9")]))


def test_facts_not_answered_for_two_seconds_are_sent_again_and_large_ones_in_parts() -> None:
    world = World()
    worker = world.join(offers=[workflow(), task()], slots=300)
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    ask(world, worker, start, *["t"] * 250)
    ends = [Finished(one.run_id, 1, "completed", world.now, world.now, b"x" * 2000) for one in world.starts(worker)]
    ends[0].result = ClaimCheck("results/x", 1, SHA)
    ends[1].how, ends[1].result, ends[1].error = "aborted", None, BOOM
    world.report(worker, *ends)
    parts = [one for one in world.directives(worker) if isinstance(one, Deliver)]
    assert [len(part.deliveries) for part in parts] == [126, 124]
    assert world.tick(1.9).pages == []
    assert [page[1:] for page in world.tick(0.1).pages] == [(run_id, 1, 0)]
    assert world.tick(1.9).pages == []
    world.report(worker, Commands(run_id, 1, world.now, 250))
    assert world.tick(1).pages == []


def test_facts_for_a_workflow_at_work_are_looked_at_again_later() -> None:
    world = World()
    worker = world.join(offers=[workflow(), task()])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    (child,) = ask(world, worker, start, "t")
    world.report(worker, Commands(run_id, 1, world.now, None, timers=[Timer(Address("1:1"), "d", world.now)]))
    assert world.status(run_id) is S.EXECUTING
    world.finish(worker, world.starts(worker)[0])
    assert world.tick(2).pages == []
    world.report(worker, Commands(run_id, 1, world.now, 0))
    assert [page[1] for page in world.tick(2).pages] == [run_id]
    assert world.status(child) is S.COMPLETED


def test_thousands_of_due_children_of_a_workflow_that_is_put_away_all_reach_it() -> None:
    world = World(group=10)
    worker = world.join(offers=[workflow()])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    calls = [
        Call(Address(f"0:{i}"), "t", "d", b"", world.run_id(), options=Options(ttl_ms=1000 + i % 7)) for i in range(35)
    ]
    world.report(worker, Commands(run_id, start.epoch, world.now, 0, calls), Suspended(run_id, start.epoch, 0))
    world.ledger._state.sessions[worker].draining = True
    world.now += timedelta(seconds=3)
    while world.ledger.next_tick_at(world.now) <= world.now:
        assert len(world.tick().ended) <= 10
    flow = world.row(run_id).flow
    assert flow is not None and (flow.last_seq, flow.open_calls) == (35, 0)
