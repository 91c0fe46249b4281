"""Rules of going on: a workflow continues as its next generation, a person lets a BLOCKED run go on."""

from __future__ import annotations

from longshore.core.errors import ProtocolError
from longshore.core.ledger import failing, forgetting
from longshore.core.ledger.ending import conclude
from longshore.core.ledger.ordering import said_by, target
from longshore.core.ledger.recording import announce, answer_order, let_go, move, note
from longshore.core.ledger.starting import check_value
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import Finished, Resume
from longshore.core.run import Run, Status, has_started


def continued(state: State, round_: Round, session: Session, run: Run, report: Finished) -> None:
    """The workflow goes on from the beginning with a new input and nothing recorded. Raises ProtocolError for what is
    no workflow, and for an input that cannot be one."""
    flow, value = run.flow, report.result
    if flow is None:
        raise ProtocolError(f"run {run.id} of {run.routine} is a {run.kind}: only a workflow continues")
    problem = ("input", "there is none") if value is None else check_value(value)
    if problem or value is None:
        raise ProtocolError(f"run {run.id} continues with an input that cannot be: {problem}")
    let_go(state, round_, session, run)
    text = f"continues as generation {flow.generation + 1}"
    told = round_.facts.told_signals.get(run.id, ())
    unread = {seq for seq, _ in told if seq in report.unread or seq > (report.upto_seq or 0)}
    failing.begin_journal(state, round_, run, text, unread)
    run.attempt = 1
    run.crashes = run.losses = 0
    run.alone = False
    round_.changes.inputs[run.id] = value
    failing.requeue(state, round_, run, text, ahead=True, worker=session.worker_id)
    forgetting.history(state, round_, run)


def resume_order(state: State, round_: Round, order: Resume, actor: str) -> None:
    """A person lets a BLOCKED run go on, with its counts of crashes and losses at zero; or thinks better of pausing one
    that is still at work."""
    run = target(state, round_, order, actor, _hindrance, ("not_blocked", "only what is BLOCKED can be resumed"))
    if run is None:
        return
    reason = said_by("resumed", order.by, order.reason)
    if run.status is Status.BLOCKED:
        _resume(state, round_, run, reason, actor)
    else:
        run.pausing = ""
        note(round_, run, f"{reason}; it is not to be paused any more", actor)
    answer_order(round_, order, run.status.value)


def _hindrance(run: Run) -> str:
    return "" if run.status is Status.BLOCKED or run.pausing else run.status.value


def _resume(state: State, round_: Round, run: Run, reason: str, actor: str) -> None:
    """On to its queue, or back to where its time is waited for. What has had a worker goes ahead of new runs."""
    run.crashes = run.losses = 0
    run.alone = False
    run.pausing = ""
    due_at, retries = run.due_at, run.started_at is not None
    if due_at is not None and due_at > round_.now:
        move(round_, run, Status.RETRYING if retries else Status.DELAYED, reason, actor=actor)
        state.wake_at(due_at, run.id, "due")
        if run.ttl_at is not None:
            state.wake_at(run.ttl_at, run.id, "ttl")
    elif due_at is not None and retries:
        failing.next_attempt(state, round_, run, reason, actor)
    else:
        run.due_at = None
        failing.requeue(state, round_, run, reason, ahead=run.epoch > 0, actor=actor)
    if run.status is Status.QUEUED and run.ttl_at is not None and run.ttl_at <= round_.now and not has_started(run):
        conclude(state, round_, run, Status.EXPIRED, "its ttl was over before its first start")
        return
    announce(state, round_, run, None, None)
