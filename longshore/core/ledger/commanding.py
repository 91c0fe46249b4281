"""Rules of waiting workflows: what their code newly asked for becomes children and timers, and they hang."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from longshore.core.changes import NewCall
from longshore.core.errors import ProtocolError
from longshore.core.ids import Address, RunId
from longshore.core.ledger import (
    annotating,
    canceling,
    delivering,
    forking,
    joining,
    limiting,
    pausing,
    signaling,
    starting,
)
from longshore.core.ledger.recording import move, owned, touch
from longshore.core.ledger.reporting import mark_started
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import Call, Commands, Fetch, Timer, Wait
from longshore.core.run import Flow, Run, Status

SIGNAL: Final = "signal"
TOKEN: Final = "token"
PATCH: Final = "patch"
NAMES_SHOWN: Final = 3
WAITS: Final = frozenset({SIGNAL, TOKEN, PATCH})


def commands(state: State, round_: Round, session: Session, report: Commands) -> None:
    """Take the calls, timers and cancellations a workflow asked for; with the last part it hangs."""
    run = owned(state, session.id, report.run_id, report.epoch)
    if run is None:
        return
    flow = run.flow
    if flow is None:
        raise ProtocolError(f"run {run.id} of {run.routine} is a {run.kind}: only a workflow sends commands")
    if run.status is Status.DISPATCHED:
        mark_started(round_, session, run, report.at)
    asks = bool(report.calls or report.timers or report.waits)
    if asks and run.status is Status.HANGING:
        move(round_, run, Status.EXECUTING, "new commands", worker=session.worker_id)
    known = round_.facts.calls.get(run.id, {})
    if _gets_further(flow, report, known):
        run.crashes = 0
        run.alone = False
    _take_waits(state, round_, run, flow, report, known)  # first: a call may be given the token of one
    _take_calls(state, round_, run, flow, report, known)
    _take_timers(state, round_, run, flow, report, known)
    if report.closed:
        children = {call.address: call.child_id for call in report.calls}
        for address in report.closed:
            row = known.get(address)
            _close(state, round_, run, flow, address, row.child_id if row else children.get(address, RunId("")))
    if report.edits:
        annotating.take(state, round_, session, run, report.edits)
    if report.upto_seq is None:
        session.starting.add(run.id)
        round_.touched.add(session.id)
        touch(round_, run)
        return
    flow.processed_seq = max(flow.processed_seq, report.upto_seq)
    limiting.hangs(state, run)
    signaling.taken(flow, report.taken, report.taken_bytes)
    session.starting.discard(run.id)
    round_.touched.add(session.id)
    if session.reserved == run.id:
        session.reserved = RunId("")  # it executes nothing while it waits
    if run.status is Status.EXECUTING:
        move(round_, run, Status.HANGING, _what_it_waits_for(flow, report), worker=session.worker_id)
    else:
        touch(round_, run)
    delivering.fire_timers(state, round_, run)
    if run.status is Status.HANGING:
        pausing.hold_if_asked(state, round_, run)


def _gets_further(flow: Flow, report: Commands, known: Collection[str]) -> bool:
    """Whether it got further than before: a worker lost between two parts of one answer has them asked for again."""
    if report.upto_seq is not None and report.upto_seq > flow.processed_seq:
        return True
    asked: list[Call | Timer | Wait] = [*report.calls, *report.timers, *report.waits]
    return any(one.address not in known and one.address not in flow.timers for one in asked)


def _take_calls(state: State, round_: Round, run: Run, flow: Flow, report: Commands, known: Collection[str]) -> None:
    new_calls = round_.changes.calls
    seen: set[Address] = set()
    for call in report.calls:
        if call.address in known or call.address in seen:
            continue
        seen.add(call.address)
        child_id, child = starting.call(state, round_, run, call)
        new_calls.append(
            NewCall(
                run.id,
                flow.generation,
                call.address,
                "call",
                call.routine,
                call.digest,
                call.asked_seq,
                child_id,
                None,
                call.place,
            )
        )
        flow.open_calls += 1
        if child is None:
            joining.join(state, round_, run, flow, call, child_id)
            continue
        ended = round_.changes.ended.get(child_id)
        if ended is not None:
            delivering.deliver_outcome(state, round_, child, ended.result, ended.error)


def _take_timers(state: State, round_: Round, run: Run, flow: Flow, report: Commands, known: Collection[str]) -> None:
    for timer in report.timers:
        if timer.address in known or timer.address in flow.timers:
            continue
        due_at = timer.due_at if timer.instant else forking.due_at(round_, flow, timer.due_at, timer.asked_seq)
        round_.changes.calls.append(
            NewCall(
                run.id,
                flow.generation,
                timer.address,
                "timer",
                "",
                timer.digest,
                timer.asked_seq,
                RunId(""),
                due_at,
                timer.place,
            )
        )
        flow.timers[timer.address] = due_at
        state.wake_at(due_at, run.id, "timer")


def _take_waits(state: State, round_: Round, run: Run, flow: Flow, report: Commands, known: Collection[str]) -> None:
    for wait in report.waits:
        if wait.kind not in WAITS:
            raise ProtocolError(f"run {run.id} waits for a {wait.kind!r} at {wait.address}: there is no such thing")
        if wait.address in known:
            continue
        if wait.due_at is not None:
            wait.due_at = forking.due_at(round_, flow, wait.due_at, wait.asked_seq)
        if wait.kind == TOKEN:
            signaling.remember(round_, run, flow, wait)
        round_.changes.calls.append(
            NewCall(
                run.id,
                flow.generation,
                wait.address,
                wait.kind,
                wait.name,
                wait.digest,
                wait.asked_seq,
                RunId(""),
                wait.due_at,
                wait.place,
            )
        )
        if wait.due_at is not None:
            flow.timers[wait.address] = wait.due_at
            state.wake_at(wait.due_at, run.id, "timer")


def _close(state: State, round_: Round, run: Run, flow: Flow, address: Address, child_id: RunId) -> None:
    """The workflow no longer waits for this address: a timer is forgotten, a child is canceled."""
    round_.changes.closed.append((run.id, flow.generation, address))
    if flow.timers.pop(address, None) is not None or not child_id or joining.leave(state, round_, run, flow, address):
        return
    child = delivering.live(state, round_, child_id)
    if child is None or (child.spared and run.status is Status.CANCELING):
        return  # it is not its code that gives the child up, but its own cancel that goes through it
    if child.status is not Status.CANCELING:
        canceling.cancel(state, round_, child, f"parent run {run.id} no longer waits for it", run.id)


def _what_it_waits_for(flow: Flow, report: Commands) -> str:
    waits = [wait for wait in report.waits if wait.kind != PATCH and wait.address not in report.closed]
    calls, timers = flow.open_calls, len(flow.timers.keys() - {wait.address for wait in waits})
    parts = []
    if calls:
        parts.append(f"{calls} sub-routine{'s' if calls != 1 else ''}")
    if timers:
        parts.append(f"{timers} timer{'s' if timers != 1 else ''}")
    parts += [f"signal {wait.name!r}" if wait.kind == SIGNAL else f"token {wait.name}" for wait in waits[:NAMES_SHOWN]]
    return f"waits for {' and '.join(parts)}" if parts else "waits"


def fetch(state: State, round_: Round, session: Session, report: Fetch) -> None:
    """A worker asks for a page of the journal."""
    run = owned(state, session.id, report.run_id, report.epoch)
    if run is not None and run.flow is not None:
        delivering.send_page(round_, session, run, report.after)
