"""Rules of failing (SPEC F and B): another attempt, or the end; what a lost worker costs; when a person is needed."""

from __future__ import annotations

from longshore.core.care import Loss
from longshore.core.ledger import caching, evidence, forgetting, limiting, pausing, signaling, versioning
from longshore.core.ledger.delivering import wake
from longshore.core.ledger.ending import cascade, complete_equal, conclude
from longshore.core.ledger.placing import AHEAD, missing_version, unpin
from longshore.core.ledger.recording import announce, let_go, move, touch
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import Failure, Finished
from longshore.core.policy import (
    CRASHES_TO_BLOCK,
    CRASHES_TO_ISOLATE,
    LOSSES_TO_BLOCK,
    attempts_allowed,
    next_delay,
    retries_of,
)
from longshore.core.run import Flow, Run, Status, is_started_workflow


def fail(state: State, round_: Round, run: Run, report: Finished) -> None:
    """An attempt failed: try again after a delay, or end as FAILED."""
    offer = state.offer_of(run)
    allowed = attempts_allowed(offer, run.max_attempts)
    error = report.error
    summary = _summary(error)
    delay = next_delay(report, run.attempt, allowed, retries_of(offer, run.care), round_.chance)
    if delay is None:
        conclude(state, round_, run, Status.FAILED, f"attempt {run.attempt} of {allowed}: {summary}", error=error)
        return
    _detach(state, round_, run)
    run.due_at = round_.now + delay
    run.crashes = 0
    run.alone = False
    reason = f"attempt {run.attempt} of {allowed}: {summary}; again in {delay.total_seconds():.1f} s"
    move(round_, run, Status.RETRYING, reason, worker=run.worker_id)
    state.wake_at(run.due_at, run.id, "due")
    announce(state, round_, run, None, None)
    pausing.hold_if_asked(state, round_, run)


def next_attempt(state: State, round_: Round, run: Run, reason: str = "delay over", actor: str = "") -> None:
    """The delay of a RETRYING run is over. A workflow begins a fresh journal."""
    run.attempt += 1
    run.due_at = None
    begin_journal(state, round_, run, f"begins attempt {run.attempt}")
    requeue(state, round_, run, reason, ahead=False, actor=actor)


def begin_journal(state: State, round_: Round, run: Run, what: str, unread: set[int] | None = None) -> None:
    """A workflow begins anew, with nothing recorded but its signals (all, or the unread ones); the children of the old
    journal are canceled."""
    run.attempt_at = None
    round_.deliveries.pop(run.id, None)  # facts of the old journal, which this very round was about to send
    flow = run.flow
    if flow is not None:
        if flow.open_calls:
            cascade(state, round_, run, f"parent run {run.id} {what}", before=round_.now)
        run.flow = Flow(generation=flow.generation + 1, hung=flow.hung)
        round_.changes.begun_anew.append(run.id)
        signaling.keep(round_, run, flow, run.flow, unread)
        forgetting.journal(state, round_, run, flow.generation)


def requeue(
    state: State, round_: Round, run: Run, reason: str, *, ahead: bool, worker: str = "", actor: str = ""
) -> None:
    """Back to QUEUED, ahead of new runs or in its turn; or at once to the end, if an equal result is there."""
    move(round_, run, Status.QUEUED, reason, worker=worker, actor=actor)
    run.queued_at = round_.now
    if not run.kind:
        limiting.adopt(state, run)
    state.enqueue(run, AHEAD if ahead else caching.rank_of(run))
    if run.ttl_at is not None:
        state.wake_at(run.ttl_at, run.id, "ttl")  # it may have rung while a worker had the run
    hit = caching.lookup(round_, run) if run.cache_key else None
    if hit is not None:
        complete_equal(state, round_, run, hit.run_id, hit.version, hit.result)
    elif run.pausing:
        pausing.hold(state, round_, run, run.pausing)


def await_version(state: State, round_: Round, run: Run) -> None:
    """Nobody offers what the run asks for: it waits for a worker that does, for a bounded time."""
    run.ticket = 0
    run.due_at = versioning.deadline(state, round_, run)
    move(round_, run, Status.PENDING_VERSION, missing_version(state, run))
    state.wake_at(run.due_at, run.id, "due")
    state.pending.setdefault(run.routine, {})[run.id] = None
    caching.abdicate(state, run)


def crash(state: State, round_: Round, run: Run, session: Session, loss: Loss) -> None:
    """The worker of a run is lost (or its own child process died): the rules of SPEC B for each status it can be in."""
    status, flow, reason = run.status, run.flow, loss.reason
    waits = flow is not None and flow.processed_seq >= flow.last_seq and run.id not in session.starting
    _detach(state, round_, run)
    if status is Status.CANCELING:
        _lost_in_cleanup(state, round_, run, session, loss._replace(charge=loss.charge and not waits))
    elif status is Status.HANGING:
        (run.flow or Flow()).rest_until = None  # only workflows hang; nobody put it away, so the next fact wakes it
        put_away(state, round_, run, reason)
    elif status is Status.DISPATCHED:
        _lost_before_start(state, round_, run, reason)
    else:
        _lost_while_executing(state, round_, run, session, loss)


def put_away(state: State, round_: Round, run: Run, reason: str) -> None:
    """HANGING -> SUSPENDED; if facts are waiting for it, at once back to QUEUED."""
    flow = run.flow
    move(round_, run, Status.SUSPENDED, reason, worker=run.worker_id)
    if run.pausing:
        pausing.hold(state, round_, run, run.pausing)
        return
    if flow is not None and flow.processed_seq < flow.last_seq:
        wake(state, round_, run)
        return
    del state.runs[run.id]
    round_.put_away[run.id] = run


def _lost_before_start(state: State, round_: Round, run: Run, reason: str) -> None:
    run.losses += 1
    unpin(run)
    if run.losses >= LOSSES_TO_BLOCK:
        block(state, round_, run, f"{run.losses} workers lost before it started; last: {reason}")
        return
    requeue(state, round_, run, reason, ahead=True, worker=run.worker_id)
    caching.abdicate(state, run)


def _lost_while_executing(state: State, round_: Round, run: Run, session: Session, loss: Loss) -> None:
    reason = loss.reason
    if loss.charge:
        _charge(round_, run, session, loss)
    if loss.charge and _wants_no_second_try(state, run):
        conclude(state, round_, run, Status.CRASHED, reason, error=_starved(loss))
        return
    if run.crashes >= CRASHES_TO_BLOCK:
        text = f"{run.crashes} crashes in a row; last: {reason}"
        if loss.starved:  # what it lacks is known, and no person can look it up: it ends
            conclude(state, round_, run, Status.CRASHED, text, error=_starved(loss))
        else:
            block(state, round_, run, text)
        return
    evidence.move_on(state, run, loss)
    run.alone = run.crashes >= CRASHES_TO_ISOLATE
    requeue(state, round_, run, reason, ahead=True, worker=run.worker_id)
    caching.abdicate(state, run)


def _starved(loss: Loss) -> Failure | None:
    return Failure("builtins.MemoryError", loss.reason, loss.tail) if loss.starved else None


def _lost_in_cleanup(state: State, round_: Round, run: Run, session: Session, loss: Loss) -> None:
    """A workflow whose code had begun is placed once more, until its grace is over; nothing else has a cleanup that
    could go on elsewhere. What it answered stands, so no call of its cleanup is made twice."""
    reason, charge = loss.reason, loss.charge
    if not is_started_workflow(run):
        conclude(state, round_, run, Status.CANCELED, f"{reason} while canceling")
        return
    ordered = run.reason  # why it is canceled: its code is told that again
    if charge:
        _charge(round_, run, session, loss)
    if charge and _wants_no_second_try(state, run):
        conclude(state, round_, run, Status.CANCELED, f"{ordered}; {reason} during its cleanup")
        return
    if run.crashes >= CRASHES_TO_BLOCK:
        text = f"{ordered}; {run.crashes} workers lost in a row, its cleanup is given up; last: {reason}"
        conclude(state, round_, run, Status.CANCELED, text)
        return
    run.alone = run.crashes >= CRASHES_TO_ISOLATE
    move(round_, run, Status.CANCELING, f"{reason}; placed once more for its cleanup", worker=run.worker_id)
    run.reason = ordered
    state.enqueue(run, AHEAD)


def _charge(round_: Round, run: Run, session: Session, loss: Loss) -> None:
    run.crashes += 1
    evidence.note(round_, run, loss)
    if session.closed:  # a child process that died is no question of silence: that charge stays
        session.charged[run.id] = run.epoch


def _wants_no_second_try(state: State, run: Run) -> bool:
    offer = state.offer_of(run)
    return offer is not None and offer.on_crash == "fail"


def give_back_charge(state: State, round_: Round, session: Session) -> None:
    """A session that was taken for lost speaks again: its process lived, so the crashes charged are taken back."""
    for run_id, epoch in session.charged.items():
        run = state.runs.get(run_id)
        if run is not None and run.crashes and run.epoch <= epoch + 1:
            run.crashes -= 1
            evidence.take_back(run)
            alone, run.alone = run.alone, run.crashes >= CRASHES_TO_ISOLATE
            if run.ticket and alone != run.alone:
                state.enqueue(run, AHEAD)  # it waits among the others again
            touch(round_, run)
    session.charged = {}


def block(state: State, round_: Round, run: Run, reason: str) -> None:
    """The run needs a person. No worker holds it any more."""
    _detach(state, round_, run)
    run.pausing = ""
    move(round_, run, Status.BLOCKED, reason, worker=run.worker_id)
    caching.abdicate(state, run)
    announce(state, round_, run, None, None)


def release_run(state: State, round_: Round, run: Run, reason: str, *, interrupted: bool) -> None:
    """A worker handed the run back. With a reason it counts as a loss before starting; an interrupted one is no
    crash."""
    status = run.status
    _detach(state, round_, run)
    if status is Status.CANCELING:
        if not is_started_workflow(run):
            conclude(state, round_, run, Status.CANCELED, reason or "handed back while canceling")
        else:
            touch(round_, run)
            state.enqueue(run, AHEAD)
    elif status is Status.HANGING:
        put_away(state, round_, run, reason or "handed back")
    elif status is Status.DISPATCHED and reason:
        _lost_before_start(state, round_, run, f"handed back: {reason}")
    else:
        text = "interrupted by a drain" if interrupted else reason or "handed back"
        unpin(run)
        requeue(state, round_, run, text, ahead=True, worker=run.worker_id)
        caching.abdicate(state, run)


def _detach(state: State, round_: Round, run: Run) -> None:
    session = state.sessions.get(run.session)
    if session is not None:
        let_go(state, round_, session, run)


def _summary(error: Failure | None) -> str:
    if error is None:
        return "failed"
    text = f"{error.type.rpartition('.')[2]}: {error.message}" if error.message else error.type
    return text if len(text) <= 200 else text[:197] + "..."


def failure_of(kind: str, message: str) -> Failure:
    """A failure that Longshore itself states (no traceback)."""
    return Failure(type=f"longshore.core.errors.{kind}", message=message)
