"""One span per placement, built from what the ledger decided: from the wish to run to the order to a worker."""

from __future__ import annotations

from datetime import datetime

from longshore.core.changes import Changes
from longshore.core.ids import RunId
from longshore.core.message import Start
from longshore.core.run import Run
from longshore.telemetry import semantics
from longshore.telemetry.spans import Telemetry


def record(telemetry: Telemetry, changes: Changes, now: datetime) -> None:
    """Record `place {routine}` for each Start of the batch: a child of the run's own trace, linked to the placement
    before."""
    runs: dict[RunId, Run] | None = None
    for directives in changes.directives.values():
        for start in directives:
            if type(start) is not Start or not start.traceparent:
                continue
            if runs is None:
                runs = {new.run.id: new.run for new in changes.inserted} | changes.updated
            run = runs.get(start.run_id)
            if run is not None:
                _record(telemetry, start, run, now)


def _record(telemetry: Telemetry, start: Start, run: Run, now: datetime) -> None:
    parent = run.traceparent if run.traceparent != start.traceparent else ""
    telemetry.record(
        f"place {start.routine}",
        "internal",
        start.traceparent,
        parent,
        min(run.queued_at or run.created_at, now),
        now,
        {
            semantics.RUN_ID: start.run_id,
            semantics.ROUTINE: start.routine,
            semantics.ROUTINE_VERSION: start.version,
            semantics.ATTEMPT: start.attempt,
            semantics.EPOCH: start.epoch,
            semantics.QUEUE: start.queue,
            semantics.WORKER_ID: run.worker_id,
        },
        (start.previous_span,) if start.previous_span else (),
    )
