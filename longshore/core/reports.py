"""What workers say to the coordinator, and what it says to itself among them."""

from __future__ import annotations

from datetime import datetime

from longshore.core.ids import Address, RunId, SessionId, WorkerId
from longshore.core.parts import (
    PROTOCOL,
    Call,
    ClaimCheck,
    Differs,
    Edits,
    Failure,
    Held,
    Message,
    Offer,
    Timer,
    Value,
    Wait,
)


class Hello(Message):
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


class Beat(Message):
    """I live. `directive` is the last directive number taken, `held` a digest over (run_id, epoch) of what is held."""

    directive: int = 0
    stuck: int = 0
    held: int = 0
    draining: bool = False


class Started(Message):
    """The body began at `at`."""

    run_id: RunId
    epoch: int
    at: datetime


class Commands(Message):
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


class Fetch(Message):
    """Send the journal page after this seq (-1: from the beginning)."""

    run_id: RunId
    epoch: int
    after: int = -1


class Progress(Message):
    """How far a run says it is, 0 to 1, with a word."""

    run_id: RunId
    epoch: int
    fraction: float
    text: str = ""


class Annotated(Message):
    """A run's code has changed metadata or tags; each edit is taken on its own."""

    run_id: RunId
    epoch: int
    edits: list[Edits]


class HooksRun(Message):
    """The hooks of a run that had ended (see RunHooks) have run."""

    run_id: RunId


class Checkpoint(Message):
    """What the code of a task keeps for its next attempt; the last one counts."""

    run_id: RunId
    epoch: int
    value: Value


class Finished(Message):
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


class Suspended(Message):
    """A workflow was put away after delivery `upto_seq`."""

    run_id: RunId
    epoch: int
    upto_seq: int


class Released(Message):
    """Handed back. Without a reason: no time or draining, not a loss. With one: could not be started (unknown
    routine)."""

    run_id: RunId
    epoch: int
    reason: str = ""
    lost: bool = False  # was executing and outlived the grace of a drain: counted as interrupted, no crash charged


class Bye(Message):
    """The session ends; nothing is held any more."""


class ChildDied(Message):
    """A supervisor's word: the process of this session is dead. `tail` is the end of what it wrote to stderr."""

    session: SessionId
    how: str = ""
    tail: str = ""


Report = (
    Hello
    | Beat
    | Started
    | Commands
    | Fetch
    | Progress
    | Annotated
    | Checkpoint
    | HooksRun
    | Finished
    | Suspended
    | Released
    | Bye
    | ChildDied
)


# --------------------------------------------------------------------------------------------- coordinator -> itself


class Mark(Message):
    """A second has passed for the coordinator, taken from its inbox in its turn (DESIGN 6)."""

    term: int
    number: int


ReportItem = Report | Mark
