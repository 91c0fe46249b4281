"""Signals: kept until they are asked for, told once, refused where nobody can ever take them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.changes import Inbound
from longshore.core.ids import Address, RunId
from longshore.core.message import Answer, ClaimCheck, Commands, Deliver, Finished, Signal, Wait
from longshore.core.run import Status
from tests.core.stages import BOOM, S, Stage, stage
from tests.simulation.world import World, task, workflow

MONTH = timedelta(days=30)


def send(world: World, run_id: RunId, name: str = "approved", value: Any = b"yes", *, again: str = "") -> Answer:
    """A client's signal (with this id, or one of its own), and what it is answered."""
    signal = Signal(run_id, name, value, again or world.run_id(), ask_id="ask", reply_to="client")
    world.command(signal)
    _, answer = world.replies[-1]
    assert isinstance(answer, Answer)
    return answer


def log(world: World, run_id: RunId) -> list[tuple[int, str, Any]]:
    """The signals in the run's present journal: seq, name, value."""
    return [(row.seq, row.status, row.result) for row in world.book.delivery_log(run_id) if row.kind == "signal"]


def waiting(scene: Stage, name: str = "approved") -> None:
    """The workflow waits for a signal and hangs."""
    start, world = scene.directive, scene.world
    wait = Wait(Address("0:0"), "signal", name, "d")
    world.report(scene.worker, Commands(start.run_id, start.epoch, world.now, 0, waits=[wait]))


def test_a_signal_reaches_the_worker_that_holds_the_workflow() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    waiting(scene)
    assert scene.world.row(scene.run_id).reason == "waits for signal 'approved'"
    answer = send(scene.world, scene.run_id)
    assert answer.data == {"run_id": scene.run_id, "status": "HANGING", "name": "approved"}
    (deliver,) = [one for one in scene.world.directives(scene.worker) if isinstance(one, Deliver)]
    assert [(one.kind, one.status, one.result) for one in deliver.deliveries] == [("signal", "approved", b"yes")]


def test_a_signal_wakes_a_workflow_that_is_put_away_after_a_month_and_a_restart() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    waiting(scene)
    scene.lose()
    assert scene.status is Status.SUSPENDED
    world.restart()
    world.tick(MONTH.total_seconds())
    worker = world.join("w2", offers=[workflow(max_attempts=2)])
    assert scene.status is Status.SUSPENDED
    assert send(world, scene.run_id).data["status"] == "QUEUED"
    (start,) = world.starts(worker)
    assert (start.last_seq, start.processed_seq) == (1, 0)
    assert log(world, scene.run_id) == [(1, "approved", b"yes")]


@pytest.mark.parametrize("status", [S.DELAYED, S.PENDING_VERSION, S.QUEUED, S.DISPATCHED, S.EXECUTING, S.BLOCKED])
def test_a_signal_before_the_wait_is_kept_wherever_the_run_stands(status: Status) -> None:
    scene = stage(status, kind="workflow")
    assert send(scene.world, scene.run_id, "a", b"1").error is None
    assert send(scene.world, scene.run_id, "b", b"").error is None
    assert log(scene.world, scene.run_id) == [(1, "a", b"1"), (2, "b", None)]
    scene.world.restart()
    assert send(scene.world, scene.run_id, "c", b"3").error is None
    assert [seq for seq, _, _ in log(scene.world, scene.run_id)] == [1, 2, 3]


def test_a_signal_kept_for_what_turns_out_to_be_no_workflow_goes_nowhere() -> None:
    world = World()
    run_id = world.trigger("later")
    send(world, run_id)
    worker = world.join(offers=[task("later")])
    (start,) = world.starts(worker)
    assert start.last_seq == 0
    world.finish(worker, start)
    assert world.status(run_id) is Status.COMPLETED


def test_the_same_signal_again_when_the_run_has_ended_is_no_error_and_another_one_is() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    assert send(world, scene.run_id, again="one").error is None
    assert scene.start is not None
    world.finish(scene.worker, scene.start)
    assert world.status(scene.run_id) is Status.COMPLETED
    told = send(world, scene.run_id, again="one")
    assert told.error is None and told.data == {
        "run_id": scene.run_id, "status": "COMPLETED", "name": "approved",
    }  # fmt: skip
    assert len(log(world, scene.run_id)) == 1
    assert send(world, scene.run_id, again="two").error["rule"] == "already_final"  # type: ignore[index]


def test_the_same_signal_again_is_told_once() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    for _ in range(2):
        assert send(world, scene.run_id, again="one").error is None
    world.restart()
    assert send(world, scene.run_id, again="one").error is None
    again = Signal(scene.run_id, "approved", b"yes", "one")
    world.take(Inbound(messages=[again, again]))
    assert len(log(world, scene.run_id)) == 1
    assert world.ledger.counts["signal_again"] == 3


def test_signals_without_an_id_cannot_be_told_apart_and_nobody_is_answered_who_did_not_ask() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    said = len(scene.world.replies)
    for _ in range(2):
        scene.world.command(Signal(scene.run_id, "tick"))
    assert [name for _, name, _ in log(scene.world, scene.run_id)] == ["tick", "tick"]
    assert len(scene.world.replies) == said


def test_a_signal_of_a_foreign_program_is_answered_as_json() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    changes = scene.world.command(Signal(scene.run_id, "a", ask_id="7", reply_to="theirs", plain=True))
    assert changes.plain_keys == {"theirs"}
    assert isinstance(changes.replies["theirs"][0], Answer)


def test_signals_that_nobody_can_take_are_refused() -> None:
    scene = stage(S.COMPLETED, kind="workflow")
    world, unknown = scene.world, scene.world.run_id()
    assert send(world, unknown).error == {"rule": "unknown_run", "text": f"there is no run {unknown}"}
    text = f"run {scene.run_id} is COMPLETED already: it waits for nothing any more"
    assert send(world, scene.run_id).error == {"rule": "already_final", "text": text}
    busy = stage(S.EXECUTING)
    text = f"run {busy.run_id} of t is a task: only workflows wait for signals"
    assert send(busy.world, busy.run_id).error == {"rule": "not_a_workflow", "text": text}


@pytest.mark.parametrize(
    ("more", "rule", "text"),
    [
        ({"name": ""}, "name", "a signal's name has 1 to 200 characters, not 0"),
        ({"name": "x" * 201}, "name", "a signal's name has 1 to 200 characters, not 201"),
        ({"again": "x" * 65}, "signal_id", "a signal's id has at most 64 characters, not 65"),
        ({"value": b"x" * 262_145}, "value", "has 262145 bytes: over 262144 it must lie in the payload store"),
        ({"value": ClaimCheck("../etc", 1, "0" * 64)}, "claim_check", "does not point into the payload store"),
    ],
)
def test_a_signal_that_is_wrong_is_refused_and_nothing_is_kept(more: Any, rule: str, text: str) -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    error = send(scene.world, scene.run_id, **more).error
    assert error is not None
    assert error["rule"] == rule
    assert text in error["text"]
    assert log(scene.world, scene.run_id) == []


def test_a_retry_of_the_workflow_is_told_its_signals_again() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world = scene.world
    for name in "ab":
        send(world, scene.run_id, name)
    world.finish(scene.worker, scene.directive, "failed", error=BOOM)
    send(world, scene.run_id, "c")
    assert scene.status is Status.RETRYING
    world.tick(1.1)
    (start,) = world.starts(scene.worker)
    assert (start.generation, start.last_seq, start.processed_seq) == (1, 3, -1)
    assert [(seq, name) for seq, name, _ in log(world, scene.run_id)] == [(1, "a"), (2, "b"), (3, "c")]


def test_a_workflow_that_continues_keeps_the_signals_it_has_not_taken() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    world, start = scene.world, scene.directive
    for name in "abc":
        send(world, scene.run_id, name)
    ended = Finished(scene.run_id, start.epoch, "continued", world.now, result=b"in", upto_seq=2, unread=[2])
    late = Signal(scene.run_id, "d", b"4", "late")
    after = Signal(scene.run_id, "e", b"5", "after")
    number = world.numbers[scene.worker] = world.numbers[scene.worker] + 1
    world.take(
        Inbound(messages=[late]),
        Inbound(messages=[ended], session=scene.worker, number=number),
        Inbound(messages=[after]),
    )
    assert [(seq, name) for seq, name, _ in log(world, scene.run_id)] == [(1, "b"), (2, "c"), (3, "d"), (4, "e")]
    assert world.starts(scene.worker)[-1].last_seq == 4


# ------------------------------------------------------------------------------------------------------- how many wait


def crowd(**config: Any) -> Stage:
    """A workflow that executes and waits for `approved`, in a ledger with these bounds."""
    world = World(**config)
    worker = world.join(offers=[workflow(max_attempts=2)])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    scene = Stage(world, run_id, worker, start)
    waiting(scene)
    return scene


def refusal(answer: Answer) -> str:
    assert answer.error is not None and answer.error["rule"] == "too_many_signals", answer
    return answer.error["text"]


def test_so_many_signals_wait_for_a_run_and_no_more() -> None:
    scene = crowd(unread_signals=3)
    for number in range(3):
        assert send(scene.world, scene.run_id, "other", again=f"id-{number}").data
    text = refusal(send(scene.world, scene.run_id, "other"))
    assert text.startswith(
        f"run {scene.run_id} of wf has not taken 3 signals with 9 bytes: at most 3 with 67108864 bytes"
    )
    assert text.endswith("send 'other' again when it has, or large values through the payload store")
    assert send(scene.world, scene.run_id, "other", again="id-1").data, "that one was told, and is the same again"
    assert len(log(scene.world, scene.run_id)) == 3


def test_their_bytes_are_bounded_as_well_and_claim_checks_weigh_nothing() -> None:
    scene = crowd(unread_bytes=100)
    assert send(scene.world, scene.run_id, "other", bytes(60)).data
    refusal(send(scene.world, scene.run_id, "other", bytes(60)))
    assert send(scene.world, scene.run_id, "other", ClaimCheck("inputs/k", 1 << 30, "0" * 64)).data
    assert send(scene.world, scene.run_id, "other", bytes(40)).data


def test_what_a_full_run_waits_for_reaches_it_up_to_twice_as_many() -> None:
    scene = crowd(unread_signals=2)
    world, start = scene.world, scene.directive
    for _ in range(2):
        send(world, scene.run_id, "other")
    refusal(send(world, scene.run_id, "other"))
    assert send(world, scene.run_id, "approved").data and send(world, scene.run_id, "approved").data
    refusal(send(world, scene.run_id, "approved"))
    report = Commands(start.run_id, start.epoch, world.now, 4, closed=[Address("0:0")], taken=3, taken_bytes=9)
    world.report(scene.worker, report)
    assert send(world, scene.run_id, "approved").data
    refusal(send(world, scene.run_id, "approved"))


def test_how_many_wait_is_known_after_a_restart_when_it_is_put_away_and_in_its_next_generation() -> None:
    scene = crowd(unread_signals=3)
    world, start = scene.world, scene.directive
    for _ in range(3):
        send(world, scene.run_id, "other")
    world.restart()
    refusal(send(world, scene.run_id, "other"))
    scene.lose()
    world.tick(60)
    refusal(send(world, scene.run_id, "other"))
    worker = world.join("w2", offers=[workflow(max_attempts=2)])
    (start,) = world.starts(worker)
    world.begin(worker, start)
    report = Finished(start.run_id, start.epoch, "continued", world.now, result=b"n", upto_seq=3, unread=[2, 3])
    world.report(worker, report)
    row = world.row(scene.run_id).flow
    assert row is not None and (row.unread, row.unread_bytes) == (2, 6)
    assert send(world, scene.run_id, "other").data
    refusal(send(world, scene.run_id, "other"))
