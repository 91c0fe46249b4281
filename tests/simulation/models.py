"""A worker, reduced to what the ledger can see of it: its session, what it holds, what it reports.

The session is the real `core/outbox.py`; the code of a workflow is a script whose state follows from its delivery
log, as that of real code does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from longshore.core.ids import Address, RunId, SessionId, WorkerId, uuid7
from longshore.core.message import (
    Abandon,
    Beat,
    Call,
    CallRow,
    CancelRun,
    Commands,
    Deliver,
    Delivery,
    Directive,
    Drain,
    Failure,
    Fetch,
    Finished,
    Held,
    Hello,
    JournalPage,
    Offer,
    Released,
    Report,
    Start,
    Started,
    Suspended,
    Timer,
    Wait,
)
from longshore.core.outbox import Outbox, held_digest

BOOM = Failure(type="builtins.ValueError", message="boom")
OFFERS = [
    Offer(routine="work", version="1.0.0", kind="task", cache=True),
    Offer(routine="act", version="1.0.0", kind="action"),
    Offer(routine="flow", version="1.0.0", kind="workflow", max_attempts=2),
    Offer(routine="loop", version="1.0.0", kind="workflow", max_attempts=2),
    Offer(routine="wait", version="1.0.0", kind="workflow", max_attempts=2),
]


@dataclass
class Script:
    """What a workflow does: rounds of calls, timers, signals or tokens. The next round comes when all of one is
    answered; a `race` round goes on at the first answer and closes the rest.
    """

    rounds: list[tuple[str, int]]

    @classmethod
    def of(cls, run_id: RunId, depth: int) -> Script:
        """The script that belongs to this run: always the same."""
        rng = random.Random(f"{run_id}/{depth}")
        kinds = ["act", "work", "act", "timer", "race"] + (["flow"] if depth < 2 else [])
        return cls([(rng.choice(kinds), rng.randrange(1, 4)) for _ in range(rng.randrange(1, 4))])

    @classmethod
    def waiting(cls, run_id: RunId) -> Script:
        """The script of a run that waits for the outside."""
        rng = random.Random(f"{run_id}/wait")
        kinds = ["signal", "token", "signal", "act", "timer"]
        return cls([(rng.choice(kinds), rng.randrange(1, 5)) for _ in range(rng.randrange(2, 5))])


def signal_name(address: Address) -> str:
    """What is waited for at this address of a `signal` round: one of two names."""
    return f"s{int(address[-1]) % 2}"


def generations(run_id: RunId) -> int:
    """The generation in which a `loop` ends at the earliest (a retry is one, too)."""
    return random.Random(f"{run_id}/generations").randrange(1, 5)


@dataclass
class Execution:
    """One held run."""

    start: Start
    depth: int
    left: float
    began: bool = False
    told: bool = False
    canceled: bool = False
    # of a workflow
    script: Script | None = None
    seq: int = -1  # the last delivery applied
    known: dict[Address, CallRow] = field(default_factory=dict)
    buffer: dict[int, Delivery] = field(default_factory=dict)
    round: int = -1
    waiting: set[Address] = field(default_factory=set)
    replaying: bool = False
    kept: dict[str, list[str]] = field(default_factory=dict)  # signals nobody has taken: their ids by name
    asking: dict[str, list[Address]] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    fails_at: int = 0  # its first attempt fails when it has been told this many facts; 0: it does not


class SimWorker:
    """One worker process."""

    offers = OFFERS
    brief = 0.8
    """How many of its tasks last no longer than three seconds."""

    def __init__(self, name: str, seed: int, slots: int = 3) -> None:
        self.name = name
        self.random = random.Random(seed)
        self.session = SessionId(f"s-{name}")
        self.outbox = Outbox()
        self.slots = slots
        self.held: dict[RunId, Execution] = {}
        self.ended: dict[RunId, int] = {}  # reported over, not known to be taken: run -> number
        self.ends_of: dict[int, list[RunId]] = {}
        self.bodies: dict[bytes, list[Report]] = {}
        self.reports: list[Report] = []
        self.effects: list[RunId] = []  # bodies that ran to their end here
        self.finished: set[tuple[RunId, int]] = set()  # whose end it has reported, under which epoch
        self.frozen_until = -1.0
        self.draining = False

    # --------------------------------------------------------------------------------------------------- the link

    def outgoing(self, now: float) -> list[tuple[int | None, list[Report]]]:
        """The bodies that leave now: (number or None, reports)."""
        leaving: list[tuple[int | None, list[Report]]] = []
        if self.outbox.hello_due(now):
            leaving.append((None, [self._hello()]))
        while self.reports:
            many = self.in_one_body()
            body = f"{self.name}/{self.outbox.number + 1}".encode()
            self.bodies[body], self.reports = self.reports[:many], self.reports[many:]
            number = self.outbox.keep([body])
            if not self.reports:
                self.ends_of[number] = [run_id for run_id, at in self.ended.items() if at < 0]
                for run_id in self.ends_of[number]:
                    self.ended[run_id] = number
        leaving += [(number, self.bodies[body]) for number, body in self.outbox.unsent(now)]
        return leaving

    def in_one_body(self) -> int:
        """How many of its reports go into the next body."""
        return len(self.reports)

    def beat(self) -> Beat:
        """I live."""
        held = 0 if self.outbox.kept else held_digest((run_id, e.start.epoch) for run_id, e in self.held.items())
        return Beat(directive=self.outbox.directives, held=held, draining=self.draining)

    def _hello(self) -> Hello:
        held = [Held(run_id, execution.start.epoch) for run_id, execution in self.held.items()]
        hello = Hello(worker_id=WorkerId(self.name), pool="default", slots=self.slots, offers=self.offers, held=held)
        hello.draining, hello.taken = self.draining, self.outbox.taken
        return hello

    def receive(self, directives: list[Directive], number: int, term: int, taken: int, now: float) -> None:
        """A body from the coordinator."""
        for directive in self.outbox.receive(directives, number=number, term=term, taken=taken, now=now):
            self._carry_out(directive)
        for sent in [number for number in self.ends_of if number <= self.outbox.taken]:
            for run_id in self.ends_of.pop(sent):
                if self.ended.pop(run_id, None) is not None:
                    self.held.pop(run_id, None)

    def _carry_out(self, directive: Directive) -> None:
        if isinstance(directive, Start):
            self._start(directive)
            return
        if isinstance(directive, Drain):
            self.draining = True
            return
        execution = self.held.get(getattr(directive, "run_id", RunId("")))
        if execution is None or execution.start.epoch != getattr(directive, "epoch", 0):
            return
        if isinstance(directive, Abandon):
            self.held.pop(execution.start.run_id, None)
            self.ended.pop(execution.start.run_id, None)
        elif isinstance(directive, CancelRun):
            execution.canceled = True
        elif isinstance(directive, Deliver):
            execution.buffer.update({delivery.seq: delivery for delivery in directive.deliveries})
        elif isinstance(directive, JournalPage):
            execution.known.update({row.address: row for row in directive.calls})
            execution.buffer.update({delivery.seq: delivery for delivery in directive.deliveries})
            if directive.after <= execution.seq:  # another may overtake the one that was asked for
                execution.replaying = execution.replaying and not directive.last

    def _start(self, start: Start) -> None:
        held = self.held.get(start.run_id)
        if held is not None and held.start.epoch >= start.epoch:
            return
        self.ended.pop(start.run_id, None)
        depth = len(start.tags)
        lasts = self.random.uniform(0.0, 3.0) if self.random.random() < self.brief else self.random.uniform(30.0, 60.0)
        execution = self.held[start.run_id] = Execution(start, depth, lasts)
        if start.routine in ("flow", "loop", "wait"):
            own = start.seed or start.run_id  # a fork goes on with the code of the run it came from
            name = RunId(f"{own}/{start.generation}") if start.routine == "loop" else own
            waits = start.routine == "wait"
            execution.script = Script.waiting(name) if waits else Script.of(name, 2 if start.parent_id else 0)
            execution.fails_at = random.Random(f"{name}/fails").choice([0, 0, 0, 1, 2])
            execution.replaying = start.processed_seq >= 0 or start.last_seq > 0 or start.forked_seq >= 0
            if execution.replaying:
                self.reports.append(Fetch(run_id=start.run_id, epoch=start.epoch, after=-1))

    # -------------------------------------------------------------------------------------------------- the work

    def work(self, now: datetime, passed: float) -> None:
        """Let some time pass."""
        running = [e for e in self.held.values() if e.script is None and e.start.run_id not in self.ended]
        for execution in running[: self.slots]:
            if not execution.began:
                execution.began = True
                if self.random.random() < 0.5:
                    execution.told = True
                    self.reports.append(Started(execution.start.run_id, execution.start.epoch, now))
            execution.left -= passed
            if execution.left <= 0 or execution.canceled:
                self._finish_task(execution, now)
        for execution in running[self.slots :]:
            if self.random.random() < 0.05:
                self._end(execution, Released(execution.start.run_id, execution.start.epoch))
        for execution in [e for e in self.held.values() if e.script is not None and e.start.run_id not in self.ended]:
            self._pump(execution, now)
            if execution.start.run_id not in self.ended:
                self._put_away(execution)
        if self.draining:
            for execution in running:
                if execution.start.run_id not in self.ended and self.random.random() < 0.1:
                    began = execution.began
                    self._end(execution, Released(execution.start.run_id, execution.start.epoch, lost=began))

    def _put_away(self, execution: Execution) -> None:
        if execution.seq < 0 or execution.replaying:
            return
        if self.random.random() < (0.3 if self.draining else 0.005):
            self._end(execution, Suspended(execution.start.run_id, execution.start.epoch, execution.seq))

    def die(self) -> None:
        """Its process is gone, with everything in it."""
        self.held.clear()

    def _finish_task(self, execution: Execution, now: datetime) -> None:
        start = execution.start
        how = "canceled" if execution.canceled else "failed" if self.random.random() < 0.15 else "completed"
        report = Finished(start.run_id, start.epoch, how, now, now)
        if how == "completed":
            report.result = f"result of {start.run_id} under {start.epoch}".encode()
            report.slot_us = 1000
            self.effects.append(start.run_id)
        else:
            report.error = BOOM
        self._end(execution, report)

    def _end(self, execution: Execution, report: Any) -> None:
        self.ended[execution.start.run_id] = -1
        self.reports.append(report)
        if isinstance(report, Finished):
            self.finished.add((report.run_id, report.epoch))

    # --------------------------------------------------------------------------------------------- a workflow's code

    def _pump(self, execution: Execution, now: datetime) -> None:
        """Apply what has come in order, and report what the code newly asks for."""
        if execution.replaying:
            execution.left -= 0.25
            if execution.left < 0:  # the page may be lost on the way
                execution.left = 2.0
                self.reports.append(Fetch(run_id=execution.start.run_id, epoch=execution.start.epoch, after=-1))
            return
        start = execution.start
        commands = Commands(start.run_id, start.epoch, now)
        moved = False
        if execution.seq < 0:
            execution.seq, moved = 0, True
            self._enter_round(execution, commands, start.started_at or now, 0)
        while (delivery := execution.buffer.pop(execution.seq + 1, None)) is not None:
            execution.seq, moved = delivery.seq, True
            if start.attempt == 1 and execution.fails_at == execution.seq:
                if commands.calls or commands.timers or commands.waits:
                    self.reports.append(commands)  # told a signal before its start, it asks and fails in one go
                self._end(
                    execution, Finished(start.run_id, start.epoch, "failed", now, error=BOOM, upto_seq=execution.seq)
                )
                return
            if delivery.kind == "cancel":
                self._end(execution, Finished(start.run_id, start.epoch, "canceled", now, upto_seq=execution.seq))
                return
            if self._answer(execution, commands, delivery):
                break
        execution.buffer = {seq: delivery for seq, delivery in execution.buffer.items() if seq > execution.seq}
        if not moved:
            return
        commands.upto_seq = execution.seq
        if execution.script is not None and execution.round >= len(execution.script.rounds):
            if commands.closed or commands.calls or commands.waits:
                self.reports.append(commands)
            result, how = f"done in {execution.seq}".encode(), "completed"
            if start.routine == "wait":
                result = ",".join(execution.taken).encode()
            if start.routine == "loop" and start.generation < generations(start.run_id):
                result, how = f"after {start.generation}".encode(), "continued"
            ended = Finished(start.run_id, start.epoch, how, now, now, result, upto_seq=execution.seq)
            self._end(execution, ended)
            return
        self.reports.append(commands)

    def _answer(self, execution: Execution, commands: Commands, delivery: Delivery) -> bool:
        """One fact; returns whether the code is over."""
        script = execution.script
        if script is not None and delivery.kind == "signal":
            execution.kept.setdefault(delivery.status, []).append(str(delivery.address))
            if not self._hand_out(execution, commands, delivery.status) or execution.waiting:
                return False
            self._enter_round(execution, commands, delivery.at, delivery.seq)
            return execution.round >= len(script.rounds)
        if script is None or delivery.address not in execution.waiting:
            return False
        execution.waiting.discard(delivery.address)
        kind, _ = script.rounds[execution.round]
        if kind == "race" and execution.waiting:
            if execution.seq > execution.start.processed_seq:
                commands.closed += sorted(execution.waiting)
            execution.waiting.clear()
        if execution.waiting:
            return False
        self._enter_round(execution, commands, delivery.at, delivery.seq)
        return execution.round >= len(script.rounds)

    def _hand_out(self, execution: Execution, commands: Commands, name: str) -> bool:
        """Give kept signals to who asks for them; whether there was one."""
        kept, asking = execution.kept.get(name, []), execution.asking.get(name, [])
        given = False
        while kept and asking:
            address, given = asking.pop(0), True
            execution.taken.append(kept.pop(0))
            execution.waiting.discard(address)
            if execution.seq > execution.start.processed_seq:
                commands.closed.append(address)
        return given

    def _enter_round(self, execution: Execution, commands: Commands, at: datetime, seq: int) -> None:
        script = execution.script
        execution.round += 1
        if script is None or execution.round >= len(script.rounds):
            return
        kind, many = script.rounds[execution.round]
        for index in range(many):
            address = Address(f"0/{execution.round}:{index}")
            execution.waiting.add(address)
            if address in execution.known:
                row = execution.known[address]
                name = "" if kind == "timer" else signal_name(address) if kind == "signal" else kind
                assert kind == row.kind == "token" or row.name == name.replace("race", "act"), "nondeterminism"
                continue
            assert seq > execution.start.processed_seq, f"call {address} added before {execution.start.processed_seq}"
            self._ask(execution, commands, address, kind, at, seq)
        for address in sorted(execution.waiting) if kind == "signal" else ():
            execution.asking.setdefault(signal_name(address), []).append(address)
            self._hand_out(execution, commands, signal_name(address))
        if not execution.waiting:
            self._enter_round(execution, commands, at, seq)

    def _ask(
        self, execution: Execution, commands: Commands, address: Address, kind: str, at: datetime, seq: int
    ) -> None:
        if kind == "timer":
            due = at + timedelta(seconds=1 + int(address[-1]))
            commands.timers.append(Timer(address, "d", due, asked_seq=seq))
            return
        if kind in ("signal", "token"):
            name = signal_name(address) if kind == "signal" else self.random.randbytes(8).hex()
            due_at = at + timedelta(seconds=20) if kind == "token" and int(address[-1]) % 2 else None
            commands.waits.append(Wait(address, kind, name, "d", seq, due_at=due_at))
            return
        child = RunId(uuid7(at, self.random.randbytes(10)))
        call = Call(address, kind.replace("race", "act"), "d", b"in", child, asked_seq=seq)
        if kind == "work":
            call.cache_key = f"key-{int(address[-1])}"
        commands.calls.append(call)
