"""Rules of telling: each fact for a workflow gets its place in the delivery log, and goes to whoever holds the
workflow.

The log is written in the transaction that commits the fact. A workflow that is put away is queued again; one that
waits for a worker reads the log when it starts.
"""

from __future__ import annotations

from longshore.core.changes import NewDelivery
from longshore.core.ids import Address, RunId
from longshore.core.ledger.placing import AHEAD
from longshore.core.ledger.recording import direct, ended, move, touch
from longshore.core.ledger.state import Round, Session, State
from longshore.core.message import ClaimCheck, Deliver, Delivery, Failure, Value
from longshore.core.run import Flow, Run, Status

DELIVERIES_PER_MESSAGE = 200
BYTES_PER_MESSAGE = 256 * 1024


def deliver_outcome(state: State, round_: Round, run: Run, result: Value | None, error: Failure | None) -> None:
    """Tell a run's parent how it ended."""
    parent = live(state, round_, run.parent_id)
    if parent is None:
        if run.parent_id not in round_.cascading and ended(round_, run.parent_id) is None:
            state.count("parent_unknown")  # nobody asked for its row: must never be
        return
    if parent.flow is None or parent.flow.generation != run.parent_generation:
        return
    parent.flow.open_calls = max(0, parent.flow.open_calls - 1)
    delivery = Delivery(
        seq=0,
        kind="outcome",
        address=run.parent_address,
        at=round_.now,
        status=run.status.value,
        result=result,
        error=error,
        cached=run.cached,
        child_id=run.id,
    )
    deliver(state, round_, parent, parent.flow, delivery)


def deliver(state: State, round_: Round, run: Run, flow: Flow, delivery: Delivery) -> None:
    """Append a fact to a workflow's log, and send it or wake the workflow."""
    flow.last_seq = delivery.seq = flow.last_seq + 1
    round_.changes.deliveries.append(
        NewDelivery(
            run.id,
            flow.generation,
            delivery.seq,
            delivery.kind,
            delivery.address,
            delivery.at,
            delivery.status,
            delivery.child_id,
            delivery.result if delivery.kind != "outcome" else _own_words(delivery),
        )
    )
    touch(round_, run)
    if run.session:
        if state.config.event_path:
            round_.deliveries.setdefault(run.id, []).append(delivery)
        else:
            state.unanswered.appendleft((round_.now - state.config.redeliver_after, run.id))
    elif run.status is Status.SUSPENDED:
        if delivery.kind != "outcome" or not flow.open_calls:
            wake(state, round_, run)
        else:
            round_.put_away[run.id] = run  # it may stay outside of memory: the next batch must see what it has now
            wake_rested(state, round_, run)


def _own_words(delivery: Delivery) -> bytes | None:
    """What an outcome says that is no run's: nobody's row has it."""
    return delivery.error.message.encode() if delivery.error is not None and not delivery.child_id else None


def wake_rested(state: State, round_: Round, run: Run) -> None:
    """Wake a workflow that is put away if it has facts to take and was not woken a moment ago. A parent of many
    children is not replayed for each of them; its row says when it is looked at again."""
    flow = run.flow
    if run.status is not Status.SUSPENDED or flow is None or flow.processed_seq >= flow.last_seq:
        return
    if flow.rest_until is None or flow.rest_until <= round_.now:
        wake(state, round_, run, "some of its calls have ended")


def wake(state: State, round_: Round, run: Run, reason: str = "a delivery came") -> None:
    """A workflow that was put away goes ahead of new runs."""
    move(round_, run, Status.QUEUED, reason)
    run.queued_at = round_.now
    (run.flow or Flow()).rest_until = round_.now + state.config.wake_every  # only workflows are ever put away
    recall(state, round_, run)
    state.enqueue(run, AHEAD)


def recall(state: State, round_: Round, run: Run) -> None:
    """A run comes back into memory, with its alarms."""
    round_.put_away.pop(run.id, None)
    state.runs[run.id] = run
    if run.deadline_at is not None:
        state.wake_at(run.deadline_at, run.id, "deadline")
    for due_at in (run.flow or Flow()).timers.values():
        state.wake_at(due_at, run.id, "timer")


def fire_timers(state: State, round_: Round, run: Run) -> None:
    """Deliver every timer of the run that is due, in order of time."""
    flow = run.flow or Flow()  # what is no workflow has no timers
    due = sorted((at, address) for address, at in flow.timers.items() if at <= round_.now)
    for _, address in due:
        del flow.timers[address]
        round_.changes.closed.append((run.id, flow.generation, address))
        deliver(state, round_, run, flow, Delivery(seq=0, kind="timer", address=address, at=round_.now))


def tell_canceled(state: State, round_: Round, run: Run, flow: Flow) -> None:
    """Put the cancel into the log: once, because what is CANCELING is never canceled again."""
    deliver(state, round_, run, flow, Delivery(seq=0, kind="cancel", address=Address(""), at=round_.now))
    flow.cancel_seq = flow.last_seq


def send_deliveries(state: State, round_: Round) -> None:
    """Send what was delivered in this round, in few messages per workflow."""
    for run_id, deliveries in round_.deliveries.items():
        run = state.runs.get(run_id)
        session = state.sessions.get(run.session) if run is not None and run.session else None
        if run is None or session is None or run.flow is None or not session.open:
            continue
        for part in split(deliveries):
            direct(round_, session, Deliver(run_id=run_id, epoch=run.epoch, deliveries=part))
        _note_sent(state, round_, run, run.flow)


def _note_sent(state: State, round_: Round, run: Run, flow: Flow) -> None:
    """Have the reconciler look whether these facts are answered in time."""
    flow.sent_seq = flow.last_seq
    flow.sent_at = round_.now
    state.unanswered.append((round_.now, run.id))


def split(deliveries: list[Delivery]) -> list[list[Delivery]]:
    """Groups of at most 200 deliveries and about 256 KiB of values."""
    parts: list[list[Delivery]] = []
    size = count = 0
    for delivery in deliveries:
        result = delivery.result
        weight = 100 + (0 if result is None or isinstance(result, ClaimCheck) else len(result))
        if delivery.error is not None:
            weight += delivery.error.weight
        if not parts or count >= DELIVERIES_PER_MESSAGE or size + weight > BYTES_PER_MESSAGE:
            parts.append([])
            size = count = 0
        parts[-1].append(delivery)
        size += weight
        count += 1
    return parts


def send_again(state: State, round_: Round, run: Run, flow: Flow, session: Session) -> None:
    """Send the holder of a workflow everything after what it has answered, from the store."""
    send_page(round_, session, run, flow.processed_seq)
    _note_sent(state, round_, run, flow)


def send_page(round_: Round, session: Session, run: Run, after: int) -> None:
    """Have the shell send a page of the journal; it counts as one numbered directive. Nothing goes to a session that is
    not open: after Hello the worker asks again."""
    if not session.open:
        return
    session.sent += 1
    session.spoken = True
    round_.changes.pages.append((session.id, run.id, run.epoch, after))


def live(state: State, round_: Round, run_id: RunId) -> Run | None:
    """A run that is not final: from memory, or (put away) from the facts of this round."""
    run = state.runs.get(run_id) or round_.put_away.get(run_id)
    if run is None:
        run = round_.facts.runs.get(run_id)
        if run is not None and run.status is not Status.SUSPENDED:
            return None  # it was woken in this round, and has ended since
    return run
