"""Rules of going on: a workflow continues as its next generation, a person lets a BLOCKED run go on."""

from __future__ import annotations

from longshore.core.errors import ProtocolError
from longshore.core.ledger import delivering, failing, forgetting
from longshore.core.ledger.recording import announce, answer_order, ended, let_go, refuse
from longshore.core.ledger.starting import check_value
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import Finished, Resume
from longshore.core.run import Run, Status


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
    """A person lets a BLOCKED run go on, with its counts of crashes and losses at zero."""
    run_id = order.run_id
    run = delivering.live(state, round_, run_id)
    final = ended(round_, run_id) if run is None else None
    if run is None and final is None:
        answer_order(round_, order, "", error=("unknown_run", f"there is no run {run_id}"))
    elif run is not None and run.status is Status.BLOCKED:
        _resume(state, round_, run, order, actor)
        answer_order(round_, order, run.status.value)
    else:
        status = run.status.value if run is not None else final.status if final is not None else ""
        refuse(state, round_, run_id, status, f"resume refused: it is {status}", actor, run)
        text = f"run {run_id} is {status}; only what is BLOCKED can be resumed"
        answer_order(round_, order, status, error=("not_blocked", text))


def _resume(state: State, round_: Round, run: Run, order: Resume, actor: str) -> None:
    run.crashes = run.losses = 0
    run.alone = False
    reason = "resumed" + (f" by {order.by}" if order.by else "") + (f": {order.reason}" if order.reason else "")
    failing.requeue(state, round_, run, reason, ahead=True, actor=actor)
    announce(state, round_, run, None, None)
