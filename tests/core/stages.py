"""A run brought to each status there is, by the shortest way: where the tests of single rules begin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import Call, Cancel, ChildDied, Commands, Failure, Released, Start, Timer
from longshore.core.run import Status
from tests.simulation.world import World, task, workflow

BOOM = Failure(type="builtins.ValueError", message="boom")
S = Status


@dataclass
class Stage:
    """A world with one run in it, its worker, and the last Start it was sent (None: none)."""

    world: World
    run_id: RunId
    worker: SessionId
    start: Start | None = None

    @property
    def status(self) -> Status:
        return self.world.status(self.run_id)

    def stands(self) -> Status:
        """Where its run stands, now."""
        return self.status

    @property
    def directive(self) -> Start:
        assert self.start is not None
        return self.start

    def cancel(self) -> None:
        self.world.command(Cancel(self.run_id, "no", ask_id="ask", reply_to="client"))

    def lose(self) -> None:
        """The worker's process dies."""
        self.world.say(self.worker, ChildDied(self.worker, "signal 9"))
        self.world.settle()


def hang(world: World, worker: SessionId, start: Start, *, hours: float = 1) -> None:
    """The workflow waits for a timer."""
    timer = Timer(Address("0:0"), "d", world.now + timedelta(hours=hours))
    world.report(worker, Commands(start.run_id, start.epoch, world.now, upto_seq=0, timers=[timer]))


def ask(world: World, worker: SessionId, start: Start, *routines: str, upto: int = 0) -> list[RunId]:
    """The workflow calls routines and waits for them; the ids of the children."""
    children = [world.run_id() for _ in routines]
    calls = [
        Call(Address(f"0/{upto}:{index}"), routine, "d", b"x", child, asked_seq=upto)
        for index, (routine, child) in enumerate(zip(routines, children, strict=True))
    ]
    world.report(worker, Commands(start.run_id, start.epoch, world.now, upto_seq=upto, calls=calls))
    return children


def stage(status: Status, *, kind: str = "task") -> Stage:
    """A run of a task (or workflow) in this status."""
    world = World()
    offers = [task(max_attempts=2), workflow(max_attempts=2)]
    worker = world.join(offers=offers)
    routine = "wf" if kind == "workflow" else "t"
    if status is S.DELAYED:
        return Stage(world, world.trigger(routine, delay_ms=60_000), worker)
    if status is S.PENDING_VERSION:
        return Stage(world, world.trigger("nobody"), worker)
    if status is S.QUEUED:
        run_id = world.trigger(routine, pool="elsewhere")
        return Stage(world, run_id, worker)
    options = {"max_attempts": 1} if status is S.FAILED else {"ttl_ms": 10, "pool": "x"} if status is S.EXPIRED else {}
    run_id = world.trigger(routine, **options)
    scene = Stage(world, run_id, worker)
    if status is S.EXPIRED:
        world.tick(1)
        return scene
    (scene.start,) = world.starts(worker)
    _go_on(scene, status, kind)
    assert scene.status is status
    return scene


def _go_on(scene: Stage, status: Status, kind: str) -> None:
    world, worker, start = scene.world, scene.worker, scene.directive
    if status is S.DISPATCHED:
        return
    if status is S.BLOCKED and kind == "task":
        for _ in range(10):
            world.report(worker, Released(scene.run_id, scene.directive.epoch, "unknown routine"))
            scene.start = next(iter(world.starts(worker)), scene.start)
        return
    world.begin(worker, start)
    if status is S.CANCELING or status is S.CANCELED:
        scene.cancel()
    if kind == "workflow" and status in (S.HANGING, S.SUSPENDED):
        hang(world, worker, start)
    if status is S.SUSPENDED:
        scene.lose()
        scene.worker = world.join("w2", offers=[task(max_attempts=2), workflow(max_attempts=2)])
    ends = {
        S.BLOCKED: "nondeterminism",
        S.RETRYING: "failed",
        S.COMPLETED: "completed",
        S.FAILED: "failed",
        S.CANCELED: "canceled",
        S.TIMED_OUT: "timed_out",
        S.SYSTEM_FAILURE: "system_failure",
    }
    if how := ends.get(status):
        world.finish(worker, start, how, error=None if how == "completed" else BOOM)
