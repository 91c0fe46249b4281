"""Edges: what the table refuses outright, what a restart must find again, facts for those who are elsewhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from longshore.core.changes import Facts, Inbound, SessionReturned, Unreadable
from longshore.core.errors import ProtocolError
from longshore.core.ids import Address, RunId
from longshore.core.ledger.recording import begin, move
from longshore.core.ledger.state import Round
from longshore.core.message import (
    Accepted,
    Bye,
    Call,
    Cancel,
    ChildDied,
    Commands,
    Deliver,
    Fetch,
    Finished,
    Held,
    Hello,
    Options,
    Rejected,
    RunChanged,
    Suspended,
    Timer,
    Trigger,
    Welcome,
)
from longshore.core.records import ReturnedReply
from tests.core.stages import S, Stage, ask, hang, stage
from tests.simulation.world import CLIENT, World, task, workflow


def test_a_change_that_is_not_in_the_table_is_never_written() -> None:
    scene = stage(S.DELAYED)
    state = scene.world.ledger._state
    round_ = Round(scene.world.now, Facts(), scene.world.random.randbytes, 1)
    run = state.runs[scene.run_id]
    with pytest.raises(ProtocolError, match="not in the table"):
        move(round_, run, S.COMPLETED, "no")
    run.status = S.HANGING
    with pytest.raises(ProtocolError, match="no run begins as HANGING"):
        begin(state, round_, run, "no", "")
    assert not round_.changes.is_durable()


def test_a_deadline_of_the_trigger_ends_the_run_also_when_it_is_put_away_and_woken() -> None:
    world = World()
    worker = world.join(offers=[workflow()])
    run_id = world.trigger("wf", deadline_ms=7_200_000)
    (start,) = world.starts(worker)
    hang(world, worker, start)
    world.tick(3600)
    world.ledger._state.sessions[worker].draining = True
    world.report(worker, Suspended(run_id, 1, 0))
    assert world.status(run_id) is S.QUEUED
    world.tick(3600)
    assert world.status(run_id) is S.TIMED_OUT


def test_a_call_with_a_cached_result_is_answered_in_the_same_batch() -> None:
    world = World()
    worker = world.join(offers=[workflow(), task(cache=True)])
    world.trigger("t", cache_key="k")
    world.finish(worker, world.starts(worker)[0])
    run_id = world.trigger("wf")
    world.starts(worker)
    call = Call(Address("0:0"), "t", "d", b"", world.run_id(), cache_key="k")
    world.report(worker, Commands(run_id, 1, world.now, 0, [call]))
    (told,) = [one for one in world.directives(worker) if isinstance(one, Deliver)]
    assert (told.deliveries[0].cached, world.path(call.child_id)) == (True, ["COMPLETED"])


def test_a_restart_finds_leaders_and_what_is_offered_meanwhile() -> None:
    world = World()
    worker = world.join(offers=[task(cache=True)])
    first, second = world.trigger("t", cache_key="k"), world.trigger("t", cache_key="k")
    (start,) = world.starts(worker)
    waiting = world.trigger("late")
    world.book.workers[worker].offers.append(task("late"))
    world.restart()
    world.tick()
    assert world.status(waiting) is S.QUEUED
    world.join(offers=[task(cache=True), task("late")])
    world.finish(worker, start)
    assert [world.status(run) for run in (first, second, waiting)] == [S.COMPLETED, S.COMPLETED, S.DISPATCHED]


def test_the_reconciler_alone_delivers_what_the_event_path_would_have() -> None:
    world = World(event_path=False)
    worker = world.join(offers=[workflow(), task()])
    run_id = world.trigger("wf")
    world.tick()
    (start,) = world.starts(worker)
    ask(world, worker, start, "t")
    world.tick()
    world.finish(worker, world.starts(worker)[0])
    changes = world.tick()
    assert [page[1:] for page in changes.pages] == [(run_id, 1, 0)]


# ------------------------------------------------------------------------------------------------------- beginnings


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (Options(queue="q" * 257), "queue"),
        (Options(metadata={"a": "x" * 262_144}), "metadata"),
        (Options(metadata={"a": object()}), "metadata"),
        (Options(priority=float("nan")), "priority"),
    ],
)
def test_an_option_out_of_its_range_is_refused_by_its_name(options: Options, rule: str) -> None:
    world = World()
    world.command(Trigger("t", world.run_id(), b"", options, reply_to=CLIENT))
    ((_, answer),) = world.replies
    assert isinstance(answer, Rejected) and answer.rule == rule


def test_a_run_has_each_tag_once_in_the_order_given() -> None:
    world = World()
    run_id = world.trigger("t", tags=["b", "a", "b"])
    assert world.book.tags[run_id] == ["b", "a"]


def test_metadata_of_plain_data_is_taken() -> None:
    world = World()
    world.join(offers=[task()])
    assert world.status(world.trigger("t", metadata={"a": [1]})) is S.DISPATCHED


def test_a_foreign_program_that_sends_a_trigger_again_gets_one_answer_the_outcome() -> None:
    world = World()
    worker = world.join(offers=[task()])
    run_id = world.trigger("t")
    world.command(Trigger("t", run_id, reply_to="foreign", wants="outcome", correlation_id="c", plain=True))
    changes = world.finish(worker, world.starts(worker)[0])
    (outcome,) = [message for key, message in world.replies if key == "foreign"]
    assert isinstance(outcome, RunChanged) and (outcome.status, outcome.correlation_id) == ("COMPLETED", "c")
    assert changes.plain_keys == {"foreign"}


def test_who_sends_a_trigger_again_and_wants_no_outcome_is_told_only_where_the_run_stands() -> None:
    world = World()
    run_id = world.trigger("t", wants="accepted")
    world.command(Trigger("t", run_id, reply_to="other"))
    (answer,) = [message for key, message in world.replies if key == "other"]
    assert isinstance(answer, Accepted) and (answer.existing, answer.status) == (True, "PENDING_VERSION")


def test_a_run_that_turns_out_not_to_be_shared_in_the_round_it_began_in_has_no_cache_key() -> None:
    world = World()
    worker = world.join(offers=[task(cache=True)])
    run_id = world.run_id()
    newer = Hello(worker_id=world.book.workers[worker].worker_id, pool="default", slots=4, offers=[task("t", "2.0.0")])
    world.take(Inbound([Trigger("t", run_id, cache_key="k")]), Inbound([newer], worker))
    assert (world.row(run_id).cache_key, world.row(run_id).version) == ("", "2.0.0")


# -------------------------------------------------------------------------------------------------------------- time


def test_an_alarm_for_a_version_that_came_meanwhile_changes_nothing() -> None:
    world = World(version_deadline=timedelta(seconds=5))
    run_id = world.trigger("t")
    world.join(offers=[task()])
    world.tick(6)
    assert world.status(run_id) is S.DISPATCHED


def test_the_delay_of_a_retry_says_nothing_after_a_cancel() -> None:
    scene = stage(S.RETRYING, kind="workflow")
    due_at = scene.world.row(scene.run_id).due_at
    assert due_at is not None
    run = scene.world.ledger._state.runs[scene.run_id]
    assert run.flow is not None
    run.flow.processed_seq = 0
    scene.cancel()
    scene.world.tick((due_at - scene.world.now).total_seconds() + 0.1)
    assert scene.status is S.CANCELING


def test_a_workflow_that_asked_for_nothing_tries_again_without_an_order_to_cancel_children() -> None:
    scene = stage(S.RETRYING, kind="workflow")
    scene.world.tick(3600)
    assert scene.status is S.DISPATCHED
    assert all(cursor.kind != "cancel_children" for cursor in scene.world.book.cursors.values())


def put_away_with_child(world: World, *, deadline_ms: int | None = None) -> tuple[RunId, RunId]:
    """A workflow that waits for a child on another worker and for a timer in an hour, and has lost its worker."""
    worker = world.join(offers=[workflow()])
    parent = world.trigger("wf", deadline_ms=deadline_ms)
    child = world.run_id()
    call = Call(Address("0:0"), "t", "d", b"x", child, options=Options(ttl_ms=3_600_000))
    timer = Timer(Address("0:1"), "d", world.now + timedelta(hours=1))
    world.report(worker, Commands(parent, 1, world.now, upto_seq=0, calls=[call], timers=[timer]))
    Stage(world, parent, worker).lose()
    assert world.status(parent) is S.SUSPENDED
    return parent, child


def test_a_workflow_woken_by_its_child_is_not_woken_again_by_its_timer_in_the_same_tick() -> None:
    world = World()
    parent, child = put_away_with_child(world)
    world.tick(3600)
    assert (world.status(child), world.path(parent)[-2:]) == (S.EXPIRED, ["SUSPENDED", "QUEUED"])


def test_a_child_that_is_lost_in_the_tick_in_which_its_parent_ended_tells_nobody() -> None:
    world = World()
    parent, child = put_away_with_child(world, deadline_ms=3_600_000)
    worker = world.join("w2", offers=[task(on_crash="fail")])
    world.begin(worker, world.starts(worker)[0])
    world.now += timedelta(hours=1)
    world.say(worker, ChildDied(worker))
    world.tick()
    assert (world.status(parent), world.status(child)) == (S.TIMED_OUT, S.CRASHED)
    assert "parent_unknown" not in world.ledger.counts


def test_a_parent_the_store_does_not_know_is_counted() -> None:
    world = World()
    _, child = put_away_with_child(world)
    worker = world.join("w2", offers=[task()])
    (start,) = world.starts(worker)
    report = Finished(child, start.epoch, "completed", world.now, result=b"")
    world.ledger.receive([Inbound([report], worker, 1)], Facts(), world.now, world.random.randbytes)
    assert world.ledger.counts["parent_unknown"] == 1


def test_runs_that_ask_for_another_version_wait_on_and_those_that_ended_are_forgotten() -> None:
    world = World()
    other, ended, wanted = (world.trigger(name) for name in ("t@2.0.0", "t", "t@1.0.0"))
    world.command(Cancel(ended))
    world.join(offers=[task()])
    assert [world.status(run) for run in (other, wanted)] == [S.PENDING_VERSION, S.DISPATCHED]
    assert world.ledger._state.pending == {"t": {other: None}}


# ------------------------------------------------------------------------------------------------------------ groups


def test_orders_to_cancel_children_share_a_tick_and_pass_over_what_is_being_canceled() -> None:
    world = World(group=1)
    worker = world.join(offers=[workflow(), task()])
    first, second = world.trigger("wf"), world.trigger("wf")
    children = [ask(world, worker, start, "t")[0] for start in world.starts(worker)]
    for start in world.starts(worker):
        world.begin(worker, start)
    world.command(Cancel(children[0]))
    world.command(Cancel(first), Cancel(second))
    world.tick()
    assert [world.status(child) for child in children] == [S.CANCELING, S.EXECUTING]
    world.settle()
    assert [world.status(child) for child in children] == [S.CANCELING, S.CANCELING]


def test_a_lost_worker_with_more_runs_than_a_group_is_emptied_over_several_ticks() -> None:
    world = World(group=1)
    worker = world.join(offers=[task()])
    runs = [world.trigger("t") for _ in range(2)]
    world.say(worker, ChildDied(worker))
    world.tick()
    assert sorted(world.status(run) for run in runs) == [S.DISPATCHED, S.QUEUED]
    world.settle()
    assert [world.status(run) for run in runs] == [S.QUEUED, S.QUEUED]


# ---------------------------------------------------------------------------------------------------------- sessions


def test_a_session_whose_queue_is_gone_is_sent_no_page() -> None:
    scene = stage(S.HANGING, kind="workflow")
    scene.world.internal(SessionReturned(scene.worker))
    assert not scene.world.report(scene.worker, Fetch(scene.run_id, 1)).pages


@pytest.mark.parametrize(("status", "kind"), [(S.HANGING, "workflow"), (S.EXECUTING, "task")])
def test_a_worker_that_missed_nothing_is_only_welcomed(status: S, kind: str) -> None:
    scene = stage(status, kind=kind)
    scene.world.sent.clear()
    scene.world.join("w1", offers=[task(), workflow()], held=[Held(scene.run_id, 1)])
    assert [type(one) for one in scene.world.directives(scene.worker)] == [Welcome]


def test_a_session_whose_queue_is_gone_is_sent_neither_outcomes_nor_orders_until_it_says_hello() -> None:
    world = World()
    first = world.join(offers=[workflow()])
    parent = world.trigger("wf")
    (start,) = world.starts(first)
    ask(world, first, start, "t")
    second = world.join("w2", offers=[task()])
    (begun,) = world.starts(second)
    canceled = world.trigger("t")
    world.internal(SessionReturned(first), SessionReturned(second))
    world.sent.clear()
    world.command(Cancel(canceled))
    world.finish(second, begun)
    assert (world.status(canceled), world.sent) == (S.CANCELING, {})
    world.join(offers=[workflow()], held=[Held(parent, 1)])
    assert world.ledger._state.sessions[first].sent == 1


def test_a_charge_for_a_run_that_has_ended_since_is_only_forgotten() -> None:
    scene = stage(S.EXECUTING)
    world = scene.world
    world.marks(31)
    other = world.join("w2", offers=[task()])
    world.finish(other, world.starts(other)[0])
    world.join("w1", offers=[task()])
    assert (scene.status, world.ledger._state.sessions[scene.worker].charged) == (S.COMPLETED, {})


def test_of_two_runs_that_must_be_alone_one_worker_is_kept_for_the_first() -> None:
    world = World()
    runs = [world.trigger("t"), world.trigger("u")]
    for number in range(2):
        worker = world.join(f"crash-{number}", offers=[task(), task("u")])
        for start in world.starts(worker):
            world.begin(worker, start)
        Stage(world, runs[0], worker).lose()
    worker = world.join(offers=[task("other")])
    world.trigger("other")
    world.join(offers=[task("other"), task(), task("u")])
    assert world.ledger._state.sessions[worker].reserved in runs
    assert [world.status(run) for run in runs] == [S.QUEUED, S.QUEUED]


def test_a_second_measurement_is_taken_into_the_mean() -> None:
    world = World()
    worker = world.join(offers=[task()])
    for _ in range(2):
        world.trigger("t")
        world.finish(worker, world.starts(worker)[0], slot_us=1000)
    assert world.ledger._state.speeds["t", "1.0.0"].mean_ms == pytest.approx(1.0)


def test_an_unreadable_report_without_a_number_ends_the_runs_it_names() -> None:
    scene = stage(S.EXECUTING)
    scene.world.internal(Unreadable("reports", "bad", b"", 0, {"session": scene.worker}, run_ids=[scene.run_id]))
    assert scene.status is S.SYSTEM_FAILURE


def test_an_outcome_kept_for_later_of_a_run_that_is_no_longer_stored_is_dropped() -> None:
    world = World()
    world.book.returned[RunId("gone")] = ReturnedReply(RunId("gone"), CLIENT, world.now, world.now)
    world.tick()
    assert (world.book.returned, world.replies) == ({}, [])


def test_when_the_worker_with_the_newest_version_leaves_the_older_one_is_the_newest() -> None:
    world = World()
    world.join(offers=[task()])
    newer = world.join("w2", offers=[task("t", "2.0.0")])
    world.report(newer, Bye())
    assert world.row(world.trigger("t")).version == "1.0.0"
