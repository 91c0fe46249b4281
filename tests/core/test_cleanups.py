"""The end of an attempt is no answer to the facts it was told: its last pump is never held against a replay."""

from __future__ import annotations

from datetime import timedelta

from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import Cancel, Commands, Finished, Start, Timer
from tests.core.stages import BOOM, S
from tests.simulation.world import World, workflow


def failed(upto: int) -> tuple[World, SessionId, RunId]:
    """A workflow of two attempts whose first has failed in the pump of this fact."""
    world = World()
    worker = world.join(offers=[workflow(max_attempts=2, retry_first_ms=60_000)])
    run_id = world.trigger("wf")
    (start,) = world.starts(worker)
    world.begin(worker, start)
    if upto:
        timer = Timer(Address("0:0"), "d", world.now + timedelta(seconds=5))
        world.report(worker, Commands(run_id, start.epoch, world.now, upto_seq=0, timers=[timer]))
        world.tick(6)
    world.report(worker, Finished(run_id, start.epoch, "failed", world.now, error=BOOM, upto_seq=upto))
    assert world.status(run_id) is S.RETRYING
    return world, worker, run_id


def test_the_cleanup_of_a_failed_attempt_may_ask_anew_for_what_its_last_pump_asked_for() -> None:
    world, worker, run_id = failed(1)
    world.command(Cancel(run_id, "no"))
    assert world.status(run_id) is S.CANCELING
    (start,) = [one for one in world.starts(worker) if isinstance(one, Start)]
    assert (start.canceling, start.last_seq, start.processed_seq) == ("no", 2, 0)
    world.report(worker, Finished(run_id, start.epoch, "failed", world.now, error=BOOM, upto_seq=1))
    assert world.status(run_id) is S.CANCELED


def test_what_failed_in_its_very_first_pump_has_nothing_to_clean_up() -> None:
    world, worker, run_id = failed(0)
    world.command(Cancel(run_id, "no"))
    assert world.status(run_id) is S.CANCELED and world.starts(worker) == []
