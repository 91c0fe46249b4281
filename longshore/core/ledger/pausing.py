"""Rules of pausing: a person holds a run, which waits BLOCKED until it is resumed (`continuing`).

What waits is held at once; what a worker executes when it next waits, fails or is handed back. A paused run's deadline
goes on; its ttl goes on too, but ends it only when it is resumed (SPEC B has no way from BLOCKED to EXPIRED).
"""

from __future__ import annotations

from typing import Final

from longshore.core.ledger import caching, delivering
from longshore.core.ledger.ordering import said_by, target
from longshore.core.ledger.recording import announce, answer_order, direct, let_go, move, note
from longshore.core.ledger.state import Round, State
from longshore.core.message import Abandon, Pause
from longshore.core.run import Run, Status

AT_WORK: Final = (Status.DISPATCHED, Status.EXECUTING)
_NEEDED: Final = "only what is neither BLOCKED, nor being canceled, nor has ended can be paused, and only once"


def pause_order(state: State, round_: Round, order: Pause, actor: str) -> None:
    """A person pauses a run."""
    run = target(state, round_, order, actor, _hindrance, ("not_pausable", _NEEDED))
    if run is None:
        return
    reason = said_by("paused", order.by, order.reason)
    if run.status in AT_WORK:
        run.pausing = reason
        note(round_, run, f"{reason} (when it next waits, fails or is handed back)", actor)
    else:
        hold(state, round_, run, reason, actor)
    answer_order(round_, order, run.status.value)


def _hindrance(run: Run) -> str:
    if run.status in (Status.BLOCKED, Status.CANCELING):
        return run.status.value
    return f"{run.status.value} and about to be paused already" if run.pausing else ""


def hold(state: State, round_: Round, run: Run, reason: str, actor: str = "") -> None:
    """A run that waits is BLOCKED. A workflow is taken from its worker; facts wait for it in its journal."""
    run.pausing = ""
    if run.status is Status.SUSPENDED:
        delivering.recall(state, round_, run)
    if run.status is Status.PENDING_VERSION:
        run.due_at = None
        state.pending.get(run.routine, {}).pop(run.id, None)
    session = state.sessions.get(run.session) if run.session else None
    if session is not None:
        round_.deliveries.pop(run.id, None)
        direct(round_, session, Abandon(run_id=run.id, epoch=run.epoch))
        let_go(state, round_, session, run)
    run.ticket = 0
    move(round_, run, Status.BLOCKED, reason, actor=actor, worker=session.worker_id if session else "")
    if run.cache_key:
        caching.forget(state, run)
        caching.abdicate(state, run)
    announce(state, round_, run, None, None)


def hold_if_asked(state: State, round_: Round, run: Run) -> None:
    """A run that was to be paused waits now, and is held."""
    if run.pausing:
        hold(state, round_, run, run.pausing)
