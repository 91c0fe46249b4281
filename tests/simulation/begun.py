"""How runs begin, in the book of the simulation: reruns, idempotency and debounce keys, shared runs."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import TYPE_CHECKING

from longshore.core.beginnings import Debounced, Joint, JointKey
from longshore.core.changes import Changes, Facts, Needs
from longshore.core.cursors import Cursor
from longshore.core.ids import RunId
from longshore.core.run import FINAL

if TYPE_CHECKING:
    from tests.simulation.book import Book


class Begun:
    """The rows beside the runs."""

    def __init__(self) -> None:
        self.rerun_of: dict[RunId, RunId] = {}
        self.keys: dict[str, tuple[RunId, datetime]] = {}
        self.key_of: dict[RunId, str] = {}
        self.producer_of: dict[RunId, str] = {}
        self.debounced: dict[str, Debounced] = {}
        self.joints: dict[JointKey, Joint] = {}
        self.told: set[JointKey] = set()

    def untold(self) -> list[Joint]:
        """The calls that wait for shared runs."""
        return [joint for key, joint in self.joints.items() if key not in self.told]

    def read(self, book: Book, facts: Facts, needs: Needs, now: datetime) -> None:
        """What a round needs of them."""
        facts.originals = {one: copy.deepcopy(book.runs[one]) for one in needs.originals if one in book.runs}
        found = {key: self.keys[key] for key in needs.idempotency_keys if key in self.keys}
        facts.idempotency = {key: run_id for key, (run_id, expires) in found.items() if expires > now}
        facts.debounced = {key: self.debounced[key] for key in needs.debounce_keys if key in self.debounced}
        book.read_runs(facts, [*facts.idempotency.values(), *(one.run_id for one in facts.debounced.values())])

    def old(self, book: Book, cursor: Cursor) -> int:
        """How many rows mean nothing any more."""
        before = cursor.before
        assert before is not None
        return max(
            sum(expires < before for _, expires in self.keys.values()),
            sum(one.kept_until < before for one in self.debounced.values()),
            sum(self.is_over(book, one) for one in self.joints),
        )

    def is_over(self, book: Book, joint: JointKey) -> bool:
        """Whether nobody reads what this call was answered with."""
        caller = book.runs.get(joint[0])
        if caller is None or caller.status in FINAL:
            return True
        is_forked = joint[0] in book.forked_from.values()
        return caller.flow is not None and joint[1] < caller.flow.generation and not is_forked

    def commit(self, book: Book, changes: Changes) -> None:
        """Keep what a round changed."""
        made = changes.beginnings
        for new_id, source in made.reruns:
            book.inputs[new_id], book.tags[new_id] = book.inputs[source], book.tags[source]
            book.metadata[new_id] = copy.deepcopy(book.metadata[source])
            self.rerun_of[new_id] = source
        self.key_of.update({run_id: key for run_id, key, _ in made.keyed})
        self.producer_of.update({run_id: producer for run_id, _, producer in made.keyed})
        for run_id, one in made.renewed.items():
            book.inputs[run_id], book.tags[run_id] = one.input, list(one.tags)
            book.metadata[run_id] = dict(one.metadata)
        self.debounced.update(made.debounced)
        self.joints.update(made.joints)
        self.told.update(made.joints_told)
        for key in made.keys_reset:
            self.keys.pop(key, None)
        for key, run_id, expires in changes.idempotency:
            self.keys[key] = (run_id, expires)
        for freed in changes.freed_keys:
            self.keys = {key: held for key, held in self.keys.items() if held[0] != freed}
        if made.keys_forgotten is not None:
            self._forget(book, *made.keys_forgotten)

    def _forget(self, book: Book, before: datetime, limit: int) -> None:
        for key in [key for key, (_, expires) in self.keys.items() if expires < before][:limit]:
            del self.keys[key]
        for name in [name for name, one in self.debounced.items() if one.kept_until < before][:limit]:
            del self.debounced[name]
        for joint in [one for one in self.joints if self.is_over(book, one)][:limit]:
            del self.joints[joint]
