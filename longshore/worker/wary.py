"""Attempts whose bodies begin only when the broker has their Started: those that may take this process with them.

A body begins before its Started is on its way; one that kills its worker at once would count as never begun, again and
again. Bookkeeping of the bus's thread: it neither reports nor begins anything.
"""

from __future__ import annotations

from longshore.worker.attempt import Attempt


class Wary:
    """Attempts that wait for the word about them to arrive."""

    def __init__(self) -> None:
        self._untold: list[Attempt] = []  # their Started is among the reports not yet numbered
        # by the number of the body that ends with, or follows, their Started
        self._told: list[tuple[int, Attempt]] = []

    def hold(self, attempt: Attempt) -> None:
        """Its Started is among the reports; it waits."""
        self._untold.append(attempt)

    def numbered(self, number: int) -> None:
        """What was reported so far ends with the body of this number."""
        if self._untold:
            self._told += [(number, attempt) for attempt in self._untold]
            self._untold = []

    def arrived(self, numbers: range) -> list[Attempt]:
        """These bodies have arrived: who may begin now, in order. What is no longer wanted is forgotten."""
        if not self._told:
            return []
        free = [attempt for number, attempt in self._told if number in numbers]
        self._told = [one for one in self._told if one[0] not in numbers]
        return [attempt for attempt in free if not attempt.reported]

    def withdraw(self, attempt: Attempt) -> bool:
        """Let this one never begin; False: it does not wait."""
        waiting = len(self._told) + len(self._untold)
        self._untold = [one for one in self._untold if one is not attempt]
        self._told = [one for one in self._told if one[1] is not attempt]
        return len(self._told) + len(self._untold) < waiting

    def close(self) -> list[Attempt]:
        """Let none begin any more; those that waited."""
        left = [*(attempt for _, attempt in self._told), *self._untold]
        self._told, self._untold = [], []
        return [attempt for attempt in left if not attempt.reported]
