"""Hand-made runs and changes for the store's tests."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

from longshore.core.changes import Changes, HistoryRow, NewRun, Outcome
from longshore.core.ids import RunId
from longshore.core.message import Failure, Value
from longshore.core.run import Run, Status

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
_NUMBERS = count(1)


def run_id(number: int | None = None) -> RunId:
    return RunId(f"01900000-0000-7000-8000-{number or next(_NUMBERS):012d}")


def a_run(status: Status = Status.QUEUED, **more: Any) -> Run:
    more.setdefault("id", run_id())
    more.setdefault("routine", "train")
    more.setdefault("created_at", NOW)
    more.setdefault("root_id", more["id"])
    more.setdefault("history_seq", 1)
    return Run(status=status, **more)


def history_of(run: Run, seq: int, before: str, **more: Any) -> HistoryRow:
    row = HistoryRow(run.id, seq, before, run.status.value, run.reason, "", run.attempt, run.epoch, "", NOW, True)
    return row._replace(**more)


def inserting(*runs: Run, value: Value = b"in", tags: list[str] | None = None, **metadata: Any) -> Changes:
    changes = Changes()
    for run in runs:
        changes.inserted.append(NewRun(run, value, tags or [], metadata))
        changes.history.append(history_of(run, 1, ""))
    return changes


def ending(run: Run, result: Value | None = b"out", error: Failure | None = None) -> Changes:
    changes = Changes()
    changes.ended[run.id] = Outcome(run, result, error)
    return changes
