"""What goes into the ledger beside messages, and what comes out: needs, facts, changes.

The shell's round: `needs = ledger.needs(batch)`, `facts = store.read(needs)`, `changes = ledger.receive(batch, facts,
now, entropy)`, commit, publish, settle (DESIGN 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from longshore.core.batches import Batch
from longshore.core.beginnings import Beginnings, Debounced, Joint
from longshore.core.bulks import BulkPage, BulkRow
from longshore.core.cursors import Cursor
from longshore.core.forks import ForkPoint, NewFork
from longshore.core.ids import Address, RunId, SessionId
from longshore.core.keeping import KeepRow, KeptPage, LettingGo, Shown, Wanted
from longshore.core.message import Answer, CallRow, Command, Directive, Failure, Mark, Reply, Report, Value
from longshore.core.queues import QueueRow
from longshore.core.records import (
    Annotation,
    Answered,
    CacheHit,
    FinalRun,
    KeptSignal,
    ReturnedReply,
    TokenRow,
    Unheard,
    UnheardPage,
    WorkerRow,
)
from longshore.core.run import Run
from longshore.core.schedules import ScheduleChanges, ScheduledTick, ScheduleFacts, ScheduleNeeds

# --------------------------------------------------------------------------------------------------------- going in


class SessionReturned(msgspec.Struct, gc=False):
    """A directive to this session came back: nobody is bound to its key."""

    session: SessionId


class ReplyReturned(msgspec.Struct, gc=False):
    """Final outcomes for this key came back: the asker is away."""

    reply_to: str
    run_ids: list[RunId]


class ObjectsRemoved(msgspec.Struct, gc=False):
    """These objects of runs that are gone are gone from the payload store, or were never to go."""

    keys: list[str]


class ReportsBound(msgspec.Struct, gc=False):
    """The coordinator has bound its n-th report queue (its connection is new): every session is to be pinged."""

    number: int


class Unreadable(msgspec.Struct, gc=False):
    """A body that could not be decoded. For a report with a session and number, the number counts as taken."""

    source: str
    reason: str
    body: bytes
    size: int
    headers: dict[str, str | int] = {}
    traceback: str = ""
    run_ids: list[RunId] = []
    reply_to: str = ""
    """Where a foreign program waits for an answer, and by what it knows it."""
    correlation_id: str = ""


Internal = SessionReturned | ReplyReturned | ReportsBound | ObjectsRemoved | Unreadable


class Inbound(msgspec.Struct, gc=False):
    """One body as it came: who sent it, its number in the session (None: not numbered), its messages in order.

    `session` is set for reports, "" for commands, marks and internal events. `actor` is the broker's user_id or "".
    """

    messages: Sequence[Command | Report | Mark | Internal]
    session: SessionId = SessionId("")
    number: int | None = None
    actor: str = ""


class Needs(msgspec.Struct, gc=False):
    """What the ledger must know before it can decide a batch, and does not hold in memory."""

    runs: set[RunId] = msgspec.field(default_factory=set)
    """Rows of these runs, whatever their status (unknown ids are simply absent from the facts)."""
    cache_keys: set[str] = msgspec.field(default_factory=set)
    idempotency_keys: set[str] = msgspec.field(default_factory=set)
    calls: set[RunId] = msgspec.field(default_factory=set)
    """Workflows whose addresses (with children) are needed to take Commands again without doubling."""
    addresses: dict[RunId, set[Address]] = msgspec.field(default_factory=dict)
    """Only these addresses of those workflows."""
    arguments: set[tuple[RunId, Address]] = msgspec.field(default_factory=set)
    """What these calls of workflows (which are among the `addresses`) were given, for people."""
    sessions: set[SessionId] = msgspec.field(default_factory=set)
    tokens: set[str] = msgspec.field(default_factory=set)
    """Tokens, with the runs they belong to."""
    signals: dict[RunId, set[str]] = msgspec.field(default_factory=dict)
    """Which of these signals (by id) these runs have been told, whatever their generation."""
    waits: set[tuple[RunId, str]] = msgspec.field(default_factory=set)
    """Whether these runs wait for signals of these names."""
    told_signals: set[RunId] = msgspec.field(default_factory=set)
    """Workflows about to begin a fresh journal: what signals stand in the present one, and how long their journals
    are."""
    debounce_keys: set[str] = msgspec.field(default_factory=set)
    originals: set[RunId] = msgspec.field(default_factory=set)
    """Runs, in whatever status, that are to be run again."""
    forks: set[tuple[RunId, Address]] = msgspec.field(default_factory=set)
    """Calls of workflows, in whatever status, from which these are to be run again."""
    annotations: set[RunId] = msgspec.field(default_factory=set)
    """Runs whose metadata and tags are to be changed."""
    annotation_ids: dict[RunId, set[str]] = msgspec.field(default_factory=dict)
    """Which of these orders (by id) to annotate these runs were taken already."""
    answered: set[str] = msgspec.field(default_factory=set)
    """Orders that may have come before."""
    batches: set[str] = msgspec.field(default_factory=set)
    """Batches that are not open (unknown ones are absent from the facts)."""
    bulks: set[str] = msgspec.field(default_factory=set)
    suspended_due: bool = False
    """SUSPENDED runs whose check_at, or one of whose open timers, is due (at most 1,000)."""
    cursors: bool = False
    """The open cursors (at most 10, cancels first) and for each the next page of its runs (at most 1,000 together)."""
    unheard: bool = False
    """Hooks that no worker has said to have run, and are due to be named to one (at most 100), with their runs."""
    replies_due: bool = False
    """Replies that came back and are due to be tried again (at most 1,000)."""
    schedules: ScheduleNeeds = msgspec.field(default_factory=ScheduleNeeds)
    kept: Wanted | None = None
    """A page of what has ended."""


class Facts(msgspec.Struct, gc=False):
    """What the store answered to Needs."""

    runs: dict[RunId, Run] = msgspec.field(default_factory=dict)
    """Live runs not in the ledger's memory (SUSPENDED ones), with their open timers. Beside the ones asked for, also
    those in `suspended_due` and in the cursors' pages, the children of the `addresses` asked for, the runs that
    `idempotency` names, and the SUSPENDED parents of all of these. Those of them that have ended are in `final`, with
    the ends of `replies_due`."""
    final: dict[RunId, FinalRun] = msgspec.field(default_factory=dict)
    cache: dict[str, CacheHit] = msgspec.field(default_factory=dict)
    idempotency: dict[str, RunId] = msgspec.field(default_factory=dict)
    calls: dict[RunId, dict[Address, CallRow]] = msgspec.field(default_factory=dict)
    arguments: dict[tuple[RunId, Address], list[str]] = msgspec.field(default_factory=dict)
    """Each argument as it would be written; of what can be shown."""
    sessions: dict[SessionId, WorkerRow] = msgspec.field(default_factory=dict)
    tokens: dict[str, TokenRow] = msgspec.field(default_factory=dict)
    signals: dict[RunId, set[str]] = msgspec.field(default_factory=dict)
    waits: set[tuple[RunId, str]] = msgspec.field(default_factory=set)
    told_signals: dict[RunId, list[tuple[int, int]]] = msgspec.field(default_factory=dict)
    """The seqs of the signals in the present journal, in order, each with the bytes of its value."""
    journal_rows: dict[RunId, int] = msgspec.field(default_factory=dict)
    """How many rows their journals have, calls and facts of all generations (counted up to one more of each than are
    let go of at once)."""
    debounced: dict[str, Debounced] = msgspec.field(default_factory=dict)
    originals: dict[RunId, Run] = msgspec.field(default_factory=dict)
    forks: dict[tuple[RunId, Address], ForkPoint] = msgspec.field(default_factory=dict)
    annotations: dict[RunId, Annotation] = msgspec.field(default_factory=dict)
    annotation_ids: dict[RunId, set[str]] = msgspec.field(default_factory=dict)
    answered: dict[str, Answer] = msgspec.field(default_factory=dict)
    batches: dict[str, Batch] = msgspec.field(default_factory=dict)
    bulks: dict[str, BulkRow] = msgspec.field(default_factory=dict)
    bulk_pages: list[BulkPage] = msgspec.field(default_factory=list)
    """With the open cursors: the next page of each bulk order under way (at most 1,000 runs together)."""
    suspended_due: list[RunId] = msgspec.field(default_factory=list)
    cursors: list[Cursor] = msgspec.field(default_factory=list)
    replies_due: list[ReturnedReply] = msgspec.field(default_factory=list)
    unheard: UnheardPage | None = None
    schedules: ScheduleFacts = msgspec.field(default_factory=ScheduleFacts)
    kept: KeptPage | None = None


class Snapshot(msgspec.Struct, gc=False):
    """What a starting coordinator loads."""

    term: int
    runs: list[Run]
    workers: list[WorkerRow]
    unsent: list[RunId]
    """Runs that ended in a batch whose messages may not have been sent: their outcomes go again."""
    joints: list[Joint] = []
    queues: list[QueueRow] = msgspec.field(default_factory=list)
    batches: list[Batch] = []
    """The open ones."""
    shown: list[Shown] = []
    policies: list[KeepRow] = []


# -------------------------------------------------------------------------------------------------------- coming out


class HistoryRow(NamedTuple):
    """One change of a run. A plain tuple: there are four per run. `seq` 0: the next of a run that is not in memory
    (the store numbers it)."""

    run_id: RunId
    seq: int
    from_status: str
    to_status: str
    reason: str
    actor: str
    attempt: int
    epoch: int
    worker_id: str
    at: datetime
    valid: bool


class NewRun(msgspec.Struct, gc=False):
    """A run to insert: its record (as it stands at the end of the batch) and what only the row keeps."""

    run: Run
    input: Value
    tags: list[str]
    metadata: dict[str, object]
    batch_id: str = ""
    schedule: ScheduledTick | None = None


class Outcome(msgspec.Struct, gc=False):
    """How a run ended, as its row keeps it."""

    run: Run
    result: Value | None = None
    error: Failure | None = None


class NewCall(NamedTuple):
    """A call or timer a workflow asked for. Rows are idempotent by run, generation and address."""

    run_id: RunId
    generation: int
    address: Address
    kind: str
    name: str
    digest: str
    asked_seq: int
    child_id: RunId
    due_at: datetime | None
    place: str


class NewDelivery(NamedTuple):
    """A fact for a workflow. An outcome's value stays in the child's row; signals and tokens bring their own."""

    run_id: RunId
    generation: int
    seq: int
    kind: str
    address: Address
    at: datetime
    status: str
    child_id: RunId
    value: Value | None = None


class Changes(msgspec.Struct, gc=False):
    """Everything a batch changes, to be committed in one transaction, and everything to be sent after it.

    A run appears in exactly one of `inserted`, `updated`, `ended` (a run both new and ended: `inserted` and `ended`;
    the store inserts first). The shell fills bodies that the ledger does not hold before it sends: `Start.input`,
    `Delivery.result` and `.error`, `RunChanged.result` and `.error`, whole JournalPages (named in `pages`).
    """

    inserted: list[NewRun] = msgspec.field(default_factory=list)
    beginnings: Beginnings = msgspec.field(default_factory=Beginnings)
    updated: dict[RunId, Run] = msgspec.field(default_factory=dict)
    ended: dict[RunId, Outcome] = msgspec.field(default_factory=dict)
    forks: list[NewFork] = msgspec.field(default_factory=list)
    """Of runs in `inserted`: their input, tags, metadata and the beginning of their journal are copied from another."""
    inputs: dict[RunId, Value] = msgspec.field(default_factory=dict)
    """New inputs of workflows that continue as their next generation (their rows are in `updated`)."""
    checkpoints: dict[RunId, Value] = msgspec.field(default_factory=dict)
    """What the code of these runs keeps for its next attempt."""
    annotated: dict[RunId, Annotation] = msgspec.field(default_factory=dict)
    """New metadata and tags; written after what was inserted and copied."""
    annotation_ids: list[tuple[RunId, str, datetime]] = msgspec.field(default_factory=list)
    begun_anew: list[RunId] = msgspec.field(default_factory=list)
    """Workflows with a fresh journal: the metadata their code begins with is that of this moment."""
    forgotten: list[tuple[RunId, int, int]] = msgspec.field(default_factory=list)
    """Journals nobody will read again: of these generations of these workflows, and of those before. At most so many
    calls and so many facts, the oldest; the ids of the signals among them are remembered."""
    history_forgotten: list[tuple[RunId, int, int]] = msgspec.field(default_factory=list)
    """History rows up to this seq, but for the first: at most so many, the oldest."""
    signals_forgotten: tuple[datetime, int] | None = None
    """Ids of signals told before this, in journals that are gone: at most so many."""
    tokens_forgotten: list[str] = msgspec.field(default_factory=list)
    letting_go: LettingGo | None = None
    history: list[HistoryRow] = msgspec.field(default_factory=list)
    calls: list[NewCall] = msgspec.field(default_factory=list)
    closed: list[tuple[RunId, int, Address]] = msgspec.field(default_factory=list)
    """Calls and timers a workflow no longer waits for, and timers that fired."""
    deliveries: list[NewDelivery] = msgspec.field(default_factory=list)
    kept_signals: list[KeptSignal] = msgspec.field(default_factory=list)
    tokens: list[TokenRow] = msgspec.field(default_factory=list)
    """New ones; idempotent by token."""
    tokens_completed: list[tuple[str, datetime, str]] = msgspec.field(default_factory=list)
    cache: list[tuple[str, RunId, datetime | None]] = msgspec.field(default_factory=list)
    idempotency: list[tuple[str, RunId, datetime]] = msgspec.field(default_factory=list)
    freed_keys: list[RunId] = msgspec.field(default_factory=list)
    """Runs whose idempotency keys are free again."""
    workers: dict[SessionId, WorkerRow] = msgspec.field(default_factory=dict)
    taken: dict[SessionId, int] = msgspec.field(default_factory=dict)
    """The last report taken of each session that reported (beside `workers`, which changes seldom)."""
    workers_until: datetime | None = None
    """Rows of sessions closed before this are to be forgotten (all of them, or a part: it is said again)."""
    queues: dict[str, QueueRow | None] = msgspec.field(default_factory=dict)
    """Rules of queues; None: it has none any more."""
    batches: dict[str, Batch] = msgspec.field(default_factory=dict)
    bulks: dict[str, BulkRow] = msgspec.field(default_factory=dict)
    batches_until: datetime | None = None
    """Batches and bulk orders that were made before this and are over are to be forgotten (a part of them)."""
    cursors: list[Cursor] = msgspec.field(default_factory=list)
    cursors_done: list[str] = msgspec.field(default_factory=list)
    returned: list[ReturnedReply] = msgspec.field(default_factory=list)
    returned_done: list[RunId] = msgspec.field(default_factory=list)
    answered: list[Answered] = []
    unheard: dict[RunId, Unheard] = msgspec.field(default_factory=dict)
    unheard_done: list[RunId] = msgspec.field(default_factory=list)
    dead: list[Unreadable] = msgspec.field(default_factory=list)
    schedules: ScheduleChanges = msgspec.field(default_factory=ScheduleChanges)
    suspended: list[RunId] = msgspec.field(default_factory=list)
    """Runs that left memory in this batch (their rows are in `updated`)."""

    directives: dict[SessionId, list[Directive]] = msgspec.field(default_factory=dict)
    """To each session, in order; numbered ones get their number from the shell."""
    pages: list[tuple[SessionId, RunId, int, int]] = msgspec.field(default_factory=list)
    """Journal pages to read and send: session, run, epoch, after."""
    replies: dict[str, list[Reply]] = msgspec.field(default_factory=dict)
    """By reply key, in order."""
    plain_keys: set[str] = msgspec.field(default_factory=set)
    """Reply keys of foreign programs: their replies go out as JSON."""
    opened: list[SessionId] = msgspec.field(default_factory=list)
    """Sessions welcomed in this batch: their directive numbers begin at 1 after the Welcome."""
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    """Facts for the observer that are no rows: `late_report`, `duplicate_report`, `gap`, `invalid` ..."""

    def is_durable(self) -> bool:
        """Whether there is anything to commit."""
        return bool(
            self.inserted
            or self.updated
            or self.ended
            or self.history
            or self.calls
            or self.closed
            or self.deliveries
            or self.kept_signals
            or self.tokens
            or self.tokens_completed
            or self.cache
            or self.workers
            or self.taken
            or self.checkpoints
            or self.workers_until
            or self.queues
            or self.batches
            or self.bulks
            or self.batches_until
            or self.cursors
            or self.cursors_done
            or self.returned
            or self.returned_done
            or self.answered
            or self.unheard
            or self.unheard_done
            or self.dead
            or self.freed_keys
            or self.idempotency
            or self.forgotten
            or self.history_forgotten
            or self.signals_forgotten
            or self.tokens_forgotten
            or self.annotation_ids
            or self.schedules.any
            or self.beginnings.is_durable()
            or self.letting_go
        )
