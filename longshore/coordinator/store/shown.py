"""Rows as people and programs see them: which columns are read for it, and what their fields are called (API.md).
Pure; it asks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from longshore.coordinator.store.columns import moment
from longshore.coordinator.store.hints import TEXT, call_hint, cut, short_error
from longshore.coordinator.store.tables import STANDS_SINCE, run
from longshore.core.run import FINAL, Status

LISTED: Final = (
    STANDS_SINCE,
    run.c.no, run.c.id, run.c.routine, run.c.version, run.c.asked_version, run.c.queue, run.c.concurrency_key,
    run.c.status, run.c.attempt, run.c.crashes, run.c.tags, run.c.metadata, run.c.parent_id, run.c.root_id,
    run.c.created_at, run.c.queued_at, run.c.started_at, run.c.finished_at, run.c.worker_id, run.c.cached, run.c.reason,
    run.c.rerun_of, run.c.parent_address, run.c.batch_id, run.c.schedule_id, run.c.idempotency_key, run.c.producer,
    run.c.priority, run.c.pool, run.c.due_at, run.c.ttl_at, run.c.deadline_at, run.c.max_attempts,
)  # fmt: skip
"""Never the bodies: a list of runs must not read megabytes."""
_FINAL: Final = frozenset(status.value for status in FINAL)
_WAITS_FOR: Final = {
    Status.DELAYED.value: "time",
    Status.PENDING_VERSION.value: "version",
    Status.RETRYING.value: "retry",
    Status.BLOCKED.value: "person",
    Status.DISPATCHED.value: "worker",
    Status.EXECUTING.value: "worker",
    Status.CANCELING.value: "worker",
    Status.HANGING.value: "calls",
    Status.SUSPENDED.value: "calls",
}
"""What a run of this status waits for, as far as its row alone can tell; a queued one's reason is not in it."""


def rfc3339(at: datetime | None) -> str | None:
    """The time as people and programs read it."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def run_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """A run's fields, from LISTED. `due_at`: when its delay, its pause between attempts or its wait for a version is
    over, or was; `max_attempts` is None where its routine says it."""
    return {
        "run_id": row["id"],
        "no": row["no"],
        "routine": row["routine"],
        "version": row["version"] or row["asked_version"],
        "queue": row["queue"],
        "concurrency_key": row["concurrency_key"],
        "pool": row["pool"],
        "priority": row["priority"],
        "status": row["status"],
        "attempt": row["attempt"],
        "max_attempts": row["max_attempts"] or None,
        "crashes": row["crashes"],
        "tags": _json(row["tags"], []),
        "metadata": _json(row["metadata"], {}),
        "parent_id": row["parent_id"],
        "address": row["parent_address"],
        "rerun_of": row["rerun_of"],
        "idempotency_key": row["idempotency_key"],
        "producer": row["producer"],
        "batch_id": row["batch_id"],
        "schedule_id": row["schedule_id"],
        "root_id": row["root_id"],
        "created_at": said_at(row["created_at"]),
        "due_at": said_at(row["due_at"]),
        "ttl_at": said_at(row["ttl_at"]),
        "deadline_at": said_at(row["deadline_at"]),
        "queued_at": said_at(row["queued_at"]),
        "started_at": said_at(row["started_at"]),
        "finished_at": said_at(row["finished_at"]),
        "worker_id": row["worker_id"],
        "cached": bool(row["cached"]),
        "reason": row["reason"],
        "why_waiting": None if row["status"] in _FINAL else _why(row),
    }


def _why(row: Mapping[str, Any]) -> dict[str, Any]:
    """Why a run waits, as far as its row alone can tell."""
    kind = _WAITS_FOR.get(row["status"], row["status"].lower())
    return {
        "kind": kind,
        "text": row["reason"],
        "holders": [row["worker_id"]] if kind == "worker" and row["worker_id"] else [],
        "position": None,
        "since": said_at(row["stands_since"] or row["created_at"]),
        "next_at": None,
    }


def tree_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """A run of a tree: fewer fields, and with them sizes, how it was called and how it failed in short."""
    names = (
        "run_id no parent_id address routine version status attempt crashes cached created_at queued_at started_at "
        "finished_at worker_id"
    )
    fields = run_fields(row)
    sizes = {"input_size": _size(row["input_ref"]), "result_size": _size(row["result_ref"])}
    times = {
        "queued_ms": _between(row, "created_at", "started_at"),
        "executing_ms": _between(row, "started_at", "finished_at"),
    }
    said = {
        "call": "" if row["input_ref"] else call_hint(row["short_input"]),
        "reason": cut(row["reason"], TEXT),
        "error": short_error(row["error"]),
    }
    return {**{name: fields[name] for name in names.split()}, **times, **sizes, **said}


def _between(row: Mapping[str, Any], first: str, second: str) -> float | None:
    """Milliseconds from one to the other, once both are there."""
    return (row[second] - row[first]) / 1000 if row[first] and row[second] else None


def letter_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """A dead letter without its body."""
    return {
        "id": row["no"],
        "at": said_at(row["at"]),
        "source": row["source"],
        "reason": row["reason"],
        "size": row["size"],
        "headers": _json(row["headers"], {}),
        "run_ids": _json(row["run_ids"], []),
    }


def _size(ref: str) -> int | None:
    """How large what was offloaded is."""
    return None if not ref else int(msgspec.json.decode(ref)["size"])


def tags_of(stored: str) -> list[str]:
    """The tags of a run, from their column."""
    return list(_json(stored, []))


def _json(stored: str, empty: Any) -> Any:
    return empty if not stored else msgspec.json.decode(stored)


def said_at(stored: int) -> str | None:
    """A time as it is stored, as people read it; None for none."""
    return rfc3339(moment(stored))
