"""Rules of time: what is due, what was forgotten, what is done group by group. The reconciler alone repairs any
state."""

from __future__ import annotations

import heapq
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from longshore.core.cursors import CANCEL_CHILDREN, PATIENT
from longshore.core.ids import RunId
from longshore.core.ledger import (
    batching,
    bulking,
    caching,
    canceling,
    circles,
    delivering,
    failing,
    forgetting,
    hooking,
    joining,
    keeping,
    placing,
    scheduling,
    sessions,
)
from longshore.core.ledger.ending import complete_equal, conclude
from longshore.core.ledger.recording import outcome_of, reply
from longshore.core.ledger.state import Round, Session, State
from longshore.core.run import Run, Status, has_started

SECOND: Final = timedelta(seconds=1)
FORGET_AFTER: Final = timedelta(minutes=10)


def tick(state: State, round_: Round) -> None:
    """Everything that time alone brings about. What touches runs shares the round's room: a group."""
    state.ticked_at = round_.now
    joints, searches = joining.next_told(state), circles.under_way(state)
    scheduling.start_due(state, round_)
    _ring(state, round_)
    _suspended_due(state, round_)
    _let_pending_go(state, round_)
    sessions.take_back(state, round_)
    _fill_equals(state, round_)
    keeping.step(state, round_)
    _move_cursors(state, round_)
    bulking.move_on(state, round_)
    batching.give_up_silent(state, round_)
    _try_replies(state, round_)
    hooking.say_again(state, round_)
    circles.look(state, round_, searches)
    joining.tell(state, round_, joints)
    _redeliver(state, round_)
    _judge_heads(state, round_)
    _forget_sessions(state, round_)
    forgetting.now_and_then(state, round_)
    _free_reservations(state)
    state.forget_alarms()
    state.lanes.forget_keys()
    sessions.ping_quiet(state, round_)


def next_at(state: State, now: datetime) -> datetime:
    """When the next tick is wanted, never later than a second after the last one."""
    if state.releasing or state.orphaned or state.to_resend or state.filling or state.more_to_place:
        return now
    if state.joints.telling or state.circles or (state.cursors_open and not state.cursors_patient):
        return now
    held = any(session.held for session in state.sessions.values())
    soonest = state.ticked_at + (state.config.ping_every if held else SECOND)
    soonest = min(soonest, state.schedules_at)
    if state.cursors_open or state.shelves.due:
        soonest = min(soonest, state.ticked_at + keeping.PACE)
    if state.alarms:
        soonest = min(soonest, state.alarms[0][0])
    if state.place_at is not None:
        soonest = min(soonest, state.place_at)
    return max(now, soonest)


def _ring(state: State, round_: Round) -> None:
    """Take up to a group of alarms that are due. Each is checked against the run as it stands."""
    alarms = state.alarms
    while alarms and alarms[0][0] <= round_.now and round_.room > 0:
        round_.room -= 1
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
    elif run.status is Status.PENDING_VERSION:
        error = failing.failure_of("RunSystemFailure", f"its version never came: {placing.missing_version(state, run)}")
        conclude(state, round_, run, Status.SYSTEM_FAILURE, error.message, error=error)


def _ring_ttl(state: State, round_: Round, run: Run) -> None:
    waiting = run.status in (Status.DELAYED, Status.QUEUED, Status.PENDING_VERSION)
    if waiting and not has_started(run) and run.ttl_at is not None and run.ttl_at <= round_.now:
        conclude(state, round_, run, Status.EXPIRED, "its ttl was over before its first start")


def _ring_deadline(state: State, round_: Round, run: Run) -> None:
    if run.deadline_at is not None and run.deadline_at <= round_.now:
        error = failing.failure_of("RunTimedOut", "the deadline of the whole run was over")
        conclude(state, round_, run, Status.TIMED_OUT, error.message, error=error, abandon=True)


def _ring_timer(state: State, round_: Round, run: Run) -> None:
    delivering.fire_timers(state, round_, run)


def _ring_grace(state: State, round_: Round, run: Run) -> None:
    # set once, when the run became CANCELING; from there it only ends, and then it is not in memory
    why = (
        "its cleanup outlived the grace"
        if run.session
        else "no worker was there for its cleanup when the grace was over"
    )
    conclude(state, round_, run, Status.CANCELED, f"{run.reason}; {why}", abandon=True)


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
        if run is None or run.status is not Status.SUSPENDED:
            continue
        round_.room -= 1
        _ring_deadline(state, round_, run)
        if run.status is Status.SUSPENDED:
            delivering.fire_timers(state, round_, run)
            delivering.wake_rested(state, round_, run)


def _let_pending_go(state: State, round_: Round) -> None:
    """PENDING_VERSION runs whose version is offered now go to their queue, a group per tick."""
    for routine in list(state.releasing):
        pending = state.pending.get(routine, {})
        for run_id in list(pending):
            if round_.room <= 0:
                return
            if _let_go(state, round_, state.runs.get(run_id)):
                del pending[run_id]
        state.releasing.discard(routine)
        if not pending:
            state.pending.pop(routine, None)


def _let_go(state: State, round_: Round, run: Run | None) -> bool:
    """Let one run go. Returns whether it waits for a version no longer."""
    if run is None or run.status is not Status.PENDING_VERSION:
        return True
    if not state.is_offered(run):
        return False
    round_.room -= 1
    run.due_at = None
    failing.requeue(state, round_, run, "a worker offers it", ahead=False)
    return True


def _fill_equals(state: State, round_: Round) -> None:
    """Many wait for a result that is there now: a group of them completes. If it is gone again, the next one goes."""
    for key in list(state.filling):
        waiting = caching.followers(state, key, max(0, round_.room))
        for run in waiting:
            hit = caching.lookup(round_, run)
            if hit is None:
                break
            round_.room -= 1
            complete_equal(state, round_, run, hit.run_id, hit.version, hit.result)
        else:
            if round_.room <= 0:
                return
        del state.filling[key]
        caching.unpark(state, key)


def _move_cursors(state: State, round_: Round) -> None:
    """Move every open group order on by one page."""
    if not state.cursors_open:
        return
    moved = [*round_.facts.cursors, *round_.changes.cursors]
    state.cursors_open, state.cursors_patient = bool(moved), bool(moved) and not keeping.is_hurried(moved)
    for cursor in round_.facts.cursors:
        if round_.room <= 0:
            return
        round_.room -= len(cursor.children) + min(cursor.rows, state.config.rows_at_once)
        if cursor.kind in PATIENT:
            keeping.move_on(state, round_, cursor)
            continue
        if cursor.kind != CANCEL_CHILDREN:
            forgetting.move_on(state, round_, cursor)
            continue
        round_.cascading.add(cursor.run_id)
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
    unanswered = state.unanswered
    for _ in range(len(unanswered)):
        if unanswered[0][0] > limit:
            return
        at, run_id = unanswered.popleft()
        run = state.runs.get(run_id)
        session = state.sessions.get(run.session) if run is not None and run.session else None
        if run is not None and session is not None and session.open:
            _redeliver_one(state, round_, session, run, at)


def _redeliver_one(state: State, round_: Round, session: Session, run: Run, at: datetime) -> None:
    flow = run.flow
    if flow is None or flow.processed_seq >= flow.last_seq:
        return
    unsent = flow.sent_seq < flow.last_seq
    if flow.sent_at is not None and flow.sent_at > at and not unsent:
        return  # sent again meanwhile: that one is waited for
    if run.status in (Status.HANGING, Status.CANCELING):
        state.count("redelivered")
        delivering.send_again(state, round_, run, flow, session)
    else:
        state.unanswered.append((round_.now, run.id))  # its code is at work: look again later


def _judge_heads(state: State, round_: Round) -> None:
    """A head that nobody has offered for a minute becomes PENDING_VERSION, with everything behind it in its turn."""
    for lane in state.lanes.all.values():
        run = next(state.lanes.waiting(lane), None)
        if run is None or run.status is not Status.QUEUED or state.is_offered(run):
            lane.version_since = None
            continue
        if lane.version_since is None:
            lane.version_since = round_.now
        if lane.version_since + state.config.version_patience > round_.now:
            continue
        for waiting in list(islice(state.lanes.waiting(lane), max(0, round_.room))):
            if waiting.status is Status.QUEUED:
                round_.room -= 1
                failing.await_version(state, round_, waiting)


def _forget_sessions(state: State, round_: Round) -> None:
    """Closed sessions leave memory after a while; their rows stay for a day."""
    gone = [
        session_id
        for session_id, session in state.sessions.items()
        if session.closed
        and not session.held
        and session.since
        and session.since + FORGET_AFTER <= round_.now
        and session_id not in round_.touched  # its last runs were taken from it just now
    ]
    for session_id in gone:
        del state.sessions[session_id]


def _free_reservations(state: State) -> None:
    """A worker kept for a run that must execute alone is free again when that run is gone."""
    for session in state.sessions.values():
        if session.reserved and session.reserved not in session.held:
            run = state.runs.get(session.reserved)
            if run is None or not run.alone or not run.ticket:
                session.reserved = RunId("")


def due_runs(state: State, now: datetime) -> list[RunId]:
    """The runs whose alarms the next tick takes: up to a group, the earliest first, without taking them."""
    alarms = state.alarms
    found: list[RunId] = []
    front = [(alarms[0], 0)] if alarms else []
    while front and len(found) < state.config.group:
        alarm, index = heapq.heappop(front)
        if alarm[0] > now:
            break
        found.append(alarm[2])
        for child in (2 * index + 1, 2 * index + 2):
            if child < len(alarms):
                heapq.heappush(front, (alarms[child], child))
    return found


def orphans(state: State) -> list[RunId]:
    """The next runs to be taken from closed sessions, up to a group."""
    found: list[RunId] = []
    for session_id in state.orphaned:
        found += list(state.sessions[session_id].held)[: state.config.group - len(found)]
    return found


def filled(state: State) -> list[Run]:
    """The next runs that complete with an equal's result, up to a group."""
    group = state.config.group
    return [run for key in state.filling for run in caching.followers(state, key, group)][:group]
