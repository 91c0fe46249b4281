"""The ledger and worker models under a bus that cuts, drops and doubles, with crashes of either side, from seeds."""

from __future__ import annotations

import pytest

from tests.simulation.fleet import Fleet, check_histories


def simulate(seed: int, *, event_path: bool = True, steps: int = 4000) -> Fleet:
    fleet = Fleet(seed, event_path=event_path)
    fleet.trigger("act", 15)
    fleet.trigger("work", 8)
    fleet.trigger("flow", 4)
    fleet.trigger("act", 3, delay_ms=5000)
    fleet.run(steps=steps, quiet_after=240)
    check_histories(fleet)
    return fleet


@pytest.mark.parametrize("seed", range(25))
def test_every_run_ends_exactly_once_whatever_breaks(seed: int) -> None:
    simulate(seed)


@pytest.mark.parametrize("seed", range(100, 105))
def test_the_reconciler_alone_brings_every_run_to_its_end(seed: int) -> None:
    simulate(seed, event_path=False)
