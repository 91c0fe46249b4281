"""Rules of cancel: what has not started ends at once, what executes is told and has its grace, children follow."""

from __future__ import annotations

from typing import Final

from longshore.core.ids import RunId
from longshore.core.ledger import caching, delivering
from longshore.core.ledger.ending import cascade, conclude
from longshore.core.ledger.placing import AHEAD
from longshore.core.ledger.recording import announce, answer_order, direct, ended, move, refuse
from longshore.core.ledger.state import Round, State
from longshore.core.message import Cancel, CancelRun
from longshore.core.policy import CRASHES_TO_BLOCK
from longshore.core.run import Run, Status, is_started_workflow

ACTOR_SHOWN: Final = 256


def cancel_order(state: State, round_: Round, message: Cancel, actor: str) -> None:
    """A person or a program orders a cancel."""
    run = delivering.live(state, round_, message.run_id)
    text = message.reason or "canceled"
    actor = message.by[:ACTOR_SHOWN] or actor
    if run is None:
        final = ended(round_, message.run_id)
        if final is None:
            answer_order(round_, message, "", error=("unknown_run", f"there is no run {message.run_id}"))
            return
        refuse(state, round_, message.run_id, final.status, f"cancel refused: already {final.status}", actor)
        answer_order(
            round_, message, final.status, error=("already_final", f"run {message.run_id} is {final.status} already")
        )
        return
    if run.status is Status.CANCELING:
        refuse(state, round_, run.id, run.status.value, "cancel refused: already canceling", actor)
        answer_order(round_, message, run.status.value)
        return
    cancel(state, round_, run, text, actor)
    answer_order(round_, message, run.status.value)


def cancel(state: State, round_: Round, run: Run, reason: str, actor: str = "") -> None:
    """Cancel a run that is not final, by the table."""
    started = is_started_workflow(run)
    session = state.sessions.get(run.session) if run.session else None
    if session is None and not started:
        conclude(state, round_, run, Status.CANCELED, reason, actor=actor)
        return
    run.cancel_at = round_.now
    run.pausing = ""
    run.crashes = min(run.crashes, CRASHES_TO_BLOCK - 1)  # one that needed a person for them gets one cleanup, alone
    if run.status is Status.SUSPENDED:
        delivering.recall(state, round_, run)
    move(round_, run, Status.CANCELING, reason, actor=actor)
    state.wake_at(round_.now + state.config.cancel_grace, run.id, "grace")
    announce(state, round_, run, None, None)
    caching.forget(state, run)
    caching.abdicate(state, run)
    flow = run.flow
    if flow is None:  # no started workflow, so a worker holds it
        direct(round_, state.sessions[run.session], CancelRun(run_id=run.id, epoch=run.epoch, reason=reason))
        return
    delivering.tell_canceled(state, round_, run, flow)
    if flow.open_calls:
        cascade(state, round_, run, f"parent run {run.id} was canceled", before=round_.now)
    if session is None:
        state.enqueue(run, AHEAD)


def cancel_children(state: State, round_: Round, run_ids: list[RunId], reason: str) -> None:
    """Cancel one page of children; those that have ended or are being canceled are passed over."""
    for run_id in run_ids:
        run = delivering.live(state, round_, run_id)
        if run is not None and run.status is not Status.CANCELING:
            cancel(state, round_, run, reason, "cascade")
