"""Rules of time: what is due, what was forgotten, what is done group by group. The reconciler alone repairs any
state."""

from __future__ import annotations

import heapq
from datetime import datetime, timedelta
from typing import Final

from longshore.core.ids import RunId
from longshore.core.ledger import canceling, delivering, failing, placing, sessions
from longshore.core.ledger.ending import conclude
from longshore.core.ledger.recording import move, outcome_of, reply
from longshore.core.ledger.state import Round, Session, State
from longshore.core.run import Run, Status

SECOND: Final = timedelta(seconds=1)
FORGET_AFTER: Final = timedelta(minutes=10)


def tick(state: State, round_: Round) -> None:
    """Everything that time alone brings about."""
    _ring(state, round_)
    _suspended_due(state, round_)
    _let_pending_go(state, round_)
    sessions.take_back(state, round_, state.config.group)
    _move_cursors(state, round_)
    _try_replies(state, round_)
    _redeliver(state, round_)
    _judge_heads(state, round_)
    _forget_sessions(state, round_)
    _free_reservations(state)
    sessions.ping_quiet(state, round_)


def next_at(state: State, now: datetime) -> datetime:
    """When the next tick is wanted, never later than a second from now."""
    if state.releasing or state.orphaned or state.to_resend:
        return now
    soonest = now + (state.config.ping_every if _anything_held(state) else SECOND)
    if state.alarms and state.alarms[0][0] < soonest:
        return max(now, state.alarms[0][0])
    return soonest


def _anything_held(state: State) -> bool:
    return any(session.held for session in state.sessions.values())


def _ring(state: State, round_: Round) -> None:
    """Take up to a group of alarms that are due. Each is checked against the run as it stands."""
    alarms = state.alarms
    for _ in range(state.config.group):
        if not alarms or alarms[0][0] > round_.now:
            return
        _, _, run_id, kind = heapq.heappop(alarms)
        run = state.runs.get(run_id)
        if run is not None:
            RINGS[kind](state, round_, run)


def _ring_due(state: State, round_: Round, run: Run) -> None:
    if run.due_at is None or run.due_at > round_.now:
        return
    if run.status is Status.RETRYING:
        failing.next_attempt(state, round_, run)
    elif run.status is Status.DELAYED:
        run.due_at = None
        failing.requeue(state, round_, run, "due", ahead=False)


def _ring_ttl(state: State, round_: Round, run: Run) -> None:
    waiting = run.status in (Status.DELAYED, Status.QUEUED, Status.PENDING_VERSION)
    if waiting and run.started_at is None and run.ttl_at is not None and run.ttl_at <= round_.now:
        conclude(state, round_, run, Status.EXPIRED, "its ttl was over before its first start")


def _ring_deadline(state: State, round_: Round, run: Run) -> None:
    if run.deadline_at is not None and run.deadline_at <= round_.now:
        error = failing.failure_of("RunTimedOut", "the deadline of the whole run was over")
        conclude(state, round_, run, Status.TIMED_OUT, error.message, error=error, abandon=True)


def _ring_timer(state: State, round_: Round, run: Run) -> None:
    delivering.fire_timers(state, round_, run)


def _ring_grace(state: State, round_: Round, run: Run) -> None:
    over = run.cancel_at is not None and run.cancel_at + state.config.cancel_grace <= round_.now
    if run.status is Status.CANCELING and over:
        conclude(state, round_, run, Status.CANCELED, f"{run.reason}; its cleanup outlived the grace", abandon=True)


RINGS: Final = {
    "due": _ring_due,
    "ttl": _ring_ttl,
    "deadline": _ring_deadline,
    "timer": _ring_timer,
    "grace": _ring_grace,
}


def _suspended_due(state: State, round_: Round) -> None:
    for run_id in round_.facts.suspended_due:
        run = delivering.live(state, round_, run_id)
        if run is None:
            continue
        _ring_deadline(state, round_, run)
        if run.status is Status.SUSPENDED:
            delivering.fire_timers(state, round_, run)


def _let_pending_go(state: State, round_: Round) -> None:
    """PENDING_VERSION runs whose version is offered now go to their queue, a group per tick."""
    left = state.config.group
    for routine in list(state.releasing):
        pending = state.pending.get(routine, {})
        for run_id in list(pending):
            run = state.runs.get(run_id)
            if run is None or run.status is not Status.PENDING_VERSION:
                del pending[run_id]
            elif state.is_offered(run):
                if left == 0:
                    return
                left -= 1
                del pending[run_id]
                failing.requeue(state, round_, run, "a worker offers it", ahead=False)
        state.releasing.discard(routine)
        if not pending:
            state.pending.pop(routine, None)


def _move_cursors(state: State, round_: Round) -> None:
    """Move every open group order on by one page."""
    if not state.cursors_open:
        return
    state.cursors_open = bool(round_.facts.cursors) or bool(round_.changes.cursors)
    for cursor in round_.facts.cursors:
        canceling.cancel_children(state, round_, cursor.children, cursor.reason)
        if cursor.last:
            round_.changes.cursors_done.append(cursor.id)
            continue
        cursor.after = cursor.children[-1] if cursor.children else cursor.after
        cursor.children = []
        round_.changes.cursors.append(cursor)


def _try_replies(state: State, round_: Round) -> None:
    """Outcomes nobody took are tried again (one that comes back again is kept again); those a crash may have kept
    back go once."""
    for returned in round_.facts.replies_due:
        round_.changes.returned_done.append(returned.run_id)
        _send_outcome(round_, returned.run_id, returned.reply_to)
    group = state.config.group
    resend, state.to_resend = state.to_resend[:group], state.to_resend[group:]
    for run_id in resend:
        final = round_.facts.final.get(run_id)
        if final is not None and final.reply_to:
            _send_outcome(round_, run_id, final.reply_to)


def _send_outcome(round_: Round, run_id: RunId, key: str) -> None:
    final = round_.facts.final.get(run_id)
    if final is not None:
        reply(round_, key, outcome_of(final), plain=final.plain)


def _redeliver(state: State, round_: Round) -> None:
    """A workflow with facts that were sent long ago and not answered is sent them again."""
    limit = round_.now - state.config.redeliver_after
    for session in state.sessions.values():
        if not session.open:
            continue
        for run_id in session.held:
            run = state.runs.get(run_id)
            if run is None or run.flow is None or run.status not in (Status.HANGING, Status.CANCELING):
                continue
            _redeliver_one(state, round_, session, run, limit)


def _redeliver_one(state: State, round_: Round, session: Session, run: Run, limit: datetime) -> None:
    flow = run.flow
    if flow is None or flow.processed_seq >= flow.last_seq or run.id in round_.deliveries:
        return
    unsent = flow.sent_seq < flow.last_seq and not state.config.event_path
    if unsent or flow.sent_at is None or flow.sent_at <= limit:
        state.count("redelivered")
        delivering.send_again(state, round_, run, session)


def _judge_heads(state: State, round_: Round) -> None:
    """A head that nobody has offered for a minute becomes PENDING_VERSION, with everything behind it in its turn."""
    for lane in list(state.lanes.values()):
        run = state.head(lane)
        if run is None or run.status is not Status.QUEUED or state.is_offered(run):
            lane.version_since = None
            continue
        if lane.version_since is None:
            lane.version_since = round_.now
        if lane.version_since + state.config.version_patience > round_.now:
            continue
        for _ in range(state.config.group):
            run = state.head(lane)
            if run is None or run.status is not Status.QUEUED:
                break
            heapq.heappop(lane.heap)
            run.ticket = 0
            move(round_, run, Status.PENDING_VERSION, placing.missing_version(state, run))
            state.pending.setdefault(run.routine, {})[run.id] = None


def _forget_sessions(state: State, round_: Round) -> None:
    """Closed sessions leave memory after a while; their rows stay."""
    gone = [
        session_id
        for session_id, session in state.sessions.items()
        if session.closed and not session.held and session.since and session.since + FORGET_AFTER <= round_.now
    ]
    for session_id in gone:
        del state.sessions[session_id]


def _free_reservations(state: State) -> None:
    """A worker kept for a run that must execute alone is free again when that run is gone."""
    for session in state.sessions.values():
        if session.reserved and session.reserved not in session.held:
            run = state.runs.get(session.reserved)
            if run is None or not run.alone or run.ticket == 0:
                session.reserved = RunId("")


def due_runs(state: State, now: datetime) -> list[RunId]:
    """The runs whose alarms are due, up to a group, without taking them (a walk over the heap's due part)."""
    alarms, stack = state.alarms, [0]
    found: list[RunId] = []
    while stack and len(found) < state.config.group:
        index = stack.pop()
        if index < len(alarms) and alarms[index][0] <= now:
            found.append(alarms[index][2])
            stack += (2 * index + 1, 2 * index + 2)
    return found


def orphans(state: State) -> list[RunId]:
    """The next runs to be taken from closed sessions, up to a group."""
    found: list[RunId] = []
    for session_id in state.orphaned:
        session = state.sessions.get(session_id)
        if session is not None:
            found += list(session.held)[: state.config.group - len(found)]
    return found
