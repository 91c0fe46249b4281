"""Random workflows in real code under the ledger, worker models and a bus that breaks. `storm.py` is the long way."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from longshore.core.errors import LongshoreError
from longshore.core.ledger import commanding, delivering, failing
from longshore.core.run import Status
from tests.simulation import storm

INGREDIENTS = {
    "calls", "a call tried again in code", "gather", "wait FIRST_COMPLETED", "as_completed", "wait_for", "timeout",
    "TaskGroup", "shield", "Semaphore and sleep", "Queue and Lock", "Event", "asynchronous generator", "equal calls",
    "a signal under a timeout: it came", "a signal under a timeout: it did not come", "signals in a gather", "token",
    "wait_until", "map", "patch, now, uuid4, random", "patch: the new way", "patch: the old way", "continue_as",
    "fails and is tried again", "a nested workflow, 1 deep", "a nested workflow, 2 deep", "a nested workflow, 3 deep",
    "nested workflows in a gather", "a nested workflow under a timeout", "a nested workflow that ended badly",
    "on_parent_end abandon", "canceled, cleans up",
}  # fmt: skip
"""What the generator is said to have: each must have been lived through, not only be there."""


def test_random_workflows_come_through_whatever_breaks_with_everything_in_them() -> None:
    total: Counter[str] = Counter()
    for seed in range(10):
        total += storm.simulate(seed, event_path=seed % 5 != 0)
    assert {what for what in INGREDIENTS if not total[f"code: {what}"]} == set()
    assert {what for what in ("outcome", "timer", "signal", "token", "cancel") if not total[f"fact: {what}"]} == set()
    assert {depth for depth in range(3) if not total[f"cancel: story, {depth} deep"]} == set()
    assert total["facts delivered to workflows"] > 2000 and total["crashes"] > 300, total
    assert total["workflows put away"] > 100 and total["journals replayed"] > 300


@pytest.mark.soak
def test_random_workflows_come_through_a_hundred_thousand_deliveries_and_twenty_thousand_crashes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["storm", "--first", "1000", "--until-crashes", "20000"])
    assert storm.main() == 0


# -------------------------------------------------------------------------------------------------------------- mutants


def tell_the_next_generation_what_the_old_one_was_to_be_told(patch: pytest.MonkeyPatch) -> None:
    begin = failing.begin_journal

    def keeping(state: Any, round_: Any, run: Any, *more: Any) -> None:
        kept = round_.deliveries.get(run.id)
        begin(state, round_, run, *more)
        if kept:
            round_.deliveries[run.id] = kept

    patch.setattr(failing, "begin_journal", keeping)


def dispatch_open_children_again(patch: pytest.MonkeyPatch) -> None:
    take = commanding._take_calls
    patch.setattr(commanding, "_take_calls", lambda *given: take(*given[:-1], ()))  # type: ignore[call-arg]


def lose_signals_to_what_is_put_away(patch: pytest.MonkeyPatch) -> None:
    deliver = delivering.deliver

    def losing(state: Any, round_: Any, run: Any, flow: Any, delivery: Any) -> None:
        if delivery.kind != "signal" or run.status is not Status.SUSPENDED:
            deliver(state, round_, run, flow, delivery)

    patch.setattr(delivering, "deliver", losing)


def let_what_rests_rest_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delivering, "wake_rested", lambda *_: None)


def fire_timers_twice(patch: pytest.MonkeyPatch) -> None:
    fire = delivering.fire_timers

    def again(state: Any, round_: Any, run: Any) -> None:
        timers = dict(run.flow.timers) if run.flow else {}
        fire(state, round_, run)
        if run.flow:
            run.flow.timers = timers

    patch.setattr(delivering, "fire_timers", again)


def hold_the_last_pump_of_an_attempt_against_its_cleanup(patch: pytest.MonkeyPatch) -> None:
    fail = failing.fail

    def processed(state: Any, round_: Any, run: Any, report: Any) -> None:
        if run.flow and report.upto_seq is not None:
            run.flow.processed_seq = max(run.flow.processed_seq, report.upto_seq)
        fail(state, round_, run, report)

    patch.setattr(failing, "fail", processed)


@pytest.mark.parametrize(
    "mutant",
    [
        tell_the_next_generation_what_the_old_one_was_to_be_told,
        dispatch_open_children_again,
        lose_signals_to_what_is_put_away,
        let_what_rests_rest_for_ever,
        fire_timers_twice,
        hold_the_last_pump_of_an_attempt_against_its_cleanup,
    ],
    ids=lambda mutant: mutant.__name__,
)
def test_the_storm_sees_a_broken_rule(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    for seed in range(60):
        try:
            storm.simulate(seed, steps=3000)
        except (AssertionError, LongshoreError, KeyError, IndexError):
            monkeypatch.undo()
            storm.simulate(seed, steps=3000)  # it was the mutant that was seen
            return
    raise AssertionError("nothing was seen")
