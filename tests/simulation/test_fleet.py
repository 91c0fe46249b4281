"""The ledger and worker models under a bus that cuts, drops and doubles, with crashes of either side, from seeds."""

from __future__ import annotations

import pytest

from longshore.core.message import ChildDied, Started, Trigger
from tests.simulation.fleet import Fleet, check_histories
from tests.simulation.world import World, task


def simulate(seed: int, *, event_path: bool = True, steps: int = 4000) -> Fleet:
    fleet = Fleet(seed, event_path=event_path)
    fleet.trigger("act", 15)
    fleet.trigger("work", 8)
    fleet.trigger("flow", 4)
    fleet.trigger("act", 3, delay_ms=5000)
    fleet.trigger("act", 2, ttl_ms=3000)
    fleet.trigger("flow", 2, deadline_ms=30_000)
    fleet.trigger("loop", 3)
    fleet.run(steps=steps, quiet_after=240)
    check_histories(fleet)
    return fleet


@pytest.mark.once
@pytest.mark.parametrize("seed", range(40))
def test_every_run_ends_exactly_once_whatever_breaks(seed: int) -> None:
    simulate(seed)


@pytest.mark.parametrize("seed", range(100, 105))
def test_the_reconciler_alone_brings_every_run_to_its_end(seed: int) -> None:
    simulate(seed, event_path=False)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10_000, 13_000))
def test_every_run_ends_exactly_once_whatever_breaks_from_thousands_of_seeds(seed: int) -> None:
    simulate(seed, event_path=seed % 7 != 0)


def test_three_thousand_runs_lost_at_once_go_on_group_by_group() -> None:
    world = World()
    worker = world.join("w1", offers=[task()], slots=3000)
    for _ in range(3):
        triggers = [Trigger("t", world.run_id(), b"") for _ in range(1000)]
        world.command(*triggers)
    world.settle()
    starts = world.starts(worker)
    assert len(starts) == 3000
    world.report(worker, *[Started(start.run_id, start.epoch, world.now) for start in starts])
    other = world.join("w2", offers=[task()], slots=3000)
    world.say(worker, ChildDied(worker))
    sizes = []
    while world.ledger.next_tick_at(world.now) <= world.now:
        changes = world.tick()
        sizes.append(len(changes.updated.keys() | changes.ended.keys()))
    assert max(sizes) == 1000 and sizes[:3] == [1000, 1000, 1000]
    again = world.starts(other)
    assert {start.run_id for start in again} == {start.run_id for start in starts}
    assert {start.epoch for start in again} == {2}
