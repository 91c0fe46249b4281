"""Who may start next: the slots of one worker, and the runs of each kind that wait for one.

Pure bookkeeping; time is an argument. Executors call it from their own threads, so that the next run of a kind starts
where the last one ended, without a way through another thread; one lock keeps the sums right. It never starts anything.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")

PATIENCE: Final = 2.0
"""Seconds after which a run that waits for a slot is handed back."""
FAIRNESS: Final = 0.05
"""Seconds by which another kind's oldest run must have waited longer to be given the slot instead: crossing to another
thread costs some 30 µs, so a stream of one kind keeps its slot for a while."""


class Waiting(NamedTuple, Generic[Item]):
    """A run that waits for a slot, and since when."""

    item: Item
    since: float


class Slots(Generic[Item]):
    """`total` slots shared by `kinds` of executors."""

    def __init__(self, total: int, kinds: Sequence[str]) -> None:
        self.total = total
        self._free = total
        self._stuck = 0
        self._closed = False
        self._waiting: dict[str, deque[Waiting[Item]]] = {kind: deque() for kind in kinds}
        self._lock = threading.Lock()

    @property
    def stuck(self) -> int:
        """Slots held by code that outlived its time and cannot be stopped."""
        return self._stuck

    @property
    def busy(self) -> int:
        """Slots in use, stuck ones included."""
        return self.total - self._free

    @property
    def waiting(self) -> int:
        """Runs that wait for a slot."""
        return sum(map(len, self._waiting.values()))

    def add(self, kind: str, items: Iterable[Item], now: float) -> int:
        """Let these wait, in order; how many slots are free for them."""
        with self._lock:
            self._waiting[kind].extend([Waiting(item, now) for item in items])
            return self._free

    def take(self, kind: str, limit: int) -> list[Item]:
        """Up to `limit` runs of this kind that may start now; each holds a slot from here on."""
        with self._lock:
            return self._start(kind, min(limit, self._free))

    def turn(self, kind: str, ended: int = 1) -> tuple[list[Item], list[str]]:
        """`ended` runs of this kind gave their slots back: the runs of the same kind that may start in their place,
        and the kinds to be woken, because a slot is left for them (theirs may have waited longer)."""
        with self._lock:
            self._free += ended
            own = self._waiting[kind]
            others = [other for other, line in self._waiting.items() if line and other != kind]
            limit = self._free
            if own and others:
                since = own[0].since - FAIRNESS
                limit -= any(self._waiting[other][0].since < since for other in others)
            return (self._start(kind, limit) if own else []), (others if self._free else [])

    def _start(self, kind: str, limit: int) -> list[Item]:
        if limit <= 0 or self._closed:
            return []
        line = self._waiting[kind]
        if len(line) <= limit:
            started = [waiting.item for waiting in line]
            line.clear()
        else:
            started = [line.popleft().item for _ in range(limit)]
        self._free -= len(started)
        return started

    def overdue(self, now: float) -> list[Item]:
        """Runs that have waited longer than PATIENCE; they no longer wait."""
        late: list[Item] = []
        with self._lock:
            for line in self._waiting.values():
                while line and now - line[0].since >= PATIENCE:
                    late.append(line.popleft().item)
        return late

    def withdraw(self, item: Item) -> bool:
        """Let this one no longer wait; False: it does not."""
        with self._lock:
            for line in self._waiting.values():
                for waiting in line:
                    if waiting.item is item:
                        line.remove(waiting)
                        return True
        return False

    def close(self) -> list[Item]:
        """Start nothing any more; everything that was waiting."""
        with self._lock:
            self._closed = True
            left = [waiting.item for line in self._waiting.values() for waiting in line]
            for line in self._waiting.values():
                line.clear()
        return left

    def stick(self) -> None:
        """A run that was reported over still holds its slot."""
        with self._lock:
            self._stuck += 1

    def unstick(self) -> None:
        """Such a run has ended after all; its slot comes back by `turn`."""
        with self._lock:
            self._stuck -= 1
