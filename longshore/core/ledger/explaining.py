"""Why a run waits, and what the workers do: answers made from the ledger's memory. Facts only; nothing is changed."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

from longshore.core.ids import RunId
from longshore.core.ledger import evidence, placing
from longshore.core.ledger.lanes import lane_of
from longshore.core.ledger.state import Session, State
from longshore.core.queues import NAMESPACE
from longshore.core.run import FINAL, Flow, Run, Status

HOLDERS_SHOWN = 10
COUNTED_EXACTLY = 20_000
GO_ON = "`longshore runs resume` lets it go on, `longshore runs cancel` ends it"


def why(state: State, run_id: RunId, now: datetime, suspended: Run | None = None) -> dict[str, Any] | None:
    """kind, text, holders, position, since, next_at of a run in memory or of the given one; None for any other."""
    run = state.runs.get(run_id, suspended)
    if run is None or run.status in FINAL:
        return None
    answer: dict[str, Any] = {
        "kind": run.status.value.lower(),
        "text": run.reason,
        "holders": [],
        "position": None,
        "since": run.queued_at or run.created_at,  # the least that is known here: when it came to its status is on disk
        "next_at": None,
    }
    answer.update(EXPLAIN[run.status](state, run, now))
    return answer


def _delayed(state: State, run: Run, now: datetime) -> dict[str, Any]:
    until = f"delayed until {run.due_at.isoformat(timespec='seconds')}" if run.due_at is not None else "delayed"
    said = run.reason if until in run.reason else f"{run.reason}; {until}"
    text = f"{said}; `longshore runs reschedule` gives it another time, `longshore runs cancel` ends it"
    return {"kind": "time", "text": text, "next_at": run.due_at, "since": run.created_at}


def _pending(state: State, run: Run, now: datetime) -> dict[str, Any]:
    return {"kind": "version", "text": placing.missing_version(state, run), "next_at": run.due_at}


def _queued(state: State, run: Run, now: datetime) -> dict[str, Any]:
    if run.ticket == 0:
        leader = state.same_key.get(run.cache_key)
        if leader is None:
            return {"kind": "equal_run", "text": "an equal result is there; is about to complete with it"}
        return {"kind": "equal_run", "text": f"an equal run is being computed: {leader}", "holders": [leader]}
    lane = state.lanes.all[lane_of(run)]
    candidates = [taker.session for taker in placing.takers(state, lane)]
    position = _position(state, run)
    if not candidates:
        offering = [s for s in state.sessions.values() if not s.closed and any(k[0] == run.routine for k in s.offers)]
        holders = [f"{s.worker_id} ({s.status}, pool {s.pool})" for s in offering][:HOLDERS_SHOWN]
        if not state.is_offered(run):
            return {"kind": "version", "text": placing.missing_version(state, run), "position": position}
        pool = f" in pool {run.pool}" if run.pool else ""
        return {"kind": "worker", "text": f"no worker{pool} takes work now", "holders": holders, "position": position}
    held_up = _limited(state, run, lane.queue, now)
    if held_up is not None:
        return {**held_up, "position": position}
    if run.alone:
        text = "waits for a worker process that executes nothing else, because its last workers crashed"
        names = [session.worker_id for session in candidates][:HOLDERS_SHOWN]
        return {"kind": "alone", "text": text, "holders": names, "position": position}
    busy = [run_id for session in candidates for run_id in session.busy][:HOLDERS_SHOWN]
    slots = sum(session.slots for session in candidates)
    text = f"all {slots} slots of {len(candidates)} worker(s) are taken; {position} before it"
    return {"kind": "capacity", "text": text, "holders": busy, "position": position}


def _limited(state: State, run: Run, name: str, now: datetime) -> dict[str, Any] | None:
    """Which limit lets nothing more start, and the runs that hold it."""
    for queue_name in (NAMESPACE, name) if name else ():
        queue = state.queues.get(queue_name)
        if queue is None:
            continue
        called = "the namespace" if queue_name == NAMESPACE else f"queue {queue_name!r}"
        row, key = queue.row, run.concurrency_key
        holders: list[RunId] = list(islice(queue.holding, HOLDERS_SHOWN))
        if row.paused_at is not None:
            return {"kind": "paused", "text": f"{called} is paused; resume it", "since": row.paused_at}
        if row.limit is not None and len(queue.holding) >= row.limit:
            text = f"{called} has its limit of {row.limit}: {len(queue.holding)} execute"
            return {"kind": "limit", "text": text, "holders": holders}
        if key and queue.is_full(key):
            held = queue.keys[key]
            text = f"{called} has its limit of {row.key_limit} for the concurrency key {key!r}"
            return {"kind": "key_limit", "text": text, "holders": list(islice(held, HOLDERS_SHOWN))}
        if queue.window is not None and queue.window.left(now) <= 0:
            text = f"{called} has had its {row.rate} starts"
            return {"kind": "rate", "text": text, "holders": holders, "next_at": queue.window.next_at()}
    return None


def _position(state: State, run: Run) -> int:
    """How many of its queue go before it by their age and priority (of those with its concurrency key, if it has one;
    among keys there are turns). With very many, those that have left meanwhile are counted too."""
    lane = state.lanes.all[lane_of(run)]
    key = run.concurrency_key if lane.queue else ""
    heaps = [
        other.rows[key].heap if key else other.heap
        for other in state.lanes.all.values()
        if other.queue == lane.queue and (not key or key in other.rows)
    ]
    own = lane.rows[key].heap if key else lane.heap
    mine = next(entry for entry in own if entry[1] == run.ticket)
    before = (entry for heap in heaps for entry in heap if entry < mine)
    if sum(map(len, heaps)) > COUNTED_EXACTLY:
        return sum(1 for _ in before)
    return sum(1 for _, ticket, other_id in before if other_id in state.runs and state.runs[other_id].ticket == ticket)


def _retrying(state: State, run: Run, now: datetime) -> dict[str, Any]:
    at = f" at {run.due_at.isoformat(timespec='seconds')}" if run.due_at is not None else ""
    text = f"{run.reason}; attempt {run.attempt + 1} begins{at}"
    return {"kind": "retry", "text": text, "holders": [f"attempt {run.attempt + 1}"], "next_at": run.due_at}


def _blocked(state: State, run: Run, now: datetime) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "kind": "person",
        "text": f"needs a person: {run.reason}; {GO_ON}",
        "next_at": run.deadline_at,
    }
    crashes = evidence.shown(run)[-run.crashes :] if run.crashes else []
    if crashes:
        answer["holders"] = [f"{one['worker_id']}: {one['reason']}" for one in crashes]
        answer["crashes"] = crashes
    return answer


def _with_worker(state: State, run: Run, now: datetime) -> dict[str, Any]:
    session = state.sessions.get(run.session)
    name = session.worker_id if session else "no worker (about to be placed once more)"
    verb = {
        Status.DISPATCHED: "is on its way to",
        Status.EXECUTING: "executes on",
        Status.CANCELING: "is being canceled on",
    }
    text = f"{verb[run.status]} {name}"
    text += _silence(session)
    if run.pausing:
        text += f"; then it is held: {run.pausing}"
    next_at = run.cancel_at + state.config.cancel_grace if run.cancel_at else None
    return {
        "kind": "worker",
        "text": text,
        "holders": [name],
        "since": run.attempt_at or run.queued_at,
        "next_at": next_at,
    }


def _silence(session: Session | None) -> str:
    """Since when its worker says nothing, if that is long."""
    if session is None or not session.unresponsive:
        return ""
    heard = session.last_heard_at
    since = f", since {heard.isoformat(timespec='seconds')}" if heard is not None else ""
    return f", which has been silent for {session.silence} s{since}"


def _hanging(state: State, run: Run, now: datetime) -> dict[str, Any]:
    """Its calls in memory by name (one that is put away itself is not among them), and the next timer."""
    flow = run.flow or Flow()
    calls = [child.id for child in state.runs.values() if child.parent_id == run.id][:HOLDERS_SHOWN]
    next_at = min(flow.timers.values(), default=None)
    session = state.sessions.get(run.session)
    if flow.processed_seq < flow.last_seq and session is not None:
        text = (
            f"has been told {flow.last_seq - flow.processed_seq} fact(s) that its code has not answered yet, on "
            f"{session.worker_id}{_silence(session)}"
        )
        return {"kind": "worker", "text": text, "holders": [session.worker_id], "next_at": next_at}
    if run.status is Status.SUSPENDED and flow.processed_seq < flow.last_seq:
        text = f"{flow.last_seq - flow.processed_seq} fact(s) have come; it goes on when more have, or at the time said"
        return {"kind": "calls", "text": text, "holders": calls, "next_at": flow.rest_until}
    if _silence(session) and session is not None:
        text = f"waits on {session.worker_id}{_silence(session)}"
        return {"kind": "worker", "text": text, "holders": [session.worker_id], "next_at": next_at}
    if not flow.open_calls:
        addresses = sorted(flow.timers, key=lambda address: flow.timers[address])[:HOLDERS_SHOWN]
        return {"kind": "timer", "holders": addresses, "next_at": next_at}
    return {"kind": "calls", "holders": calls, "next_at": next_at}


EXPLAIN = {
    Status.DELAYED: _delayed,
    Status.PENDING_VERSION: _pending,
    Status.QUEUED: _queued,
    Status.RETRYING: _retrying,
    Status.BLOCKED: _blocked,
    Status.DISPATCHED: _with_worker,
    Status.EXECUTING: _with_worker,
    Status.CANCELING: _with_worker,
    Status.HANGING: _hanging,
    Status.SUSPENDED: _hanging,
}


def workers(state: State) -> list[dict[str, Any]]:
    """Every session in memory, with the fields people see."""
    return [
        {
            "worker_id": session.worker_id,
            "status": session.status,
            "pool": session.pool,
            "slots": session.slots,
            "free_slots": max(0, session.slots - session.stuck - len(session.busy)),
            "held": list(session.held)[:1000],
            "offers": sorted(f"{name}@{version}" for name, version in session.offers),
            "since": session.since,
            "last_beat_at": session.last_heard_at,
        }
        for session in state.sessions.values()
    ]
