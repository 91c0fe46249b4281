"""Tokens: completed once, before the wait or after it, until they expire or their run is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from longshore.core.changes import Inbound
from longshore.core.ids import Address
from longshore.core.message import Answer, ClaimCheck, Commands, CompleteToken, Deliver, Wait
from longshore.core.run import Status
from tests.core.stages import BOOM, S, Stage, stage
from tests.simulation.world import World, workflow

DAY = timedelta(days=1)
TOKEN = "0123456789abcdef"


def waiting(*, until: timedelta | None = None, upto: int | None = 0) -> Stage:
    """A workflow that has made a token, and waits."""
    scene = stage(S.EXECUTING, kind="workflow")
    start, world = scene.directive, scene.world
    due_at = None if until is None else world.now + until
    wait = Wait(Address("0:0"), "token", TOKEN, "d", due_at=due_at)
    world.report(scene.worker, Commands(start.run_id, start.epoch, world.now, upto, waits=[wait]))
    return scene


def complete(world: World, token: str = TOKEN, **more: Any) -> Answer:
    """A client's completion, and what it is answered."""
    more.setdefault("value", b"yes")
    more.setdefault("ask_id", world.run_id())
    world.command(CompleteToken(token, reply_to="client", **more))
    _, answer = world.replies[-1]
    assert isinstance(answer, Answer)
    return answer


def told(scene: Stage) -> list[tuple[str, str, Any]]:
    """The facts in the journal: kind, status, value."""
    return [(row.kind, row.status, row.result) for row in scene.world.book.delivery_log(scene.run_id)]


def test_a_token_is_completed_once_and_again_is_a_no_op_that_says_so() -> None:
    scene = waiting(until=DAY)
    world = scene.world
    assert world.row(scene.run_id).reason == f"waits for token {TOKEN}"
    assert complete(world).data == {
        "run_id": scene.run_id,
        "completed": True,
        "text": f"run {scene.run_id} is told",
    }
    (deliver,) = [one for one in world.directives(scene.worker) if isinstance(one, Deliver)]
    assert [(one.kind, one.address, one.result) for one in deliver.deliveries] == [("token", "0:0", b"yes")]
    world.restart()
    text = "nothing was done: the token was completed already, at 2026-01-01T00:00:00+00:00"
    assert complete(world, value=b"no").data == {"run_id": scene.run_id, "completed": False, "text": text}
    world.tick(DAY.total_seconds() + 1)
    assert complete(world).data["completed"] is False
    assert told(scene) == [("token", "COMPLETED", b"yes")]


def test_the_same_order_sent_again_is_told_the_same_and_nothing_is_done() -> None:
    scene = waiting()
    order = CompleteToken(TOKEN, b"yes", reply_to="client", ask_id="7")
    for _ in range(2):
        scene.world.again(order)
    first, again = (one.data for _, one in scene.world.replies[-2:] if isinstance(one, Answer))
    assert first == again
    assert first["completed"] is True
    assert len(told(scene)) == 1


def test_a_foreign_completion_that_comes_again_is_told_the_same() -> None:
    world = waiting().world
    order = CompleteToken(TOKEN, b"yes", reply_to="client", ask_id="c-1", plain=True)
    for _ in range(2):
        world.again(order)
    first, again = (one.data for _, one in world.replies[-2:] if isinstance(one, Answer))
    assert first == again and first["completed"]
    assert complete(world, ask_id="c-2", plain=True).data["completed"] is False


def test_two_completions_in_one_batch_are_one() -> None:
    scene = waiting()
    world = scene.world
    orders = [CompleteToken(TOKEN, b"x", ask_id=number, reply_to="client") for number in "12"]
    world.take(Inbound(messages=orders))
    assert [answer.data["completed"] for _, answer in world.replies[-2:]] == [True, False]  # type: ignore[union-attr]
    assert len(told(scene)) == 1


def test_a_token_completed_in_the_batch_that_brings_it_is_known() -> None:
    scene = stage(S.EXECUTING, kind="workflow")
    start, world = scene.directive, scene.world
    wait = Wait(Address("0:0"), "token", TOKEN, "d")
    number = world.numbers[scene.worker] = world.numbers[scene.worker] + 1
    world.take(
        Inbound(messages=[Commands(start.run_id, 1, world.now, 0, waits=[wait])], session=scene.worker, number=number),
        Inbound(messages=[CompleteToken(TOKEN)]),
    )
    assert told(scene) == [("token", "COMPLETED", None)]


def test_a_token_is_completed_while_its_workflow_is_put_away_for_a_month() -> None:
    scene = waiting(until=31 * DAY)
    world = scene.world
    scene.lose()
    world.restart()
    world.tick(30 * DAY.total_seconds())
    worker = world.join("w2", offers=[workflow(max_attempts=2)])
    assert scene.status is Status.SUSPENDED
    assert complete(world).data["completed"]
    assert world.starts(worker)[0].last_seq == 1
    world.restart()
    world.tick(2 * DAY.total_seconds())
    assert told(scene) == [("token", "COMPLETED", b"yes")]


def test_a_token_that_expires_is_told_as_a_timer_and_refused_from_then_on() -> None:
    scene = waiting(until=DAY)
    world = scene.world
    scene.lose()
    world.restart()
    world.tick(DAY.total_seconds())
    text = f"the token {TOKEN} of run {scene.run_id} expired at 2026-01-02T00:00:00+00:00"
    assert complete(world).error == {"rule": "expired_token", "text": text}
    assert told(scene) == [("timer", "", None)]
    assert scene.status is Status.QUEUED


def test_an_error_travels_as_its_text() -> None:
    scene = waiting()
    assert complete(scene.world, error="the bank says no").data["completed"]
    assert told(scene) == [("token", "FAILED", b"the bank says no")]


def test_completing_for_a_run_that_has_ended_or_begun_anew_is_a_no_op_that_says_so() -> None:
    scene = waiting()
    world = scene.world
    world.finish(scene.worker, scene.directive, "failed", error=BOOM)
    world.tick(1.1)
    text = f"nothing was done: run {scene.run_id} has begun anew since the token was made"
    assert complete(world).data == {"run_id": scene.run_id, "completed": False, "text": text}
    world.finish(scene.worker, world.starts(scene.worker)[0])
    text = f"nothing was done: run {scene.run_id} is COMPLETED already"
    assert complete(world).data == {"run_id": scene.run_id, "completed": False, "text": text}
    world.book.runs.clear()
    assert complete(world).data["text"] == f"nothing was done: run {scene.run_id} is gone already"


@pytest.mark.parametrize(
    ("more", "rule", "text"),
    [
        ({"token": "nonsense"}, "unknown_token", "there is no token 'nonsense'"),
        ({"error": "x" * 10_001}, "error", "the text of an error has at most 10000 characters, not 10001"),
        ({"value": ClaimCheck("/etc/passwd", 1, "0" * 64)}, "claim_check", "does not point into the payload store"),
    ],
)
def test_a_completion_that_is_wrong_is_refused(more: Any, rule: str, text: str) -> None:
    scene = waiting()
    error = complete(scene.world, **more).error
    assert error is not None
    assert error["rule"] == rule
    assert text in error["text"]
    assert told(scene) == []


def test_a_workflow_that_says_it_no_longer_waits_for_a_token_does_not_hear_that_it_expired() -> None:
    scene = waiting(until=DAY, upto=None)
    world, start = scene.world, scene.directive
    world.report(scene.worker, Commands(start.run_id, 1, world.now, 0, closed=[Address("0:0")]))
    world.tick(2 * DAY.total_seconds())
    assert told(scene) == []
