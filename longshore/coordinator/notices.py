"""What an operator wants to read in the log: runs that ended badly or need a person, and what nobody could read.

Each line carries its run and trace. It decides nothing, and a flood of one batch becomes a number.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from longshore.core.changes import Changes
from longshore.core.run import Run, Status

LINES: Final = 20
"""So many lines of one kind in one batch; the rest is counted."""
_BAD: Final = frozenset({Status.FAILED, Status.CRASHED, Status.TIMED_OUT, Status.SYSTEM_FAILURE})

_log = logging.getLogger("longshore.coordinator")


def tell(changes: Changes) -> None:
    """Log what stands out in a batch that is committed."""
    if changes.ended or changes.updated:
        _tell_runs([*_bad(changes)])
    for letter in changes.dead[:LINES]:
        _log.warning("dead letter of %d bytes from %s: %s", letter.size, letter.source, letter.reason)
    if len(changes.dead) > LINES:
        _log.warning("... and %d more dead letters", len(changes.dead) - LINES)


def _bad(changes: Changes) -> Iterator[Run]:
    for outcome in changes.ended.values():
        if outcome.run.status in _BAD:
            yield outcome.run
    if changes.history:
        blocked = {row.run_id for row in changes.history if row.to_status == Status.BLOCKED._value_}
        for run_id in blocked:
            run = changes.updated.get(run_id)
            if run is not None and run.status is Status.BLOCKED:
                yield run


def _tell_runs(runs: list[Run]) -> None:
    for run in runs[:LINES]:
        name = f"{run.routine}@{run.version}" if run.version else run.routine
        parent = run.span or run.traceparent
        about = {"run_id": run.id, "routine": name, "trace_id": parent[3:35], "span_id": parent[36:52]}
        _log.warning("%s %s %s: %s", name, run.id, run.status, run.reason, extra=about)
    if len(runs) > LINES:
        _log.warning("... and %d more runs that ended badly or are BLOCKED", len(runs) - LINES)
