"""What time alone will bring, and what is under way: for whoever moves the clock and must miss nothing. No rules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from longshore.core.ids import RunId
from longshore.core.ledger.state import State
from longshore.core.run import Run, Status


def coming_at(state: State) -> datetime | None:
    """When the next thing is due of the runs in memory; in the past, if the next tick has it. None: nothing is."""
    found = [state.alarms[0][0]] if state.alarms else []
    if state.place_at is not None:
        found.append(state.place_at)
    patience = state.config.version_patience
    since = (lane.version_since for lane in state.lanes.all.values())
    found += [at + patience for at in since if at is not None and at + patience > state.ticked_at]
    return min(found, default=None)


def is_tidying(state: State) -> bool:
    """Whether something of many steps goes on, a step with each tick."""
    return bool(state.cursors_open or state.shelves.due or state.joints.telling)


def at_work(state: State) -> Iterator[tuple[RunId, int]]:
    """The runs that a worker is at work on, with their epochs; not those that wait for something else there."""
    for session in state.sessions.values():
        for run_id in session.held:
            run = state.runs.get(run_id)
            if run is not None and not _stands(run):
                yield run_id, run.epoch


def _stands(run: Run) -> bool:
    flow = run.flow
    return run.status is Status.HANGING and (flow is None or flow.processed_seq >= flow.last_seq)
