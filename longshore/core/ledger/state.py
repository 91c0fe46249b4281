"""What the ledger holds in memory: live runs, sessions, lanes of queued runs, alarms. Plain data and look-ups, no
rules."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from longshore.core.batches import Batch
from longshore.core.care import Loss
from longshore.core.changes import Changes, Facts
from longshore.core.ids import Address, RunId, SessionId, WorkerId
from longshore.core.joints import Joints, Search
from longshore.core.ledger.config import LedgerConfig
from longshore.core.ledger.lanes import Lanes
from longshore.core.ledger.shelves import Shelves
from longshore.core.message import Delivery, Drain, Offer
from longshore.core.metadata import Annotations
from longshore.core.outbox import held_digest
from longshore.core.queues import Queue
from longshore.core.records import WorkerRow
from longshore.core.run import Run, Status
from longshore.core.versions import parse

Alarm = tuple[datetime, int, RunId, str]
"""(when, tie-breaker, run, kind)."""
ALARMS_ROOM: Final = 1000
EMPTY_DIGEST: Final = held_digest(())


class Session(msgspec.Struct, kw_only=True, gc=False):
    """A worker process's conversation, as the coordinator sees it."""

    id: SessionId
    worker_id: WorkerId
    pool: str
    slots: int
    taken: int = 0
    offers: dict[tuple[str, str], Offer] = {}
    host: str = ""
    pid: int = 0
    python: str = ""
    since: datetime | None = None
    status: str = "INITIALIZING"
    open: bool = False  # welcomed on its present connection
    closed: bool = False
    draining: bool = False
    drain: Drain | None = None  # what it was told when it was ordered to leave
    unresponsive: bool = False
    silence: int = 0  # Marks since its last message
    heard: bool = False  # since the last Mark
    last_heard_at: datetime | None = None
    returned: int = -1  # Marks since a directive came back; -1: none did
    sent: int = 0  # numbered directives since Welcome
    spoken: bool = False  # sent anything since the last ping round
    beat_directive: int = -1
    beat_stands: int = 0
    beat_sent: int = 0
    stuck: int = 0
    only_free: bool = False  # handed something back: until a slot comes free, no streams
    reserved: RunId = RunId("")  # kept for a run that must execute alone
    held: dict[RunId, None] = {}
    busy: set[RunId] = set()  # of those, the ones that use or await a slot
    long: set[RunId] = set()  # of those, the ones not known to be short
    starting: set[RunId] = set()  # workflows that have not reached a wait
    charged: dict[RunId, int] = {}  # crashes charged when it was lost: run -> epoch after
    digest: int = EMPTY_DIGEST  # over what is held, kept as it changes

    def row(self) -> WorkerRow:
        """The session as it is kept."""
        return WorkerRow(
            session=self.id,
            worker_id=self.worker_id,
            pool=self.pool,
            slots=self.slots,
            status=self.status,
            taken=self.taken,
            offers=list(self.offers.values()),
            host=self.host,
            pid=self.pid,
            python=self.python,
            since=self.since,
            drain=self.drain,
        )


class Speed(msgspec.Struct, gc=False):
    """The measured slot time of a routine version: an exponential mean in milliseconds."""

    mean_ms: float = -1.0

    def learn(self, slot_us: int) -> None:
        """Take one more measurement (microseconds) into the mean."""
        milliseconds = slot_us / 1000
        self.mean_ms = milliseconds if self.mean_ms < 0 else self.mean_ms * 0.9 + milliseconds * 0.1


class State:
    """All of the ledger's memory."""

    __slots__ = (
        "alarms",
        "alarms_room",
        "batches",
        "circles",
        "config",
        "counts",
        "cursors_open",
        "cursors_patient",
        "equals",
        "filling",
        "foreign",
        "forget_at",
        "hooks_at",
        "joints",
        "known",
        "lanes",
        "losses",
        "marks",
        "more_to_place",
        "newest",
        "offered",
        "orphaned",
        "pending",
        "pinged_at",
        "place_at",
        "progress",
        "progress_room",
        "queues",
        "releasing",
        "report_queue",
        "runs",
        "same_key",
        "schedules_at",
        "sessions",
        "settling",
        "shelves",
        "speeds",
        "term",
        "ticked_at",
        "ticket",
        "to_resend",
        "unanswered",
        "walk_at",
        "watchers",
    )

    def __init__(self, config: LedgerConfig, term: int, now: datetime) -> None:
        self.config = config
        self.term = term
        self.runs: dict[RunId, Run] = {}
        self.sessions: dict[SessionId, Session] = {}
        self.lanes = Lanes(self.runs)
        self.queues: dict[str, Queue] = {}  # the ones with a rule
        self.offered: dict[tuple[str, str], dict[SessionId, Offer]] = {}
        self.known: dict[tuple[str, str], Offer] = {}  # what was ever offered: policies outlive the workers
        self.newest: dict[str, list[str]] = {}  # routine -> versions offered, newest first
        self.pending: dict[str, dict[RunId, None]] = {}  # routine -> PENDING_VERSION runs
        self.releasing: set[str] = set()  # routines whose pending runs are being let go
        self.orphaned: dict[SessionId, None] = {}  # lost or closed sessions that still have runs to take from them
        self.losses: dict[SessionId, Loss] = {}  # why a session was closed, while runs are still to be taken from it
        self.alarms: list[Alarm] = []
        self.alarms_room = ALARMS_ROOM  # with more of them those that mean nothing are thrown away
        self.batches: dict[str, Batch] = {}  # the open ones
        self.speeds: dict[tuple[str, str], Speed] = {}
        self.same_key: dict[str, RunId] = {}  # cache key -> the run that leads
        self.equals: dict[str, dict[RunId, None]] = {}  # cache key -> queued runs; ticket 0: parked beside the leader
        self.filling: dict[str, None] = {}  # cache keys with a result that many wait for: they complete group by group
        self.unanswered: deque[tuple[datetime, RunId]] = deque()  # workflows that were sent facts, by time
        self.progress: dict[RunId, Said] = {}  # the latest words of attempts; some of them are over
        self.progress_room = 1000
        self.watchers: dict[RunId, set[str]] = {}
        self.foreign: dict[RunId, dict[tuple[str, str], None]] = {}  # who sent it again as JSON: (key, correlation)
        self.joints = Joints()
        self.circles: dict[tuple[RunId, Address], Search] = {}  # who may wait for itself, by the call
        self.to_resend: list[RunId] = []  # ended runs whose outcomes go again
        self.counts: dict[str, int] = {}
        self.cursors_open = True
        self.cursors_patient = False  # those that are open may wait a moment
        self.shelves = Shelves(now + config.retention_after)
        self.more_to_place = False
        self.place_at: datetime | None = None  # when the rate of a queue lets something start that waits
        self.ticked_at = now
        self.pinged_at = now
        self.forget_at = now + timedelta(minutes=1)  # soon, even where no coordinator lives for an hour
        self.walk_at = now + timedelta(minutes=1)
        self.ticket = 0
        self.marks = 0
        self.settling = config.settling_marks
        self.report_queue = 0
        self.hooks_at: datetime | None = now  # when a run whose hooks nobody has run is to be named to a worker again
        self.schedules_at = now  # when a schedule may be due

    def count(self, fact: str) -> None:
        """Count something that is no row."""
        self.counts[fact] = self.counts.get(fact, 0) + 1

    def wake_at(self, when: datetime, run_id: RunId, kind: str) -> None:
        """Have `tick` look at this run then."""
        self.ticket += 1
        heapq.heappush(self.alarms, (when, self.ticket, run_id, kind))

    def forget_alarms(self) -> None:
        """Throw away alarms of runs that are not in memory, and doubles, whenever there are twice as many as were
        needed: what is put away for a month must not cost its alarm."""
        if len(self.alarms) <= self.alarms_room:
            return
        needed: dict[tuple[datetime, RunId, str], Alarm] = {}
        for alarm in self.alarms:
            when, _, run_id, kind = alarm
            if run_id in self.runs:
                needed.setdefault((when, run_id, kind), alarm)
        self.alarms = list(needed.values())
        heapq.heapify(self.alarms)
        self.alarms_room = max(ALARMS_ROOM, 2 * len(self.alarms))

    def offer_of(self, run: Run) -> Offer | None:
        """What the routine's author says about the version the run has (or would get)."""
        version = run.version or run.asked_version
        if not version:
            versions = self.newest.get(run.routine)
            if not versions:
                return None
            version = versions[0]
        sessions = self.offered.get((run.routine, version))
        return next(iter(sessions.values())) if sessions else self.known.get((run.routine, version))

    def is_offered(self, run: Run) -> bool:
        """Whether any session that is not closed offers what the run asks for."""
        version = run.version or run.asked_version
        return (run.routine, version) in self.offered if version else run.routine in self.newest

    def add_offers(self, session: Session, offers: list[Offer]) -> None:
        """Make the session offer exactly these."""
        self.remove_offers(session)
        session.offers = {(offer.routine, offer.version): offer for offer in offers}
        self.known.update(session.offers)
        for key, offer in session.offers.items():
            self.offered.setdefault(key, {})[session.id] = offer
            versions = self.newest.setdefault(key[0], [])
            if key[1] not in versions:
                versions.append(key[1])
                versions.sort(key=parse, reverse=True)
            if key[0] in self.pending:
                self.releasing.add(key[0])

    def remove_offers(self, session: Session) -> None:
        """Take what the session offers out of the index; its runs still go by it."""
        for key in session.offers:
            sessions = self.offered.get(key)
            if sessions is None or sessions.pop(session.id, None) is None or sessions:
                continue
            del self.offered[key]
            self.newest[key[0]].remove(key[1])
            if not self.newest[key[0]]:
                del self.newest[key[0]]

    def enqueue(self, run: Run, rank: float) -> None:
        """Put a run that waits for a worker into its lane. Lower ranks go first; a rank is seconds since 1970 minus
        priority."""
        if run.cache_key and run.status is Status.QUEUED:
            self.equals.setdefault(run.cache_key, {})[run.id] = None
        self.lanes.enqueue(run, rank)


class Said(msgspec.Struct, gc=False):
    """The latest word of one attempt on how far it is."""

    epoch: int
    fraction: float
    text: str
    at: datetime


class Annotating:
    """A run whose metadata or tags are being changed in this batch. `row` is the place of its history row among the
    batch's, -1 for none yet; `given` is what its code has seen, where that is to be kept."""

    __slots__ = ("actor", "annotations", "given", "refused", "row", "run", "who")

    def __init__(self, run: Run, annotations: Annotations, given: str | None) -> None:
        self.run = run
        self.annotations = annotations
        self.given = given
        self.row = -1
        self.refused = False
        self.actor = ""
        self.who: dict[str, None] = {}


class Round:
    """One batch being decided: its time, its chance, its facts, and what it changes."""

    __slots__ = (
        "annotating",
        "cascading",
        "changes",
        "deliveries",
        "facts",
        "fresh",
        "now",
        "put_away",
        "random",
        "rated",
        "room",
        "touched",
    )

    def __init__(self, now: datetime, facts: Facts, entropy: Callable[[int], bytes], room: int) -> None:
        self.now = now
        self.facts = facts
        self.random = entropy
        self.changes = Changes()
        self.annotating: dict[RunId, Annotating | None] = {}  # None: one was refused, and that is recorded
        self.cascading: set[RunId] = set()  # runs that have ended, or begin anew, whose children are being canceled
        self.fresh: set[RunId] = set()  # inserted in this round: no update beside
        self.deliveries: dict[RunId, list[Delivery]] = {}
        self.touched: set[SessionId] = set()  # sessions whose status is to be looked at
        self.put_away: dict[RunId, Run] = {}  # runs that left memory in this round: the facts do not know them
        self.rated: set[str] = set()  # queues of whose rate something was used
        self.room = room  # how many more runs time alone may touch in this round

    def chance(self) -> float:
        """A number in [0, 1)."""
        return int.from_bytes(self.random(7), "big") / (1 << 56)


NO_SESSION = SessionId("")
