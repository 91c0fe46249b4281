"""A DELAYED run gets another time, and starts at it: never before, whatever the clock and the coordinator do."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from longshore.core.ids import RunId
from longshore.core.message import Answer, Reschedule
from longshore.core.run import Status
from tests.core.stages import S, stage
from tests.simulation.world import World, task

MONTH_MS = 30 * 24 * 3600 * 1000


def order(world: World, run_id: RunId, delay_ms: int | None = None, at: datetime | None = None) -> Answer:
    world.command(Reschedule(run_id, delay_ms, at, "ann", ask_id="ask", reply_to="client"))
    said = world.replies[-1][1]
    assert isinstance(said, Answer)
    return said


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("delay_ms", "seconds"), [(5_000, 5.0), (120_000, 120.0), (MONTH_MS, 30 * 24 * 3600.0)])
def test_it_starts_at_its_new_time_sooner_or_later_than_the_old_one(
    delay_ms: int, seconds: float, restart: bool
) -> None:
    scene = stage(S.DELAYED)
    world = scene.world
    assert order(world, scene.run_id, delay_ms).data == {"run_id": scene.run_id, "status": "DELAYED"}
    last = world.history(scene.run_id)[-1]
    assert (last.valid, last.from_status, last.to_status) == (True, "DELAYED", "DELAYED")
    assert last.reason.startswith("rescheduled by ann: delayed until 2026-01")
    if restart:
        world.restart()
    worker = world.join("w9", offers=[task()])
    world.tick(seconds - 0.001)
    assert scene.stands() is S.DELAYED, "never early, not even at its old time"
    world.tick(0.001)
    assert scene.stands() is S.DISPATCHED and world.starts(worker) + world.starts(scene.worker)


def test_an_instant_will_do_and_one_that_has_gone_is_now() -> None:
    scene = stage(S.DELAYED)
    world = scene.world
    order(world, scene.run_id, at=world.now + timedelta(days=2))
    world.tick(24 * 3600)
    assert scene.stands() is S.DELAYED
    order(world, scene.run_id, at=world.now - timedelta(days=5))
    assert scene.stands() is S.DELAYED
    world.tick()
    assert scene.stands() is S.DISPATCHED


def test_of_many_orders_in_one_batch_the_last_one_counts() -> None:
    scene = stage(S.DELAYED)
    scene.world.command(*(Reschedule(scene.run_id, delay_ms=ms) for ms in (1, 1000, 0, 9000)))
    scene.world.tick(8.999)
    assert scene.stands() is S.DELAYED
    scene.world.tick(0.001)
    assert scene.stands() is S.DISPATCHED


def test_a_clock_that_is_set_back_starts_nothing_early_and_one_set_forward_not_twice() -> None:
    scene = stage(S.DELAYED)
    world = scene.world
    world.tick(59)
    world.tick(-3600)
    assert scene.stands() is S.DELAYED
    world.tick(3600)
    assert scene.stands() is S.DELAYED
    world.tick(7200)
    assert world.path(scene.run_id) == ["DELAYED", "QUEUED", "DISPATCHED"]


def test_a_result_that_is_in_the_cache_is_not_given_before_the_time_either() -> None:
    world = World()
    worker = world.join(offers=[task(cache=True)])
    world.trigger("t", cache_key="k")
    world.finish(worker, world.starts(worker)[0])
    run_id = world.trigger("t", cache_key="k", delay_ms=1000)
    world.tick(0.999)
    assert world.status(run_id) is S.DELAYED
    world.tick(0.001)
    assert (world.path(run_id), world.row(run_id).cached) == (["DELAYED", "QUEUED", "COMPLETED"], True)


@pytest.mark.parametrize("status", [status for status in Status if status not in (S.DELAYED, S.CRASHED)])
def test_what_is_not_delayed_is_left_alone_and_the_order_recorded(status: Status) -> None:
    scene = stage(status, kind="workflow" if status in (S.HANGING, S.SUSPENDED) else "task")
    rows = len(scene.world.history(scene.run_id))
    said = order(scene.world, scene.run_id, 1000)
    text = f"run {scene.run_id} is {status}; only what is DELAYED can be rescheduled"
    assert said.error == {"rule": "not_delayed", "text": text}
    (row,) = scene.world.history(scene.run_id)[rows:]
    assert (row.valid, row.reason, scene.status) == (False, f"reschedule refused: it is {status}", status)


def test_a_time_that_cannot_be_is_refused_and_nothing_stored() -> None:
    scene = stage(S.DELAYED)
    world = scene.world
    rows = len(world.history(scene.run_id))
    far = world.now + timedelta(days=30, milliseconds=1)
    for given, rule, text in (
        ((None, None), "delay_ms", "give either delay_ms or at"),
        ((1, world.now), "delay_ms", "give either delay_ms or at"),
        ((-1, None), "delay_ms", "delay_ms is -1; it must be from 0 to 2592000000"),
        ((MONTH_MS + 1, None), "delay_ms", "it must be from 0 to 2592000000"),
        ((None, far), "at", "it must be within 30 days from now"),
        ((None, datetime(2026, 1, 1)), "at", "has no zone: write for example 2026-11-24T18:00:00Z"),  # noqa: DTZ001
    ):
        error = order(world, scene.run_id, *given).error
        assert error is not None and error["rule"] == rule and text in error["text"]
    assert len(world.history(scene.run_id)) == rows


def test_a_run_that_is_not_there_cannot_be_rescheduled() -> None:
    assert order(World(), RunId("x"), 1).error == {"rule": "unknown_run", "text": "there is no run x"}
