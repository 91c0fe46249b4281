"""Every message on the bus, as tagged unions per direction. What travels is an array of one union's members.

The same structs are MessagePack between Longshore's own parts and JSON for foreign programs (same field names, the
tag is the field `type`). Sessions, numbers and terms travel in the message's headers (`core/envelope.py`), not in
here. `*_ms` are milliseconds; `*_at` are aware UTC datetimes; a value is inline bytes (self-describing, see
`serialization/`) or a claim check.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from longshore.core.ids import Address, RunId, SessionId, WorkerId
from longshore.core.orders import (
    Annotate,
    Ask,
    Cancel,
    Command,
    CompleteToken,
    CreateSchedule,
    DeleteSchedule,
    DrainWorker,
    Fork,
    LimitQueue,
    Message,
    Order,
    Pause,
    PauseQueue,
    PauseSchedule,
    Rerun,
    Reschedule,
    ResetKey,
    Resume,
    ResumeQueue,
    ResumeSchedule,
    RunOrder,
    Signal,
    Trigger,
    tag_of,
)
from longshore.core.parts import (
    Call,
    CallRow,
    ClaimCheck,
    Delivery,
    Differs,
    Edit,
    Edits,
    Failure,
    Held,
    Offer,
    Options,
    Timer,
    Value,
    Wait,
)
from longshore.core.schedules import ScheduledTick

__all__ = [
    "MAX_BODY",
    "MAX_ITEMS",
    "PROTOCOL",
    "Abandon",
    "Accepted",
    "Annotate",
    "Annotated",
    "Answer",
    "Ask",
    "Beat",
    "Bye",
    "Call",
    "CallRow",
    "Cancel",
    "CancelRun",
    "Checkpoint",
    "ChildDied",
    "ClaimCheck",
    "Command",
    "Commands",
    "CompleteToken",
    "CreateSchedule",
    "DeleteSchedule",
    "Deliver",
    "Delivery",
    "Differs",
    "Directive",
    "Drain",
    "DrainWorker",
    "Edit",
    "Edits",
    "Failure",
    "Fetch",
    "Finished",
    "Fork",
    "Held",
    "Hello",
    "JournalPage",
    "LimitQueue",
    "Mark",
    "Message",
    "Offer",
    "Options",
    "Order",
    "Pause",
    "PauseQueue",
    "PauseSchedule",
    "Ping",
    "Progress",
    "Rejected",
    "Released",
    "Reply",
    "Report",
    "ReportItem",
    "Rerun",
    "Reschedule",
    "ResetKey",
    "Resume",
    "ResumeQueue",
    "ResumeSchedule",
    "RunChanged",
    "RunHooks",
    "RunOrder",
    "Signal",
    "Start",
    "Started",
    "Suspended",
    "Timer",
    "Trigger",
    "Value",
    "Wait",
    "Warn",
    "Welcome",
]

PROTOCOL: Final = 1
MAX_BODY: Final = 1 << 20
"""No body is larger than this (bytes)."""
MAX_ITEMS: Final = 1000
"""No body holds more messages than this."""


# ------------------------------------------------------------------------------------------- coordinator -> client


class Accepted(Message, tag=tag_of):
    """The ledger has the run, durably. `existing`: the run was there before (same id or idempotency key)."""

    run_id: RunId
    status: str
    asked_id: RunId = RunId("")  # what the trigger named, when an idempotency key led to another run
    existing: bool = False
    correlation_id: str = ""
    reason: str = ""


class Rejected(Message, tag=tag_of):
    """The ledger refuses by a rule; nothing is stored."""

    run_id: RunId
    rule: str
    text: str
    correlation_id: str = ""


class RunChanged(Message, tag=tag_of):
    """A run changed its status, or its metadata and tags. Final ones carry the outcome."""

    run_id: RunId
    status: str
    attempt: int = 0
    reason: str = ""
    at: datetime | None = None
    result: Value | None = None
    error: Failure | None = None
    cached: bool = False
    correlation_id: str = ""
    metadata: dict[str, Any] | None = None  # what it is now, where that is what has changed
    tags: list[str] | None = None
    seq: int = 0  # of the history row that says so


class Answer(Message, tag=tag_of):
    """The answer to an Ask: plain data, or `error` as {rule, text}."""

    ask_id: str
    data: Any = None
    error: dict[str, str] | None = None


Reply = Accepted | Rejected | RunChanged | Answer

# ------------------------------------------------------------------------------------------- coordinator -> worker


class Welcome(Message, tag=tag_of):
    """The session is open: send the outbox again from `taken` + 1; directives count from 1."""

    term: int
    taken: int
    protocol: int = PROTOCOL
    refused: str = ""  # why this worker may not join (probe object not readable, protocol too old); it exits with it


class Ping(Message, tag=tag_of):
    """Are you there? `hello`: say Hello again. `taken` is the last report the ledger has."""

    term: int
    taken: int
    report_queue: int = 0
    hello: bool = False


class Start(Message, tag=tag_of):
    """Execute this run. For a workflow that ran before, `last_seq` > 0 and the journal is to be fetched."""

    run_id: RunId
    epoch: int
    attempt: int
    routine: str
    version: str
    input: Value | None = None
    max_attempts: int = 0  # what the trigger asked for; 0: as the routine says
    checkpoint: Value | None = None  # what an attempt before has kept
    timeout_ms: int | None = None
    started_at: datetime | None = None  # stamp of seq 0: when the workflow first started
    last_seq: int = 0
    processed_seq: int = -1
    cache: bool = False  # compute and report the cache key
    canceling: str | None = None  # placed once more for its cleanup; the reason
    wary: bool = False  # the body is to begin only when its Started has arrived: it may take its worker with it
    queue: str = ""
    parent_id: RunId = RunId("")
    root_id: RunId = RunId("")
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    traceparent: str = ""
    previous_span: str = ""  # traceparent of the attempt before, to link to
    generation: int = 0  # of a workflow: how many journals it has begun before this one
    forked_seq: int = -1  # of a fork: the fact in whose pump its call is asked anew; what came before is recorded
    seed: RunId = RunId("")  # of its chance, where that is another run's than its own
    schedule: ScheduledTick | None = None  # of a run that a schedule started


class Deliver(Message, tag=tag_of):
    """New facts for a workflow the worker holds."""

    run_id: RunId
    epoch: int
    deliveries: list[Delivery]


class JournalPage(Message, tag=tag_of):
    """The answer to Fetch: calls asked and facts delivered with a seq in (after, upto]; `last` if upto is the end.
    Calls asked in the pump of seq 0 come with the first page (after = -1). `more`: this is only a part of that page's
    calls (they do not fit one body); nothing is to be replayed or fetched until its last part."""

    run_id: RunId
    epoch: int
    after: int
    upto: int
    calls: list[CallRow] = []
    deliveries: list[Delivery] = []
    last: bool = True
    more: bool = False


class CancelRun(Message, tag=tag_of):
    """Tell the code that it is canceled; it may still clean up."""

    run_id: RunId
    epoch: int
    reason: str = ""


class Abandon(Message, tag=tag_of):
    """This run is no longer yours: drop it and report nothing."""

    run_id: RunId
    epoch: int


class Warn(Message, tag=tag_of):
    """Something that the run's code asked for was refused: say so in its log. The run goes on."""

    run_id: RunId
    epoch: int
    text: str


class RunHooks(Message, tag=tag_of):
    """Run the hooks of a run that has ended while no worker had it. Nothing is reported of it."""

    run_id: RunId
    routine: str
    version: str
    attempt: int
    status: str
    reason: str = ""


class Drain(Message, tag=tag_of):
    """Take nothing new, hand back, finish, leave. `grace_ms`: what executes may go on for so long."""

    grace_ms: int | None = None


Directive = Welcome | Ping | Start | Deliver | JournalPage | CancelRun | Abandon | RunHooks | Warn | Drain

# ------------------------------------------------------------------------------------------- worker -> coordinator


class Hello(Message, tag=tag_of):
    """Opens a session, and opens it again. `probe` is an object the worker wrote to the payload store."""

    worker_id: WorkerId
    pool: str
    slots: int
    offers: list[Offer]
    held: list[Held] = []
    protocol: int = PROTOCOL
    host: str = ""
    pid: int = 0
    python: str = ""
    probe: ClaimCheck | None = None
    draining: bool = False
    taken: int = 0
    """The last report the worker knows to be taken: so a ledger that has forgotten the session can go on from it."""


class Beat(Message, tag=tag_of):
    """I live. `directive` is the last directive number taken, `held` a digest over (run_id, epoch) of what is held."""

    directive: int = 0
    stuck: int = 0
    held: int = 0
    draining: bool = False


class Started(Message, tag=tag_of):
    """The body began at `at`."""

    run_id: RunId
    epoch: int
    at: datetime


class Commands(Message, tag=tag_of):
    """What a workflow asked for in the pumps up to delivery `upto_seq` (None: more parts follow). After the last part
    the workflow hangs. `closed` are addresses it no longer waits for (canceled calls, canceled timers)."""

    run_id: RunId
    epoch: int
    at: datetime
    upto_seq: int | None = None
    calls: list[Call] = []
    timers: list[Timer] = []
    closed: list[Address] = []
    waits: list[Wait] = []
    taken: int = 0  # with the last part: signals that its code has taken in these pumps, and the bytes of their values
    taken_bytes: int = 0
    edits: list[Edits] = []  # with the last part: what its code changed of metadata and tags in these pumps


class Fetch(Message, tag=tag_of):
    """Send the journal page after this seq (-1: from the beginning)."""

    run_id: RunId
    epoch: int
    after: int = -1


class Progress(Message, tag=tag_of):
    """How far a run says it is, 0 to 1, with a word."""

    run_id: RunId
    epoch: int
    fraction: float
    text: str = ""


class Annotated(Message, tag=tag_of):
    """A run's code has changed metadata or tags; each edit is taken on its own."""

    run_id: RunId
    epoch: int
    edits: list[Edits]


class Checkpoint(Message, tag=tag_of):
    """What the code of a task keeps for its next attempt; the last one counts."""

    run_id: RunId
    epoch: int
    value: Value


class Finished(Message, tag=tag_of):
    """The body ended. `how`: completed, failed, aborted, timed_out, canceled, system_failure, nondeterminism, crashed,
    out_of_memory, or continued: a workflow goes on as its next generation, whose input is `result`.
    `started_at` is given when no Started went before."""

    run_id: RunId
    epoch: int
    how: str
    at: datetime
    started_at: datetime | None = None
    result: Value | None = None
    error: Failure | None = None
    retry_after_ms: int | None = None
    retry: bool = True
    cache_key: str = ""
    slot_us: int = 0  # how long it held its slot, microseconds
    upto_seq: int | None = None
    traceparent: str = ""
    unread: list[int] = []  # of a workflow that continues: the signals (by seq) that its code has not taken
    differs: Differs | None = None  # of nondeterminism at an address
    edits: list[Edits] = []  # of a workflow: what its code changed of metadata and tags in the last pump


class Suspended(Message, tag=tag_of):
    """A workflow was put away after delivery `upto_seq`."""

    run_id: RunId
    epoch: int
    upto_seq: int


class Released(Message, tag=tag_of):
    """Handed back. Without a reason: no time or draining, not a loss. With one: could not be started (unknown
    routine)."""

    run_id: RunId
    epoch: int
    reason: str = ""
    lost: bool = False  # was executing and outlived the grace of a drain: counted as interrupted, no crash charged


class Bye(Message, tag=tag_of):
    """The session ends; nothing is held any more."""


class ChildDied(Message, tag=tag_of):
    """A supervisor's word: the process of this session is dead."""

    session: SessionId
    how: str = ""


Report = (
    Hello
    | Beat
    | Started
    | Commands
    | Fetch
    | Progress
    | Annotated
    | Checkpoint
    | Finished
    | Suspended
    | Released
    | Bye
    | ChildDied
)

# ------------------------------------------------------------------------------------------- coordinator -> itself


class Mark(Message, tag=tag_of):
    """A second has passed for the coordinator, taken from its inbox in its turn (DESIGN 6)."""

    term: int
    number: int


ReportItem = Report | Mark
