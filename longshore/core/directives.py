"""What the coordinator says to workers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from longshore.core.ids import RunId
from longshore.core.parts import PROTOCOL, CallRow, Delivery, Message, Value
from longshore.core.schedules import ScheduledTick


class Welcome(Message):
    """The session is open: send the outbox again from `taken` + 1; directives count from 1."""

    term: int
    taken: int
    protocol: int = PROTOCOL
    refused: str = ""  # why this worker may not join (probe object not readable, protocol too old); it exits with it


class Ping(Message):
    """Are you there? `hello`: say Hello again. `taken` is the last report the ledger has."""

    term: int
    taken: int
    report_queue: int = 0
    hello: bool = False


class Start(Message):
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


class Deliver(Message):
    """New facts for a workflow the worker holds."""

    run_id: RunId
    epoch: int
    deliveries: list[Delivery]


class JournalPage(Message):
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


class CancelRun(Message):
    """Tell the code that it is canceled; it may still clean up."""

    run_id: RunId
    epoch: int
    reason: str = ""


class Abandon(Message):
    """This run is no longer yours: drop it and report nothing."""

    run_id: RunId
    epoch: int


class Warn(Message):
    """Something that the run's code asked for was refused: say so in its log. The run goes on."""

    run_id: RunId
    epoch: int
    text: str


class RunHooks(Message):
    """Run the hooks of a run that has ended while no worker had it, and say HooksRun. Said again until somebody has."""

    run_id: RunId
    routine: str
    version: str
    attempt: int
    status: str
    reason: str = ""


class Drain(Message):
    """Take nothing new, hand back, finish, leave. `grace_ms`: what executes may go on for so long."""

    grace_ms: int | None = None


Directive = Welcome | Ping | Start | Deliver | JournalPage | CancelRun | Abandon | RunHooks | Warn | Drain
