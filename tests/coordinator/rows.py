"""Hand-made runs and changes for the store's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from longshore.core.care import Care, Crash
from longshore.core.changes import (
    Changes,
    HistoryRow,
    NewRun,
    Outcome,
)
from longshore.core.ids import Address, RunId, SessionId, WorkerId
from longshore.core.message import ClaimCheck, Failure, Value
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


CHECK = ClaimCheck(key="runs/x/y", size=70_000, sha256="a" * 64)


FULL: dict[str, Any] = {
    "kind": "workflow",
    "asked_version": "1.0.0",
    "version": "1.0.0",
    "queue": "gpu",
    "pool": "big",
    "priority": 2.5,
    "epoch": 3,
    "attempt": 2,
    "crashes": 1,
    "losses": 4,
    "session": SessionId("s1"),
    "worker_id": WorkerId("host-1"),
    "queued_at": NOW,
    "due_at": NOW + timedelta(seconds=1),
    "started_at": NOW + timedelta(microseconds=1),
    "attempt_at": NOW + timedelta(seconds=2),
    "ttl_at": NOW + timedelta(days=30),
    "deadline_at": NOW + timedelta(days=1),
    "cancel_at": NOW + timedelta(hours=1),
    "reason": "waits für Öl",
    "max_attempts": 7,
    "timeout_ms": 1,
    "version_deadline_ms": 60_000,
    "care": Care(retry_first_ms=5, crashes=[Crash(NOW, "w1", 1, "gone", "Segmentation fault")]),
    "parent_id": run_id(999),
    "parent_address": Address("0/1:2"),
    "parent_generation": 1,
    "root_id": run_id(998),
    "reply_to": "client-1",
    "correlation_id": "c",
    "wants_outcome": True,
    "plain": True,
    "cache_key": "k",
    "cached": True,
    "traceparent": "00-a-b-01",
    "span": "00-a-c-01",
    "history_seq": 9,
}
