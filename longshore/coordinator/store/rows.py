"""Runs as rows and back. The order of columns here is the order of values everywhere; one pass, nothing else.

The tuples are written out because they are built for every run: a loop over names costs three times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from longshore.coordinator.store.columns import (
    Micros,
    care_of,
    cuts_of,
    encode_pack,
    moment,
    moment_of,
    names,
    ref_of,
    text_of,
)
from longshore.core.changes import NewDelivery, NewRun, Outcome
from longshore.core.ids import RunId
from longshore.core.message import ClaimCheck, Value
from longshore.core.records import TokenRow
from longshore.core.run import Flow, Run, Status

INSERTED: Final = names(
    "id routine kind asked_version version queue pool priority status epoch attempt session worker_id created_at"
    " queued_at reason parent_id parent_address parent_generation root_id reply_to wants_outcome cache_key history_seq"
    " input"
)
INSERTED_RARELY: Final = names(
    "crashes losses due_at started_at attempt_at finished_at ttl_at deadline_at cancel_at max_attempts timeout_ms"
    " correlation_id plain cached traceparent span generation last_seq processed_seq open_calls cancel_seq"
    " rest_until forked_seq forked_at cuts seed unread unread_bytes hung pausing spared concurrency_key"
    " version_deadline_ms care schedule_id schedule tags metadata input_ref batch_id"
)
"""What a plain run has not got: its statement has these values in its text, which halves its time."""
UPDATED: Final = names(
    "id kind version queue status epoch attempt session worker_id queued_at started_at attempt_at reason cache_key"
    " history_seq"
)
UPDATED_RARELY: Final = names(
    "crashes losses due_at ttl_at deadline_at cancel_at check_at cached traceparent span generation last_seq"
    " processed_seq open_calls cancel_seq rest_until forked_seq forked_at cuts seed unread unread_bytes hung pausing"
    " care"
)
ENDED: Final = names(
    "id version status epoch attempt worker_id queued_at started_at attempt_at finished_at reason cache_key"
    " history_seq result"
)
ENDED_RARELY: Final = names("crashes cached span last_seq care result_ref error")
SELECTED: Final = names(
    "id routine kind asked_version version queue pool priority status epoch attempt crashes losses session worker_id"
    " created_at queued_at due_at started_at attempt_at finished_at ttl_at deadline_at cancel_at reason max_attempts"
    " timeout_ms parent_id parent_address parent_generation root_id reply_to correlation_id wants_outcome plain"
    " cache_key cached traceparent span history_seq generation last_seq processed_seq open_calls cancel_seq rest_until"
    " forked_seq forked_at cuts seed unread unread_bytes hung spared concurrency_key pausing"
    " version_deadline_ms care"
)
DEFAULTS: Final = {
    "generation": "-1",
    "processed_seq": "-1",
    "forked_seq": "-1",
    "result_ref": "''",
    "error": "NULL",
    **dict.fromkeys(
        names(
            "correlation_id traceparent span cuts seed pausing concurrency_key care schedule_id schedule tags metadata"
            " input_ref batch_id"
        ),
        "''",
    ),
}
"""SQL of what stands in a rare column when there is nothing to say; 0 where it is not listed."""


_NO_FLOW: Final = (-1, 0, -1, 0, 0, 0, -1, 0, "", "", 0, 0, 0)


def _flow(flow: Flow | None, at: Micros) -> tuple[int | str, ...]:
    if flow is None:
        return _NO_FLOW
    return (
        flow.generation,
        flow.last_seq,
        flow.processed_seq,
        flow.open_calls,
        flow.cancel_seq,
        at[flow.rest_until],
        flow.forked_seq,
        at[flow.forked_at],
        text_of(flow.cuts) if flow.cuts else "",
        flow.seed,
        flow.unread,
        flow.unread_bytes,
        1 if flow.hung else 0,
    )


def inserted(new: NewRun, at: Micros) -> tuple[Any, ...]:
    """The values of INSERTED."""
    run, value = new.run, new.input
    return (
        run.id,
        run.routine,
        run.kind,
        run.asked_version,
        run.version,
        run.queue,
        run.pool,
        run.priority,
        run.status._value_,
        run.epoch,
        run.attempt,
        run.session,
        run.worker_id,
        at[run.created_at],
        at[run.queued_at],
        run.reason,
        run.parent_id,
        run.parent_address,
        run.parent_generation,
        run.root_id,
        run.reply_to,
        1 if run.wants_outcome else 0,
        run.cache_key,
        run.history_seq,
        b"" if isinstance(value, ClaimCheck) else bytearray(value),  # bytes take the driver's slow way
    )


def input_values(run_id: RunId, value: Value) -> tuple[Any, ...]:
    """The id, `input` and `input_ref` of a run that is given another input."""
    if isinstance(value, ClaimCheck):
        return run_id, b"", ref_of(value)
    return run_id, bytearray(value), ""


def is_plain_new(new: NewRun) -> bool:
    """Whether all of INSERTED_RARELY are what they are by default, but for the batch."""
    run = new.run
    if run.flow is not None or run.cached or run.traceparent or run.span or run.plain or run.correlation_id:
        return False
    if run.care is not None:
        return False
    if run.max_attempts or run.timeout_ms or run.crashes or run.losses or run.spared or run.concurrency_key:
        return False
    if new.tags or new.metadata or new.schedule is not None or run.version_deadline_ms:
        return False
    return type(new.input) is bytes and _is_young(run)


def _is_young(run: Run) -> bool:
    """Whether it has neither begun nor ended, and no time is set for it."""
    if run.due_at is not None or run.ttl_at is not None or run.deadline_at is not None or run.cancel_at is not None:
        return False
    return run.started_at is None and run.attempt_at is None and run.finished_at is None


def inserted_rarely(new: NewRun, at: Micros) -> tuple[Any, ...]:
    """The values of INSERTED_RARELY."""
    run = new.run
    return (
        run.crashes,
        run.losses,
        at[run.due_at],
        at[run.started_at],
        at[run.attempt_at],
        at[run.finished_at],
        at[run.ttl_at],
        at[run.deadline_at],
        at[run.cancel_at],
        run.max_attempts or 0,
        run.timeout_ms or 0,
        run.correlation_id,
        1 if run.plain else 0,
        1 if run.cached else 0,
        run.traceparent,
        run.span,
        *_flow(run.flow, at),
        run.pausing,
        1 if run.spared else 0,
        run.concurrency_key,
        run.version_deadline_ms or 0,
        text_of(run.care) if run.care else "",
        "" if new.schedule is None else new.schedule.schedule_id,
        "" if new.schedule is None else text_of(new.schedule),
        text_of(new.tags) if new.tags else "",
        text_of(new.metadata) if new.metadata else "",
        ref_of(new.input) if isinstance(new.input, ClaimCheck) else "",
        new.batch_id,
    )


def updated(run: Run, at: Micros) -> tuple[Any, ...]:
    """The values of UPDATED, for a run that goes on."""
    return (
        run.id,
        run.kind,
        run.version,
        run.queue,
        run.status._value_,
        run.epoch,
        run.attempt,
        run.session,
        run.worker_id,
        at[run.queued_at],
        at[run.started_at],
        at[run.attempt_at],
        run.reason,
        run.cache_key,
        run.history_seq,
    )


def is_plain(run: Run) -> bool:
    """Whether all of UPDATED_RARELY are what they are by default."""
    if run.flow is not None or run.crashes or run.losses or run.cached or run.traceparent or run.span or run.pausing:
        return False
    return run.care is None and _has_no_time(run)


def _has_no_time(run: Run) -> bool:
    return run.due_at is None and run.ttl_at is None and run.deadline_at is None and run.cancel_at is None


def updated_rarely(run: Run, at: Micros) -> tuple[Any, ...]:
    """The values of UPDATED_RARELY."""
    return (
        run.crashes,
        run.losses,
        at[run.due_at],
        at[run.ttl_at],
        at[run.deadline_at],
        at[run.cancel_at],
        _check_at(run, at),
        1 if run.cached else 0,
        run.traceparent,
        run.span,
        *_flow(run.flow, at),
        run.pausing,
        text_of(run.care) if run.care else "",
    )


def ended(outcome: Outcome, at: Micros) -> tuple[Any, ...]:
    """The values of ENDED, for a run that is final now."""
    run = outcome.run
    return (
        run.id,
        run.version,
        run.status._value_,
        run.epoch,
        run.attempt,
        run.worker_id,
        at[run.queued_at],
        at[run.started_at],
        at[run.attempt_at],
        at[run.finished_at],
        run.reason,
        run.cache_key,
        run.history_seq,
        bytearray(outcome.result) if isinstance(outcome.result, bytes) else None,
    )


def is_plain_end(outcome: Outcome) -> bool:
    """Whether all of ENDED_RARELY are what they are by default, and there is an inline result."""
    run = outcome.run
    if type(outcome.result) is not bytes or outcome.error is not None:
        return False
    return run.flow is None and run.care is None and not (run.crashes or run.cached or run.span)


def ended_rarely(outcome: Outcome) -> tuple[Any, ...]:
    """The values of ENDED_RARELY."""
    run, check, error = outcome.run, outcome.result, outcome.error
    return (
        run.crashes,
        1 if run.cached else 0,
        run.span,
        0 if run.flow is None else run.flow.last_seq,
        text_of(run.care) if run.care else "",
        ref_of(check) if isinstance(check, ClaimCheck) else "",
        None if error is None else encode_pack(error),
    )


def _check_at(run: Run, at: Micros) -> int:
    """When a run that left memory is to be looked at: its deadline, its first timer, or when it has rested while facts
    came."""
    flow = run.flow
    if run.status is not Status.SUSPENDED or flow is None:
        return 0
    times = list(flow.timers.values())
    if flow.rest_until is not None and flow.processed_seq < flow.last_seq:
        times.append(flow.rest_until)
    if run.deadline_at is not None:
        times.append(run.deadline_at)
    return at[min(times)] if times else 0


_SHARED: Final = names(
    "routine kind asked_version version queue concurrency_key pool session worker_id reason parent_id root_id reply_to"
)
_TIMES: Final = names("queued_at due_at started_at attempt_at finished_at ttl_at deadline_at cancel_at")
_YES_OR_NO: Final = names("wants_outcome plain cached spared")
_FLOW: Final = names(
    "generation last_seq processed_seq open_calls cancel_seq rest_until forked_seq forked_at cuts seed unread"
    " unread_bytes hung"
)


def run_of(row: Sequence[Any], texts: dict[str, str]) -> Run:
    """The run of a row of SELECTED, without its timers. `texts` makes equal texts the same object (memory)."""
    fields = dict(zip(SELECTED, row, strict=True))
    for name in _SHARED:
        text = fields[name]
        fields[name] = texts.setdefault(text, text)
    for name in _TIMES:
        fields[name] = moment(fields[name])
    for name in _YES_OR_NO:
        fields[name] = bool(fields[name])
    flow = {name: fields.pop(name) for name in _FLOW}
    flow["hung"] = bool(flow["hung"])
    flow["cuts"] = cuts_of(flow["cuts"])
    flow["rest_until"], flow["forked_at"] = moment(flow["rest_until"]), moment(flow["forked_at"])
    fields["created_at"] = moment_of(fields["created_at"])
    fields["care"] = care = care_of(fields["care"])
    if care is not None and care.pool:
        fields["pool"] = care.pool
    fields["status"] = Status(fields["status"])
    fields["max_attempts"] = fields["max_attempts"] or None
    fields["timeout_ms"] = fields["timeout_ms"] or None
    fields["version_deadline_ms"] = fields["version_deadline_ms"] or None
    return Run(**fields, flow=Flow(**flow, timers={}) if flow["generation"] >= 0 else None)


def delivery_values(row: NewDelivery, at: Micros) -> tuple[Any, ...]:
    """A fact's row, without what it brought."""
    return (*row[:5], at[row.at], row.status, row.child_id)


def told_values(row: NewDelivery) -> tuple[Any, ...]:
    """What a signal or a token brought: inline, or as a claim check."""
    value = row.value
    if isinstance(value, ClaimCheck):
        return None, ref_of(value)
    return None if value is None else bytearray(value), ""


def token_values(row: TokenRow, at: Micros) -> tuple[Any, ...]:
    """A token's row, in the order of its table."""
    times = at[row.expires_at], at[row.completed_at]
    return row.token, row.run_id, row.generation, row.address, *times, row.completed_by
