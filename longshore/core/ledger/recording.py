"""Writing things down: the one way a status changes, a run ends, a reply or a directive goes out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

import msgspec

from longshore.core.changes import HistoryRow, Outcome
from longshore.core.errors import ProtocolError
from longshore.core.ids import RunId, SessionId
from longshore.core.ledger import limiting
from longshore.core.ledger.state import NO_SESSION, Round, Session, State
from longshore.core.message import Answer, Directive, Failure, Reply, RunChanged, RunOrder, Value
from longshore.core.outbox import held_term
from longshore.core.records import FinalRun, final_of
from longshore.core.run import ALLOWED, FINAL, NEW, Run, Status

Refusal = tuple[str, str]
"""(rule, text)."""

_new = tuple.__new__
"""Makes a history row without the Python call of a named tuple's own constructor (0.3 us, four times per run)."""


def begin(state: State, round_: Round, run: Run, reason: str, actor: str) -> None:
    """The first history row of a new run, which has its first status already."""
    if (NEW, run.status) not in ALLOWED:
        raise ProtocolError(f"run {run.id}: no run begins as {run.status}")
    run.history_seq = 1
    run.reason = reason
    state.runs[run.id] = run
    round_.fresh.add(run.id)
    round_.changes.history.append(
        HistoryRow(run.id, 1, NEW, run.status._value_, reason, actor, run.attempt, run.epoch, "", round_.now, True)
    )


def move(
    round_: Round, run: Run, to: Status, reason: str, *, actor: str = "", worker: str = "", at: datetime | None = None
) -> None:
    """Change a run's status by the table and record it (`_value_`, because `.value` is a Python call: 0.1 us). Raises
    ProtocolError for a change the table does not have."""
    before = run.status
    if (before, to) not in ALLOWED:
        raise ProtocolError(f"run {run.id}: {before} -> {to} is not in the table of transitions ({reason})")
    run.status = to
    run.reason = reason
    run.history_seq = seq = run.history_seq + 1
    values = (
        run.id,
        seq,
        before._value_,
        to._value_,
        reason,
        actor,
        run.attempt,
        run.epoch,
        worker,
        at or round_.now,
        True,
    )
    round_.changes.history.append(_new(HistoryRow, values))
    if run.id not in round_.fresh:
        round_.changes.updated[run.id] = run


def touch(round_: Round, run: Run) -> None:
    """The run's row changes without a change of status."""
    if run.id not in round_.fresh:
        round_.changes.updated[run.id] = run


def note(round_: Round, run: Run, reason: str, actor: str = "") -> None:
    """Record what happened to a run without a change of its status."""
    status = run.status._value_
    run.history_seq = seq = run.history_seq + 1
    row = HistoryRow(run.id, seq, status, status, reason, actor, run.attempt, run.epoch, "", round_.now, True)
    round_.changes.history.append(row)
    touch(round_, run)


def refuse(
    state: State, round_: Round, run_id: RunId, status: str, what: str, actor: str, run: Run | None = None
) -> None:
    """Record an order that the table does not allow: a history row marked invalid, nothing else changes. `run` is to be
    given of one that is put away."""
    run = run or state.runs.get(run_id)
    seq = 0
    if run is not None:
        run.history_seq = seq = run.history_seq + 1
        touch(round_, run)
    known = run or ended(round_, run_id)
    attempt, epoch = (known.attempt, known.epoch) if known else (0, 0)
    round_.changes.history.append(
        HistoryRow(run_id, seq, status, status, what, actor, attempt, epoch, "", round_.now, False)
    )
    state.count("invalid_order")


def end(
    state: State,
    round_: Round,
    run: Run,
    to: Status,
    reason: str,
    *,
    result: Value | None = None,
    error: Failure | None = None,
    actor: str = "",
) -> None:
    """Move a run to a final status, let its worker's slot go, forget it, and tell who asked for the outcome."""
    session = state.sessions.get(run.session) if run.session else None
    move(round_, run, to, reason, actor=actor, worker=session.worker_id if session else "")
    finish(state, round_, run, session, result, error)


def finish(
    state: State, round_: Round, run: Run, session: Session | None, result: Value | None, error: Failure | None
) -> None:
    """What follows any final status."""
    run.finished_at = round_.now
    changes = round_.changes
    changes.updated.pop(run.id, None)
    changes.ended[run.id] = Outcome(run, result, error)
    if session is not None:
        let_go(state, round_, session, run)
    if state.queues:
        limiting.ends(state, run)
    state.runs.pop(run.id, None)
    round_.put_away.pop(run.id, None)
    if run.reply_to or state.watchers or state.foreign:
        announce(state, round_, run, result, error)


def announce(state: State, round_: Round, run: Run, result: Value | None, error: Failure | None) -> None:
    """Send a run's status (and, if final, its outcome) to everybody who waits for it."""
    keys = state.watchers.pop(run.id, None) if run.status in FINAL else state.watchers.get(run.id)
    if run.wants_outcome and run.reply_to and run.status in FINAL:
        keys = (keys or set()) | {run.reply_to}
    foreign = state.foreign.pop(run.id, None) if run.status in FINAL else None
    if not keys and not foreign:
        return
    message = RunChanged(
        run_id=run.id,
        status=run.status._value_,
        attempt=run.attempt,
        reason=run.reason,
        at=round_.now,
        result=result,
        error=error,
        cached=run.cached,
        correlation_id=run.correlation_id,
    )
    for key in keys or ():
        reply(round_, key, message, plain=run.plain and key == run.reply_to)
    for key, correlation_id in foreign or ():
        reply(round_, key, msgspec.structs.replace(message, correlation_id=correlation_id), plain=True)


def reply(round_: Round, key: str, message: Reply, *, plain: bool = False) -> None:
    """Send a reply after the commit."""
    round_.changes.replies.setdefault(key, []).append(message)
    if plain:
        round_.changes.plain_keys.add(key)


def answer_order(round_: Round, order: RunOrder, status: str, error: tuple[str, str] | None = None) -> None:
    """Tell who gave an order about a run where the run stands now, or the rule and text by which it is refused."""
    if not order.reply_to or not (order.ask_id or order.plain):
        return
    if error is not None:
        answer = Answer(ask_id=order.ask_id, error={"rule": error[0], "text": error[1]})
    else:
        answer = Answer(ask_id=order.ask_id, data={"run_id": order.run_id, "status": status})
    reply(round_, order.reply_to, answer, plain=order.plain)


class Order(Protocol):
    """An order that wants an answer."""

    @property
    def ask_id(self) -> str: ...
    @property
    def reply_to(self) -> str: ...
    @property
    def plain(self) -> bool: ...


def answer(round_: Round, order: Order, refusal: Refusal | None, **data: Any) -> None:
    """Answer an order: with these data, or the rule and text by which it is refused."""
    if not order.reply_to:
        return
    if refusal is not None:
        said = Answer(order.ask_id, error={"rule": refusal[0], "text": refusal[1]})
    else:
        said = Answer(order.ask_id, data)
    reply(round_, order.reply_to, said, plain=order.plain)


def direct(round_: Round, session: Session, message: Directive, *, numbered: bool = True) -> None:
    """Send a directive after the commit. A session that is not open gets nothing but Welcome and Ping: what it missed
    is sent when it says Hello."""
    if numbered:
        if not session.open:
            return
        session.sent += 1
    session.spoken = True
    round_.changes.directives.setdefault(session.id, []).append(message)


def let_go(state: State, round_: Round, session: Session, run: Run) -> None:
    """The session no longer holds the run."""
    limiting.vacate(state, run)
    session.held.pop(run.id, None)
    session.digest -= held_term(run.id, run.epoch)
    session.busy.discard(run.id)
    session.long.discard(run.id)
    session.starting.discard(run.id)
    if session.reserved == run.id:
        session.reserved = RunId("")
    run.session = NO_SESSION
    round_.touched.add(session.id)


def ended(round_: Round, run_id: RunId) -> FinalRun | None:
    """What is known of a run that has ended: from the store, or in this very round."""
    final = round_.facts.final.get(run_id)
    if final is not None:
        return final
    outcome = round_.changes.ended.get(run_id)
    return None if outcome is None else final_of(outcome.run)


def outcome_of(final: FinalRun) -> RunChanged:
    """The outcome of a run that has ended, as a message. Result and error are added by the shell."""
    return RunChanged(
        run_id=final.id,
        status=final.status,
        attempt=final.attempt,
        reason=final.reason,
        at=final.finished_at,
        cached=final.cached,
        correlation_id=final.correlation_id,
    )


def owned(state: State, session_id: SessionId, run_id: RunId, epoch: int) -> Run | None:
    """The run, if this session owns it under this epoch; else None, and the report is counted as late."""
    run = state.runs.get(run_id)
    if run is not None and run.session == session_id and run.epoch == epoch:
        return run
    state.count("late_report")
    return None
