"""What must hold of limits, pauses, times, keys, batches, bulk orders, schedules and drains, judged from the messages
that were taken and the rows that were kept, never from what the ledger thinks of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from longshore.core.batches import OPEN, SEALED
from longshore.core.beginnings import Renewed
from longshore.core.bulks import RUNNING
from longshore.core.changes import Changes, HistoryRow, Inbound, NewRun
from longshore.core.ids import RunId
from longshore.core.ledger import Ledger, limiting, placing
from longshore.core.ledger.lanes import Lane, LaneKey, lane_of
from longshore.core.message import Pause, Reschedule, ResetKey, Resume, Trigger
from longshore.core.queues import NAMESPACE, QueueRow
from longshore.core.run import FINAL, Run, Status
from tests.simulation.book import Book

COUNTED = (Status.DISPATCHED, Status.EXECUTING, Status.CANCELING)
FREED_BY = (Status.FAILED, Status.CRASHED, Status.TIMED_OUT, Status.SYSTEM_FAILURE)
"""How a run ends that frees its idempotency key."""
Key = tuple[str, str, str]


def holds(run: Run) -> bool:
    """SPEC G, read from the run's row alone."""
    return run.status in COUNTED and not (run.flow is not None and run.flow.hung)


def milliseconds(count: int) -> timedelta:
    """So many of them."""
    return timedelta(milliseconds=count)


class Oracle:
    """Looks at each commit: `before`, then `after` it."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.seen: Counter[str] = Counter()
        """What was lived through."""
        self.ends: Counter[RunId] = Counter()
        self._live: dict[RunId, None] = {run.id: None for run in book.runs.values() if run.status not in FINAL}
        self._of_queue: dict[str, QueueRow] = {}
        self._held: Counter[tuple[str, str]] = Counter()
        self._starts_of: dict[str, list[datetime]] = {}
        self._pausing: set[RunId] = set()
        self._resumed: set[RunId] = set()
        self._due: dict[RunId, datetime] = {}
        self._triggered: set[RunId] = set()
        self._debounced: dict[RunId, tuple[Key, datetime | None]] = {}  # and until when it may be put off
        self._leading: dict[Key, datetime] = {}
        self._drained: set[str] = set()
        self._excused: set[RunId] = set()
        self.ticks: dict[str, list[datetime]] = {}

    # ------------------------------------------------------------------------------------------------- each commit

    def before(self) -> None:
        """What is known before it."""
        self._drained = {row.worker_id for row in self.book.workers.values() if row.drain is not None}

    def after(self, changes: Changes, batch: Sequence[Inbound], now: datetime) -> None:
        """Raises AssertionError for what must not be."""
        messages = [message for inbound in batch if not inbound.session for message in inbound.messages]
        triggers = {one.run_id: one for one in messages if isinstance(one, Trigger)}
        for one in messages:
            self._told(one)
        for new in changes.inserted:
            self._live[new.run.id] = None
            self._began(new, triggers.get(new.run.id), now)
        for run_id, renewed in changes.beginnings.renewed.items():
            self._renewed(run_id, renewed, triggers.values(), now)
        self._rescheduled(changes, [one for one in messages if isinstance(one, Reschedule)], now)
        for name, rule in changes.queues.items():
            self._ruled(name, rule, now)
        for row in changes.history:
            if row.valid:
                self._moved(row, now)
        for run_id in changes.ended:
            self.ends[run_id] += 1
            self._live.pop(run_id, None)
            assert self.ends[run_id] == 1, f"{run_id} ended twice"
        for key in {one.key for one in messages if isinstance(one, ResetKey)}:
            self._excused |= {run_id for run_id, own in self.book.begun.key_of.items() if own == key}
        self._check_limits()
        self._check_keys(changes)
        self._triggered |= triggers.keys()

    def _told(self, message: object) -> None:
        if isinstance(message, Resume):
            self._pausing.discard(message.run_id)
            self._resumed.add(message.run_id)
        elif isinstance(message, Pause):
            self._pausing.add(message.run_id)

    # --------------------------------------------------------------------------------------------------- beginnings

    def _began(self, new: NewRun, trigger: Trigger | None, now: datetime) -> None:
        run_id = new.run.id
        if new.schedule is not None:
            stamps = self.ticks.setdefault(new.schedule.schedule_id, [])
            assert new.schedule.timestamp not in stamps, f"the tick of {new.schedule.timestamp} came twice"
            stamps.append(new.schedule.timestamp)
        if trigger is None:
            return
        asked = trigger.options.debounce
        if trigger.options.delay_ms:
            self._due[run_id] = now + milliseconds(trigger.options.delay_ms)
        if asked is None:
            return
        key = (trigger.routine, asked.mode, asked.key)
        if asked.mode == "trailing":
            waiting = [one for one, (own, _) in self._debounced.items() if own == key and self._waits(one)]
            assert not waiting, f"{run_id} was begun while {waiting} waits for {key}"
            self._due[run_id] = now + milliseconds(asked.delay_ms)
            self._debounced[run_id] = key, now + milliseconds(asked.max_delay_ms) if asked.max_delay_ms else None
        else:
            assert now >= self._leading.get(key, now), f"{key} began another run too early"
            self._leading[key] = now + milliseconds(asked.delay_ms)

    def _waits(self, run_id: RunId) -> bool:
        run = self.book.runs.get(run_id)
        return run is not None and run.status is Status.DELAYED

    def _renewed(self, run_id: RunId, renewed: Renewed, triggers: Iterable[Trigger], now: datetime) -> None:
        key, last = self._debounced[run_id]
        mine = [one for one in triggers if _key_of(one) == key and one.run_id not in self._triggered]
        assert mine, f"{run_id} was put off by a trigger that had been taken before"
        asked = mine[-1].options.debounce
        assert asked is not None and renewed.input == mine[-1].input == self.book.inputs[run_id]
        until = now + milliseconds(asked.delay_ms)
        self._due[run_id] = until if last is None else max(now, min(until, last))
        self.seen["a debounced run was put off"] += 1

    def _rescheduled(self, changes: Changes, orders: list[Reschedule], now: datetime) -> None:
        last = {one.run_id: one.reason for one in changes.history if one.valid and one.from_status == one.to_status}
        for order in orders:
            if last.get(order.run_id, "").startswith("rescheduled") and order.delay_ms is not None:
                self._due[order.run_id] = now + milliseconds(order.delay_ms)
                self.seen["a run was rescheduled"] += 1

    def _check_keys(self, changes: Changes) -> None:
        """A key is free only when the run that had it ended badly."""
        asked = {key for _, key, _ in changes.beginnings.keyed}
        if not asked:
            return
        having: Counter[str] = Counter()
        for run_id, key in self.book.begun.key_of.items():
            run = self.book.runs.get(run_id)
            if run is not None and key in asked and run_id not in self._excused and run.status not in FREED_BY:
                having[key] += 1
        assert all(many <= 1 for many in having.values()), f"an idempotency key has two runs: {having}"

    # ---------------------------------------------------------------------------------------------------- movements

    def _moved(self, row: HistoryRow, now: datetime) -> None:
        if row.from_status == Status.DELAYED and row.to_status in (Status.QUEUED, Status.PENDING_VERSION):
            due = self._due.get(row.run_id, now)
            assert now >= due, f"{row.run_id} went {due - now} too early"
        if row.from_status == Status.BLOCKED and row.to_status not in (*FINAL, Status.BLOCKED, Status.CANCELING):
            assert row.run_id in self._resumed, f"{row.run_id} went on by itself: {row.reason}"
        if row.to_status == Status.BLOCKED and row.reason.startswith("paused"):
            self.seen["a run was paused"] += 1
        if row.from_status != row.to_status == Status.DISPATCHED:
            self._dispatched(self.book.runs[row.run_id], row, now)

    def _dispatched(self, run: Run, row: HistoryRow, now: datetime) -> None:
        assert row.worker_id not in self._drained, f"{row.worker_id} is to leave, and was given {run.id}"
        assert run.id not in self._pausing, f"{run.id} was to be paused, and was started"
        if run.flow is not None and run.flow.hung:
            return
        for name in (run.queue, NAMESPACE):
            rule = self._of_queue.get(name)
            if rule is None:
                continue
            assert rule.paused_at is None, f"{run.id} was started from {name}, which is paused"
            if rule.rate is not None:
                times = self._starts_of.setdefault(name, [])
                times.append(now)
                recent = sum(at > now - milliseconds(rule.rate.per_ms) for at in times)
                assert recent <= rule.rate.starts, f"{recent} starts from {name}, whose rate is {rule.rate}"

    # ------------------------------------------------------------------------------------------------------- limits

    def _ruled(self, name: str, row: QueueRow | None, now: datetime) -> None:
        before = self._of_queue.pop(name, None)
        if row is None or before is None or before.rate is None:
            self._starts_of.pop(name, None)
        elif row.rate != before.rate and name in self._starts_of:  # what is out of the old window is known no more
            since = now - milliseconds(before.rate.per_ms)
            self._starts_of[name] = [at for at in self._starts_of[name] if at > since]
        if row is not None:
            self._of_queue[name] = row

    def _living(self) -> Iterator[Run]:
        return (self.book.runs[run_id] for run_id in self._live)

    def _check_limits(self) -> None:
        """Who lowers a limit below what executes ends nothing; but nothing is added until there is room."""
        held: Counter[tuple[str, str]] = Counter()
        for run in self._living():
            if holds(run):
                held.update([(run.queue, ""), (NAMESPACE, "")])
                if run.concurrency_key:
                    held[run.queue, run.concurrency_key] += 1
        for (name, key), many in held.items():
            rule = self._of_queue.get(name)
            limit = None if rule is None else rule.key_limit if key else rule.limit
            if limit is not None:
                most = max(limit, self._held[name, key])
                assert many <= most, f"{many} runs of {name} {key} execute, the limit is {limit}"
                self.seen["a limit was reached"] += many >= limit
        self._held = held

    # ------------------------------------------------------------------------------------------------------ at rest

    def check_rest(self, ledger: Ledger, now: datetime) -> None:
        """The ledger says that nothing is left to do at once: then no run waits that could go."""
        for run in self._living():
            if run.status is Status.DELAYED:
                due = self._due.get(run.id)
                assert due is None or due > now, f"{run.id} was due at {due}"
        state = ledger._state
        lanes: dict[LaneKey, list[Run]] = {}
        for run in state.runs.values():
            if run.ticket and run.status is Status.QUEUED:
                lanes.setdefault(lane_of(run), []).append(run)
        for key, waiting in lanes.items():
            lane = state.lanes.all[key]
            for run in waiting if takes_any(ledger, lane, waiting) else ():
                assert not could_go(ledger, lane, run, now), f"nothing holds up {run.id}"

    # -------------------------------------------------------------------------------------------------- at the end

    def check_batches(self) -> None:
        """Each is closed, and counts what it began."""
        book = self.book
        of = Counter(batch_id for run_id, batch_id in book.batch_of.items() if run_id not in book.gone)
        for batch in book.batches.values():
            assert batch.status != OPEN, f"batch {batch.id} is open for ever"
            assert book.gone or batch.runs == of[batch.id], f"{batch} has {of[batch.id]} runs"
            assert batch.status != SEALED or batch.items < 0 or batch.complete, f"{batch} is not all there"
            self.seen[f"a batch was {batch.status}"] += 1

    def check_bulks(self) -> None:
        """Each is over, and has told each run once."""
        book = self.book
        reruns: Counter[tuple[str, RunId]] = Counter()
        for made, source in book.begun.rerun_of.items():
            if made in book.history:
                reruns[book.history[made][0].actor, source] += 1
        told: Counter[tuple[str, RunId]] = Counter()
        for rows in book.history.values():
            told.update((row.actor, row.run_id) for row in rows if row.to_status in ("CANCELED", "CANCELING"))
        by_bulk = {key: many for key, many in (reruns + told).items() if key[0].startswith("bulk order ")}
        for bulk in book.bulks.values():
            mine = sum(many for (actor, _), many in by_bulk.items() if actor == f"bulk order {bulk.id}")
            assert bulk.status != RUNNING and bulk.matched == bulk.done + bulk.refused, bulk
            assert book.gone or bulk.what != "rerun" or mine == bulk.done, f"{mine} reruns by {bulk}"
            self.seen[f"a bulk {bulk.what} was {bulk.status}"] += bulk.done > 0
        assert all(many == 1 for (actor, _), many in reruns.items() if actor.startswith("bulk order ")), (
            "run again twice"
        )

    def check_ticks(self, schedule: str, every: timedelta) -> None:
        """A schedule that catches up has left none out."""
        stamps = sorted(self.ticks[schedule])
        assert all(b - a == every for a, b in pairwise(stamps)), f"{schedule}: {stamps}"
        self.seen["ticks"] += len(stamps)


def _key_of(trigger: Trigger) -> Key | None:
    asked = trigger.options.debounce
    return None if asked is None else (trigger.routine, asked.mode, asked.key)


def takes_any(ledger: Ledger, lane: Lane, waiting: list[Run]) -> bool:
    """Whether there is room for whichever of the lane's runs: one that must have a free slot, or a worker of its own,
    holds up those behind it."""
    state = ledger._state
    takers = placing.takers(state, lane)
    return bool(takers) and not any(run.alone or placing.choose(state, run, takers) is None for run in waiting)


def could_go(ledger: Ledger, lane: Lane, run: Run, now: datetime) -> bool:
    """Whether neither a limit nor an equal run holds it up."""
    state = ledger._state
    leader = state.same_key.get(run.cache_key) if run.cache_key else None
    if run.cache_key and (run.cache_key in state.filling or leader not in (None, run.id)):
        return False
    queue = state.queues.get(lane.queue)
    full = queue is not None and queue.is_full(run.concurrency_key)
    return not lane.queue or (limiting.room(state, lane.queue, now) > 0 and not full)
