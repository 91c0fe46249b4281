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
from longshore.core.message import CallRow, Fork
from longshore.core.run import Flow, Run
from tests.simulation import cuts
from tests.simulation.cuts import cut
from tests.simulation.fleet import CLIENT, Fleet, check_histories
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


class Forker:
    """Somebody who forks what a fleet executes, now and then by the same order twice."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.orders: list[Fork] = []
        fleet.outside = self.speak

    def speak(self) -> None:
        """One order, perhaps."""
        fleet, chance = self.fleet, self.fleet.random
        if chance.random() > 0.05 or len(self.orders) >= 20:
            return
        if self.orders and chance.random() < 0.3:
            fleet.commands.append(chance.choice(self.orders))
            return
        book = fleet.world.book
        run = book.runs.get(chance.choice(fleet.triggered))
        calls = [] if run is None or run.flow is None else [one for one in book.call_rows(run.id) if one.kind == "call"]
        if run is not None and run.routine == "flow" and calls:
            own = fleet.world.run_id()
            self.orders.append(
                Fork(run.id, chance.choice(calls).address, fork_id=own, reply_to=CLIENT, wants="outcome")
            )
            fleet.commands.append(self.orders[-1])

    @property
    def made(self) -> list[RunId]:
        """The forks there are."""
        return [order.fork_id for order in self.orders if order.fork_id in self.fleet.world.book.runs]


def break_while_forking(seed: int, *, event_path: bool = True) -> int:
    fleet = Fleet(seed, event_path=event_path)
    fleet.trigger("flow", 8)
    forker = Forker(fleet)
    fleet.run(steps=4000, quiet_after=240)
    check_histories(fleet)
    for run_id in forker.made:
        assert fleet.outcomes[run_id] == fleet.world.book.runs[run_id].status
    return len(forker.made)


@pytest.mark.parametrize("first", range(0, 20, PER_TEST))
def test_forks_end_whatever_breaks(first: int) -> None:
    assert (
        sum(break_while_forking(seed, event_path=seed % 5 != 0) for seed in range(first, first + PER_TEST)) > PER_TEST
    )


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
