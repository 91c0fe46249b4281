"""Rules of forking: a workflow is run again from one of its calls on, as a new run that begins with what came before.

The rows are copied by the store; nothing of the run that is forked changes, but that its open tokens go over to the
fork when it has ended (docs/decisions/0010).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from longshore.core.care import renewed
from longshore.core.changes import NewRun
from longshore.core.errors import nearest
from longshore.core.forks import ForkPoint, NewFork
from longshore.core.ids import ENTROPY_BYTES, RunId, is_run_id, uuid7
from longshore.core.ledger import delivering, limiting
from longshore.core.ledger.recording import Refusal, answer, ended, refuse
from longshore.core.ledger.starting import queue_new
from longshore.core.ledger.state import Round, State
from longshore.core.message import CallRow, Fork
from longshore.core.run import FINAL, Flow, Run, Status
from longshore.core.versions import is_version

CALL: Final = "call"
OUTCOME: Final = "outcome"
SHOWN: Final = 3
MAX_SHOWN: Final = 100
"""How many characters of what was given are shown again."""

_MICROSECOND: Final = timedelta(microseconds=1)


def fork(state: State, round_: Round, message: Fork, actor: str) -> None:
    """Begin a run with what another was told up to one of its calls, once for each `fork_id`."""
    fork_id = message.fork_id or RunId(uuid7(round_.now, round_.random(ENTROPY_BYTES)))
    known = delivering.live(state, round_, fork_id) or ended(round_, fork_id)
    if known is not None and fork_id != message.run_id:
        answer(round_, message, None, run_id=fork_id, status=str(known.status), forked_from=message.run_id)
        return
    point = round_.facts.forks.get((message.run_id, message.at))
    if point is None:
        answer(round_, message, ("unknown_run", f"there is no run {message.run_id[:MAX_SHOWN]}"))
        return
    call = _call_or_problem(state, round_, message, fork_id, point)
    if isinstance(call, CallRow):
        flow = _journal(point.run, call, point)
        _begin(state, round_, message, _forked(round_, message, fork_id, point.run, flow), flow, point, actor)
    else:
        _refuse(state, round_, message, actor, call, point)


def _begin(state: State, round_: Round, message: Fork, run: Run, flow: Flow, point: ForkPoint, actor: str) -> None:
    """It is a new run with a journal that is there already, and the tokens that are still open."""
    round_.changes.inserted.append(NewRun(run, b"", [], {}))
    for token in point.tokens:
        if token.due_at is not None:
            flow.timers[token.address] = moved(round_, flow, token.due_at)
            state.wake_at(flow.timers[token.address], run.id, "timer")
    later = moved(round_, flow, round_.now) - round_.now
    taken = NewFork(run.id, message.run_id, flow.generation, message.at, flow.forked_seq, round_.now, later)
    round_.changes.forks.append(taken)
    _give_over(round_, run, point)
    if state.queues:
        limiting.arrives(state, run)
    if run.deadline_at is not None:
        state.wake_at(run.deadline_at, run.id, "deadline")
    by = f" by {message.by}" if message.by else ""
    queue_new(state, round_, run, f"forked from {message.run_id} at {message.at}{by}", actor)
    answer(round_, message, None, run_id=run.id, status=run.status.value, forked_from=message.run_id)


def moved(round_: Round, flow: Flow, at: datetime) -> datetime:
    """An instant of the fork's past, counted from now: what was left of a time at the fork is left of it again."""
    return at if flow.forked_at is None else at + (round_.now - flow.forked_at)


def due_at(round_: Round, flow: Flow, at: datetime, asked_seq: int) -> datetime:
    """When a length of time is over that the code asked for in this pump: one it asks for again while it is told what
    was known before the fork would long be over."""
    if asked_seq > flow.forked_seq:
        return at
    between = sum(micros for seq, micros in flow.cuts if asked_seq <= seq)
    return moved(round_, flow, at) + timedelta(microseconds=between)


def _journal(source: Run, call: CallRow, point: ForkPoint) -> Flow:
    """The ends of the fork's journal. Its pumps are processed up to the first of which anything is asked anew."""
    before, seq = source.flow or Flow(), call.asked_seq
    return Flow(
        generation=before.generation,
        last_seq=seq + point.appended,
        processed_seq=min(point.dropped_seq - 1, before.processed_seq),
        forked_seq=seq,
        forked_at=point.at or source.attempt_at,
        cuts=_cuts_before(source, before, seq),
        seed=before.seed or source.id,
        unread=point.unread,
        unread_bytes=point.unread_bytes,
    )


def _cuts_before(source: Run, before: Flow, seq: int) -> list[tuple[int, int]]:
    """The cuts that lie in what is kept: beyond them the stamps go on where the fork began."""
    cuts = list(before.cuts)
    if before.forked_at is not None:
        cuts.append((before.forked_seq, (source.created_at - before.forked_at) // _MICROSECOND))
    return [cut for cut in cuts if cut[0] < seq]


def _forked(round_: Round, message: Fork, fork_id: RunId, source: Run, flow: Flow) -> Run:
    """The new run: nobody's child, with a deadline as long as the one before had."""
    now = round_.now
    whole: timedelta | None = None if source.deadline_at is None else source.deadline_at - source.created_at
    return Run(
        id=fork_id,
        routine=source.routine,
        kind=source.kind,
        asked_version=message.version or source.version or source.asked_version,
        queue=source.queue,
        pool=source.pool,
        priority=source.priority,
        status=Status.QUEUED,
        created_at=now,
        attempt_at=source.attempt_at,
        deadline_at=None if whole is None else now + whole,
        max_attempts=source.max_attempts,
        timeout_ms=source.timeout_ms,
        version_deadline_ms=source.version_deadline_ms,
        care=renewed(source.care),
        root_id=fork_id,
        reply_to=message.reply_to,
        correlation_id=message.ask_id if message.plain else "",
        wants_outcome=message.wants == OUTCOME,
        plain=message.plain,
        traceparent=source.traceparent,
        span=source.span,
        flow=flow,
    )


def _give_over(round_: Round, run: Run, point: ForkPoint) -> None:
    """The open tokens are the fork's from here on, for whatever else is in this batch, too."""
    names = {token.token for token in point.tokens}
    for name in names & round_.facts.tokens.keys():
        round_.facts.tokens[name].run_id = run.id
    for other in round_.facts.forks.values():
        for token in other.tokens:
            if token.token in names:
                token.owner = run.id


# ------------------------------------------------------------------------------------------------------------ refusals


def _call_or_problem(state: State, round_: Round, message: Fork, fork_id: RunId, point: ForkPoint) -> CallRow | Refusal:
    """The call that is to be made anew, or why none can be."""
    run, call = point.run, point.call
    if not is_run_id(fork_id) or fork_id == run.id:
        return (
            "fork_id",
            f"{fork_id[:MAX_SHOWN]!r} is no id for a new run: give another UUID in canonical form, or none",
        )
    if run.kind not in ("", "workflow"):
        text = f"run {run.id} of {run.routine} is a {run.kind}: only workflows are forked; trigger it anew"
        return "not_a_workflow", text
    if point.going:
        return "going", f"run {run.id} ended long ago and is being deleted with its tree: trigger it anew"
    if run.flow is None or run.attempt_at is None:
        return "not_begun", f"run {run.id} has not begun: there is nothing to keep; trigger it anew"
    if call is None:
        return (
            "unknown_address",
            f"no call is recorded at {message.at[:MAX_SHOWN]!r} of run {run.id}; {_near(message, point)}",
        )
    if call.kind != CALL:
        text = f"what is recorded at {call.address} of run {run.id} is a {call.kind}, no call; {_near(message, point)}"
        return "not_a_call", text
    if 0 < run.flow.cancel_seq <= call.asked_seq:
        text = (
            f"the call at {call.address} was made when run {run.id} had been told of its cancel: choose one before it"
        )
        return "behind_cancel", text
    full = limiting.refusal(state, run.queue) if state.queues else ""
    if full:
        return "max_size", full
    problem = _version_problem(state, run, message.version) or _token_problem(state, round_, run, point)
    return problem or call


def _version_problem(state: State, run: Run, version: str) -> Refusal | None:
    if not version:
        return None
    if not is_version(version):
        return "version", f"{version[:MAX_SHOWN]!r} is no version: major.minor.patch, optionally with -dev"
    offer = state.known.get((run.routine, version))
    if offer is not None and offer.kind != "workflow":
        return "not_a_workflow", f"{run.routine}@{version} is a {offer.kind}: it cannot go on with a workflow's journal"
    return None


def _near(message: Fork, point: ForkPoint) -> str:
    calls: dict[str, CallRow] = {row.address: row for row in point.near}
    if not calls:
        return "it has recorded no call"
    order = [*nearest(message.at[:MAX_SHOWN], list(calls), SHOWN), *calls]
    shown = [calls[address] for address in sorted(list(dict.fromkeys(order))[:SHOWN])]
    return f"near it are {', '.join(f'{row.address} ({row.name})' for row in shown)}"


def _token_problem(state: State, round_: Round, run: Run, point: ForkPoint) -> Refusal | None:
    is_final = run.status in FINAL or (run.id not in state.runs and ended(round_, run.id) is not None)
    for token in point.tokens:
        if not token.owner:
            text = f"the token {token.token}, made before that call, is forgotten: choose a call before it was made"
            return "open_token", text
        if token.owner != run.id:
            text = f"the token {token.token}, made before that call, has gone over to run {token.owner}: fork that one"
            return "open_token", text
        if not is_final:
            text = (
                f"the token {token.token}, made before that call, is open, and run {run.id} waits for it: "
                "complete it first, or cancel the run"
            )
            return "open_token", text
    return None


def _refuse(state: State, round_: Round, message: Fork, actor: str, refusal: Refusal, point: ForkPoint) -> None:
    run = delivering.live(state, round_, message.run_id)
    status = (run or ended(round_, message.run_id) or point.run).status
    refuse(state, round_, message.run_id, str(status), f"fork refused: {refusal[1]}", actor, run)
    answer(round_, message, refusal)
