"""What the ledger must be told before it can decide: a look at each message, and at what is due, without changing
anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from longshore.core.changes import Inbound, Needs, ReplyReturned, Unreadable
from longshore.core.ids import RunId
from longshore.core.ledger import (
    annotating,
    batching,
    caching,
    circles,
    debouncing,
    hooking,
    joining,
    keeping,
    keys,
    repeating,
    scheduling,
    signaling,
    ticking,
)
from longshore.core.ledger.state import State
from longshore.core.message import (
    AbortBatch,
    AbortBulk,
    Annotate,
    Annotated,
    Ask,
    Bulk,
    Cancel,
    Commands,
    CompleteToken,
    CreateSchedule,
    DeleteSchedule,
    Finished,
    Fork,
    OpenBatch,
    Options,
    Pause,
    PauseSchedule,
    Released,
    Rerun,
    Reschedule,
    ResetKey,
    Resume,
    ResumeSchedule,
    SealBatch,
    Signal,
    Suspended,
    Trigger,
)
from longshore.core.names import split_routine
from longshore.core.run import Run, Status


def of_batch(state: State, batch: Sequence[Inbound]) -> Needs:
    """What a batch needs."""
    needs = Needs()
    for inbound in batch:
        if inbound.session and inbound.session not in state.sessions:
            needs.sessions.add(inbound.session)
        for message in inbound.messages:
            need = NEEDS.get(type(message))
            if need is not None:
                need(state, needs, message)
    return needs


def of_tick(state: State, now: datetime) -> Needs:
    """What a tick needs."""
    needs = Needs(suspended_due=True, replies_due=True, cursors=state.cursors_open)
    needs.schedules.due = scheduling.is_time(state, now)
    needs.kept = keeping.need(state, now)
    needs.unheard = hooking.is_time(state, now)
    needs.runs.update(state.to_resend[: state.config.group])
    if state.joints.telling:
        needs.runs.update(joining.needed(state))
    if state.circles:
        needs.runs.update(circles.needed(state))
    needs.cache_keys.update(state.filling)
    for run_id in (*ticking.due_runs(state, now), *ticking.orphans(state), *_let_go_next(state)):
        run = state.runs.get(run_id)
        if run is None:
            continue
        _need_parent(state, needs, run)
        if run.cache_key:
            needs.cache_keys.add(run.cache_key)
        if run.flow is not None and run.status is Status.RETRYING:
            needs.told_signals.add(run.id)
    for run in ticking.filled(state):
        _need_parent(state, needs, run)
    return needs


def _let_go_next(state: State) -> list[RunId]:
    """PENDING_VERSION runs that the next tick may let go: an equal result may be there."""
    group = state.config.group
    return [run_id for routine in state.releasing for run_id in list(state.pending.get(routine, ()))[:group]]


def _need_parent(state: State, needs: Needs, run: Run) -> None:
    if run.parent_id and run.parent_id not in state.runs:
        needs.runs.add(run.parent_id)


def _need_trigger(state: State, needs: Needs, message: Trigger) -> None:
    if message.run_id and message.run_id not in state.runs:
        needs.runs.add(message.run_id)
    if message.cache_key:
        needs.cache_keys.add(message.cache_key)
    if message.options.batch_id:
        _need_batch(state, needs, message.options)
    if message.options.idempotency_key or message.options.debounce is not None:
        name, _ = split_routine(message.routine)
        _need_keys(needs, name, message.options, RunId(""))
        needs.idempotency_keys.add(message.run_id)


def _need_keys(needs: Needs, routine: str, options: Options, parent_id: RunId) -> None:
    if row := keys.row_asked(options, routine, parent_id):
        needs.idempotency_keys.add(row)
    if options.debounce is not None:
        needs.debounce_keys.add(debouncing.row_of(routine, options.debounce))


def _need_reset(state: State, needs: Needs, message: ResetKey) -> None:
    needs.idempotency_keys.add(keys.row_reset(message))


def _need_run(state: State, needs: Needs, message: Cancel | Pause | Reschedule) -> None:
    _need_with_parent(state, needs, message.run_id)


def _need_resumed(state: State, needs: Needs, message: Resume) -> None:
    _need_with_parent(state, needs, message.run_id)
    run = state.runs.get(message.run_id)
    if run is None:
        return
    if run.cache_key:
        needs.cache_keys.add(run.cache_key)
    if run.flow is not None and run.due_at is not None:
        needs.told_signals.add(run.id)  # paused between two attempts: the next one may begin


def _need_signal(state: State, needs: Needs, message: Signal) -> None:
    run = state.runs.get(message.run_id)
    if run is None:
        needs.runs.add(message.run_id)
    if run is None or (run.flow is not None and signaling.is_full(state, run.flow, message)):
        needs.waits.add((message.run_id, message.name))
    if message.signal_id:
        needs.signals.setdefault(message.run_id, set()).add(message.signal_id)


def _need_fork(state: State, needs: Needs, message: Fork) -> None:
    needs.forks.add((message.run_id, message.at))
    _need_with_parent(state, needs, message.run_id)
    if message.fork_id and message.fork_id not in state.runs:
        needs.runs.add(message.fork_id)


def _need_batch(state: State, needs: Needs, message: Options | batching.Order) -> None:
    if message.batch_id not in state.batches:
        needs.batches.add(message.batch_id)


def _need_rerun(state: State, needs: Needs, message: Rerun) -> None:
    if message.run_id not in state.runs:
        needs.originals.add(message.run_id)
    _need_with_parent(state, needs, message.run_id)
    if message.rerun_id and message.rerun_id not in state.runs:
        needs.runs.add(message.rerun_id)


def _need_bulk(state: State, needs: Needs, message: Bulk | AbortBulk) -> None:
    needs.bulks.add(message.bulk_id)


def _need_token(state: State, needs: Needs, message: CompleteToken) -> None:
    needs.tokens.add(message.token)


def _need_unreadable(state: State, needs: Needs, message: Unreadable) -> None:
    for run_id in message.run_ids:
        _need_with_parent(state, needs, run_id)


def _need_with_parent(state: State, needs: Needs, run_id: RunId) -> None:
    run = state.runs.get(run_id)
    if run is None:
        needs.runs.add(run_id)
    else:
        _need_parent(state, needs, run)


def _need_ask(state: State, needs: Needs, message: Ask) -> None:
    needs.runs.update(run_id for run_id in message.run_ids if run_id not in state.runs)


def _need_finished(state: State, needs: Needs, message: Finished | Released | Suspended) -> None:
    run = state.runs.get(message.run_id)
    if run is None:
        return
    _need_parent(state, needs, run)
    if isinstance(message, Finished):
        if message.how == "continued":
            needs.told_signals.add(run.id)
        if message.edits:
            annotating.need_report(state, needs, message)
    if isinstance(message, Finished) and message.differs is not None:
        needs.addresses.setdefault(run.id, set()).add(message.differs.address)
        needs.arguments.add((run.id, message.differs.address))
    key = run.cache_key or (message.cache_key if isinstance(message, Finished) else "")
    if key:
        needs.cache_keys.add(key)  # handed back or lost, it may have become needless
        for other in caching.followers(state, key, state.config.group):
            _need_parent(state, needs, other)


def _need_commands(state: State, needs: Needs, message: Commands) -> None:
    run = state.runs.get(message.run_id)
    if run is None:
        return
    if message.edits:
        annotating.need_report(state, needs, message)
    needs.cache_keys.update(call.cache_key for call in message.calls if call.cache_key)
    for call in message.calls:
        if call.options is not None and (call.options.idempotency_key or call.options.debounce is not None):
            name, _ = split_routine(call.routine)
            _need_keys(needs, name, call.options, run.id)
    wanted = set(message.closed)
    if run.epoch > 1:
        wanted.update(call.address for call in message.calls)
        wanted.update(timer.address for timer in message.timers)
        wanted.update(wait.address for wait in message.waits)
    if wanted:
        needs.addresses.setdefault(run.id, set()).update(wanted)


def _need_returned(state: State, needs: Needs, message: ReplyReturned) -> None:
    needs.runs.update(message.run_ids)


_ORDERS: dict[type, repeating.Need] = {
    Cancel: _need_run,
    Resume: _need_resumed,
    Pause: _need_run,
    Reschedule: _need_run,
    Signal: _need_signal,
    CompleteToken: _need_token,
    Fork: _need_fork,
    Rerun: _need_rerun,
    ResetKey: _need_reset,
    Annotate: annotating.need_order,
    CreateSchedule: scheduling.need_creation,
    PauseSchedule: scheduling.need_schedule,
    ResumeSchedule: scheduling.need_schedule,
    DeleteSchedule: scheduling.need_schedule,
    OpenBatch: _need_batch,
    SealBatch: _need_batch,
    AbortBatch: _need_batch,
    Bulk: _need_bulk,
    AbortBulk: _need_bulk,
}
NEEDS: dict[type, Callable[[State, Needs, Any], None]] = {
    Trigger: _need_trigger,
    Ask: _need_ask,
    Annotated: annotating.need_report,
    Finished: _need_finished,
    Released: _need_finished,
    Suspended: _need_finished,
    Commands: _need_commands,
    ReplyReturned: _need_returned,
    Unreadable: _need_unreadable,
    **{kind: repeating.knowing(_ORDERS.get(kind)) for kind in repeating.kinds()},
}
