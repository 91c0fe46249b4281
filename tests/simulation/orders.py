"""Every order there is, at random, on a fleet that breaks: queues with limits, pauses, other times, debounces, keys,
batches, bulk orders, schedules, drains, and what has ended let go. `oracles.py` judges each commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from longshore.core.bulks import RunFilter
from longshore.core.changes import Changes, Inbound
from longshore.core.ids import RunId, WorkerId
from longshore.core.keeping import Keep
from longshore.core.message import (
    Accepted,
    Cancel,
    Command,
    CreateSchedule,
    DeleteSchedule,
    DrainWorker,
    LimitQueue,
    Pause,
    PauseQueue,
    PauseSchedule,
    Rejected,
    Reschedule,
    ResetKey,
    Resume,
    ResumeQueue,
    ResumeSchedule,
    Trigger,
)
from longshore.core.orders import AbortBatch, AbortBulk, Bulk, OpenBatch, SealBatch
from longshore.core.parts import Debounce
from longshore.core.queues import NAMESPACE
from longshore.core.run import FINAL, Status
from tests.simulation.fleet import CLIENT, Fleet, check_histories
from tests.simulation.models import SimWorker
from tests.simulation.oracles import Oracle

QUIET_AFTER = 240
STEPS = 2000
QUEUES = ("default", "q", "r")
KEYS = ("", "a", "b", "c")
EVERY = timedelta(seconds=3)
CATCHES_UP = "catches-up"
MOST_RERUNS = 60


class Brisk(SimWorker):
    """A worker most of whose tasks are short."""

    brief = 0.97


class Rush(Fleet):
    """A fleet whose clients order whatever can be ordered."""

    def __init__(self, seed: int, *, event_path: bool = True, forgets: bool = False) -> None:
        self.batch: list[Inbound] = []
        self.numbered = 0
        self.asked: dict[RunId, str] = {}
        self.bulks: list[Bulk] = []
        self.stalled_until = -1.0
        super().__init__(seed, event_path=event_path)
        if forgets:
            nothing = timedelta(0)
            kept = Keep(timedelta(seconds=4))
            self.world.config = msgspec.structs.replace(
                self.world.config, retention=kept, retention_grace=nothing, retention_after=nothing
            )
            self._restart()
        self.oracle = Oracle(self.world.book)
        self._listen()
        self.outside = self.order
        self.lifted = False

    def _listen(self) -> None:
        book, commit = self.world.book, self.world.book.commit

        def judged(changes: Changes) -> None:
            batch, self.batch = self.batch, []
            self.oracle.before()
            commit(changes)
            self.oracle.after(changes, batch, self.world.now)

        book.commit = judged  # type: ignore[method-assign]

    def _take(self, batch: list[Inbound], taken: list[Command] | None = None) -> None:
        self.batch = batch
        super()._take(batch, taken)

    def new_worker(self, name: str) -> SimWorker:
        """A worker process that has just begun."""
        return Brisk(name, self.random.randrange(1 << 30))

    def _coordinate(self) -> None:
        """Now and then nobody is there for a while, or the database is slow."""
        if self.time < self.stalled_until:
            return
        if self.faults.kill and self.random.random() < 0.01:
            self.stalled_until = self.time + self.random.uniform(1.0, 9.0)
        super()._coordinate()
        if self.world.ledger.next_tick_at(self.world.now) > self.world.now:
            self.oracle.check_rest(self.world.ledger, self.world.now)

    def _publish(self, changes: Changes) -> list[Inbound]:
        for replies in changes.replies.values():
            for message in replies:
                self._hear(message)
        return super()._publish(changes)

    def _hear(self, message: object) -> None:
        if isinstance(message, Accepted):
            self.asked[message.asked_id or message.run_id] = "accepted"
            assert message.run_id in self.world.book.numbers, f"{message.run_id} was accepted, and is not there"
        elif isinstance(message, Rejected):
            self.asked[message.run_id] = "rejected"
            assert message.run_id not in self.world.book.runs, f"{message.run_id} was refused, and is there"
            self.oracle.seen[f"refused: {message.rule}"] += 1

    # ----------------------------------------------------------------------------------------------------- orders

    def begin(self) -> None:
        """What stands at the start."""
        for schedule, missed in ((CATCHES_UP, "catch_up"), ("skips", "skip")):
            order = CreateSchedule("act", schedule, every_ms=EVERY // timedelta(milliseconds=1), missed=missed)
            self.commands.append(order)
        self.trigger("act", 5)
        self.trigger("work", 4)

    def order(self) -> None:
        """What clients order in one step."""
        if self.faults.kill == 0:
            self._lift()
            return
        for way, chance in self._ways().items():
            if self.random.random() < chance:
                way()

    def _ways(self) -> dict[Callable[[], None], float]:
        return {
            self._trigger_some: 0.3,
            self._trigger_flow: 0.02,
            self._debounce: 0.12,
            self._key: 0.1,
            self._limit: 0.06,
            self._pause_queue: 0.03,
            self._pause_run: 0.05,
            self._resume_run: 0.05,
            self._reschedule: 0.08,
            self._send_batch: 0.04,
            self._bulk: 0.03,
            self._schedule: 0.02,
            self._drain: 0.005,
        }

    def _ask(self, routine: str = "act", **options: Any) -> None:
        run_id = self.world.run_id()
        self.numbered += 1
        trigger = Trigger(routine, run_id, f"in {self.numbered}".encode(), reply_to=CLIENT)
        for name, value in options.items():
            setattr(trigger.options, name, value)
        self.asked[run_id] = ""
        self.commands.append(trigger)

    def _trigger_some(self) -> None:
        chance = self.random
        for _ in range(chance.randrange(1, 5)):
            self._ask(
                queue=chance.choice(QUEUES),
                concurrency_key=chance.choice(KEYS),
                priority=chance.choice([0.0, 0.0, 10.0]),
                delay_ms=chance.choice([None, None, None, 700, 4000]),
            )

    def _trigger_flow(self) -> None:
        self._ask("flow", queue=self.random.choice(QUEUES))

    def _debounce(self) -> None:
        chance = self.random
        mode = chance.choice(["trailing", "trailing", "leading"])
        longest = chance.choice([None, 4000]) if mode == "trailing" else None
        self._ask(debounce=Debounce(chance.choice("xy"), chance.choice([500, 1500, 3000]), mode, longest))

    def _key(self) -> None:
        if self.random.random() < 0.1:
            self.commands.append(ResetKey("act", self.random.choice("klm")))
        else:
            self._ask(idempotency_key=self.random.choice("klm"))

    def _limit(self) -> None:
        chance = self.random
        rules: dict[str, Any] = {
            "limit": chance.choice([None, 1, 2, 3]),
            "key_limit": chance.choice([None, 1, 2]),
            "rate": chance.choice([None, "3/1s", "2/5s", "2/5s", "3/9s"]),
            "max_size": chance.choice([None, None, 3, 10]),
        }
        given = {name: value for name, value in rules.items() if chance.random() < 0.5}
        name = chance.choice(["q", "r", "q", "r", NAMESPACE])
        if name == NAMESPACE:
            given = {"limit": chance.choice([None, 2, 4])}
        self.commands.append(LimitQueue(name, **given, create=True))

    def _pause_queue(self) -> None:
        name = self.random.choice(["q", "r", NAMESPACE])
        self.commands.append(PauseQueue(name, create=True) if self.random.random() < 0.3 else ResumeQueue(name))

    def _some(self, *statuses: Status) -> RunId | None:
        found = [
            run.id
            for run in self.world.book.runs.values()
            if run.status not in FINAL and (not statuses or run.status in statuses)
        ]
        return self.random.choice(found) if found else None

    def _pause_run(self) -> None:
        at_work = [Status.EXECUTING] if self.random.random() < 0.5 else []
        if (run_id := self._some(*at_work)) is not None:
            self.commands.append(Pause(run_id, "a person"))

    def _resume_run(self) -> None:
        if (run_id := self._some(Status.BLOCKED)) is not None:
            self.commands.append(Resume(run_id, "a person"))

    def _reschedule(self) -> None:
        if (run_id := self._some(Status.DELAYED)) is not None:
            self.commands.append(Reschedule(run_id, delay_ms=self.random.choice([0, 300, 2000, 5000])))

    def _send_batch(self) -> None:
        """Whole, or by half: with its seal, its end, or nothing more to be heard of it."""
        chance = self.random
        batch_id, items = f"batch-{self.numbered}-{self.time}", chance.randrange(1, 6)
        self.commands.append(OpenBatch(batch_id, 3000))
        sealed = SealBatch(batch_id, items)
        early = chance.random() < 0.2
        self.commands.extend([sealed] if early else [])
        for _ in range(items):
            self._ask(batch_id=batch_id, queue=chance.choice(QUEUES))
        if not early and chance.random() < 0.7:
            self.commands.append(sealed if chance.random() < 0.7 else AbortBatch(batch_id, "enough"))

    def _bulk(self) -> None:
        bulks = [one.id for one in self.world.book.bulks.values()]
        if bulks and self.random.random() < 0.3:
            self.commands.append(AbortBulk(self.random.choice(bulks)))
            return
        again = self.random.random() < 0.5 and len(self.world.book.begun.rerun_of) < MOST_RERUNS
        which = RunFilter(routine="act", status=["FAILED", "CANCELED"] if again else ["QUEUED", "RETRYING"])
        order = Bulk(f"bulk-{self.time}", "rerun" if again else "cancel", which)
        if self.bulks and self.random.random() < 0.3:
            order = self.random.choice(self.bulks)  # once more
        self.bulks.append(order)
        self.commands.append(order)

    def _schedule(self) -> None:
        self.commands.append(PauseSchedule("skips") if self.random.random() < 0.5 else ResumeSchedule("skips"))

    def _drain(self) -> None:
        there = [link.worker for link in self.links.values() if not link.worker.draining]
        if len(there) > 1:
            self.commands.append(DrainWorker(WorkerId(self.random.choice(there).name)))
            self._hire()

    def _lift(self) -> None:
        """The world is quiet: nothing new comes, and nothing is held any more."""
        if not self.lifted:
            self.lifted = True
            for name, limit in (("q", 3), ("r", 3), (NAMESPACE, 8)):
                self.commands += [ResumeQueue(name), LimitQueue(name, limit=limit, rate=None, create=True)]
            self.commands += [DeleteSchedule(CATCHES_UP), DeleteSchedule("skips")]

    def _attend_to_blocked(self) -> None:
        for run in self.world.book.runs.values():
            if run.status is Status.BLOCKED:
                on = self.random.random() < 0.7
                self.commands.append(Resume(run.id, "a person") if on else Cancel(run.id, "given up"))

    def is_over(self) -> bool:
        """And all is answered and closed."""
        book = self.world.book
        over = all(one.status != "open" for one in book.batches.values())
        over = over and all(one.status != "running" for one in book.bulks.values())
        return over and all(self.asked.values()) and super().is_over()


def simulate(seed: int, *, event_path: bool = True, steps: int = STEPS) -> Counter[str]:
    """One seed. Raises AssertionError for whatever must not be."""
    forgets = seed % 4 == 3
    rush = Rush(seed, event_path=event_path, forgets=forgets)
    rush.begin()
    rush.run(steps=steps, quiet_after=QUIET_AFTER)
    if not forgets:
        check_histories(rush)
    oracle = rush.oracle
    oracle.check_batches()
    oracle.check_bulks()
    oracle.check_ticks(CATCHES_UP, EVERY)
    oracle.seen["runs"] += len(oracle.ends)
    oracle.seen["runs that are gone"] += len(rush.world.book.gone)
    oracle.seen["crashes"] += rush.crashes + rush.kills
    return oracle.seen
