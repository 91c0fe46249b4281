"""A whole fleet from a seed: the real ledger, worker models, and a bus that cuts, drops, doubles and holds back.

Nothing here waits: time is a number. A run of the simulation ends when every run it accepted has ended, or fails when
none moves.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from longshore.core.changes import Changes, HistoryRow, Inbound, NewDelivery, ReportsBound, SessionReturned
from longshore.core.ids import RunId, SessionId
from longshore.core.ledger import LedgerConfig
from longshore.core.message import (
    Ask,
    Cancel,
    ChildDied,
    Command,
    Directive,
    JournalPage,
    Mark,
    Ping,
    Report,
    Resume,
    RunChanged,
    Trigger,
    Welcome,
)
from longshore.core.policy import CRASHES_TO_BLOCK, LOSSES_TO_BLOCK
from longshore.core.run import FINAL
from tests.simulation.book import Book
from tests.simulation.cleanups import check_cleanups
from tests.simulation.models import SimWorker, generations
from tests.simulation.world import World

STEP = 0.25
CLIENT = "client"


@dataclass
class Faults:
    """How often each fault strikes, per step (or per body for the last three)."""

    cut: float = 0.02
    kill: float = 0.01
    freeze: float = 0.003
    crash_before_commit: float = 0.01
    crash_after_commit: float = 0.01
    drop: float = 0.005
    double: float = 0.02
    cancel: float = 0.005
    drain: float = 0.003


@dataclass
class Link:
    """Both directions between one worker and the coordinator; bodies keep their order."""

    worker: SimWorker
    up: deque[tuple[int | None, list[Report]]] = field(default_factory=deque)
    down: deque[tuple[list[Directive], int, int, int]] = field(default_factory=deque)
    bound: bool = False
    back_at: float = 0.0
    sent: int = 0


class Fleet:
    """The simulation. `shell` may be given another way of doing a round (for mutants)."""

    def __init__(self, seed: int, *, faults: Faults | None = None, workers: int = 3, event_path: bool = True) -> None:
        self.random = random.Random(seed)
        self.faults = faults or Faults()
        self.world = World(seed=seed, event_path=event_path)
        self.time = 0.0
        self.names = 0
        self.links: dict[SessionId, Link] = {}
        self.commands: deque[Command] = deque()
        self.outcomes: dict[RunId, str] = {}
        self.triggered: list[RunId] = []
        self.finished: set[tuple[RunId, int]] = set()  # by workers that are gone
        self.bound = 0
        self.crashes = self.kills = 0
        self.settle_before_commit = False
        self.next_mark = 0.0
        self.outside: Callable[[], None] = lambda: None  # what the world does to the runs, at each step
        for _ in range(workers):
            self._hire()
        self._take([self._reports_bound()])

    # ---------------------------------------------------------------------------------------------------- the run

    def trigger(self, routine: str, count: int = 1, **options: object) -> None:
        """Have a client trigger runs."""
        for _ in range(count):
            run_id = self.world.run_id()
            self.triggered.append(run_id)
            key = f"key-{self.random.randrange(3)}" if routine == "work" else ""
            trigger = Trigger(routine, run_id, b"in", reply_to=CLIENT, wants="outcome", cache_key=key)
            for name, value in options.items():
                setattr(trigger.options, name, value)
            self.commands.append(trigger)

    def run(self, *, steps: int, quiet_after: int) -> None:
        """Let it run with faults, then without, until every run has ended."""
        for step in range(steps):
            if step == quiet_after:
                self.faults = Faults(0, 0, 0, 0, 0, 0, 0, 0, 0)
            self.step()
            if step > quiet_after and self.is_over():
                return
        raise AssertionError("still waiting: " + "; ".join(self._stuck()))

    def is_over(self) -> bool:
        """Whether every run there is has ended and every client knows how."""
        if self.commands or len(self.outcomes) < len(self.triggered):
            return False
        book = self.world.book
        return not book.cursors and all(run.status in FINAL for run in book.runs.values())

    def _stuck(self) -> list[str]:
        runs = self.world.book.runs
        waiting = [
            f"{run.id[-6:]} {run.routine} {run.status}: {run.reason}"
            for run in runs.values()
            if run.status not in FINAL
        ]
        untold = [f"{run_id[-6:]} untold" for run_id in self.triggered if run_id not in self.outcomes]
        return [*waiting[:10], *untold[:5]]

    def step(self) -> None:
        """A quarter of a second."""
        self.time += STEP
        self.world.now += timedelta(seconds=STEP)
        self._strike()
        self.outside()
        for link in list(self.links.values()):
            self._serve(link)
        self._coordinate()
        if self.random.random() < 0.02:
            self._ask_again()
            self._attend_to_blocked()

    # ------------------------------------------------------------------------------------------------- the faults

    def _strike(self) -> None:
        for link in list(self.links.values()):
            if self.random.random() < self.faults.cut:
                self._cut(link)
            elif self.random.random() < self.faults.kill:
                self._kill(link)
            elif self.random.random() < self.faults.freeze:
                link.worker.frozen_until = self.time + self.random.choice([5.0, 45.0])
            elif self.random.random() < self.faults.drain and not link.worker.draining:
                link.worker.draining = True
                self._hire()
        if self.triggered and self.random.random() < self.faults.cancel:
            self.commands.append(Cancel(self.random.choice(self.cancelable()), "chance"))

    def cancelable(self) -> Sequence[RunId]:
        """Of which runs somebody may order the cancel."""
        return self.triggered

    def _cut(self, link: Link) -> None:
        link.up.clear()
        link.down.clear()
        link.bound = False
        link.worker.outbox.lost()
        away = self.random.uniform(0.3, 2.0) if self.random.random() < 0.8 else self.random.uniform(5.0, 45.0)
        link.back_at = self.time + away

    def _kill(self, link: Link) -> None:
        self.kills += 1
        self.finished |= link.worker.finished
        link.worker.die()
        del self.links[link.worker.session]
        if self.random.random() < 0.5:
            died = ChildDied(link.worker.session, "simulated")
            self._take([Inbound(messages=[died], session=SessionId("supervisor"))])
        self._hire()

    def _hire(self) -> None:
        self.names += 1
        worker = self.new_worker(f"w{self.names}")
        self.links[worker.session] = Link(worker)

    def new_worker(self, name: str) -> SimWorker:
        """A worker process that has just begun."""
        return SimWorker(name, self.random.randrange(1 << 30))

    # --------------------------------------------------------------------------------------------------- the bus

    def _serve(self, link: Link) -> None:
        worker = link.worker
        if not link.bound and self.time >= link.back_at:
            link.bound = True
            worker.outbox.bound()
        if worker.frozen_until > self.time:
            return
        while link.down:
            directives, number, term, taken = link.down.popleft()
            if self._is_dropped():
                continue
            worker.receive(copy.deepcopy(directives), number, term, taken, self.time)
            if self.random.random() < self.faults.double:
                worker.receive(copy.deepcopy(directives), number, term, taken, self.time)
        worker.work(self.world.now, STEP)
        if not link.bound:
            return
        link.up.extend(worker.outgoing(self.time))
        if int(self.time / STEP) % 8 == 0 and worker.outbox.phase == "open":
            link.up.append((None, [worker.beat()]))

    def _is_dropped(self) -> bool:
        return self.random.random() < self.faults.drop

    def _publish(self, changes: Changes) -> list[Inbound]:
        """Send what a round gave out; what comes back of it is news for the next round."""
        news = []
        term = self.world.book.term
        for session, directives in changes.directives.items():
            link = self.links.get(session)
            if link is None or not link.bound:
                news.append(Inbound(messages=[SessionReturned(session)]))
                continue
            self._send(link, directives, term)
        for session, run_id, epoch, after in changes.pages:
            link = self.links.get(session)
            if link is not None and link.bound:
                self._send(link, [self._page(run_id, epoch, after)], term)
        for replies in changes.replies.values():
            for message in replies:
                if isinstance(message, RunChanged) and message.status in FINAL:
                    known = self.outcomes.setdefault(message.run_id, message.status)
                    assert known == message.status, f"{message.run_id} ended {known}, then {message.status}"
        return news

    def _send(self, link: Link, directives: list[Directive], term: int) -> None:
        session = self.world.ledger._state.sessions.get(link.worker.session)
        taken = session.taken if session else 0
        for directive in directives:
            if isinstance(directive, Welcome):
                link.sent = 0
            numbered = not isinstance(directive, Welcome | Ping)
            link.sent += numbered
            link.down.append(([directive], link.sent if numbered else 0, term, taken))

    def _page(self, run_id: RunId, epoch: int, after: int) -> JournalPage:
        book = self.world.book
        log = [delivery for delivery in book.delivery_log(run_id) if delivery.seq > after]
        rows = [row for row in book.call_rows(run_id) if row.asked_seq > after or after < 0]
        upto = log[-1].seq if log else max(after, 0)
        return JournalPage(run_id, epoch, after, upto, rows, log, last=True)

    # ------------------------------------------------------------------------------------------- the coordinator

    def _coordinate(self) -> None:
        batch: list[Inbound] = []
        for link in self.links.values():
            for _ in range(self.at_once()):
                if link.up:
                    number, reports = link.up.popleft()
                    if not self._is_dropped():
                        batch += [self._inbound(link, number, reports)] * (
                            1 + (self.random.random() < self.faults.double)
                        )
        taken = [self.commands.popleft() for _ in range(min(len(self.commands), 20))]
        if taken:
            batch.append(Inbound(messages=list(taken)))
        if self.time >= self.next_mark:
            self.next_mark = self.time + 1.0
            batch.append(Inbound(messages=[Mark(self.world.book.term, 0)]))
        if self.random.random() < self.faults.crash_before_commit:
            if not self.settle_before_commit:
                self.commands.extendleft(reversed(taken))
            self._restart()
            return
        if batch:
            self._take(batch, taken)
        self._tick()

    def at_once(self) -> int:
        """How many bodies of one worker are taken in this round."""
        return self.random.randrange(5)

    def _inbound(self, link: Link, number: int | None, reports: list[Report]) -> Inbound:
        return Inbound(messages=copy.deepcopy(reports), session=link.worker.session, number=number)

    def _take(self, batch: list[Inbound], taken: list[Command] | None = None) -> None:
        world = self.world
        facts = world.book.read(world.ledger.needs(batch), world.now)
        changes = world.ledger.receive(batch, facts, world.now, world.random.randbytes)
        world.book.commit(changes)
        if self.random.random() < self.faults.crash_after_commit:
            world.book.unsent = list(changes.ended)
            self.commands.extendleft(reversed(taken or []))
            self._restart()
            return
        news = self._publish(changes)
        if news:
            self._take(news)

    def _tick(self) -> None:
        world = self.world
        for _ in range(5):
            facts = world.book.read(world.ledger.tick_needs(world.now), world.now)
            changes = world.ledger.tick(facts, world.now, world.random.randbytes)
            world.book.commit(changes)
            news = self._publish(changes)
            if news:
                self._take(news)
            if world.ledger.next_tick_at(world.now) > world.now:
                return

    def _restart(self) -> None:
        self.crashes += 1
        self.world.restart()
        for link in self.links.values():
            link.up.clear()
        self._take([self._reports_bound()])

    def _reports_bound(self) -> Inbound:
        self.bound += 1
        return Inbound(messages=[ReportsBound(self.bound)])

    def _attend_to_blocked(self) -> None:
        """A run that lost three workers in a row needs a person; this one gives it up, or lets it go on."""
        for run in self.world.book.runs.values():
            if run.status == "BLOCKED":
                assert run.crashes >= CRASHES_TO_BLOCK or run.losses >= LOSSES_TO_BLOCK, run.reason
                again = self.random.random() < 0.5
                self.commands.append(Resume(run.id, "a person") if again else Cancel(run.id, "given up"))

    def _ask_again(self) -> None:
        waiting = [run_id for run_id in self.triggered if run_id not in self.outcomes]
        if waiting:
            self.commands.append(Ask("outcome", "ask", CLIENT, run_ids=waiting[:100]))


def check_histories(fleet: Fleet) -> None:
    """What must hold at the end, whatever happened: linear histories, one end, epochs and attempts that only rise."""
    book, logs = fleet.world.book, dict[RunId, list[list[NewDelivery]]]()
    for (run_id, _), log in book.deliveries.items():
        logs.setdefault(run_id, []).append(log)
    for run_id, rows in book.history.items():
        valid = [row for row in rows if row.valid]
        ends = [row for row in valid if row.to_status in FINAL]
        assert len(ends) == 1 and valid[-1] is ends[0], f"{run_id}: {[row.to_status for row in valid]}"
        assert all(a.to_status == b.from_status for a, b in pairwise(valid)), run_id
        assert all(a.epoch <= b.epoch for a, b in pairwise(rows)), run_id
        assert all(a.attempt <= b.attempt or _continues(b) for a, b in pairwise(rows)) and rows[-1].attempt <= 3, run_id
        check_rest(rows, [one.at for log in logs.get(run_id, ()) for one in log])
        _check_generations(book, run_id, valid)
    check_cleanups(book, fleet.finished.union(*(link.worker.finished for link in fleet.links.values())))
    assert fleet.world.ledger.counts.get("parent_unknown", 0) == 0
    for run in book.runs.values():
        if run.status == "COMPLETED" and run.routine == "act":
            assert book.results[run.id] == f"result of {run.id} under {run.epoch}".encode(), "a late report counted"
    for run_id in fleet.triggered:
        assert run_id in book.runs, f"{run_id} was accepted by the bus and is lost"
        assert fleet.outcomes[run_id] == book.runs[run_id].status


def check_rest(rows: list[HistoryRow], told: list[datetime]) -> None:
    """A workflow that is put away is not woken for one of several calls right after it was woken before, nor does it
    rest for longer than that."""
    rest, last = LedgerConfig().wake_every, None
    changes = [(before, row) for before, row in pairwise(rows) if row.valid and row.from_status == "SUSPENDED"]
    for put_away, row in changes:
        waited = row.at - min((at for at in told if put_away.at < at <= row.at), default=row.at)
        assert waited <= rest + timedelta(seconds=2), f"{row.run_id} had facts and was not woken"
        anew = last and any(_continues(one) for one in rows[last.seq : row.seq])
        rested = put_away.reason == "put away" and row.reason == "some of its calls have ended"
        if last and rested and row.attempt == last.attempt and not anew:
            assert row.at - last.at >= rest, f"{row.run_id} was woken too often"
        last = row


def _continues(row: HistoryRow) -> bool:
    return row.reason.startswith("continues as generation ")


def _check_generations(book: Book, run_id: RunId, rows: list[HistoryRow]) -> None:
    """Each next generation was begun once, from what the one before gave it; no journal of those before is left."""
    continued = [int(row.reason.rpartition(" ")[2]) for row in rows if _continues(row)]
    assert all(a < b for a, b in pairwise(continued)), f"{run_id}: {continued}"
    kept = {generation for name, generation in [*book.calls, *book.deliveries] if name == run_id}
    present = book.runs[run_id].flow
    assert all(present and generation >= present.generation for generation in kept), f"{run_id}: {kept}"
    if not continued or book.runs[run_id].routine != "loop":
        return
    assert book.inputs[run_id] == f"after {continued[-1] - 1}".encode(), run_id
    if book.runs[run_id].status == "COMPLETED":
        flow = book.runs[run_id].flow
        assert flow is not None and flow.generation >= generations(run_id)
