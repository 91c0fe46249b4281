"""How runs begin, in SQL: what a rerun takes over. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from longshore.coordinator.store import rows
from longshore.coordinator.store.columns import Micros
from longshore.coordinator.store.statements import ManyKeys, ManyRows, marks_of
from longshore.core.changes import Changes, Facts, Needs

_RUN: Final = ", ".join(f"run.{name}" for name in rows.SELECTED)


def read_beginnings(connection: Connection, facts: Facts, needs: Needs) -> None:
    """The runs that are to be run again, whatever their status."""
    mark = marks_of(connection)
    if needs.originals:
        texts: dict[str, str] = {}
        wanted = ManyKeys(f"SELECT {_RUN} FROM run WHERE id IN ({{keys}})", mark)
        found = (rows.run_of(row, texts) for row in wanted.rows(connection, list(needs.originals)))
        facts.originals = {run.id: run for run in found}


class Beginning:
    """The statements of the writer."""

    def __init__(self, mark: str) -> None:
        taken = "input = source.input, input_ref = source.input_ref, tags = source.tags, metadata = source.metadata"
        taken += ", schedule = source.schedule"  # it is told the same tick, and is no run of that schedule
        head = f"UPDATE run SET {taken}, rerun_of = source.id FROM (VALUES "
        tail = ") AS v JOIN run AS source ON source.id = v.column2 WHERE run.id = v.column1"
        self._reruns = ManyRows(lambda size: head + ", ".join([f"({mark}, {mark})"] * size) + tail)

    def steps(self, changes: Changes, at: Micros) -> Iterator[tuple[Any, Sequence[Any]]]:
        """What is to be executed for these changes, in order."""
        made = changes.beginnings
        if made.reruns:
            yield self._reruns, list(made.reruns)
