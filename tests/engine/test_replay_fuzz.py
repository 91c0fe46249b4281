"""Random workflows, crashed and replayed at random points: what is resumed asks for and waits for exactly the same.

The world around them is hostile within its rights: it answers in any order, fires timers that were canceled, answers
calls that were abandoned, sends signals nobody waits for, cancels the run, loses the end of a step's commands, gives
the journal in pieces.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.core.ids import Address
from longshore.core.message import Wait
from longshore.engine.steps import Completed, NewCall, NewTimer, Nondeterministic, Step
from tests.engine.book import Book
from tests.engine.scenes import workflow

SEEDS = 600
PER_TEST = 100
LIMIT = 3_000
"""Deliveries after which a workflow is certainly stuck."""


class World:
    """Whoever answers the workflow, by chance."""

    def __init__(self, book: Book, chance: random.Random) -> None:
        self.book = book
        self.chance = chance
        self.crashes = 0
        self.told = 0

    def play(self) -> Step:
        """Run the workflow to its outcome."""
        step = self.commit(self.book.execution.begin())
        while step.outcome is None:
            assert self.told < LIMIT, self.book.execution.stacks()
            step = self.act()
        return step

    def act(self) -> Step:
        """One fact, and now and then a crash behind it."""
        waiting = list(self.book.execution.waiting)
        assert waiting, self.book.execution.stacks()
        self.told += 1
        past = [
            address
            for address, asked in self.book.asked.items()
            if address not in waiting and isinstance(asked, NewCall | NewTimer)
        ]
        if past and self.chance.random() < 0.1:
            return self.tell(self.chance.choice(past))  # canceled or finished long ago
        if self.chance.random() < 0.05:
            return self.settle("signal", Address(""), self.told, status=self.chance.choice(["loud", "soft"]))
        if self.chance.random() < 0.005 and all(one.kind != "cancel" for one, _ in self.book.log):  # told once
            return self.settle("cancel", Address(""), None)
        return self.tell(self.chance.choice(waiting))

    def tell(self, address: Address) -> Step:
        asked = self.book.asked[address]
        if isinstance(asked, NewTimer):
            return self.settle("timer", address, None, max(0.0, (asked.due_at - self.book.now).total_seconds()))
        if isinstance(asked, Wait):
            return self.bring(asked)
        assert isinstance(asked, NewCall)
        value: Any = self.chance.randrange(100)
        if asked.call.routine.name == "may_fail" and self.chance.random() < 0.5:
            value = RuntimeError("by chance")
        return self.settle("outcome", address, value, self.chance.choice([0.0, 0.5, 2.0]))

    def bring(self, asked: Wait) -> Step:
        if asked.kind == "signal":
            return self.settle("signal", Address(""), self.told, status=asked.name)
        if asked.due_at is not None and self.chance.random() < 0.5:
            return self.settle("timer", asked.address, None, max(0.0, (asked.due_at - self.book.now).total_seconds()))
        return self.settle("token", asked.address, self.told, status="COMPLETED")

    def settle(self, kind: str, address: Address, value: Any, after: float = 0.0, status: str = "") -> Step:
        delivery = self.book.append(kind, address, value, after=after, status=status)
        return self.commit(self.book.execution.deliver(delivery, value))

    def commit(self, step: Step) -> Step:
        """The step reaches the ledger whole, in part or not at all; after the latter two the worker is lost."""
        fate = self.chance.random()
        if fate < 0.75 or step.outcome is not None:
            return self.book.commit(step)
        if fate < 0.85:
            self.book.commit(step)
        else:
            self.book.commit(step, rows=self.chance.randrange(len(digests(step)) + 1))
        return self.crash(step)

    def crash(self, lost: Step) -> Step:
        """Another worker resumes the run: it asks for the same, waits for the same, and ends the same."""
        self.crashes += 1
        known = set(self.book.rows)
        waiting = list(self.book.execution.waiting)
        resumed = self.book.resume(page=self.chance.randrange(1, 6))
        assert not isinstance(resumed.outcome, Nondeterministic), resumed.outcome
        assert list(self.book.execution.waiting) == waiting
        assert digests(resumed) == {
            address: digest for address, digest in digests(lost).items() if address not in known
        }
        assert self.book.execution.seq == lost.seq
        return resumed


def digests(step: Step) -> dict[Address, str]:
    """What a step asks for."""
    asked: list[NewCall | NewTimer | Wait] = [*step.waits, *step.calls, *step.timers]
    return {one.address: one.digest for one in asked}


def play(seed: int) -> World:
    """One workflow in one world; at its end the whole journal is replayed once more."""
    world = World(Book(workflow(seed), run_id=f"run-{seed}"), random.Random(seed * 7 + 1))
    outcome = world.play().outcome
    assert isinstance(outcome, Completed), outcome
    again = world.book.resume(page=1_000)
    assert isinstance(again.outcome, Completed), again.outcome
    assert again.outcome.value == outcome.value  # the trace of everything it saw
    assert not digests(again)
    return world


@pytest.mark.parametrize("first", range(0, SEEDS, PER_TEST))
def test_random_workflows_survive_crashes_at_random_points(first: int) -> None:
    worlds = [play(seed) for seed in range(first, first + PER_TEST)]
    assert sum(world.crashes for world in worlds) > PER_TEST
    assert sum(world.told for world in worlds) > 5 * PER_TEST


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=SEEDS))
def test_any_other_workflow_survives_too(seed: int) -> None:
    play(seed)
