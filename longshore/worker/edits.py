"""What routines' code changes of metadata and tags, until it is reported: merged as it comes, so that a loop of a
million increments is one. It sends nothing.
"""

from __future__ import annotations

import threading
from typing import Final

from longshore.core.ids import RunId
from longshore.core.message import Annotated, Edit, Edits
from longshore.core.metadata import Merged, weight

MAX_BYTES: Final = 256 * 1024
"""What one report carries, about."""


class Pending:
    """The edits of one attempt that nobody has reported yet. Any thread may add; one takes."""

    __slots__ = ("_lock", "_targets")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._targets: dict[str, Merged] = {}

    def add(self, target: str, edit: Edit) -> bool:
        """One more; whether it is the first since it was last taken."""
        with self._lock:
            first = not self._targets
            found = self._targets.get(target)
            if found is None:
                found = self._targets[target] = Merged()
            found.add(edit)
        return first

    def take(self) -> list[list[Edits]]:
        """All of them, in groups that fit one message each; empty if there is none."""
        with self._lock:
            targets, self._targets = self._targets, {}
        groups: list[list[Edits]] = []
        room = 0
        for target, found in targets.items():
            for edit in found.edits():
                size = weight([edit])
                if size > room or not groups:
                    groups.append([])
                    room = MAX_BYTES
                room -= size
                if not groups[-1] or groups[-1][-1].target != target:
                    groups[-1].append(Edits(target, []))
                groups[-1][-1].edits.append(edit)
        return groups

    def reports(self, run_id: RunId, epoch: int) -> list[Annotated]:
        """All of them as reports of their own."""
        return [Annotated(run_id, epoch, group) for group in self.take()]
