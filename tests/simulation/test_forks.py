"""Random workflows run again from their calls: they come to the same, and nothing that is kept is done twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from longshore.core.errors import LongshoreError
from longshore.core.forks import ForkPoint
from longshore.core.ids import Address, RunId
from longshore.core.ledger import forking
from longshore.core.message import CallRow
from longshore.core.run import Flow, Run
from tests.simulation import cuts
from tests.simulation.cuts import cut
from tests.simulation.forking import Theatre

PER_TEST = 5
MOST = 8
"""Forks of one workflow at most."""


def kept_at(theatre: Theatre, run_id: RunId, address: Address) -> set[Address]:
    """The addresses that a fork there keeps."""
    book, flow = theatre.world.book, theatre.row(run_id).flow
    assert flow is not None
    key = run_id, flow.generation
    return cut(list(book.calls[key].values()), book.deliveries.get(key, []), address).kept


def check(theatre: Theatre, source: RunId, address: Address, expected: object) -> RunId | None:
    """Fork there, at any time, and see that it comes to the same without doing again what it keeps."""
    kept = kept_at(theatre, source, address)
    fork = theatre.fork(source, address)
    if fork is None:
        return None
    assert theatre.result(fork) == expected, f"forked at {address}"
    made = theatre.made(fork)
    assert not made & kept, f"executed again: {made & kept}"
    assert address in made
    return fork


def play(seed: int, most: int = MOST) -> int:
    """One workflow, then forks at its calls, and forks of those. Gives how many there were."""
    theatre, chance = Theatre(seed), random.Random(seed)
    source = theatre.begin(seed)
    expected = theatre.result(source)
    calls = theatre.calls(source)
    forks = 0
    for address in chance.sample(calls, min(most, len(calls))):
        fork = check(theatre, source, address, expected)
        forks += fork is not None
        if fork is not None and chance.random() < 0.3:
            again = check(theatre, fork, chance.choice(theatre.calls(fork)), expected)
            forks += again is not None
    return forks


def play_under_way(seed: int) -> int:
    """Forks of a workflow that goes on beside them; all of them come to the same."""
    theatre, chance = Theatre(seed), random.Random(seed)
    source = theatre.begin(seed)
    forks: list[RunId] = []
    while not theatre.row(source).finished_at:
        theatre.act()
        if theatre.row(source).flow is not None and chance.random() < 0.3 and len(forks) < MOST:
            calls = theatre.calls(source)
            fork = theatre.fork(source, chance.choice(calls)) if calls else None
            forks += [fork] if fork is not None else []
    expected = theatre.result(source)
    for fork in forks:
        assert theatre.result(fork) == expected
    return len(forks)


@pytest.mark.parametrize("first", range(0, 40, PER_TEST))
def test_a_fork_of_what_has_ended_comes_to_the_same_and_does_nothing_again_that_it_keeps(first: int) -> None:
    assert sum(play(seed) for seed in range(first, first + PER_TEST)) > PER_TEST


@pytest.mark.parametrize("first", range(100, 130, PER_TEST))
def test_a_fork_of_what_is_under_way_comes_to_the_same(first: int) -> None:
    assert sum(play_under_way(seed) for seed in range(first, first + PER_TEST)) > PER_TEST


@pytest.mark.soak
@pytest.mark.parametrize("first", range(10_000, 11_000, PER_TEST))
def test_a_fork_at_any_call_of_a_thousand_workflows_comes_to_the_same(first: int) -> None:
    for seed in range(first, first + PER_TEST):
        play(seed, most=1000)
        play_under_way(seed)


def take_the_chance_of_the_new_run(patch: pytest.MonkeyPatch) -> None:
    journal = forking._journal

    def forked(source: Run, call: CallRow, point: ForkPoint) -> Flow:
        flow = journal(source, call, point)
        flow.seed = RunId("")
        return flow

    patch.setattr(forking, "_journal", forked)


def call_every_pump_processed(patch: pytest.MonkeyPatch) -> None:
    journal = forking._journal

    def forked(source: Run, call: CallRow, point: ForkPoint) -> Flow:
        flow = journal(source, call, point)
        flow.processed_seq = call.asked_seq - 1
        return flow

    patch.setattr(forking, "_journal", forked)


def keep_what_was_canceled_and_timers_that_fired_later(patch: pytest.MonkeyPatch) -> None:
    def kept(row: Any, answer: Any, seq: int) -> bool:
        return row.kind in cuts.MARKS or answer is not None

    patch.setattr(cuts, "_is_kept", kept)


def keep_only_what_came_before(patch: pytest.MonkeyPatch) -> None:
    def kept(row: Any, answer: Any, seq: int) -> bool:
        return answer is not None and answer.seq <= seq

    patch.setattr(cuts, "_is_kept", kept)


@pytest.mark.parametrize(
    "mutant",
    [
        take_the_chance_of_the_new_run,
        call_every_pump_processed,
        keep_what_was_canceled_and_timers_that_fired_later,
        keep_only_what_came_before,
    ],
    ids=lambda mutant: mutant.__name__,
)
def test_the_simulation_sees_a_broken_fork(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    for seed in range(40):
        try:
            play(seed)
        except (AssertionError, LongshoreError, KeyError, ValueError):
            return
    raise AssertionError("nothing was seen")
