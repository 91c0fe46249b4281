"""What follows the end of a run: its parent is told, its equals complete, its children are canceled."""

from __future__ import annotations

from datetime import datetime

from longshore.core.cursors import CANCEL_CHILDREN, Cursor
from longshore.core.ids import RunId
from longshore.core.ledger import caching, hooking
from longshore.core.ledger.delivering import deliver_outcome
from longshore.core.ledger.recording import direct, end
from longshore.core.ledger.state import Round, State
from longshore.core.message import Abandon, Failure, Value
from longshore.core.run import WITH_WORKER, Run, Status


def conclude(
    state: State,
    round_: Round,
    run: Run,
    to: Status,
    reason: str,
    *,
    result: Value | None = None,
    error: Failure | None = None,
    actor: str = "",
    abandon: bool = False,
) -> None:
    """End a run and do everything that follows. `abandon`: its worker still has it and must drop it."""
    session = state.sessions.get(run.session) if abandon and run.status in WITH_WORKER else None
    if session is not None:
        direct(round_, session, Abandon(run_id=run.id, epoch=run.epoch))
    unheard = to is not Status.COMPLETED and (abandon or not run.session)
    end(state, round_, run, to, reason, result=result, error=error, actor=actor)
    if unheard:
        hooking.tell(state, round_, run)
    if run.parent_id:
        deliver_outcome(state, round_, run, result, error)
    if run.flow is not None and run.flow.open_calls:
        cascade(state, round_, run, f"parent run {run.id} ended {to}")
    if run.cache_key:
        caching.forget(state, run)
        if not run.cached:
            _tell_equals(state, round_, run, to, result)
    if run.id in state.joints.by_run:
        state.joints.ended(run.id)
    if to in (Status.FAILED, Status.CRASHED, Status.TIMED_OUT, Status.SYSTEM_FAILURE):
        round_.changes.freed_keys.append(run.id)


def _tell_equals(state: State, round_: Round, run: Run, to: Status, result: Value | None) -> None:
    """With a result the equals of a run complete too; without one the next of them goes."""
    if to is not Status.COMPLETED:
        caching.abdicate(state, run)
        return
    for other in caching.share(state, run, state.config.group):
        complete_equal(state, round_, other, run.id, run.version, result)


def complete_equal(state: State, round_: Round, run: Run, equal: RunId, version: str, result: Value | None) -> None:
    """A queued run ends with the result of an equal one."""
    run.cached = True
    run.version = run.version or version
    conclude(state, round_, run, Status.COMPLETED, f"equal result of run {equal}", result=result)


def cascade(state: State, round_: Round, run: Run, reason: str, *, before: datetime | None = None) -> None:
    """Have the children canceled, group by group, over the next ticks, but for those that are to go on without their
    parent. `before` spares those created later."""
    name = f"{run.id}/{run.epoch}/{'some' if before else 'all'}"
    round_.changes.cursors.append(Cursor(id=name, kind=CANCEL_CHILDREN, run_id=run.id, reason=reason, before=before))
    state.cursors_open = True
