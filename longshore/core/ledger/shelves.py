"""What the ledger remembers of runs that have ended: how many there are of each routine and when the oldest ended. No
rules, and no run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from longshore.core.keeping import START, Keep, KeepRow, Shown

UNKNOWN: Final = 1
"""An end that may be anything: it is to be looked for."""


class Shelf(msgspec.Struct, gc=False):
    """The final runs of one routine that are nobody's children. `next_at` (microseconds since 1970; 0: none is left) is
    when the first of them ended that was not yet looked at; `after` is the last that was, `passed` how many of those
    were kept all the same."""

    count: int = 0
    next_at: int = 0
    after: tuple[int, int] = START
    passed: int = 0


class Shelves:
    """All of them, and how long each is kept."""

    __slots__ = ("begin_at", "due", "fresh_at", "of", "open_at", "policies")

    def __init__(self, begin_at: datetime) -> None:
        self.of: dict[str, Shelf] = {}
        self.policies: dict[str, KeepRow] = {}
        self.begin_at = begin_at  # nothing goes before: what was sent before the start may come again
        self.fresh_at = begin_at  # when what was passed over is looked at again
        self.open_at: datetime | None = None  # when an order of many steps is moved on
        self.due = False  # more is to go at once

    def load(self, shown: Iterable[Shown], policies: Iterable[KeepRow]) -> None:
        """Begin with what the store has."""
        self.of = {one.routine: Shelf(one.many, one.first) for one in shown}
        self.policies = {one.routine: one for one in policies}

    def add(self, routines: Iterable[str], at: int) -> None:
        """Runs of these routines have ended."""
        for routine, count in Counter(routines).items():
            shelf = self.of.get(routine)
            if shelf is None:
                shelf = self.of[routine] = Shelf()
            shelf.count += count
            shelf.next_at = shelf.next_at or at

    def afresh(self) -> None:
        """What was passed over is looked at again."""
        for shelf in self.of.values():
            if shelf.passed:
                shelf.after, shelf.next_at, shelf.passed = START, UNKNOWN, 0

    def keep(self, routine: str, settings: Keep) -> Keep:
        """What holds for runs of this routine."""
        own = self.policies.get(routine)
        return settings if own is None else own.over(settings)

    def has_own_count(self, routine: str) -> bool:
        """Whether the routine's author says how many are kept."""
        own = self.policies.get(routine)
        return own is not None and own.keep_count >= 0
