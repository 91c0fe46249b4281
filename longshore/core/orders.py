"""What clients say to the coordinator: to start a run, to ask, and the orders, which are answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from longshore.core.bulks import RunFilter
from longshore.core.ids import Address, RunId, WorkerId
from longshore.core.parts import Edit, Message, Options, Value
from longshore.core.schedules import ALLOW, GRACE_MS, SKIP, UTC_NAME


class Trigger(Message):
    """Start a run. The same `run_id` again is the same run. `wants` is "accepted" or "outcome" (also the final
    answer)."""

    routine: str
    run_id: RunId = RunId("")
    input: Value = b""
    options: Options = msgspec.field(default_factory=Options)
    reply_to: str = ""
    wants: str = "accepted"
    traceparent: str = ""
    correlation_id: str = ""
    cache_key: str = ""
    plain: bool = False  # from a foreign program: answers go out as JSON


class Ask(Message):
    """A question. `what`: run, outcome, history, tree, why, runs, batch, batches, bulk, bulks, workers, queues,
    schedules, schedule, schedule_next, dead, dead_letter, ping. Answered with Answer; `outcome` also registers the
    asker, who gets RunChanged when the run ends."""

    what: str
    ask_id: str
    reply_to: str
    run_ids: list[RunId] = []
    params: dict[str, Any] = {}


class Request(Message, kw_only=True):
    """An order: its sender gets an Answer, if it says where. `plain`: from a foreign program, the answer goes out as
    JSON."""

    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


# ---------------------------------------------------------------------------------------------------------------- a run


class Cancel(Request):
    """Cancel a run and, by its policy, its children. `by` is who says so, for its history."""

    run_id: RunId
    reason: str = ""
    by: str = ""


class Pause(Request):
    """Have a run wait until it is resumed: at once where it waits, else when it next waits, fails or is handed back.
    `by` is who says so, for its history."""

    run_id: RunId
    by: str = ""
    reason: str = ""


class Resume(Request):
    """Let a BLOCKED run go on; its crashes and losses are forgotten. One that is yet to be paused is not. `by` is who
    says so, for its history."""

    run_id: RunId
    by: str = ""
    reason: str = ""


class Reschedule(Request):
    """Give a DELAYED run another time: so long from now, or an instant."""

    run_id: RunId
    delay_ms: int | None = None
    at: datetime | None = None
    by: str = ""


class Rerun(Request):
    """Run again what has ended: as a new run, `rerun_id`, with the same input and options. The same `rerun_id` again is
    the same run. `version` is that of the routine ("" or "latest": the newest offered); `by` is who says so, for the
    history, and `reason` why. Who `wants` the "outcome" is told that, too."""

    run_id: RunId
    version: str = ""
    rerun_id: RunId = RunId("")
    by: str = ""
    wants: str = "accepted"
    reason: str = ""


class Fork(Request):
    """Run a workflow again from the call at this address on, with everything before it kept: as a new run, `fork_id`.
    The same `fork_id` again is the same run. `version` is another one of the routine; `by` is who says so, for the
    history. Who `wants` the "outcome" is told that, too."""

    run_id: RunId
    at: Address
    version: str = ""
    fork_id: RunId = RunId("")
    by: str = ""
    wants: str = "accepted"


# --------------------------------------------------------------------------------------------------- what a run is told


class Signal(Request):
    """Tell a workflow something by name, whether it waits for it yet or not. The same `signal_id` again is the same
    signal."""

    run_id: RunId
    name: str
    value: Value = b""
    signal_id: str = ""


class CompleteToken(Request):
    """Give a workflow what it waits for at a token: a value, or the text of an error."""

    token: str
    value: Value = b""
    error: str | None = None


class Annotate(Request):
    """Change metadata and tags of a run: all of the edits, or none. The same `annotate_id` again is the same order.
    `by` is who says so, for the history. `values` of its Answer are those of incremented keys."""

    run_id: RunId
    edits: list[Edit]
    annotate_id: str = ""
    by: str = ""


# ----------------------------------------------------------------------------------------------------------------- keys


class ResetKey(Request):
    """Free an idempotency key that this producer ("": "default") has for a routine; with a `run_id`, one that this
    workflow has for its own calls. Its Answer names the run that held it, if any."""

    routine: str
    key: str
    run_id: RunId = RunId("")
    producer: str = ""


# -------------------------------------------------------------------------------------------------------------- batches


class OpenBatch(Request):
    """Open a batch, or say that its sender still lives: who is silent for `patience_ms` without having sealed it leaves
    it aborted. The first item opens it, too."""

    batch_id: str
    patience_ms: int | None = None


class SealBatch(Request):
    """All of a batch was sent: `items` of them (None: as many as have come by now)."""

    batch_id: str
    items: int | None = None


class AbortBatch(Request):
    """No more of a batch will be sent. The runs that have begun go on."""

    batch_id: str
    reason: str = ""


class Bulk(Request):
    """Order something (`what`: cancel, rerun) for all runs that fit the filter, as they are now: done group by group.
    The same `bulk_id` again is the same order; `by` is who says so. Its Answer comes when it is taken down."""

    bulk_id: str
    what: str
    filter: RunFilter = msgspec.field(default_factory=RunFilter)
    reason: str = ""
    by: str = ""


class AbortBulk(Request):
    """Go no further with a bulk order; what is done stays done."""

    bulk_id: str


# --------------------------------------------------------------------------------------------------------------- queues


class LimitQueue(Request):
    """Set limits of a queue: runs that may execute at once, of each concurrency key too, starts per period (`10/1m`),
    runs that may wait for their first start. What is left out stays as it is, null lifts it. The queue `*` is the whole
    namespace. `create`: one that nobody has named yet."""

    queue: str
    limit: int | msgspec.UnsetType | None = msgspec.UNSET
    key_limit: int | msgspec.UnsetType | None = msgspec.UNSET
    rate: str | msgspec.UnsetType | None = msgspec.UNSET
    max_size: int | msgspec.UnsetType | None = msgspec.UNSET
    create: bool = False


class PauseQueue(Request):
    """Start nothing more from a queue. `create`: one that nobody has named yet."""

    queue: str
    create: bool = False


class ResumeQueue(Request):
    """Let a paused queue go on."""

    queue: str


# ------------------------------------------------------------------------------------------------------------ schedules


class CreateSchedule(Request):
    """Start a routine again and again: by `cron` in a time zone, or every so many milliseconds. `schedule_id` is the
    routine's name if it is left out. The same order again changes nothing; another one for the same id is refused, or
    takes its place (`replace`)."""

    routine: str
    schedule_id: str = ""
    cron: str = ""
    every_ms: int = 0
    timezone: str = UTC_NAME
    input: Value = b""
    options: Options = msgspec.field(default_factory=Options)
    missed: str = SKIP
    catch_up_limit: int = 100
    grace_ms: int = GRACE_MS
    overlap: str = ALLOW
    spread_ms: int = 0
    paused: bool = False
    replace: bool = False
    by: str = ""


class PauseSchedule(Request):
    """No ticks from now on, until it is resumed."""

    schedule_id: str
    by: str = ""


class ResumeSchedule(Request):
    """Ticks again; those of the pause are gone."""

    schedule_id: str
    by: str = ""


class DeleteSchedule(Request):
    """Forget a schedule. Its runs stay."""

    schedule_id: str
    by: str = ""


# -------------------------------------------------------------------------------------------------------------- workers


class DrainWorker(Request):
    """Have workers take nothing new, hand back what has not begun, finish the rest and leave: one by its id, or all
    that fit a pool, a host, a version they offer (`1.0.0` or `name@1.0.0`). `grace_ms` is how long what executes may go
    on (None: as the worker was started with)."""

    worker_id: WorkerId = WorkerId("")
    pool: str = ""
    host: str = ""
    version: str = ""
    grace_ms: int | None = None


RunOrder = Cancel | Resume | Pause | Reschedule
"""What is answered with where the run stands then."""

QueueOrder = LimitQueue | PauseQueue | ResumeQueue
ScheduleOrder = CreateSchedule | PauseSchedule | ResumeSchedule | DeleteSchedule
BatchOrder = OpenBatch | SealBatch | AbortBatch | Bulk | AbortBulk

RunMade = Fork | Rerun
KeyOrder = ResetKey
ToldOrder = Signal | CompleteToken | Annotate
Order = RunOrder | RunMade | ToldOrder | KeyOrder | QueueOrder | DrainWorker | ScheduleOrder | BatchOrder
"""What is answered: each is a Request."""

Command = Trigger | Ask | Order
