"""Workflows that wait for signals and tokens, in a world that breaks and says everything twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from longshore.core.errors import LongshoreError
from longshore.core.ledger import delivering, signaling
from tests.simulation.fleet import Fleet, check_histories
from tests.simulation.outside import Outside, check_waits


def simulate(seed: int, *, event_path: bool = True, steps: int = 4000) -> Outside:
    fleet = Fleet(seed, event_path=event_path)
    outside = Outside(fleet)
    outside.trigger(10)
    outside.trigger(2, delay_ms=5000)
    fleet.trigger("act", 5)
    fleet.run(steps=steps, quiet_after=240)
    check_histories(fleet)
    check_waits(outside)
    return outside


@pytest.mark.parametrize("seed", range(20))
def test_what_comes_from_outside_is_told_once_whatever_breaks(seed: int) -> None:
    outside = simulate(seed)
    assert any(row.kind == "token" for log in outside.fleet.world.book.deliveries.values() for row in log)


@pytest.mark.parametrize("seed", range(100, 103))
def test_the_reconciler_alone_tells_it_all(seed: int) -> None:
    simulate(seed, event_path=False)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10_000, 11_000))
def test_what_comes_from_outside_is_told_once_from_a_thousand_seeds(seed: int) -> None:
    simulate(seed, event_path=seed % 7 != 0)


def tell_it_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(signaling, "_is_new", lambda *_: True)


def forget_what_was_told_before_a_retry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(signaling, "keep", lambda *_: None)


def let_what_is_put_away_sleep(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delivering, "wake", lambda *_: None)


def forget_that_a_token_was_completed(patch: pytest.MonkeyPatch) -> None:
    problem = signaling._token_problem

    def never(state: Any, round_: Any, message: Any, row: Any) -> Any:
        if row is not None:
            row.completed_at = None
        return problem(state, round_, message, row)

    patch.setattr(signaling, "_token_problem", never)


@pytest.mark.parametrize(
    "mutant",
    [
        tell_it_again,
        forget_what_was_told_before_a_retry,
        let_what_is_put_away_sleep,
        forget_that_a_token_was_completed,
    ],
    ids=lambda mutant: mutant.__name__,
)
def test_the_simulation_sees_a_broken_rule(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    for seed in range(30):
        try:
            simulate(seed, steps=1500)
        except (AssertionError, LongshoreError, KeyError):
            return
    raise AssertionError("nothing was seen")
