"""When the time of attempts is over. Pure: time is an argument, and it ends nothing itself."""

from __future__ import annotations

import heapq
from itertools import count

from longshore.worker.attempt import Attempt


class Deadlines:
    """A heap of instants. Attempts that ended meanwhile stay until their instant comes; the caller looks."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Attempt]] = []
        self._tie = count()

    def add(self, at: float, attempt: Attempt) -> None:
        """Name this attempt when `at` has come."""
        heapq.heappush(self._heap, (at, next(self._tie), attempt))

    def due(self, now: float) -> list[Attempt]:
        """Attempts whose instant has come."""
        over: list[Attempt] = []
        while self._heap and self._heap[0][0] <= now:
            over.append(heapq.heappop(self._heap)[2])
        return over
