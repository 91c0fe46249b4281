"""What clients say to the coordinator, and the root of all messages. `core/message.py` has the rest of the bus."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from longshore.core.bulks import RunFilter
from longshore.core.ids import Address, RunId, WorkerId
from longshore.core.parts import Edit, Options, Value
from longshore.core.schedules import ALLOW, GRACE_MS, SKIP, UTC_NAME


class Message(msgspec.Struct, tag_field="type", omit_defaults=True, gc=False):
    """The root of all messages; the tag is the class name in snake_case."""


def tag_of(name: str) -> str:
    """A message's tag, from the name of its class."""
    return "".join("_" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(name))


class Trigger(Message, tag=tag_of):
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


class OpenBatch(Message, tag=tag_of):
    """Open a batch, or say that its sender still lives: who is silent for `patience_ms` without having sealed it leaves
    it aborted. The first item opens it, too. Answered with Answer, as the other two."""

    batch_id: str
    patience_ms: int | None = None
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False  # from a foreign program: the answer goes out as JSON


class SealBatch(Message, tag=tag_of):
    """All of a batch was sent: `items` of them (None: as many as have come by now)."""

    batch_id: str
    items: int | None = None
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class Bulk(Message, tag=tag_of):
    """Order something (`what`: cancel, rerun) for all runs that fit the filter, as they are now: done group by group.
    The same `bulk_id` again is the same order; `by` is who says so. Answered with Answer when it is taken down."""

    bulk_id: str
    what: str
    filter: RunFilter = msgspec.field(default_factory=RunFilter)
    reason: str = ""
    by: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class AbortBulk(Message, tag=tag_of):
    """Go no further with a bulk order; what is done stays done. Answered with Answer."""

    bulk_id: str
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class AbortBatch(Message, tag=tag_of):
    """No more of a batch will be sent. The runs that have begun go on."""

    batch_id: str
    reason: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class Cancel(Message, tag=tag_of):
    """Cancel a run and, by its policy, its children."""

    run_id: RunId
    reason: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False  # from a foreign program: the answer goes out as JSON


class DrainWorker(Message, tag=tag_of):
    """Have workers take nothing new, hand back what has not begun, finish the rest and leave: one by its id, or all
    that fit a pool, a host, a version they offer (`1.0.0` or `name@1.0.0`). `grace_ms` is how long what executes may go
    on (None: as the worker was started with). Answered with Answer."""

    worker_id: WorkerId = WorkerId("")
    pool: str = ""
    host: str = ""
    version: str = ""
    grace_ms: int | None = None
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class Resume(Message, tag=tag_of):
    """Let a BLOCKED run go on; its crashes and losses are forgotten. One that is yet to be paused is not. `by` is who
    says so, for its history."""

    run_id: RunId
    by: str = ""
    reason: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class Pause(Message, tag=tag_of):
    """Have a run wait until it is resumed: at once where it waits, else when it next waits, fails or is handed back.
    `by` is who says so, for its history."""

    run_id: RunId
    by: str = ""
    reason: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class Reschedule(Message, tag=tag_of):
    """Give a DELAYED run another time: so long from now, or an instant."""

    run_id: RunId
    delay_ms: int | None = None
    at: datetime | None = None
    by: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class Signal(Message, tag=tag_of):
    """Tell a workflow something by name, whether it waits for it yet or not. The same `signal_id` again is the same
    signal. Answered with Answer."""

    run_id: RunId
    name: str
    value: Value = b""
    signal_id: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False  # from a foreign program: the answer goes out as JSON


class CompleteToken(Message, tag=tag_of):
    """Give a workflow what it waits for at a token: a value, or the text of an error. Answered with Answer."""

    token: str
    value: Value = b""
    error: str | None = None
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class Fork(Message, tag=tag_of):
    """Run a workflow again from the call at this address on, with everything before it kept: as a new run, `fork_id`.
    The same `fork_id` again is the same run. `version` is another one of the routine; `by` is who says so, for the
    history. Answered with Answer; who `wants` the "outcome" is told that, too."""

    run_id: RunId
    at: Address
    version: str = ""
    fork_id: RunId = RunId("")
    by: str = ""
    wants: str = "accepted"
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class CreateSchedule(Message, tag=tag_of):
    """Start a routine again and again: by `cron` in a time zone, or every so many milliseconds. `schedule_id` is the
    routine's name if it is left out. The same order again changes nothing; another one for the same id is refused, or
    takes its place (`replace`). Answered with Answer."""

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
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class LimitQueue(Message, tag=tag_of):
    """Set limits of a queue: runs that may execute at once, of each concurrency key too, starts per period (`10/1m`),
    runs that may wait for their first start. What is left out stays as it is, null lifts it. The queue `*` is the whole
    namespace. `create`: one that nobody has named yet. Answered with Answer."""

    queue: str
    limit: int | msgspec.UnsetType | None = msgspec.UNSET
    key_limit: int | msgspec.UnsetType | None = msgspec.UNSET
    rate: str | msgspec.UnsetType | None = msgspec.UNSET
    max_size: int | msgspec.UnsetType | None = msgspec.UNSET
    create: bool = False
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class PauseQueue(Message, tag=tag_of):
    """Start nothing more from a queue. `create`: one that nobody has named yet. Answered with Answer."""

    queue: str
    create: bool = False
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class ResumeQueue(Message, tag=tag_of):
    """Let a paused queue go on. Answered with Answer."""

    queue: str
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class Annotate(Message, tag=tag_of):
    """Change metadata and tags of a run: all of the edits, or none. The same `annotate_id` again is the same order.
    `by` is who says so, for the history. Answered with Answer, whose `values` are those of incremented keys."""

    run_id: RunId
    edits: list[Edit]
    annotate_id: str = ""
    by: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class Rerun(Message, tag=tag_of):
    """Run again what has ended: as a new run, `rerun_id`, with the same input and options. The same `rerun_id` again is
    the same run. `version` is that of the routine ("" or "latest": the newest offered); `by` is who says so, for the
    history. Answered with Answer; who `wants` the "outcome" is told that, too."""

    run_id: RunId
    version: str = ""
    rerun_id: RunId = RunId("")
    by: str = ""
    wants: str = "accepted"
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class PauseSchedule(Message, tag=tag_of):
    """No ticks from now on, until it is resumed. Answered with Answer."""

    schedule_id: str
    by: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class ResumeSchedule(Message, tag=tag_of):
    """Ticks again; those of the pause are gone. Answered with Answer."""

    schedule_id: str
    by: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class DeleteSchedule(Message, tag=tag_of):
    """Forget a schedule. Its runs stay. Answered with Answer."""

    schedule_id: str
    by: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class ResetKey(Message, tag=tag_of):
    """Free an idempotency key that this producer ("": "default") has for a routine; with a `run_id`, one that this
    workflow has for its own calls. Answered with Answer: the run that held it, if any."""

    routine: str
    key: str
    run_id: RunId = RunId("")
    producer: str = ""
    ask_id: str = ""
    reply_to: str = ""
    plain: bool = False


class Ask(Message, tag=tag_of):
    """A question. `what`: run, outcome, history, tree, why, runs, batch, batches, bulk, bulks, workers, queues,
    schedules, schedule, schedule_next, dead, dead_letter, ping. Answered with Answer; `outcome` also registers the
    asker, who gets RunChanged when the run ends."""

    what: str
    ask_id: str
    reply_to: str
    run_ids: list[RunId] = []
    params: dict[str, Any] = {}


RunOrder = Cancel | Resume | Pause | Reschedule
"""What is answered with where the run stands then."""

QueueOrder = LimitQueue | PauseQueue | ResumeQueue
ScheduleOrder = CreateSchedule | PauseSchedule | ResumeSchedule | DeleteSchedule
BatchOrder = OpenBatch | SealBatch | AbortBatch | Bulk | AbortBulk

RunMade = Fork | Rerun
KeyOrder = ResetKey
ToldOrder = Signal | CompleteToken | Annotate
Order = RunOrder | RunMade | ToldOrder | KeyOrder | QueueOrder | DrainWorker | ScheduleOrder | BatchOrder
"""What is answered with Answer, if its sender says where: each has `ask_id`, `reply_to` and `plain`."""

Command = Trigger | Ask | Order
