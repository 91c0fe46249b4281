"""Rules of limits (SPEC G): who counts against a queue, how many more may start, who may still be triggered.

DISPATCHED, EXECUTING and CANCELING runs count, a workflow only until it first hangs. What the queues hold is an index
over the runs, never a count of its own: `counted_anew` makes the same from the runs alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from longshore.core.ledger.state import Round, State
from longshore.core.queues import DEFAULT, NAMESPACE, Queue, QueueRow
from longshore.core.run import Run, Status

UNLIMITED: Final = 1 << 60
COUNTED: Final = frozenset({Status.DISPATCHED, Status.EXECUTING, Status.CANCELING})


def counts(run: Run) -> bool:
    """Whether a run counts against limits now."""
    return run.status in COUNTED and not has_hung(run)


def has_hung(run: Run) -> bool:
    """Whether it is a workflow that has waited: no limit holds it up any more."""
    return run.flow is not None and run.flow.hung


def occupy(state: State, run: Run) -> None:
    """A worker has the run from now on."""
    if not state.queues or has_hung(run):
        return
    for queue in _over(state, run.queue):
        queue.take(run.id, run.concurrency_key)
        queue.waiting.pop(run.id, None)


def vacate(state: State, run: Run) -> None:
    """It counts no longer: no worker has it, or it waits for the first time."""
    if not state.queues:
        return
    for queue in _over(state, run.queue):
        if queue.drop(run.id, run.concurrency_key) and run.concurrency_key:
            state.lanes.unpark((queue.row.name, run.concurrency_key))


def hangs(state: State, run: Run) -> None:
    """A workflow waits: from the first time on it is not counted."""
    flow = run.flow
    if flow is not None and not flow.hung:
        flow.hung = True
        vacate(state, run)


def started(state: State, round_: Round, run: Run) -> None:
    """A run goes to a worker through its queue: rates count it."""
    for queue in _over(state, run.queue):
        if queue.window is not None:
            queue.window.start(round_.now)
            round_.rated.add(queue.row.name)


def room(state: State, name: str, now: datetime) -> int:
    """How many more runs of this queue may start now, whatever their keys. `name` "" is what no limit holds up."""
    found = UNLIMITED
    if name and state.queues:
        for queue in _over(state, name):
            own = queue.room(now)
            if own is not None:
                found = min(found, own)
    return found


def opens_at(state: State, name: str, now: datetime) -> datetime | None:
    """When the rate of a queue that has no room lets another run start; None where nothing but time is not enough."""
    found: datetime | None = None
    for queue in _over(state, name):
        if queue.row.paused_at is None and queue.window is not None and queue.window.left(now) <= 0:
            at = queue.window.next_at()
            found = at if found is None or at is None else max(found, at)
    return found


def adopt(state: State, run: Run) -> None:
    """A run that was triggered before its routine was ever offered goes to the queue that this says now, unless its
    trigger named one. No limit refuses it any more."""
    offer = state.offer_of(run)
    if offer is None:
        return
    run.kind = offer.kind
    if run.queue != DEFAULT or offer.queue == DEFAULT or (run.care is not None and run.care.in_default):
        return
    ends(state, run)
    run.queue = offer.queue
    arrives(state, run)


def arrives(state: State, run: Run) -> None:
    """A new run waits for its first start."""
    for queue in _over(state, run.queue):
        if queue.row.max_size is not None:
            queue.waiting[run.id] = None


def ends(state: State, run: Run) -> None:
    """A run has ended, or leaves its queue for another."""
    for queue in _over(state, run.queue):
        queue.waiting.pop(run.id, None)


def refusal(state: State, name: str) -> str:
    """Why nothing more may be triggered into this queue; "" if something may."""
    queue = state.queues.get(name)
    if queue is None or queue.row.max_size is None or len(queue.waiting) < queue.row.max_size:
        return ""
    return (
        f"queue {name!r} is full: {len(queue.waiting)} runs wait in it, and its max_size is {queue.row.max_size}; "
        "trigger again later, or raise it"
    )


def counted_anew(state: State, row: QueueRow) -> Queue:
    """The queue of this rule, with what the runs themselves say of it."""
    queue = Queue(row)
    for run in state.runs.values():
        if row.name not in (run.queue, NAMESPACE):
            continue
        if counts(run):
            queue.take(run.id, run.concurrency_key)
        elif run.epoch == 0 and row.max_size is not None:
            queue.waiting[run.id] = None
    return queue


def _over(state: State, name: str) -> tuple[Queue, ...]:
    """The queues with a rule in which a run of this queue is counted."""
    queues = state.queues
    if not queues:
        return ()
    own, whole = queues.get(name), queues.get(NAMESPACE)
    if whole is None:
        return () if own is None else (own,)
    return (whole,) if own is None else (own, whole)


def keep_rates(state: State, round_: Round) -> None:
    """What started in this round is kept with the rates that counted it."""
    for name in round_.rated:
        round_.changes.queues[name] = state.queues[name].kept()
