"""Rules of rerunning: what has ended is run again from the beginning, as a new run with the same input and options.

It is nobody's child, takes the latest version unless told otherwise, and computes: a stored result is not taken, but
stored anew. Only what is final is run again (docs/decisions/0030).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from longshore.core.care import renewed
from longshore.core.changes import NewRun
from longshore.core.ids import ENTROPY_BYTES, RunId, is_run_id, uuid7
from longshore.core.ledger import delivering, limiting
from longshore.core.ledger.ordering import MAX_SHOWN, said_by
from longshore.core.ledger.recording import Refusal, answer, ended, refuse
from longshore.core.ledger.starting import queue_new
from longshore.core.ledger.state import Round, State
from longshore.core.message import Rerun
from longshore.core.run import Run, Status
from longshore.core.versions import LATEST, is_version

OUTCOME: Final = "outcome"


def rerun_order(state: State, round_: Round, order: Rerun, actor: str) -> None:
    """Run again what has ended, once for each `rerun_id`."""
    rerun_id = order.rerun_id or RunId(uuid7(round_.now, round_.random(ENTROPY_BYTES)))
    known = delivering.live(state, round_, rerun_id) or ended(round_, rerun_id)
    if known is not None and rerun_id != order.run_id:
        answer(round_, order, None, run_id=rerun_id, status=str(known.status), rerun_of=order.run_id)
        return
    source = original(state, round_, order.run_id)
    if source is None:
        answer(round_, order, ("unknown_run", f"there is no run {order.run_id[:MAX_SHOWN]}"))
        return
    refusal = _refusal(state, round_, order, rerun_id, source)
    if refusal is not None:
        refuse(state, round_, order.run_id, str(source.status), f"rerun refused: {refusal[1]}", actor,
               delivering.live(state, round_, order.run_id))  # fmt: skip
        answer(round_, order, refusal)
        return
    run = again(round_, source, rerun_id, "" if order.version == LATEST else order.version)
    run.reply_to = order.reply_to
    run.correlation_id = order.ask_id if order.plain else ""
    run.wants_outcome = order.wants == OUTCOME
    run.plain = order.plain
    begin(state, round_, run, source.id, said_by(f"rerun of {source.id}", order.by, order.reason), actor)
    answer(round_, order, None, run_id=run.id, status=run.status.value, rerun_of=source.id)


def original(state: State, round_: Round, run_id: RunId) -> Run | None:
    """The run as it stands, whatever its status; None if there is none."""
    outcome = round_.changes.ended.get(run_id)
    if outcome is not None:
        return outcome.run
    return delivering.live(state, round_, run_id) or round_.facts.originals.get(run_id)


def again(round_: Round, source: Run, rerun_id: RunId, version: str = "") -> Run:
    """The new run, not begun yet: times are as long as those of the one before were."""
    now = round_.now
    whole: timedelta | None = None if source.deadline_at is None else source.deadline_at - source.created_at
    before: timedelta | None = None if source.ttl_at is None else source.ttl_at - source.created_at
    return Run(
        id=rerun_id,
        routine=source.routine,
        kind=source.kind,
        asked_version=version,
        queue=source.queue,
        concurrency_key=source.concurrency_key,
        pool=source.pool,
        priority=source.priority,
        status=Status.QUEUED,
        created_at=now,
        deadline_at=None if whole is None else now + whole,
        ttl_at=None if before is None else now + before,
        max_attempts=source.max_attempts,
        timeout_ms=source.timeout_ms,
        version_deadline_ms=source.version_deadline_ms,
        care=renewed(source.care),
        root_id=rerun_id,
        traceparent=source.traceparent,
    )


def begin(state: State, round_: Round, run: Run, source: RunId, reason: str, actor: str) -> None:
    """The new run begins. Its input, tags and metadata are copied by the store from the one before."""
    round_.changes.inserted.append(NewRun(run, b"", [], {}))
    round_.changes.beginnings.reruns.append((run.id, source))
    if state.queues:
        limiting.arrives(state, run)
    if run.deadline_at is not None:
        state.wake_at(run.deadline_at, run.id, "deadline")
    if run.ttl_at is not None:
        state.wake_at(run.ttl_at, run.id, "ttl")
    queue_new(state, round_, run, reason, actor)


def _refusal(state: State, round_: Round, order: Rerun, rerun_id: RunId, source: Run) -> Refusal | None:
    if not is_run_id(rerun_id) or rerun_id == source.id:
        text = f"{rerun_id[:MAX_SHOWN]!r} is no id for a new run: give another UUID in canonical form, or none"
        return "rerun_id", text
    if order.version not in ("", LATEST) and not is_version(order.version):
        text = f"{order.version[:MAX_SHOWN]!r} is no version: major.minor.patch, optionally with -dev, or {LATEST}"
        return "version", text
    if delivering.live(state, round_, source.id) is not None:
        text = f"run {source.id} is {source.status}; only what has ended is run again: cancel it first, or trigger anew"
        return "not_final", text
    full = limiting.refusal(state, source.queue) if state.queues else ""
    return ("max_size", full) if full else None
