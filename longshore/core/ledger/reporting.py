"""Rules of what workers report about runs: started, finished, released, suspended. Late reports are dropped and
counted."""

from __future__ import annotations

from datetime import datetime

from longshore.core.differences import with_recorded
from longshore.core.ids import RunId, SessionId
from longshore.core.ledger import annotating, caching, continuing, failing, limiting
from longshore.core.ledger.ending import conclude
from longshore.core.ledger.evidence import loss_of
from longshore.core.ledger.recording import move, owned
from longshore.core.ledger.state import Round, Session, Speed, State
from longshore.core.message import Failure, Finished, Released, Started, Suspended
from longshore.core.run import Run, Status


def started(state: State, round_: Round, session: Session, report: Started) -> None:
    """The body began. After a cancel it is dropped: the cancel is under way."""
    run = owned(state, session.id, report.run_id, report.epoch)
    if run is None:
        return
    if run.status is Status.DISPATCHED:
        mark_started(round_, session, run, report.at)
    elif run.status is Status.CANCELING:
        state.count("started_after_cancel")


def mark_started(round_: Round, session: Session, run: Run, at: datetime) -> None:
    """DISPATCHED -> EXECUTING. The worker's clock is believed only between the run's creation and now."""
    begun = min(max(at, run.created_at), round_.now)
    if run.started_at is None:
        run.started_at = begun
    if run.flow is None or run.attempt_at is None:
        run.attempt_at = begun
    run.losses = 0
    move(round_, run, Status.EXECUTING, "started", worker=session.worker_id, at=begun)


def finished(state: State, round_: Round, session: Session, report: Finished) -> None:
    """The body ended, one way or another. What a workflow asked for in its last pump is not kept, so that pump does not
    count as processed: a cleanup that replays it must not be told that its code has changed."""
    run = owned(state, session.id, report.run_id, report.epoch)
    if run is None:
        return
    if report.slot_us and report.how == "completed":
        _learn_speed(state, run, report.slot_us)
    if report.edits:
        annotating.take(state, round_, session, run, report.edits)
    if run.flow is None:
        session.only_free = False  # a slot has come free
    if run.status is Status.CANCELING:
        reason = run.reason or "canceled"
        if report.how == "nondeterminism":
            reason = f"{reason}; in its cleanup {_difference(round_, run, report)}"
        conclude(state, round_, run, Status.CANCELED, reason, error=report.error)
        return
    if run.status is Status.DISPATCHED:
        mark_started(round_, session, run, report.started_at or report.at)
    elif run.status is Status.HANGING:
        move(round_, run, Status.EXECUTING, "goes on", worker=session.worker_id)
    _END[report.how](state, round_, session, run, report)


def _completed(state: State, round_: Round, session: Session, run: Run, report: Finished) -> None:
    run.cache_key = run.cache_key or report.cache_key
    if run.cache_key:
        caching.store(round_, run, report.result, session.offers.get((run.routine, run.version)))
    conclude(state, round_, run, Status.COMPLETED, "returned", result=report.result)


def _failed(state: State, round_: Round, session: Session, run: Run, report: Finished) -> None:
    failing.fail(state, round_, run, report)


def _timed_out(state: State, round_: Round, session: Session, run: Run, report: Finished) -> None:
    conclude(state, round_, run, Status.TIMED_OUT, "the time of its attempt was over", error=report.error)


def _canceled(state: State, round_: Round, session: Session, run: Run, report: Finished) -> None:
    """A body that says it was canceled although nobody ordered it: a failure like another."""
    failing.fail(state, round_, run, report)


def _system_failure(state: State, round_: Round, session: Session, run: Run, report: Finished) -> None:
    reason = report.error.message if report.error else "its input could not be read"
    conclude(state, round_, run, Status.SYSTEM_FAILURE, reason, error=report.error)


def _nondeterminism(state: State, round_: Round, session: Session, run: Run, report: Finished) -> None:
    failing.block(state, round_, run, _difference(round_, run, report))


def _difference(round_: Round, run: Run, report: Finished) -> str:
    """Both sides: the worker knows what the code does, the store what the recorded call was given."""
    text = report.error.message if report.error else "its code does not match its journal"
    if report.differs is not None:
        address = report.differs.address
        row = round_.facts.calls.get(run.id, {}).get(address)
        recorded = round_.facts.arguments.get((run.id, address))
        if row is not None and recorded is not None:
            text = with_recorded(text, row.digest, recorded, report.differs.arguments)
    return f"nondeterminism: {text}"


def _crashed(state: State, round_: Round, session: Session, run: Run, report: Finished) -> None:
    failing.crash(state, round_, run, session, loss_of(report.error))


def _out_of_memory(state: State, round_: Round, session: Session, run: Run, report: Finished) -> None:
    failing.crash(state, round_, run, session, loss_of(report.error, starved=True))


_END = {
    "completed": _completed,
    "failed": _failed,
    "aborted": _failed,
    "timed_out": _timed_out,
    "canceled": _canceled,
    "system_failure": _system_failure,
    "nondeterminism": _nondeterminism,
    "crashed": _crashed,
    "out_of_memory": _out_of_memory,
    "continued": continuing.continued,
}


def released(state: State, round_: Round, session: Session, report: Released) -> None:
    """Handed back."""
    run = owned(state, session.id, report.run_id, report.epoch)
    if run is None:
        return
    if not report.reason and not report.lost and not session.draining:
        session.only_free = True
    failing.release_run(state, round_, run, report.reason, interrupted=report.lost)


def suspended(state: State, round_: Round, session: Session, report: Suspended) -> None:
    """A workflow was put away by its worker."""
    run = owned(state, session.id, report.run_id, report.epoch)
    if run is None or run.flow is None:
        return
    run.crashes = 0
    run.alone = False
    run.flow.processed_seq = max(run.flow.processed_seq, report.upto_seq)
    limiting.hangs(state, run)
    if run.status is Status.DISPATCHED:
        mark_started(round_, session, run, round_.now)
    if run.status is Status.EXECUTING:
        move(round_, run, Status.HANGING, "waits", worker=session.worker_id)
    failing.release_run(state, round_, run, "put away", interrupted=False)


def unreadable(state: State, round_: Round, session_id: SessionId, run_ids: list[RunId], reason: str) -> None:
    """A report of this session could not be read or decided: the runs it names end as SYSTEM_FAILURE."""
    for run_id in run_ids:
        run = state.runs.get(run_id)
        if run is None or run.session != session_id:
            continue
        error = Failure(type="longshore.core.errors.ProtocolError", message=reason)
        conclude(state, round_, run, Status.SYSTEM_FAILURE, f"a report about it: {reason}", error=error, abandon=True)


def _learn_speed(state: State, run: Run, slot_us: int) -> None:
    key = (run.routine, run.version)
    speed = state.speeds.get(key)
    if speed is None:
        speed = state.speeds[key] = Speed()
    speed.learn(slot_us)
