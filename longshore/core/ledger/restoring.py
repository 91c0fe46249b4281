"""How memory comes back from rows: alarms, lanes, what each session holds."""

from __future__ import annotations

from datetime import datetime

from longshore.core.changes import Snapshot
from longshore.core.joints import Joints, Search
from longshore.core.ledger import batching, limiting, placing
from longshore.core.ledger.caching import rank_of
from longshore.core.ledger.state import Session, State
from longshore.core.policy import CRASHES_TO_ISOLATE
from longshore.core.queues import Queue
from longshore.core.run import WITH_WORKER, Run, Status


def restore(state: State, snapshot: Snapshot, now: datetime) -> None:
    """Rebuild memory from rows: alarms, lanes, what each session holds."""
    for row in snapshot.workers:
        session = Session(
            id=row.session,
            worker_id=row.worker_id,
            pool=row.pool,
            slots=row.slots,
            taken=row.taken,
            host=row.host,
            pid=row.pid,
            python=row.python,
            since=row.since,
            status=row.status,
            closed=row.status == "CLOSED",
            draining=row.drain is not None,
            drain=row.drain,
        )
        state.sessions[session.id] = session
        state.add_offers(session, row.offers)
        if session.closed:
            state.remove_offers(session)
    state.queues = {row.name: Queue(row) for row in snapshot.queues}
    for run in snapshot.runs:
        _restore_run(state, run, now)
    state.to_resend = list(snapshot.unsent)
    state.joints = Joints(snapshot.joints)
    for run_id in list(state.joints.by_run):
        if run_id not in state.runs:
            state.joints.ended(run_id)
    for joint in snapshot.joints:  # who closed a circle just before may not have been told
        first = [(joint.parent_id, joint.generation)]
        one = Search(joint.parent_id, joint.run_id, joint.address, {joint.parent_id: (joint.run_id, True)}, first)
        state.circles[joint.parent_id, joint.address] = one
    batching.restore(state, snapshot.batches)
    state.shelves.load(snapshot.shown, snapshot.policies)


def _restore_run(state: State, run: Run, now: datetime) -> None:
    state.runs[run.id] = run
    if run.epoch == 0:
        limiting.arrives(state, run)
    run.alone = run.crashes >= CRASHES_TO_ISOLATE
    for at, kind in ((run.due_at, "due"), (run.ttl_at, "ttl"), (run.deadline_at, "deadline")):
        if at is not None:
            state.wake_at(at, run.id, kind)
    if run.flow is not None:
        for at in run.flow.timers.values():
            state.wake_at(at, run.id, "timer")
    if run.cancel_at is not None:
        state.wake_at(run.cancel_at + state.config.cancel_grace, run.id, "grace")
    if run.status is Status.PENDING_VERSION:
        state.pending.setdefault(run.routine, {})[run.id] = None
        if state.is_offered(run):
            state.releasing.add(run.routine)
    if run.status is Status.RETRYING and run.cache_key:
        state.same_key.setdefault(run.cache_key, run.id)
    if run.status is Status.QUEUED or (run.status is Status.CANCELING and not run.session):
        ahead = run.epoch > 0 or run.status is Status.CANCELING
        state.enqueue(run, placing.AHEAD if ahead else rank_of(run))
    if run.status in WITH_WORKER and run.session:
        _restore_hold(state, run, now)


def _restore_hold(state: State, run: Run, now: datetime) -> None:
    session = state.sessions.get(run.session)
    if session is None:
        session = state.sessions[run.session] = Session(
            id=run.session, worker_id=run.worker_id, pool="", slots=0, closed=True, status="CLOSED", since=now
        )
    placing.hold(state, session, run, is_short=False)  # nothing is measured yet
    if run.status in (Status.HANGING, Status.CANCELING):
        session.starting.discard(run.id)
    if run.cache_key and run.status is not Status.CANCELING:
        state.same_key[run.cache_key] = run.id
    if session.closed:
        state.orphaned[session.id] = None
