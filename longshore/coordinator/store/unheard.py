"""Hooks of runs that have ended without a worker, in SQL: which no worker has said to have run. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, Connection, Index, Table, Text

from longshore.coordinator.store.columns import Micros, moment_of
from longshore.coordinator.store.statements import ManyKeys, Step, marks_of, upsert
from longshore.coordinator.store.tables_beside import instant, metadata
from longshore.core.changes import Changes, Facts
from longshore.core.ids import RunId
from longshore.core.records import Unheard, UnheardPage

AT_ONCE: Final = 100

unheard: Final = Table(
    "unheard",
    metadata,
    Column("run_id", Text, primary_key=True),
    instant("next_at"),
    instant("until_at"),
    sqlite_with_rowid=False,
)
Index("unheard_next", unheard.c.next_at)


def read_unheard(connection: Connection, facts: Facts, now: datetime) -> set[RunId]:
    """Those that are due; gives their runs."""
    text = f"SELECT run_id, next_at, until_at FROM unheard ORDER BY next_at LIMIT {marks_of(connection)}"
    rows: Any = connection.exec_driver_sql(text, (AT_ONCE + 1,)).fetchall()
    found = [Unheard(RunId(run_id), moment_of(next_at), moment_of(until)) for run_id, next_at, until in rows]
    due = [one for one in found[:AT_ONCE] if one.next_at <= now]
    facts.unheard = UnheardPage(due, found[len(due)].next_at if len(due) < len(found) else None)
    return {one.run_id for one in due}


class UnheardRows:
    """The statements of the writer."""

    def __init__(self, mark: str) -> None:
        self._kept = upsert("unheard", ("run_id", "next_at", "until_at"), mark)
        self._done = ManyKeys("DELETE FROM unheard WHERE run_id IN ({keys})", mark)

    def steps(self, changes: Changes, at: Micros) -> Iterator[Step]:
        """What is to be written, in order."""
        yield self._kept, [(one.run_id, at[one.next_at], at[one.until]) for one in changes.unheard.values()]
        yield self._done, changes.unheard_done
