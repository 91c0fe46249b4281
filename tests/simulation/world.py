"""A ledger with its book and a clock that only we move: the smallest world in which every rule can be tried."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from longshore.core.changes import Changes, HistoryRow, Inbound, Internal, Unreadable
from longshore.core.ids import ClientId, RunId, SessionId, WorkerId, uuid7
from longshore.core.ledger import Ledger, LedgerConfig
from longshore.core.message import (
    Command,
    Directive,
    Finished,
    Hello,
    Mark,
    Offer,
    Options,
    Reply,
    Report,
    Start,
    Started,
    Trigger,
)
from longshore.core.orders import Request
from longshore.core.run import Run, Status
from tests.simulation.book import Book

CLIENT = ClientId("client-1")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """One coordinator's ledger over a Book. Everything it sends is kept in `sent` and `replies`."""

    def __init__(self, *, seed: int = 0, **config: Any) -> None:
        self.random = random.Random(seed)
        self.config = LedgerConfig(**config)
        self.book = Book()
        self.now = EPOCH
        self.sent: dict[SessionId, list[Directive]] = {}
        self.replies: list[tuple[str, Reply]] = []
        self.numbers: dict[SessionId, int] = {}
        self._asks: set[str] = set()
        self.ledger = self._start()

    def _start(self) -> Ledger:
        return Ledger(self.config, self.book.snapshot(), self.now)

    def restart(self) -> None:
        """The coordinator dies and another one loads the book."""
        self.ledger = self._start()

    def run_id(self) -> RunId:
        """A fresh run id."""
        return RunId(uuid7(self.now, self.random.randbytes(10)))

    # ------------------------------------------------------------------------------------------------ rounds

    def take(self, *batch: Inbound) -> Changes:
        """One round of the loop: read, decide, commit, send. Each order has an id of its own, whatever it says."""
        for message in (one for inbound in batch for one in inbound.messages):
            if isinstance(message, Request) and message.ask_id:
                message.ask_id += f"~{len(self._asks)}" * (message.ask_id in self._asks)
                self._asks.add(message.ask_id)
        return self._take(*batch)

    def _take(self, *batch: Inbound) -> Changes:
        facts = self.book.read(self.ledger.needs(batch), self.now)
        changes = self.ledger.receive(batch, facts, self.now, self.random.randbytes)
        self._settle(changes)
        return changes

    def tick(self, seconds: float = 0.0) -> Changes:
        """Move the clock, then one tick."""
        self.now += timedelta(seconds=seconds)
        facts = self.book.read(self.ledger.tick_needs(self.now), self.now)
        changes = self.ledger.tick(facts, self.now, self.random.randbytes)
        self._settle(changes)
        return changes

    def settle(self, rounds: int = 20) -> None:
        """Tick, without moving the clock, until nothing is wanted at once."""
        for _ in range(rounds):
            self.tick()
            if self.ledger.next_tick_at(self.now) > self.now:
                return

    def _settle(self, changes: Changes) -> None:
        self.book.commit(changes)
        for session, directives in changes.directives.items():
            self.sent.setdefault(session, []).extend(directives)
        for key, replies in changes.replies.items():
            self.replies.extend((key, message) for message in replies)

    # ------------------------------------------------------------------------------------------------ senders

    def command(self, *messages: Command) -> Changes:
        """A client's message."""
        return self.take(Inbound(messages=list(messages)))

    def again(self, *messages: Command) -> Changes:
        """A client's message whose orders may have come before."""
        return self._take(Inbound(messages=list(messages)))

    def internal(self, *messages: Internal | Unreadable) -> Changes:
        """News from our own shell."""
        return self.take(Inbound(messages=list(messages)))

    def report(self, session: SessionId, *messages: Report, number: int | None = None) -> Changes:
        """A numbered body of a worker (the next number unless given)."""
        if number is None:
            number = self.numbers[session] = self.numbers.get(session, 0) + 1
        return self.take(Inbound(messages=list(messages), session=session, number=number))

    def say(self, session: SessionId, message: Report) -> Changes:
        """An unnumbered message of a worker."""
        return self.take(Inbound(messages=[message], session=session))

    def marks(self, count: int = 1) -> None:
        """Seconds of listening, each with its tick."""
        for number in range(count):
            self.now += timedelta(seconds=1)
            self.take(Inbound(messages=[Mark(term=self.book.term, number=number)]))
            self.settle()

    def join(
        self,
        name: str = "w1",
        *,
        offers: Sequence[Offer] = (),
        slots: int = 4,
        pool: str = "default",
        held: Sequence[Any] = (),
    ) -> SessionId:
        """A worker says Hello."""
        session = SessionId(f"session-{name}")
        hello = Hello(worker_id=WorkerId(name), pool=pool, slots=slots, offers=list(offers), held=list(held))
        self.say(session, hello)
        self.settle()
        return session

    def trigger(self, routine: str, *, wants: str = "outcome", cache_key: str = "", **options: Any) -> RunId:
        """Trigger a run and give its id."""
        run_id = self.run_id()
        self.command(
            Trigger(
                routine=routine,
                run_id=run_id,
                input=b"in",
                options=Options(**options),
                reply_to=CLIENT,
                wants=wants,
                cache_key=cache_key,
            )
        )
        return run_id

    # ------------------------------------------------------------------------------------------------ looking

    def starts(self, session: SessionId) -> list[Start]:
        """The Start directives this session was sent and that were not taken yet; they are taken now."""
        directives = self.sent.get(session, [])
        starts = [directive for directive in directives if isinstance(directive, Start)]
        self.sent[session] = [directive for directive in directives if not isinstance(directive, Start)]
        return starts

    def directives(self, session: SessionId) -> list[Directive]:
        """Everything this session was sent and that was not taken yet; it is taken now."""
        return self.sent.pop(session, [])

    def row(self, run_id: RunId) -> Run:
        """The run as the book has it."""
        return self.book.runs[run_id]

    def status(self, run_id: RunId) -> Status:
        """Where the run stands by the book."""
        return self.book.runs[run_id].status

    def path(self, run_id: RunId) -> list[str]:
        """The statuses the run has been through (valid rows only)."""
        return [row.to_status for row in self.book.history[run_id] if row.valid]

    def history(self, run_id: RunId) -> list[HistoryRow]:
        """The run's history."""
        return self.book.history[run_id]

    def outcomes(self, run_id: RunId) -> list[Reply]:
        """The final answers sent for this run."""
        return [
            message
            for _, message in self.replies
            if getattr(message, "run_id", "") == run_id and getattr(message, "at", None) is not None
        ]

    # ------------------------------------------------------------------------------------------------ doing

    def begin(self, session: SessionId, start: Start) -> None:
        """The worker reports that the body began."""
        self.report(session, Started(run_id=start.run_id, epoch=start.epoch, at=self.now))

    def finish(self, session: SessionId, start: Start, how: str = "completed", **more: Any) -> Changes:
        """The worker reports that the body ended."""
        more.setdefault("result", b"out" if how == "completed" else None)
        report = Finished(run_id=start.run_id, epoch=start.epoch, how=how, at=self.now, started_at=self.now, **more)
        return self.report(session, report)


def task(name: str = "t", version: str = "1.0.0", **more: Any) -> Offer:
    """An offer of a task."""
    return Offer(routine=name, version=version, kind="task", **more)


def workflow(name: str = "wf", version: str = "1.0.0", **more: Any) -> Offer:
    """An offer of a workflow."""
    more.setdefault("max_attempts", 1)
    return Offer(routine=name, version=version, kind="workflow", **more)
