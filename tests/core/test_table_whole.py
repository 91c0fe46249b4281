"""The table of transitions, whole: each of its rows is reached by messages and time alone, and a row without a way to
it is one too many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from longshore.core.changes import Unreadable
from longshore.core.ids import RunId, SessionId
from longshore.core.message import Cancel, Finished, Pause, Released, Reschedule, Resume, Suspended
from longshore.core.run import ALLOWED, NEW, WAITING, WITH_WORKER, Status
from tests.core.stages import BOOM, S, Stage, hang, stage
from tests.simulation.world import World, task, workflow

Scene = tuple[World, RunId]
OFFERS = [task(max_attempts=2), workflow(max_attempts=2)]

NO_WAY_YET: Final = {(NEW, S.EXECUTING): "only the root of a local script with remote sub-routines begins so"}
"""Rows that are in the table for what no message says yet."""


def of(made: Stage) -> Scene:
    return made.world, made.run_id


def in_status(status: Status) -> Stage:
    """A run there; of a workflow where only they can be."""
    return stage(status, kind="workflow" if status in (S.HANGING, S.SUSPENDED) else "task")


def reported(status: Status, how: str) -> Callable[[], Scene]:
    """Its worker says so."""

    def scene() -> Scene:
        made = in_status(status)
        made.world.finish(made.worker, made.directive, how, error=None if how == "completed" else BOOM)
        return of(made)

    return scene


def ordered(status: Status, order: type[Cancel] | type[Pause]) -> Callable[[], Scene]:
    """A person says so."""

    def scene() -> Scene:
        made = in_status(status)
        made.world.command(order(made.run_id))
        return of(made)

    return scene


def later(status: Status, seconds: float) -> Callable[[], Scene]:
    """Time passes."""

    def scene() -> Scene:
        made = in_status(status)
        made.world.tick(seconds)
        return of(made)

    return scene


def lost(status: Status) -> Callable[[], Scene]:
    """Its worker's process dies."""

    def scene() -> Scene:
        made = in_status(status)
        made.lose()
        return of(made)

    return scene


def released(status: Status, reason: str = "") -> Callable[[], Scene]:
    def scene() -> Scene:
        made = in_status(status)
        made.world.report(made.worker, Released(made.run_id, made.directive.epoch, reason))
        return of(made)

    return scene


def joined(status: Status, *, pool: str = "default") -> Callable[[], Scene]:
    """A worker comes."""

    def scene() -> Scene:
        made = in_status(status)
        made.world.join("more", offers=[*OFFERS, task("nobody")], pool=pool)
        return of(made)

    return scene


def unreadable(status: Status) -> Callable[[], Scene]:
    """A report about it cannot be read."""

    def scene() -> Scene:
        made = in_status(status)
        number = made.world.numbers.get(made.worker, 0) + 1
        headers: dict[str, str | int] = {"session": made.worker, "number": number}
        made.world.internal(Unreadable("reports", "torn", b"", 0, headers, run_ids=[made.run_id]))
        return of(made)

    return scene


def triggered(routine: str = "t", **options: Any) -> Callable[[], Scene]:
    def scene() -> Scene:
        world = World()
        world.join(offers=OFFERS)
        return world, world.trigger(routine, **options)

    return scene


def mortal(status: Status) -> Callable[[], Scene]:
    """Its whole time is over, or its ttl where it waits."""

    def scene() -> Scene:
        world = World()
        worker = world.join(offers=OFFERS)
        kind = "wf" if status in (S.HANGING, S.SUSPENDED) else "t"
        options: dict[str, Any] = {"deadline_ms": 1000}
        if status is S.DELAYED:
            options["delay_ms"] = 60_000
        if status is S.QUEUED:
            options["pool"] = "elsewhere"
        run_id = world.trigger("nobody" if status is S.PENDING_VERSION else kind, **options)
        made = Stage(world, run_id, worker, next(iter(world.starts(worker)), None))
        if made.start is not None and status is not S.DISPATCHED:
            world.begin(worker, made.start)
        if kind == "wf":
            hang(world, worker, made.directive)
        if status is S.SUSPENDED:
            world.report(worker, Suspended(run_id, made.directive.epoch, 0))
        if status is S.CANCELING:
            made.cancel()
        if status is S.RETRYING:
            world.finish(worker, made.directive, "failed", error=BOOM, retry_after_ms=60_000)
        if status is S.BLOCKED:
            world.finish(worker, made.directive, "nondeterminism", error=BOOM)
        assert made.status is status
        world.tick(1)
        return of(made)

    return scene


def expired(routine: str = "t", **options: Any) -> Callable[[], Scene]:
    def scene() -> Scene:
        world, run_id = triggered(routine, ttl_ms=1000, **options)()
        world.tick(1)
        return world, run_id

    return scene


# ------------------------------------------------------------------------------------------ what needs more than a word


def cached() -> Scene:
    world = World()
    worker = world.join(offers=[task(cache=True)])
    world.trigger("t", cache_key="k")
    world.finish(worker, world.starts(worker)[0])
    return world, world.trigger("t", cache_key="k")


def joined_in_flight() -> Scene:
    world = World()
    worker = world.join(offers=[task(cache=True)])
    world.trigger("t", cache_key="k")
    run_id = world.trigger("t", cache_key="k")
    world.finish(worker, world.starts(worker)[0])
    return world, run_id


def rescheduled() -> Scene:
    made = stage(S.DELAYED)
    made.world.command(Reschedule(made.run_id, delay_ms=1))
    return of(made)


def unoffered() -> Scene:
    made = stage(S.QUEUED)
    made.lose()
    made.world.tick(60)
    return of(made)


def crashed() -> Scene:
    world = World()
    worker = world.join(offers=[task(on_crash="fail")])
    run_id = world.trigger("t")
    world.begin(worker, world.starts(worker)[0])
    Stage(world, run_id, worker).lose()
    return world, run_id


def resumed(status: Status, seconds: float = 0) -> Callable[[], Scene]:
    """A person pauses it, and lets it go on."""

    def scene() -> Scene:
        made = in_status(status)
        made.world.command(Pause(made.run_id))
        made.world.tick(seconds)
        made.world.command(Resume(made.run_id))
        return of(made)

    return scene


def begun_and(status: Status) -> Callable[[], Scene]:
    """A workflow whose code has begun waits there, and is canceled."""

    def scene() -> Scene:
        made = stage(S.SUSPENDED if status in (S.QUEUED, S.PENDING_VERSION) else S.HANGING, kind="workflow")
        world = made.world
        if status in (S.QUEUED, S.PENDING_VERSION):
            made.lose()
            world.tick(3600)
        if status is S.PENDING_VERSION:
            world.tick(60)
        if status is S.RETRYING:
            world.finish(made.worker, made.directive, "failed", error=BOOM)
        if status is S.BLOCKED:
            world.finish(made.worker, made.directive, "nondeterminism", error=BOOM)
        assert made.status is status
        made.cancel()
        return of(made)

    return scene


def lost_in_its_cleanup() -> Scene:
    made = stage(S.HANGING, kind="workflow")
    made.cancel()
    made.lose()
    return of(made)


def put_away_told() -> Scene:
    made = stage(S.SUSPENDED, kind="workflow")
    made.world.tick(3600)
    return of(made)


def ten_times_lost() -> Scene:
    made = stage(S.BLOCKED)
    return of(made)


SCENES: dict[tuple[str, Status], Callable[[], Scene]] = {
    (NEW, S.DELAYED): triggered(delay_ms=5),
    (NEW, S.QUEUED): triggered(),
    (NEW, S.PENDING_VERSION): triggered(routine="nobody"),
    (NEW, S.COMPLETED): cached,
    (S.DELAYED, S.QUEUED): later(S.DELAYED, 60),
    (S.DELAYED, S.DELAYED): rescheduled,
    (S.QUEUED, S.DISPATCHED): joined(S.QUEUED, pool="elsewhere"),
    (S.QUEUED, S.COMPLETED): joined_in_flight,
    (S.QUEUED, S.PENDING_VERSION): unoffered,
    (S.PENDING_VERSION, S.QUEUED): joined(S.PENDING_VERSION),
    (S.DELAYED, S.EXPIRED): expired(delay_ms=60_000),
    (S.QUEUED, S.EXPIRED): expired(pool="elsewhere"),
    (S.PENDING_VERSION, S.EXPIRED): expired(routine="nobody"),
    (S.PENDING_VERSION, S.SYSTEM_FAILURE): later(S.PENDING_VERSION, 30 * 24 * 3600),
    (S.DISPATCHED, S.EXECUTING): reported(S.DISPATCHED, "completed"),
    (S.DISPATCHED, S.QUEUED): released(S.DISPATCHED),
    (S.EXECUTING, S.HANGING): lambda: of(stage(S.HANGING, kind="workflow")),
    (S.EXECUTING, S.RETRYING): reported(S.EXECUTING, "failed"),
    (S.EXECUTING, S.QUEUED): lost(S.EXECUTING),
    (S.HANGING, S.EXECUTING): reported(S.HANGING, "completed"),
    (S.HANGING, S.SUSPENDED): lost(S.HANGING),
    (S.SUSPENDED, S.QUEUED): put_away_told,
    (S.RETRYING, S.QUEUED): later(S.RETRYING, 2),
    (S.EXECUTING, S.BLOCKED): reported(S.EXECUTING, "nondeterminism"),
    (S.DISPATCHED, S.BLOCKED): ten_times_lost,
    (S.BLOCKED, S.QUEUED): resumed(S.QUEUED),
    (S.BLOCKED, S.DELAYED): resumed(S.DELAYED),
    (S.BLOCKED, S.RETRYING): resumed(S.RETRYING),
    **{(status, S.BLOCKED): ordered(status, Pause) for status in (WAITING - {S.BLOCKED}) | {S.HANGING}},
    **{(status, S.CANCELED): ordered(status, Cancel) for status in WAITING - {S.SUSPENDED}},
    **{
        (status, S.CANCELING): ordered(status, Cancel) for status in (S.DISPATCHED, S.EXECUTING, S.HANGING, S.SUSPENDED)
    },
    **{(status, S.CANCELING): begun_and(status) for status in (S.QUEUED, S.PENDING_VERSION, S.RETRYING, S.BLOCKED)},
    (S.CANCELING, S.CANCELING): lost_in_its_cleanup,
    (S.CANCELING, S.CANCELED): reported(S.CANCELING, "completed"),
    (S.EXECUTING, S.COMPLETED): reported(S.EXECUTING, "completed"),
    (S.EXECUTING, S.FAILED): reported(S.EXECUTING, "aborted"),
    (S.EXECUTING, S.CRASHED): crashed,
    (S.EXECUTING, S.SYSTEM_FAILURE): reported(S.EXECUTING, "system_failure"),
    **{(status, S.SYSTEM_FAILURE): unreadable(status) for status in (S.DISPATCHED, S.HANGING, S.CANCELING)},
    **{(status, S.TIMED_OUT): mortal(status) for status in WAITING | WITH_WORKER},
}


def test_every_row_of_the_table_has_a_scene_and_no_scene_is_of_a_row_that_is_not_there() -> None:
    assert SCENES.keys() | NO_WAY_YET.keys() == ALLOWED.keys()
    assert not SCENES.keys() & NO_WAY_YET.keys(), "it has a way now: take it out of NO_WAY_YET"


@pytest.mark.parametrize("row", sorted(SCENES), ids=lambda row: f"{row[0] or 'new'}-{row[1]}")
def test_each_row_of_the_table_is_reached_by_messages_and_time(row: tuple[str, Status]) -> None:
    world, run_id = SCENES[row]()
    changes = [(one.from_status, one.to_status) for one in world.history(run_id) if one.valid]
    assert row in changes
    assert set(changes) <= ALLOWED.keys()
    assert [before for before, _ in changes] == [NEW, *(after for _, after in changes[:-1])], "one line without a break"


def test_the_deadline_of_an_attempt_is_the_worker_s_word() -> None:
    world, run_id = reported(S.EXECUTING, "timed_out")()
    assert (str(S.EXECUTING), str(S.TIMED_OUT)) == world.history(run_id)[-1][2:4]


def test_a_workflow_that_continues_is_queued_as_its_next_generation() -> None:
    made = stage(S.EXECUTING, kind="workflow")
    report = Finished(made.run_id, made.directive.epoch, "continued", made.world.now, result=b"next", upto_seq=0)
    made.world.ledger._state.sessions[SessionId(made.worker)].draining = True
    made.world.report(made.worker, report)
    assert made.world.path(made.run_id)[-2:] == ["EXECUTING", "QUEUED"]
