"""What the runs themselves say of every queue: how many wait in it, how many execute, since when the oldest waits.

Nothing is counted before somebody asks, and then some runs at a time: with very many the shell has other things to do
in between. A run that changes meanwhile is counted once, where it stood before or after.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Final

from longshore.core.ledger import limiting, queueing
from longshore.core.ledger.state import State
from longshore.core.queues import NAMESPACE
from longshore.core.run import Run, Status

WAITS: Final = frozenset({Status.QUEUED, Status.PENDING_VERSION})


class Counts:
    """One queue's."""

    __slots__ = ("executing", "oldest_at", "queued")

    def __init__(self) -> None:
        self.queued = 0
        self.executing = 0
        self.oldest_at: datetime | None = None

    def wait(self, since: datetime) -> None:
        """One waits."""
        self.queued += 1
        if self.oldest_at is None or since < self.oldest_at:
            self.oldest_at = since

    def add(self, other: Counts) -> None:
        """All of another queue."""
        self.executing += other.executing
        if other.oldest_at is not None:
            self.wait(other.oldest_at)
            self.queued += other.queued - 1


class Counting:
    """The runs as they are in memory now, to be counted step by step."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._left = iter(list(state.runs.values()))
        self._found: dict[str, Counts] = {}

    def steps(self, most: int) -> Iterator[None]:
        """Count them, so many at each step."""
        while part := list(islice(self._left, most)):
            self._count(part)
            yield

    def _count(self, runs: list[Run]) -> None:
        found = self._found
        for run in runs:
            if run.status in WAITS:
                _of(found, run.queue).wait(run.queued_at or run.created_at)
            elif run.status in limiting.COUNTED and not limiting.has_hung(run):
                _of(found, run.queue).executing += 1

    def rows(self) -> list[dict[str, Any]]:
        """The queues that have a rule, that routines are offered with, or that runs are in, by name: their rules and
        what was counted. `*`, the namespace, is among them if it has a rule."""
        found, known = self._found, queueing.names(self._state)
        if NAMESPACE in known:
            total = Counts()
            for counts in found.values():
                total.add(counts)
            found = {**found, NAMESPACE: total}
        rows = []
        for name in sorted({*known, *found}):
            counts = found.get(name) or Counts()
            counted = {"queued": counts.queued, "executing": counts.executing, "oldest_at": counts.oldest_at}
            rows.append({**queueing.shown(self._state, name), **counted})
        return rows


def _of(found: dict[str, Counts], queue: str) -> Counts:
    counts = found.get(queue)
    if counts is None:
        counts = found[queue] = Counts()
    return counts
