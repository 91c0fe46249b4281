"""How runs begin, in the book of the simulation: what a rerun takes over."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from longshore.core.changes import Changes, Facts, Needs
from longshore.core.ids import RunId

if TYPE_CHECKING:
    from tests.simulation.book import Book


class Begun:
    """The rows beside the runs."""

    def __init__(self) -> None:
        self.rerun_of: dict[RunId, RunId] = {}

    def read(self, book: Book, facts: Facts, needs: Needs) -> None:
        """What a round needs of them."""
        facts.originals = {one: copy.deepcopy(book.runs[one]) for one in needs.originals if one in book.runs}

    def commit(self, book: Book, changes: Changes) -> None:
        """Keep what a round changed."""
        for new_id, source in changes.beginnings.reruns:
            book.inputs[new_id], book.tags[new_id] = book.inputs[source], book.tags[source]
            self.rerun_of[new_id] = source
