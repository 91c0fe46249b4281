"""What a run is: its statuses, the table of allowed transitions, and the record the ledger keeps of each live run.

The table is the law (SPEC B): `ALLOWED` says which status may follow which and for what reason. Nothing else in the
house changes a status.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from longshore.core.care import Care
from longshore.core.ids import Address, RunId, SessionId, WorkerId


class Status(StrEnum):
    """Where a run stands."""

    __hash__ = str.__hash__  # Enum's own is a Python function: 0.1 us, a dozen times per run

    DELAYED = "DELAYED"
    PENDING_VERSION = "PENDING_VERSION"
    QUEUED = "QUEUED"
    RETRYING = "RETRYING"
    SUSPENDED = "SUSPENDED"
    BLOCKED = "BLOCKED"
    DISPATCHED = "DISPATCHED"
    EXECUTING = "EXECUTING"
    HANGING = "HANGING"
    CANCELING = "CANCELING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    CRASHED = "CRASHED"
    TIMED_OUT = "TIMED_OUT"
    EXPIRED = "EXPIRED"
    SYSTEM_FAILURE = "SYSTEM_FAILURE"


S = Status

WAITING: Final = frozenset({S.DELAYED, S.PENDING_VERSION, S.QUEUED, S.RETRYING, S.SUSPENDED, S.BLOCKED})
WITH_WORKER: Final = frozenset({S.DISPATCHED, S.EXECUTING, S.HANGING, S.CANCELING})
FINAL: Final = frozenset(
    {S.COMPLETED, S.FAILED, S.CANCELED, S.CRASHED, S.TIMED_OUT, S.EXPIRED, S.SYSTEM_FAILURE},
)
NEW: Final = ""
"""What a run's first history row comes from."""

ALLOWED: Final[dict[tuple[str, Status], str]] = {
    (NEW, S.DELAYED): "triggered with a delay or a debounce",
    (NEW, S.QUEUED): "triggered",
    (NEW, S.PENDING_VERSION): "triggered, and nobody offers it",
    (NEW, S.COMPLETED): "an equal result was in the cache",
    (NEW, S.EXECUTING): "the root of a local script",
    (S.DELAYED, S.QUEUED): "due",
    (S.DELAYED, S.DELAYED): "rescheduled or debounced",
    (S.QUEUED, S.DISPATCHED): "placed on a worker",
    (S.QUEUED, S.COMPLETED): "an equal result is or became available",
    (S.QUEUED, S.PENDING_VERSION): "at the head, and nobody has offered it for 60 s",
    (S.PENDING_VERSION, S.QUEUED): "a worker offers it",
    (S.DELAYED, S.EXPIRED): "ttl over before the first start",
    (S.QUEUED, S.EXPIRED): "ttl over before the first start",
    (S.PENDING_VERSION, S.EXPIRED): "ttl over before the first start",
    (S.PENDING_VERSION, S.SYSTEM_FAILURE): "version deadline over",
    (S.DISPATCHED, S.EXECUTING): "started",
    (S.DISPATCHED, S.QUEUED): "handed back, or its worker was lost",
    (S.EXECUTING, S.HANGING): "waits for sub-routines or timers",
    (S.EXECUTING, S.RETRYING): "failed, attempts left",
    (S.EXECUTING, S.QUEUED): "its worker was lost, or handed it back; or it continues as its next generation",
    (S.HANGING, S.EXECUTING): "new commands, or an end",
    (S.HANGING, S.SUSPENDED): "put away, or its worker was lost",
    (S.SUSPENDED, S.QUEUED): "a delivery came",
    (S.RETRYING, S.QUEUED): "delay over",
    (S.EXECUTING, S.BLOCKED): "nondeterminism, too many crashes, or paused",
    (S.HANGING, S.BLOCKED): "nondeterminism, or paused",
    (S.DISPATCHED, S.BLOCKED): "too many losses before starting, or paused",
    (S.DELAYED, S.BLOCKED): "paused",
    (S.PENDING_VERSION, S.BLOCKED): "paused",
    (S.QUEUED, S.BLOCKED): "paused",
    (S.RETRYING, S.BLOCKED): "paused",
    (S.SUSPENDED, S.BLOCKED): "paused",
    (S.BLOCKED, S.QUEUED): "resumed",
    (S.BLOCKED, S.DELAYED): "resumed before its time",
    (S.BLOCKED, S.RETRYING): "resumed before its time",
    (S.DELAYED, S.CANCELED): "canceled before it started",
    (S.PENDING_VERSION, S.CANCELED): "canceled before it started",
    (S.QUEUED, S.CANCELED): "canceled before it started",
    (S.RETRYING, S.CANCELED): "canceled between attempts",
    (S.BLOCKED, S.CANCELED): "canceled while blocked",
    (S.DISPATCHED, S.CANCELING): "cancel, its worker is told",
    (S.EXECUTING, S.CANCELING): "cancel, its worker is told",
    (S.HANGING, S.CANCELING): "cancel, its worker is told",
    (S.SUSPENDED, S.CANCELING): "cancel, placed once more for its cleanup",
    (S.QUEUED, S.CANCELING): "cancel of a started workflow, placed once more for its cleanup",
    (S.PENDING_VERSION, S.CANCELING): "cancel of a started workflow, placed once more for its cleanup",
    (S.RETRYING, S.CANCELING): "cancel of a started workflow, placed once more for its cleanup",
    (S.BLOCKED, S.CANCELING): "cancel of a started workflow, placed once more for its cleanup",
    (S.CANCELING, S.CANCELING): "its worker was lost: placed once more for its cleanup",
    (S.CANCELING, S.CANCELED): "cleanup done, grace over, or worker lost (a workflow's: the third in a row)",
    (S.EXECUTING, S.COMPLETED): "returned",
    (S.EXECUTING, S.FAILED): "raised, no attempt left",
    (S.EXECUTING, S.CRASHED): "its worker was lost, and its policy says fail",
    (S.EXECUTING, S.TIMED_OUT): "attempt or deadline over",
    (S.EXECUTING, S.SYSTEM_FAILURE): "its input cannot be read",
    (S.DISPATCHED, S.SYSTEM_FAILURE): "its report cannot be read",
    (S.HANGING, S.SYSTEM_FAILURE): "its report cannot be read",
    (S.CANCELING, S.SYSTEM_FAILURE): "its report cannot be read",
    **{
        (status, S.TIMED_OUT): "deadline of the whole run over"
        for status in sorted((WAITING | WITH_WORKER) - {S.EXECUTING})
    },
}


class Flow(msgspec.Struct, gc=False):
    """What the ledger keeps of a live workflow beside its run: the delivery log's ends and the timers still open.

    `last_seq` is the last fact in the log, `processed_seq` the last one the code has answered (-1: never begun),
    `sent_seq` the last one sent to the worker that holds it now.
    """

    generation: int = 0  # rises with every fresh journal (a retry of a workflow, or its `continue_as`)
    last_seq: int = 0
    processed_seq: int = -1
    sent_seq: int = 0
    sent_at: datetime | None = None
    open_calls: int = 0  # children whose outcome is not in the log
    timers: dict[Address, datetime] = {}
    cancel_seq: int = 0  # the delivery that told it of its cancel; 0 = none
    rest_until: datetime | None = None  # put away, it is not woken before then for one of several calls
    unread: int = 0  # signals told to it that its code has not taken, and the bytes of their values
    unread_bytes: int = 0
    hung: bool = False  # whether the run has ever waited: from then on no limit counts it
    forked_seq: int = -1  # of a fork: the fact in whose pump its call is asked anew (-1: it is none)
    forked_at: datetime | None = None  # the stamp of that fact: a timer asked up to there counts on from it
    cuts: list[tuple[int, int]] = []  # of a fork of forks: the cuts before this one, each with the microseconds that
    # lay between its fact and its fork: they are no time to its code
    seed: RunId = RunId("")  # whose id its chance comes from ("": its own)


class Run(msgspec.Struct, kw_only=True, gc=False):
    """A run that is neither final nor suspended, as the ledger holds it. Never arguments, results, metadata or tags."""

    id: RunId
    routine: str
    kind: str = ""  # task, action, workflow; "" until a worker has offered it
    asked_version: str = ""  # "" = the newest offered when first dispatched
    version: str = ""  # of the first start
    queue: str = "default"
    concurrency_key: str = ""
    pool: str = ""
    priority: float = 0.0
    status: Status
    epoch: int = 0
    attempt: int = 0
    crashes: int = 0  # workers lost in a row while it executed
    losses: int = 0  # workers lost in a row before it started
    session: SessionId = SessionId("")
    worker_id: WorkerId = WorkerId("")  # the last worker it was placed on, for people
    created_at: datetime
    queued_at: datetime | None = None
    due_at: datetime | None = None  # DELAYED, RETRYING: when it goes on; PENDING_VERSION: its version deadline
    started_at: datetime | None = None  # first start
    attempt_at: datetime | None = None  # start of this attempt; of a workflow the stamp of its seq 0
    finished_at: datetime | None = None
    ttl_at: datetime | None = None
    deadline_at: datetime | None = None
    cancel_at: datetime | None = None  # when a cancel was ordered; CANCELING ends 60 s later at the latest
    reason: str = ""  # of the last transition, for people
    pausing: str = ""  # why it is to be BLOCKED when it next waits, fails or is handed back ("": it is not)
    max_attempts: int | None = None
    timeout_ms: int | None = None
    version_deadline_ms: int | None = None
    parent_id: RunId = RunId("")
    parent_address: Address = Address("")
    parent_generation: int = 0
    root_id: RunId = RunId("")
    spared: bool = False  # a child that goes on when its parent ends
    reply_to: str = ""
    correlation_id: str = ""
    wants_outcome: bool = False
    plain: bool = False
    cache_key: str = ""
    cached: bool = False
    traceparent: str = ""
    span: str = ""  # traceparent of the last placement
    history_seq: int = 0
    flow: Flow | None = None
    care: Care | None = None
    ticket: int = 0  # its place in its lane; older tickets in the heap are dead (not stored)
    alone: bool = (
        False  # (crashes >= 2, not stored) from the second crash on: on a worker process that executes nothing else
    )


def is_started_workflow(run: Run) -> bool:
    """Whether the run is a workflow whose code has begun: such a run is placed once more to be canceled. A fork has
    facts before its code begins."""
    flow = run.flow
    return flow is not None and flow.processed_seq >= 0 and (flow.forked_seq < 0 or run.started_at is not None)


def has_started(run: Run) -> bool:
    """Whether the run's body has ever begun: from then on its ttl says nothing and its version stays."""
    return run.started_at is not None or is_started_workflow(run)
